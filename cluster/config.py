"""Configuration of data, rollouts, evaluation, placement, and weight pushes.

These are the parts of an `Experiment` that configure neither an actor nor a learner.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from lmrl.limits import COUNT, NOT_NEGATIVE, POSITIVE, Used
from lmrl.runs.trackers import Service
from lmrl.seeds import FIRST_EVALUATION_SEED

_ROUNDS = Used("algorithm.on_policy", "by algorithms that learn from fresh episodes")
_USES_DATA = Used(
    "uses_data", "by algorithms that learn from data, and where a start policy is trained"
)
_DRAWS_DATA = Used("draws_data", "by algorithms that learn from data")
_MAKES_DATA = Used("makes_data", "where the task's scripted players make the data")
_TRACKED = Used("tracks", "with tracking.service wandb or trackio")
_PLAYER = Used("names_player", "where the task's scripted players make the data or the tokenizer")

TOLERANCE = {"float32": 1e-3, "bfloat16": 2.0}
"""Limit of the maximum, by the type of the weights, in nats."""

GUIDED_GAIN = 40.0
"""Product of beta and the unit of the values up to which `TOLERANCE` holds for a value-guided
policy. Above it the limits grow in proportion. Measured in float32 on the mazes: with beta 32 and a
unit of 5, correct weights differ by up to 4.9e-4 nats, with a 95 % quantile of 1.5e-4."""


@dataclass(frozen=True)
class TrackingConfig:
    """Where metrics go besides the run directory.

    Attributes:
        service: tracking service: `none`, `wandb` or `trackio`. TensorBoard's files are in the run
            directory in any case, and Ray exports the metrics to Prometheus.
        project: name of the project in the service.
        offline: whether nothing is sent; the files in the run directory can be sent later.
    """

    service: Service = "none"
    project: Annotated[str, _TRACKED] = "lmrl"
    offline: Annotated[bool, _TRACKED] = False


@dataclass(frozen=True)
class DataConfig:
    """Offline data.

    Attributes:
        path: data set: a folder of Parquet files, or one file. A mixture of data sets is given like
            `data/a:0.5 data/b:0.5`; its episodes are drawn with these weights. None lets the task's
            scripted players make a data set in the run directory.
        episodes: number of episodes that the scripted players make.
        player: name of the scripted player that makes them.
        batch: number of episodes per update.
    """

    path: Annotated[str | None, _USES_DATA] = None
    episodes: Annotated[int, COUNT, _MAKES_DATA] = 1500
    player: Annotated[str, _PLAYER] = "mixture"
    batch: Annotated[int, COUNT, _DRAWS_DATA] = 16


@dataclass(frozen=True)
class RolloutConfig:
    """Fresh episodes of an online update.

    Attributes:
        turns: wanted number of turns per update. Episodes get shorter or longer as the policy
            changes, so their number is computed from the mean length in the last update.
        min_episodes, max_episodes: bounds of the number of episodes per update.
        max_tokens: largest number of tokens of an action.
        thought_tokens: largest number of tokens of the thoughts before an action.
        in_flight: largest number of episodes that run at one time.
    """

    turns: Annotated[int, COUNT, _ROUNDS] = 2048
    min_episodes: Annotated[int, COUNT, _ROUNDS] = 64
    max_episodes: Annotated[int, COUNT, _ROUNDS] = 256
    max_tokens: Annotated[int, COUNT] = 16
    thought_tokens: Annotated[int, COUNT, Used("thinks", "with model.thinking on")] = 256
    in_flight: Annotated[int, COUNT] = 256


@dataclass(frozen=True)
class EvaluationConfig:
    """Scores on fixed seeds.

    Attributes:
        episodes: number of episodes that score the start policy and the last policy.
        start_episodes: number of episodes that score the start policy, if it is another one; None
            is `episodes`.
        every: number of updates between evaluations during training; 0 makes none.
        every_episodes: number of episodes of each evaluation during training.
        first_seed: first seed of the scored episodes; the others follow it. It is the same for
            every policy.
        temperature: sampling temperature of the policy; 1 is the benchmark's, 0 is greedy.
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
class AlarmConfig:
    """Limits of metrics whose crossing means that the policy collapses.

    Attributes:
        entropy: lowest entropy of the policy, in nats per token; None sets no limit.
        return_std: lowest standard deviation of the returns of a round, in reward units; None sets
            no limit.
        grad_norm: largest gradient norm before clipping; None sets no limit.
        sampler_gap: largest mean difference of log-probabilities between sampler and learner, in
            nats; None sets no limit.
        patience: number of updates in a row beyond a limit that raises the alarm.
        action: what follows: `warn` prints a line, `stop` ends the run. With `stop` no checkpoint
            is saved while a metric is beyond its limit, so that the last one is a good one.
    """

    entropy: Annotated[float | None, POSITIVE] = None
    return_std: Annotated[float | None, POSITIVE, _ROUNDS] = None
    grad_norm: Annotated[float | None, POSITIVE] = None
    sampler_gap: Annotated[float | None, POSITIVE, _ROUNDS] = None
    patience: Annotated[int, COUNT] = 3
    action: Literal["warn", "stop"] = "warn"


