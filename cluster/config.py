"""The parts of an `Experiment` that belong to no actor and no learner.

Data, rollouts, evaluation, placement, and weight pushes.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from lmrl.limits import COUNT, NOT_NEGATIVE, POSITIVE, Used
from lmrl.seeds import FIRST_EVALUATION_SEED

_ROUNDS = Used("algorithm.on_policy", "by algorithms that learn from fresh episodes")
_USES_DATA = Used(
    "uses_data", "by algorithms that learn from data, and where a start policy is trained"
)
_DRAWS_DATA = Used("draws_data", "by algorithms that learn from data")
_MAKES_DATA = Used("makes_data", "where the task's scripted players make the data")
_PLAYER = Used("names_player", "where the task's scripted players make the data or the tokenizer")


@dataclass(frozen=True)
class DataConfig:
    """Offline data.

    Attributes:
        path: a data set: a folder of Parquet files, or one file; or a mixture of some, like
            `data/a:0.5 data/b:0.5`, whose episodes are drawn by these weights. Without one, the
            task's scripted players make one in the run directory.
        episodes: how many to make.
        player: which scripted player makes them.
        batch: episodes of an update.
    """

    path: Annotated[str | None, _USES_DATA] = None
    episodes: Annotated[int, COUNT, _MAKES_DATA] = 1500
    player: Annotated[str, _PLAYER] = "mixture"
    batch: Annotated[int, COUNT, _DRAWS_DATA] = 16


@dataclass(frozen=True)
class RolloutConfig:
    """Fresh episodes of an online update.

    Attributes:
        turns: wanted per update. Episodes get shorter or longer as the policy changes, so their
            number follows from the mean length of the last update.
        min_episodes, max_episodes: bounds of the number of episodes.
        max_tokens: longest action.
        in_flight: most episodes that run at one time.
    """

    turns: Annotated[int, COUNT, _ROUNDS] = 2048
    min_episodes: Annotated[int, COUNT, _ROUNDS] = 64
    max_episodes: Annotated[int, COUNT, _ROUNDS] = 256
    max_tokens: Annotated[int, COUNT] = 16
    in_flight: Annotated[int, COUNT] = 256


@dataclass(frozen=True)
class EvaluationConfig:
    """Scores on fixed seeds.

    Attributes:
        episodes: of the start policy and of the last one.
        start_episodes: of the start policy, if they are to be fewer.
        every: updates between evaluations on the way; 0 has none.
        every_episodes: of those.
        first_seed: the seeds are this and the following ones, for every policy.
        temperature: of the policy; 1 is the benchmark's, 0 is greedy.
        random: whether the task's random player is scored too.
    """

    episodes: Annotated[int, COUNT] = 200
    start_episodes: Annotated[int | None, NOT_NEGATIVE] = None
    every: Annotated[int, NOT_NEGATIVE] = 0
    every_episodes: Annotated[int, COUNT, Used("evaluation.every")] = 64
    first_seed: Annotated[int, NOT_NEGATIVE] = FIRST_EVALUATION_SEED
    temperature: Annotated[float, NOT_NEGATIVE] = 1.0
    random: bool = True


@dataclass(frozen=True)
class PlacementConfig:
    """Resources that the run asks of Ray.

    With `max_staleness` 0 samplers and learners work in turn, so on one machine they share cores:
    the numbers below are shares for Ray's books, threads are set in `sampler` and `learner`.

    Attributes:
        device: `cpu`, `cuda`, or `auto`: cuda if Ray has enough of it.
        sampler_cpus, simulator_cpus, learner_cpus: CPUs of one actor each.
        sampler_gpus, learner_gpus: GPUs of one actor each, if the device is cuda.
        timeout: seconds until actors that cannot be placed or started are an error, and until one
            that starts again is replaced.
        unresponsive: seconds without a sign of life after which a sampler or simulator that has
            started is replaced.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    sampler_cpus: Annotated[float, NOT_NEGATIVE] = 1.0
    simulator_cpus: Annotated[float, NOT_NEGATIVE] = 0.25
    learner_cpus: Annotated[float, NOT_NEGATIVE] = 0.5
    sampler_gpus: Annotated[float, NOT_NEGATIVE, Used("may_use_gpu", "on a GPU")] = 0.5
    learner_gpus: Annotated[float, NOT_NEGATIVE, Used("may_use_gpu", "on a GPU")] = 0.5
    timeout: Annotated[float, POSITIVE] = 300.0
    unresponsive: Annotated[float, POSITIVE] = 60.0


@dataclass(frozen=True)
class PushConfig:
    """Weight pushes.

    Attributes:
        bucket_megabytes: size of one message.
        deadline: seconds for each phase of a push, and for each table of episodes to arrive.
        tolerance: largest difference of log-probs that the parity gate allows, in nats; None is
            1e-3 in float32 and 2 in bfloat16. The limits of the mean and the 95 % quantile over
            likely tokens are shares of it, see `cluster.weights.parity`.
        probes: sequences that the gate compares.
    """

    bucket_megabytes: Annotated[float, POSITIVE] = 64.0
    deadline: Annotated[float, POSITIVE] = 120.0
    tolerance: Annotated[float | None, POSITIVE] = None
    probes: Annotated[int, COUNT] = 8
