"""`Experiment`: everything that defines a run.

It joins the configs, each of which is defined beside the code that it configures. A preset is one
value of `Experiment`, and the command line changes fields of that value.
"""

import dataclasses
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from actors.architectures import check_architecture
from actors.chat.checks import check_oracle
from actors.chat.config import ChatConfig
from actors.config import CPU_HEAD_SIZES, SamplerConfig, SimulatorConfig
from actors.plugin import check_installed
from cluster.config import (
    GUIDED_GAIN,
    TOLERANCE,
    AlarmConfig,
    DataConfig,
    EvaluationConfig,
    PlacementConfig,
    PushConfig,
    RolloutConfig,
    TrackingConfig,
)
from cluster.startup.bundles import check_placement
from cluster.startup.start_critic import OF_START, check_start_critic
from learners.algorithms.base import Algorithm
from learners.algorithms.registry import as_json
from learners.checkpoints.checks import check_checkpoint
from learners.checkpoints.gguf import resolve
from learners.checkpoints.guided import read_guidance
from learners.checkpoints.initial import ModelConfig, context_of, head_size_of, shape_of
from learners.config import LearnerConfig
from lmrl.env import TextEnv
from lmrl.episode import Episode
from lmrl.errors import UsageError, unknown
from lmrl.limits import COUNT, NOT_NEGATIVE, SEED, SHARE, Used, check_ranges
from lmrl.runs.trackers import check_service
from lmrl.tasks import make
from lmrl.tokens.codec import Codec
from lmrl.tokens.format import FormatConfig


