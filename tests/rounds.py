"""Random rounds of grouped episodes, with what a network says about them: for slow twins."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from learners.algorithms.base import OldOutputs
from learners.batch import Batch
from learners.collate import collate
from lmrl.trajectory import TERMINATED, TRUNCATED, Trajectory, Turn

CUT = 7
"""Number of the last token of an action that counts as cut."""


class Alone:
    """One rank."""

    def total(self, *values: float) -> list[float]:
        return [float(v) for v in values]


class Round(NamedTuple):
    """A round of episodes in groups, with the outputs of a network.

    Attributes:
        episodes: episodes, as lists of turns.
        groups: group of each episode.
        batch: the same, collated.
        old: outputs before the round.
        logprob: log-probabilities under the trained policy `[N]`.
        entropy: entropies of the trained policy `[N]`.
    """

    episodes: list[Trajectory]
    groups: list[int]
    batch: Batch
    old: OldOutputs
    logprob: Tensor
    entropy: Tensor

    def spans(self) -> list[list[list[int]]]:
        """Return for each episode, and each of its turns, the indices of its tokens."""
        found, n = [], 0
        for episode in self.episodes:
            turns = []
            for turn in episode.turns:
                turns.append(list(range(n, n + len(turn.action_ids))))
                n += len(turn.action_ids)
            found.append(turns)
        return found


def made_episode(rng: np.random.Generator, first: int) -> Trajectory:
    """Return an episode of a Markov task with few states, which begins in state `first`."""
    turns = []
    for index in range(int(rng.integers(1, 5))):
        state = first if index == 0 else int(rng.integers(20, 23))
        ids = rng.integers(1, 9, rng.integers(1, 4)).astype(np.int32)
        logprobs = rng.normal(-1.0, 0.3, len(ids)).astype(np.float32)
        reward = float(rng.integers(-2, 3))
        seen = np.array([state], np.int32)
        cut = int(ids[-1]) == CUT
        turns.append(Turn("", seen, 1, "", ids, logprobs, ids * 0, reward, cut=cut))
    ending = TRUNCATED if rng.random() < 0.3 else TERMINATED
    return Trajectory("made", {}, first, tuple(turns), ending, "", np.array([24], np.int32), 1)


def made_round(seed: int, sizes: tuple[int, ...] = (3, 2, 4, 1)) -> Round:
    """Return a random round of groups of these sizes, shuffled."""
    rng = np.random.default_rng(seed)
    pairs = [(g, made_episode(rng, 10 + g)) for g, size in enumerate(sizes) for _ in range(size)]
    pairs = [pairs[i] for i in rng.permutation(len(pairs))]
    groups, episodes = [g for g, _ in pairs], [e for _, e in pairs]
    batch = collate(episodes, groups=np.array(groups))
    old = OldOutputs(
        rng.normal(-1.0, 0.3, batch.actions),
        rng.normal(size=batch.entries),
        rng.normal(-1.0, 0.3, batch.actions),
        rng.normal(size=(2, batch.entries)),
    )
    logprob = torch.tensor(old.logprob + rng.normal(0, 0.3, batch.actions), requires_grad=True)
    entropy = torch.tensor(rng.random(batch.actions), requires_grad=True)
    return Round(episodes, groups, batch, old, logprob, entropy)