@dataclass(frozen=True)
class PlacementConfig:
    """Resources that the run requests from Ray.

    With `max_staleness` 0 samplers and learners work in turn, so on one machine they share cores.
    The numbers below are what Ray counts. The numbers of threads are set in `sampler` and
    `learner`.

    Attributes:
        device: `cpu`, `cuda`, or `auto`, which is cuda if Ray has enough GPUs.
        strategy: how actors are distributed over nodes: `pack` uses as few nodes as possible,
            `spread` as many as possible.
        samplers: nodes of the samplers: `anywhere`; `colocated`, each on the node of a learner
            rank, with shares of the same GPU where both fit on one; `apart`, only on nodes without
            a learner rank.
        sampler_cpus, simulator_cpus, learner_cpus: number of CPUs of one actor of each kind.
        sampler_gpus, learner_gpus: number of GPUs of one actor of each kind, if the device is cuda.
            Each of several learner ranks gets a whole GPU, since NCCL needs one for each; samplers
            that are colocated with a rank have a share of that GPU. A sampler with
            `sampler.tensor_parallel` N gets N whole GPUs.
        timeout: time until actors that are not placed or started are an error, and until an actor
            that restarts is replaced, in seconds.
        unresponsive: time without a response after which a started actor is replaced, in seconds.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    strategy: Literal["pack", "spread"] = "pack"
    samplers: Literal["anywhere", "colocated", "apart"] = "anywhere"
    sampler_cpus: Annotated[float, NOT_NEGATIVE] = 1.0
    simulator_cpus: Annotated[float, NOT_NEGATIVE] = 0.25
    learner_cpus: Annotated[float, NOT_NEGATIVE] = 0.5
    sampler_gpus: Annotated[float, NOT_NEGATIVE, Used("may_use_gpu", "on a GPU")] = 0.5
    learner_gpus: Annotated[float, NOT_NEGATIVE, Used("may_use_gpu", "on a GPU")] = 0.5
    timeout: Annotated[float, POSITIVE] = 300.0
    unresponsive: Annotated[float, POSITIVE] = 25.0


@dataclass(frozen=True)
class PushConfig:
    """Weight pushes.

    Attributes:
        bucket_megabytes: size of one message, in MB.
        deadline: time limit of each answer of a sampler in a push, and of the transfer of a table
            of episodes, in seconds.
        tolerance: largest difference of log-probabilities that the parity gate allows, in nats;
            None is 1e-3 in float32 and 2 in bfloat16, and more where a large beta multiplies the
            rounding of action values. The limits of the mean and the 95 % quantile over likely
            tokens are shares of it, see `cluster.weights.parity`.
        probes: number of token sequences on which the gate compares log-probabilities.
    """

    bucket_megabytes: Annotated[float, POSITIVE] = 64.0
    deadline: Annotated[float, POSITIVE] = 30.0
    tolerance: Annotated[float | None, POSITIVE] = None
    probes: Annotated[int, COUNT] = 8
