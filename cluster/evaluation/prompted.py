"""An instruct model, prompted, as an evaluation target."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from actors.chat.checks import check_model
from actors.chat.config import ChatConfig
from actors.chat.model import RetryingChatModel
from actors.prompted import Prompted, examples
from cluster import oracle as answering
from cluster.config import EvaluationConfig
from cluster.evaluation.scripted import answering_model, count_oracle
from cluster.evaluation.suite import ChatUsageReport, Setting
from cluster.startup.ray_session import ray_session
from lmrl.episode import ContextTooLong
from lmrl.errors import UsageError
from lmrl.schema import to_table
from lmrl.seeds import evaluation_seeds
from lmrl.tasks import make
from lmrl.trajectory import Trajectory


@dataclass
class PromptedModel:
    """An instruct model that plays.

    Attributes:
        at: function from a temperature to the model.
        config: settings of the model.
        task: name of the task.
        sizes: number of episodes and first seed.
        shots: number of example episodes in the prompt.
        data: data set of the examples; None lets the optimal player make them.
        oracle: model that answers for the task; None is the task's own scripted one.
        asked: usage of the models.
    """

    at: Callable[[float], RetryingChatModel]
    config: ChatConfig
    task: str
    sizes: EvaluationConfig
    shots: int
    data: Path | None
    oracle: RetryingChatModel | None = None
    asked: ChatUsageReport = field(default_factory=ChatUsageReport)

    def play(
        self, options: dict[str, Any], setting: Setting, seeds: range, lenient: bool = False
    ) -> pa.Table:
        """Return the episodes; see `EvaluationTarget`."""
        scored = evaluation_seeds(self.sizes.first_seed, self.sizes.episodes)
        shots = examples(self.task, options, self.shots, self.data, scored)
        temperature = setting.temperature
        model = self.at(self.config.temperature if temperature is None else temperature)
        policy = Prompted(model, shots)

        def one(seed: int) -> Trajectory:
            env = answering.answered(self.task, options, self.oracle)
            return policy.play(env, seed, self.task, options)

        try:
            with ThreadPoolExecutor(self.config.at_once) as threads:
                played = list(threads.map(one, seeds))
        except ContextTooLong as error:
            raise UsageError(str(error)) from error
        usage = asdict(model.take_usage())
        without_action = sum(turn.malformed for episode in played for turn in episode.turns)
        self.asked.count("model", model.name, usage, without_action)
        count_oracle(self.asked, self.oracle, played)
        return to_table(played)


@contextmanager
def prompted_target(
    config: ChatConfig,
    task: str,
    options: Mapping[str, Any],
    sizes: EvaluationConfig,
    shots: int = 0,
    data: Path | None = None,
    oracle: ChatConfig | None = None,
) -> Iterator[PromptedModel]:
    """Make an instruct model ready to play. Ray starts if a model is served here.

    Args:
        config: settings of the model.
        task: name of the task.
        options: options of the task.
        sizes: number of episodes and first seed.
        shots: number of example episodes in the prompt.
        data: data set of the examples; None lets the task's optimal player make them.
        oracle: model that answers for the task; None is the task's own scripted one.

    Raises:
        UsageError: if the task is unknown, a model does not exist, or the oracle cannot answer for
            the task.
        DataError: if the data set has too few episodes of the task.
    """
    make(task, **options)
    if shots < 0:
        raise UsageError(f"--shots is {shots}; give 0 or more")
    check_model(config, "model")
    examples(
        task, options, shots, data, evaluation_seeds(sizes.first_seed, sizes.episodes)
    )  # what is missing is told before Ray starts
    with ExitStack() as stack:
        if config.served:
            stack.enter_context(ray_session())
        model = stack.enter_context(answering_model(oracle, task, options))
        at = stack.enter_context(answering.serving_oracle_at(config))
        yield PromptedModel(at, config, task, sizes, shots, data, model)