@dataclass(frozen=True)
class Experiment:
    """The definition of a run.

    Attributes:
        task: name of the task.
        algorithm: algorithm with its hyper-parameters.
        options: options of the task.
        seed: seed from which every random choice is derived.
        updates: number of updates of the learner.
        start: name of the preset or algorithm whose result is the start policy, if `model.path` is
            not given. It is trained first, unless the run directory already has it.
        start_fields: changes of that training, values by the names of its fields. On the command
            line they are `--start.updates 50` and the like.
        start_critic: source of the critic that the run begins with: `start` is the run that made
            the start policy, anything else is a checkpoint directory. None begins with a new
            critic.
        max_staleness: largest number of versions that a sampled token may be behind the learner. 0
            is synchronous training. With more, episodes of further updates are played while the
            learner works.
        failures: share of failed episodes above which the run stops.
        save_every: number of updates between checkpoints; 0 saves by time, and after the last
            update.
        save_minutes: time after which a checkpoint is saved in any case, in minutes; 0 does not
            save by time.
        keep: number of checkpoints that stay on disk, without the best one.
        time_limit: time after which the run saves a checkpoint and ends, in minutes; `--resume`
            goes on. At least one update is made. 0 sets no limit.
        model: settings of the policy's network.
        data: settings of the offline data.
        rollouts: settings of fresh episodes.
        evaluation: settings of scores.
        alarms: limits of metrics that warn or stop the run.
        sampler: settings of the samplers.
        simulator: settings of the simulators.
        learner: settings of the learner group.
        push: settings of weight pushes.
        oracle: instruct model that answers for the task as its oracle or buyer. Without a model,
            the task's own scripted one answers.
        placement: resources of the actors.
        tracking: destinations of metrics besides the run directory.
        mirror: URI of a folder to which checkpoints, episodes and metrics are copied after each
            checkpoint: `s3://`, `gs://`, `file://`, or a scheme that fsspec knows. None copies
            nothing.
    """

    task: str
    algorithm: Algorithm
    options: dict[str, Any] = field(default_factory=dict)
    seed: Annotated[int, SEED] = 0
    updates: Annotated[int, COUNT] = 100
    start: Annotated[str | None, Used("not model.path")] = None
    start_fields: Annotated[
        dict[str, Any], Used("trains_start", "where a start policy is trained")
    ] = field(default_factory=dict)
    start_critic: Annotated[
        str | None, Used("algorithm.critic_form", "by algorithms with a critic")
    ] = None
    max_staleness: Annotated[
        int,
        NOT_NEGATIVE,
        Used("algorithm.on_policy", "by algorithms that learn from fresh episodes"),
    ] = 0
    failures: Annotated[float, SHARE] = 0.1
    save_every: Annotated[int, NOT_NEGATIVE] = 0
    save_minutes: Annotated[float, NOT_NEGATIVE] = 10.0
    keep: Annotated[int, COUNT] = 2
    time_limit: Annotated[float, NOT_NEGATIVE] = 0.0
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    rollouts: RolloutConfig = field(default_factory=RolloutConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    alarms: AlarmConfig = field(default_factory=AlarmConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    push: PushConfig = field(default_factory=PushConfig)
    oracle: ChatConfig = field(default_factory=ChatConfig)
    placement: PlacementConfig = field(default_factory=PlacementConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    mirror: str | None = None

    @property
    def tolerance(self) -> float:
        """Limit of the parity gate, in nats."""
        if self.push.tolerance is not None:
            return self.push.tolerance
        both = {self.sampler.dtype, self.learner.optimiser.dtype}
        limit = TOLERANCE["float32" if both == {"float32"} else "bfloat16"]
        guidance = self.algorithm.guidance
        # The sampler multiplies the values, and so their rounding, by beta.
        gain = guidance.beta * guidance.scale if guidance is not None else 0.0
        return limit * max(1.0, gain / GUIDED_GAIN)

    @property
    def tracks(self) -> bool:
        """Whether a tracking service gets the metrics."""
        return self.tracking.service != "none"

    @property
    def max_context(self) -> int:
        """Largest number of tokens of a turn's context: the model's context minus a reply."""
        return self.model.context - self.format.reply_tokens

    @property
    def thinks(self) -> bool:
        """Whether the policy thinks before each action."""
        return self.model.thinking == "on"

    @property
    def format(self) -> FormatConfig:
        """What the policy reads around the texts of an episode, and the limits of its replies."""
        model, rollouts = self.model, self.rollouts
        return FormatConfig(
            "plain" if model.path is None else model.format,
            model.system,
            self.thinks,
            rollouts.thought_tokens,
            rollouts.max_tokens,
        )

    @property
    def sequences(self) -> int:
        """Largest number of sequences in a sampler's batch: no more than episodes that run."""
        return min(self.sampler.max_sequences, self.rollouts.in_flight * self.simulator.count)

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
        """Whether updates use episodes of a data set."""
        algorithm = self.algorithm
        return not algorithm.on_policy or algorithm.replay > 0 or algorithm.bc_coef > 0

    @property
    def uses_data(self) -> bool:
        """Whether this run or the training of its start policy reads a data set."""
        return self.draws_data or self.trains_start

    @property
    def makes_data(self) -> bool:
        """Whether scripted players make the data set of this run."""
        return self.data.path is None and self.uses_data

    @property
    def names_player(self) -> bool:
        """Whether this run uses the scripted player `data.player`."""
        return self.makes_data or (self.model.path is None and self.model.lines > 0)

    @property
    def has_heads(self) -> bool:
        """Whether the algorithm has value heads."""
        return self.algorithm.guidance is not None or self.algorithm.critic_form is not None

    def check(self, training: bool = True) -> None:
        """Refuse an experiment that cannot work, before anything expensive starts.

        Args:
            training: whether the experiment trains. If not, it only plays a checkpoint.

        Raises:
            UsageError: if a field is invalid; the message has its value and the remedy.
        """
        env = make(self.task, **self.options)
        check_oracle(self.oracle, env, self.task)
        check_ranges(self)
        if self.names_player and self.data.player not in env.players:
            raise unknown("player", self.data.player, env.players)
        if self.model.path is None and "random" not in env.players:
            raise UsageError(
                f"task {self.task} has no scripted player 'random', from whose texts a tokenizer "
                "is made; give a checkpoint with --model.path, or add the player"
            )
        if training and self.evaluation.random and "random" not in env.players:
            raise UsageError(
                f"task {self.task} has no scripted player 'random'; set evaluation.random false"
            )
        self._check_rounds()
        if self.max_context < 1:
            raise UsageError(
                f"model.context {self.model.context} leaves no space for a reply of "
                f"{self.format.reply_tokens} tokens (rollouts.max_tokens, with thoughts "
                "rollouts.thought_tokens too); raise model.context or lower these"
            )
        if self.model.path is None and self.model.width % self.model.heads:
            raise UsageError(
                f"model.width {self.model.width} is not a multiple of model.heads "
                f"{self.model.heads}"
            )
        if self.tracks and training:
            check_service(self.tracking.service)
        if self.mirror is not None and training:
            from lmrl.runs.mirror import file_system

            file_system(self.mirror)
        self._check_head_size()
        check_placement(self, self.placement.device)
        self._check_parallel()
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
                    "only; give the plain policy that its run started from, and take its values "
                    "over with start_critic if you want them"
                )
            check_checkpoint(Path(self.model.path), self.format, env.stop)
            check_architecture(Path(self.model.path))
            if positions < self.model.context:
                raise UsageError(
                    f"model.context {self.model.context} exceeds the {positions} positions of "
                    f"{self.model.path}; set --model.context {positions}"
                )
            self.check_context(Codec.load(self.model.path, self.format), env)
        check_start_critic(self)
        if self.algorithm.on_policy and self.learner.windows == "strided":
            raise UsageError(
                f"{self.algorithm.name} learns from the contexts that its own policy had; set "
                "learner.windows exact"
            )
        if self.data.path is not None:
            self._check_data(self.data.path)
        self._check_staleness()
        if self.algorithm.bc_coef and not self.data.path:
            raise UsageError(
                "algorithm.bc_coef needs a data set; give one with --data.path, or set it to 0"
            )

    def _check_rounds(self) -> None:
        """Refuse bounds of a round's size that contradict each other or the size of a group."""
        sizes, group = self.rollouts, self.algorithm.group
        if sizes.min_episodes > sizes.max_episodes:
            raise UsageError(
                f"rollouts.min_episodes {sizes.min_episodes} exceeds "
                f"rollouts.max_episodes {sizes.max_episodes}"
            )
        if group > sizes.max_episodes:
            raise UsageError(
                f"algorithm.group {group} exceeds rollouts.max_episodes {sizes.max_episodes}; an "
                "update needs at least one whole group"
            )

    def _check_staleness(self) -> None:
        """Refuse what cannot be used with episodes that are played ahead."""
        if not self.max_staleness:
            return
        if getattr(self.algorithm, "importance_cap", 0.0) is None:
            raise UsageError(
                f"max_staleness {self.max_staleness} needs truncated importance weights, since "
                "older policies sample the tokens; set algorithm.importance_cap, for example to 2"
            )
        if self.sampler.sleep:
            raise UsageError(
                f"samplers play while the learner works with max_staleness {self.max_staleness}; "
                "set sampler.sleep false"
            )

    def check_context(self, codec: Codec, env: TextEnv) -> None:
        """Refuse a context that is too short for one turn of the task.

        Args:
            codec: tokenizer of the policy.
            env: task of the run.

        Raises:
            UsageError: if it is too short; the message has the needed number of tokens.
        """
        needed = len(Episode(env, self.seed, codec).context)
        if needed > self.max_context:
            reply = self.format.reply_tokens
            raise UsageError(
                f"model.context {self.model.context} is too short for one turn of {self.task}: its "
                f"first context has {needed} tokens and a reply up to {reply}; set model.context "
                f"to {needed + reply} or more"
            )

    def _check_data(self, sets: str) -> None:
        """Refuse data sets that are missing, of another task, or without an episode to learn from.

        Args:
            sets: value of `data.path`.
        """
        from learners.algorithms.selection import selected
        from lmrl.data.store import check_for, mixture

        for path in mixture(sets):
            check_for(path, self.task)
            if self.algorithm.selects and not self.algorithm.on_policy:
                selected(self.algorithm, path)

    def _check_head_size(self) -> None:
        """Refuse an attention head size that the samplers' CPU kernels do not support."""
        if self.placement.device == "cuda":
            return
        if self.placement.device == "auto":
            import torch

            # A cluster's GPUs are not known here; `cluster.startup.launch` checks again.
            if torch.cuda.is_available() or os.environ.get("RAY_ADDRESS"):
                return
        self.check_head_size()

    def check_head_size(self) -> None:
        """Refuse a model whose attention head size samplers on CPU do not support.

        Raises:
            UsageError: if so; the message has the head size and the supported ones.
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
                f"the model's attention heads have size {size}, and samplers on CPU support "
                f"{', '.join(map(str, CPU_HEAD_SIZES))}; {remedy}"
            )

    def _check_parallel(self) -> None:
        """Refuse engines over several processes that do not divide the model's heads."""
        parallel, path = self.sampler.tensor_parallel, self.model.path
        if parallel == 1:
            return
        check_installed()
        shape = {"n_head": self.model.heads} if path is None else shape_of(Path(path))
        heads = shape.get("n_head", shape.get("num_attention_heads"))
        if heads and heads % parallel:
            raise UsageError(
                f"sampler.tensor_parallel {parallel} does not divide the model's {heads} attention "
                "heads; choose a number that does"
            )

    def _check_start(self) -> None:
        from cluster.startup.start_policy import start_experiment

        start_experiment(self).check()

    def with_found_model(self) -> "Experiment":
        """Return the experiment with a path in place of the name of a model.

        Raises:
            UsageError: if there is no such model on this machine.
        """
        path = self.model.path
        if path is None or Path(path).is_dir():
            return self
        return replace(self, model=replace(self.model, path=str(resolve(path))))

    def with_absolute_paths(self) -> "Experiment":
        """Return the experiment with absolute paths of checkpoints, data sets and models.

        So a run goes on, and its checkpoints are evaluated, from any working directory.
        """
        from lmrl.data.store import mixture

        model, data, oracle, critic = self.model, self.data, self.oracle, self.start_critic
        if model.path is not None:
            model = replace(model, path=_absolute(model.path))
        if data.path is not None:
            parts = mixture(data.path)
            paths = [f"{_absolute(path)}:{weight:g}" for path, weight in parts.items()]
            whole = _absolute(next(iter(parts))) if len(parts) == 1 else " ".join(paths)
            data = replace(data, path=whole)
        if oracle.model and not oracle.endpoint and Path(oracle.model).exists():
            oracle = replace(oracle, model=_absolute(oracle.model))
        if critic is not None and critic != OF_START:
            critic = _absolute(critic)
        return replace(self, model=model, data=data, oracle=oracle, start_critic=critic)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, with the algorithm's name among its fields."""
        plain = dataclasses.asdict(self)
        plain["algorithm"] = as_json(self.algorithm)
        return plain


def _absolute(path: str | Path) -> str:
    return os.path.abspath(path)
