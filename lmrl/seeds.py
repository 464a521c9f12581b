"""Every rule that makes seeds and random generators of other seeds, once.

All randomness of a run follows from its seed, and all randomness of an episode from the episode's
seed, in whatever order and on whatever process things happen. Training and evaluation have
different seeds: training seeds are below `FIRST_EVALUATION_SEED`. A task draws from
`random.Random(seed)` with the seed of its episode.
"""

import random

import numpy as np

FIRST_EVALUATION_SEED = 1_000_000_000
"""First evaluation seed, unless another is given."""

SELECTION_OFFSET = 1_000_000
"""Distance of the seeds on which a checkpoint is selected from those of the final evaluation."""

EVALUATION_DECODING_SEED = 7
"""Seed of sampling in every evaluation, so that all policies are sampled alike."""

_RUN_SEEDS = 1_000_000
"""Training seeds of a run before those of the run with the next seed begin."""


def fresh_seed() -> int:
    """Return a seed from the operating system, for callers that gave none."""
    return random.SystemRandom().randrange(2**31)


def player_rng(player: str, seed: int) -> random.Random:
    """Return the generator of a scripted player, which is independent of the task's.

    Args:
        player: name of the player.
        seed: seed of the episode.
    """
    return random.Random(f"{player}:{seed}")


def request_seed(decoding_seed: int, episode_seed: int, turn: int, member: int = 0) -> int:
    """Return the sampling seed of a turn, a number of 32 bits.

    Args:
        decoding_seed: seed of the job's decoding settings.
        episode_seed: seed of the episode.
        turn: number of turns before this one.
        member: number of the episode among those with the same seed.
    """
    # The first member has the seeds of an episode without a group.
    numbers = [decoding_seed, episode_seed % 2**63, turn, *([member] if member else [])]
    mixed = np.random.SeedSequence(numbers)
    return int(mixed.generate_state(1, np.uint32)[0])


def first_training_seed(run_seed: int) -> int:
    """Return the first training seed of a run; the following episodes have the following seeds."""
    return run_seed * _RUN_SEEDS % (FIRST_EVALUATION_SEED - 100_000_000)


def decoding_seed(run_seed: int, update: int) -> int:
    """Return the decoding seed of an online update."""
    return run_seed * 1_000_003 + update


def evaluation_seeds(first: int, count: int, selecting: bool = False) -> range:
    """Return the seeds of an evaluation.

    Args:
        first: first seed of the final evaluation.
        count: number of episodes.
        selecting: whether the evaluation selects a checkpoint; it has other seeds then.
    """
    first += SELECTION_OFFSET * selecting
    return range(first, first + count)


def replay_rng(run_seed: int, next_seed: int) -> np.random.Generator:
    """Return the generator that draws old training episodes for an update.

    Args:
        run_seed: seed of the run.
        next_seed: number of training seeds used so far.
    """
    return np.random.default_rng([run_seed, next_seed])


def tokenizer_seed(run_seed: int) -> int:
    """Return the first seed of the episodes from which a tokenizer is trained."""
    return random.Random(run_seed).randrange(2**20)


def shuffle_rng(seed: int, epoch: int) -> random.Random:
    """Return the generator that shuffles a data set.

    Args:
        seed: seed of the data stream.
        epoch: number of passes before this one.
    """
    return random.Random(f"{seed}:{epoch}")


def mixture_rng(seed: int) -> random.Random:
    """Return the generator that chooses the data set of each episode of a mixture."""
    return random.Random(f"mixture:{seed}")


def order_rng(study_seed: int, seed: int) -> random.Random:
    """Return the generator of the order in which policies play a seed of a human evaluation.

    Args:
        study_seed: seed of the study.
        seed: seed of the episodes.
    """
    return random.Random(f"order:{study_seed}:{seed}")
