"""A task's scripted player as an evaluation target, with a scripted or a model oracle."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from actors.chat.checks import check_oracle
from actors.chat.config import ChatConfig
from actors.chat.model import RetryingChatModel
from cluster import oracle as answering
from cluster.config import EvaluationConfig
from cluster.evaluation.suite import (
    ChatUsageReport,
    Scored,
    Setting,
    malformed,
    score_suite,
)
from cluster.startup.ray_session import ray_session
from lmrl.episode import play
from lmrl.errors import unknown
from lmrl.schema import to_table
from lmrl.tasks import make
from lmrl.trajectory import Trajectory


@contextmanager
def answering_model(
    config: ChatConfig | None, task: str, options: Mapping[str, Any]
) -> Iterator[RetryingChatModel | None]:
    """Yield the model that answers for a task. Ray starts if the model is served here.

    Args:
        config: settings of the model; None yields None.
        task: name of the task.
        options: options of the task.

    Raises:
        UsageError: if the model cannot answer for the task.
    """
    if config is None:
        yield None
        return
    check_oracle(config, make(task, **options), task)
    with ExitStack() as stack:
        if config.served:
            stack.enter_context(ray_session())
        yield stack.enter_context(answering.serving_oracle(config))


def count_oracle(
    asked: ChatUsageReport, oracle: RetryingChatModel | None, episodes: Iterable[Trajectory]
) -> None:
    """Add the usage of the model that answers for the task to a report.

    Args:
        asked: report.
        oracle: model that answers for the task; None adds nothing.
        episodes: episodes in which the model answered.
    """
    if oracle is not None:
        usage = asdict(oracle.take_usage())
        asked.count("oracle", oracle.name, usage, malformed(episodes))


@dataclass
class Player:
    """A scripted player of the task.

    Attributes:
        player: name of the player.
        task: name of the task.
        sizes: number of episodes and first seed.
        oracle: model that answers for the task; None is the task's own scripted one.
        asked: usage of that model.
    """

    player: str
    task: str
    sizes: EvaluationConfig
    oracle: RetryingChatModel | None = None
    asked: ChatUsageReport = field(default_factory=ChatUsageReport)

    def play(
        self, options: dict[str, Any], setting: Setting, seeds: range, lenient: bool = False
    ) -> pa.Table:
        """Return the episodes; see `EvaluationTarget`."""
        env = make(self.task, **options)
        if self.oracle is None:
            played = [play(env, self.player, seed, self.task, options) for seed in seeds]
        else:
            played = list(answering.scripted(self.oracle, self.task, options, self.player, seeds))
        count_oracle(self.asked, self.oracle, played)
        return to_table(played)


@contextmanager
def scripted_target(
    player: str,
    task: str,
    options: Mapping[str, Any],
    sizes: EvaluationConfig,
    oracle: ChatConfig | None = None,
) -> Iterator[Player]:
    """Make a scripted player ready. Ray starts only if it has to serve the oracle.

    Args:
        player: name of the player.
        task: name of the task.
        options: options of the task.
        sizes: number of episodes and first seed.
        oracle: model that answers for the task; None is the task's own scripted one.

    Raises:
        UsageError: if the task or the player is unknown, or the oracle cannot answer for the task.
    """
    players = make(task, **options).players
    if player not in players:
        raise unknown("player", player, players)
    with answering_model(oracle, task, options) as model:
        yield Player(player, task, sizes, model)


def score_player(
    player: str, task: str, suite: Mapping[str, dict[str, Any]], sizes: EvaluationConfig
) -> dict[str, Scored | str]:
    """Return the scores of a scripted player for each entry of a suite, without Ray.

    Args:
        player: name of the player.
        task: name of the task.
        suite: options of the task by the name of the entry; see `score_suite`.
        sizes: number of episodes and first seed.

    Raises:
        UsageError: if the task or the player is unknown.
    """
    with scripted_target(player, task, next(iter(suite.values())), sizes) as target:
        return score_suite(target, suite, Setting())


def answered_episodes(
    config: ChatConfig,
    task: str,
    options: dict[str, Any],
    player: str,
    seeds: Iterable[int],
    asked: ChatUsageReport,
) -> Iterator[Trajectory]:
    """Yield episodes of a scripted player in which a model answers, in order of `seeds`.

    Args:
        config: settings of the model.
        task: name of the task.
        options: options of the task.
        player: name of the player.
        seeds: seeds of the episodes.
        asked: report to which the model's usage is added.

    Raises:
        UsageError: at the call, if the model cannot answer for the task.
    """
    check_oracle(config, make(task, **options), task)

    def made() -> Iterator[Trajectory]:
        with answering_model(config, task, options) as model:
            assert model is not None
            for episode in answering.scripted(model, task, options, player, seeds):
                count_oracle(asked, model, [episode])
                yield episode

    return made()
