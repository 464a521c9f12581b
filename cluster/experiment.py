"""`Experiment`: everything that defines a run, joined from the configs that live beside what they
configure. A preset is one value of it; the command line changes fields of that value.
"""

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch

from actors.chat.config import ChatConfig
from actors.config import CPU_HEAD_SIZES, SamplerConfig, SimulatorConfig
from cluster.config import DataConfig, EvaluationConfig, PlacementConfig, PushConfig, RolloutConfig
from cluster.oracle import check_oracle
from cluster.weights.parity import TOLERANCE
from learners.algorithms.base import Algorithm
from learners.algorithms.registry import as_json
from learners.algorithms.selection import selected
from learners.checkpoints.guided import read_guidance
from learners.checkpoints.initial import ModelConfig, check_checkpoint, context_of, head_size_of
from learners.config import LearnerConfig
from lmrl.data.store import check_for, mixture
from lmrl.errors import UsageError, unknown
from lmrl.limits import COUNT, NOT_NEGATIVE, SHARE, Used, check_ranges
from lmrl.tasks import make


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
    algorithm: Algorithm
    options: dict[str, Any] = field(default_factory=dict)
    seed: Annotated[int, NOT_NEGATIVE] = 0
    updates: Annotated[int, COUNT] = 100
    start: Annotated[str | None, Used("not model.path")] = None
    max_staleness: Annotated[int, NOT_NEGATIVE] = 0
    failures: Annotated[float, SHARE] = 0.1
    save_every: Annotated[int, NOT_NEGATIVE] = 0
    save_minutes: Annotated[float, NOT_NEGATIVE] = 10.0
    keep: Annotated[int, COUNT] = 2
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

    @property
    def may_use_gpu(self) -> bool:
        """Whether actors may be placed on GPUs."""
        return self.placement.device != "cpu"

    @property
    def may_use_cpu(self) -> bool:
        """Whether models may run on CPU."""
        return self.placement.device != "cuda"

    @property
    def trains_start(self) -> bool:
        """Whether the start policy is trained first."""
        return self.start is not None and self.model.path is None

    @property
    def draws_data(self) -> bool:
        """Whether updates draw episodes of a data set."""
        algorithm = self.algorithm
        return not algorithm.on_policy or algorithm.replay > 0 or algorithm.bc_coef > 0

    @property
    def uses_data(self) -> bool:
        """Whether this run or the training of its start policy reads a data set."""
        return self.draws_data or self.trains_start

    @property
    def makes_data(self) -> bool:
        """Whether scripted players make that data set."""
        return self.data.path is None and self.uses_data

    @property
    def names_player(self) -> bool:
        """Whether a scripted player has a part in this run."""
        return self.makes_data or (self.model.path is None and self.model.lines > 0)

    @property
    def has_heads(self) -> bool:
        """Whether the algorithm has value heads."""
        critic = getattr(self.algorithm, "critic", "none")
        return self.algorithm.guidance is not None or critic != "none"

    def check(self, training: bool = True) -> None:
        """Refuse what cannot work, before anything expensive starts.

        Args:
            training: whether something is to be learned, or a checkpoint only played.

        Raises:
            UsageError: with the field, its value and the remedy.
        """
        env = make(self.task, **self.options)
        check_oracle(self.oracle, env, self.task)
        check_ranges(self)
        if self.names_player and self.data.player not in env.players:
            raise unknown("player", self.data.player, env.players)
        if self.rollouts.min_episodes > self.rollouts.max_episodes:
            raise UsageError(
                f"rollouts.min_episodes {self.rollouts.min_episodes} exceeds "
                f"rollouts.max_episodes {self.rollouts.max_episodes}"
            )
        if self.max_context < 1:
            raise UsageError(
                f"model.context {self.model.context} leaves no room for an action of "
                f"{self.rollouts.max_tokens} tokens (rollouts.max_tokens); raise one or lower the "
                "other"
            )
        if self.model.path is None and self.model.width % self.model.heads:
            raise UsageError(
                f"model.width {self.model.width} is not a multiple of model.heads "
                f"{self.model.heads}"
            )
        self._check_head_size()
        if self.trains_start and training:
            self._check_start()
        if self.model.path is None and self.model.pretrained:
            raise UsageError(
                "this preset is for pretrained weights; give a checkpoint directory with "
                "--model.path, or set --model.pretrained false for random weights"
            )
        if self.model.path is not None:
            positions = context_of(Path(self.model.path))
            if training and read_guidance(Path(self.model.path)) is not None:
                raise UsageError(
                    f"model.path {self.model.path} is a value-guided policy, which is for sampling "
                    "only; give the plain policy that its run started from"
                )
            check_checkpoint(Path(self.model.path))
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
                if self.algorithm.selects and not self.algorithm.on_policy:
                    selected(self.algorithm, path)
        if self.max_staleness != 0:
            raise UsageError(
                f"max_staleness is {self.max_staleness}; this release trains synchronously, set 0"
            )
        if self.algorithm.bc_coef and not self.data.path:
            raise UsageError(
                "algorithm.bc_coef needs a data set; give one with --data.path, or set it to 0"
            )

    def _check_head_size(self) -> None:
        """Refuse an attention head size that the samplers' CPU kernels do not know."""
        # A cluster's GPUs are not known here; `cluster.startup.launch` looks again.
        if self.placement.device == "cpu" or not (
            self.placement.device == "cuda"
            or torch.cuda.is_available()
            or os.environ.get("RAY_ADDRESS")
        ):
            self.check_head_size()

    def check_head_size(self) -> None:
        """Refuse a model whose attention no sampler on CPU can run.

        Raises:
            UsageError: with the head size and the known ones.
        """
        path = self.model.path
        if path is None:
            size, remedy = self.model.width // self.model.heads, "change model.width or model.heads"
        else:
            known = head_size_of(Path(path))
            if known is None:
                return
            size, remedy = known, f"{path} needs a GPU (placement.device cuda)"
        if size not in CPU_HEAD_SIZES:
            raise UsageError(
                f"the model's attention heads have size {size}, and samplers on CPU know "
                f"{', '.join(map(str, CPU_HEAD_SIZES))}; {remedy}"
            )

    def _check_start(self) -> None:
        from cluster.startup.start_policy import start_experiment

        start_experiment(self).check()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; the algorithm carries its name."""
        plain = dataclasses.asdict(self)
        plain["algorithm"] = as_json(self.algorithm)
        return plain
