"""`Experiment`: everything that defines a run, joined from the configs that live beside what they
configure. A preset is one value of it; the command line changes fields of that value.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from actors.chat import ChatConfig
from actors.simulator import SimulatorConfig
from actors.vllm_engine import SamplerConfig
from cluster.oracle import check_oracle
from cluster.parity import TOLERANCE
from learners.bc import BC
from learners.cql import CQL
from learners.filtered_bc import FilteredBC, OnlineFilteredBC
from learners.guided import guide_of
from learners.ilql import ILQL, OnlineILQL
from learners.learner import LearnerConfig
from learners.mc import MC
from learners.ppo import PPO
from learners.qsft import QSFT
from learners.start import ModelConfig, context_of
from lmrl.data import check_for, mixture
from lmrl.errors import UsageError
from lmrl.tasks import make

AnyAlgorithm = BC | FilteredBC | OnlineFilteredBC | PPO | MC | ILQL | OnlineILQL | CQL | QSFT


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

    path: str | None = None
    episodes: int = 1500
    player: str = "mixture"
    batch: int = 16


@dataclass(frozen=True)
class RolloutConfig:
    """Fresh episodes of an online update.

    Attributes:
        turns: wanted per update. Episodes get shorter or longer as the policy changes, so their
            number follows from the mean length of the last update.
        least, most: bounds of the number of episodes.
        max_tokens: longest action.
        in_flight: most episodes that run at one time.
    """

    turns: int = 2048
    least: int = 64
    most: int = 256
    max_tokens: int = 16
    in_flight: int = 256


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

    episodes: int = 200
    start_episodes: int | None = None
    every: int = 0
    every_episodes: int = 64
    first_seed: int = 1_000_000_000
    temperature: float = 1.0
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
        timeout: seconds until actors that cannot be placed or started are an error.
        unresponsive: seconds without a sign of life after which a sampler or simulator is replaced.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    sampler_cpus: float = 1.0
    simulator_cpus: float = 0.25
    learner_cpus: float = 0.5
    sampler_gpus: float = 0.5
    learner_gpus: float = 0.5
    timeout: float = 300.0
    unresponsive: float = 60.0


@dataclass(frozen=True)
class PushConfig:
    """Weight pushes.

    Attributes:
        bucket_megabytes: size of one message.
        deadline: seconds for each phase of a push, and for each table of episodes to arrive.
        tolerance: largest difference of log-probs that the parity gate allows, in nats; None is
            1e-3 in float32 and 2 in bfloat16. The limits of the mean and the 95 % quantile over
            likely tokens are shares of it, see `cluster.parity`.
        probes: sequences that the gate compares.
    """

    bucket_megabytes: float = 64.0
    deadline: float = 120.0
    tolerance: float | None = None
    probes: int = 8


@dataclass(frozen=True)
class Experiment:
    """A run.

    Attributes:
        task: name.
        algorithm: what is learned, with its hyper-parameters.
        options: of the task.
        seed: everything random follows from it.
        updates: of the learner.
        start: preset whose result this run starts from if `model.path` is not given; it is trained
            first if the run directory does not hold it yet.
        max_staleness: versions that a sampled token may be behind the learner. 0 is synchronous.
        oracle: the instruct model that answers for the task (its oracle or buyer); without one the
            task's scripted one does.
        failures: share of failed episodes that stops the run.
        save_every: updates between checkpoints; 0 saves by time and the last one only.
        save_minutes: minutes after which a checkpoint is saved in any case; 0 never does so.
        keep: checkpoints that stay on disk, the best one not counted.
    """

    task: str
    algorithm: AnyAlgorithm
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    updates: int = 100
    start: str | None = None
    max_staleness: int = 0
    failures: float = 0.1
    save_every: int = 0
    save_minutes: float = 10.0
    keep: int = 2
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    rollouts: RolloutConfig = field(default_factory=RolloutConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    push: PushConfig = field(default_factory=PushConfig)
    oracle: ChatConfig = field(default_factory=ChatConfig)
    placement: PlacementConfig = field(default_factory=PlacementConfig)

    @property
    def tolerance(self) -> float:
        """The parity gate's limit."""
        if self.push.tolerance is not None:
            return self.push.tolerance
        both = {self.sampler.dtype, self.learner.optimiser.dtype}
        return TOLERANCE["float32" if both == {"float32"} else "bfloat16"]

    @property
    def max_context(self) -> int:
        """Most tokens of a turn's context: what the model has less the longest action."""
        return self.model.context - self.rollouts.max_tokens

    def check(self, training: bool = True) -> None:
        """Refuse what cannot work, before anything expensive starts.

        Args:
            training: whether something is to be learned, or a checkpoint only played.

        Raises:
            UsageError: with the field, its value and the remedy.
        """
        env = make(self.task, **self.options)
        check_oracle(self.oracle, env, self.task)
        positive = {
            "updates": self.updates,
            "rollouts.turns": self.rollouts.turns,
            "rollouts.least": self.rollouts.least,
            "rollouts.most": self.rollouts.most,
            "rollouts.max_tokens": self.rollouts.max_tokens,
            "rollouts.in_flight": self.rollouts.in_flight,
            "data.batch": self.data.batch,
            "data.episodes": self.data.episodes,
            "evaluation.episodes": self.evaluation.episodes,
            "sampler.count": self.sampler.count,
            "simulator.count": self.simulator.count,
            "learner.ranks": self.learner.ranks,
            "learner.optimiser.lr": self.learner.optimiser.lr,
            "push.probes": self.push.probes,
            "keep": self.keep,
        }
        for name, value in positive.items():
            if not value > 0:
                raise UsageError(f"{name} is {value}; it has to be above 0")
        if self.model.lines < 0:
            raise UsageError(f"model.lines is {self.model.lines}; give 0 for none, or more")
        if not 0.0 <= self.algorithm.replay < 1.0:
            raise UsageError(
                f"algorithm.replay is {self.algorithm.replay}; it is a share, 0 or more and below 1"
            )
        if self.rollouts.least > self.rollouts.most:
            raise UsageError(
                f"rollouts.least {self.rollouts.least} exceeds rollouts.most {self.rollouts.most}"
            )
        if self.max_context < 1:
            raise UsageError(
                f"model.context {self.model.context} leaves no room for an action of "
                f"{self.rollouts.max_tokens} tokens (rollouts.max_tokens); raise one or lower the "
                "other"
            )
        if self.model.path is not None:
            positions = context_of(Path(self.model.path))
            if training and guide_of(Path(self.model.path)) is not None:
                raise UsageError(
                    f"model.path {self.model.path} is a value-guided policy, which is for sampling "
                    "only; give the plain policy that its run started from"
                )
            if positions < self.model.context:
                raise UsageError(
                    f"model.context {self.model.context} exceeds the {positions} positions of "
                    f"{self.model.path}; set --model.context {positions}"
                )
        if self.algorithm.on_policy and self.learner.windows == "strided":
            raise UsageError(
                f"{self.algorithm.name} learns from what its own policy saw; set "
                "learner.windows exact"
            )
        if self.data.path is not None:
            for path in mixture(self.data.path):
                check_for(path, self.task)
                if isinstance(self.algorithm, FilteredBC) and not self.algorithm.on_policy:
                    self.algorithm.chosen(path)
        if self.max_staleness != 0:
            raise UsageError(
                f"max_staleness is {self.max_staleness}; this release trains synchronously, set 0"
            )
        if self.algorithm.bc_coef and not self.data.path:
            raise UsageError(
                "algorithm.bc_coef needs a data set; give one with --data.path, or set it to 0"
            )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; the algorithm carries its name."""
        plain = dataclasses.asdict(self)
        plain["algorithm"] = {"name": self.algorithm.name, **plain["algorithm"]}
        return plain
