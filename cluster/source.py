"""What a source of an update's episodes is, and `OfflineSource`: episodes of a data set.

Both kinds of source have the same interface, so the training loop is the same for online and
offline learning.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cluster.best_actions import best_actions
from cluster.experiment import Experiment
from cluster.fleet import Fleet
from learners.algorithms.selection import selected
from lmrl.data.generate import episodes as scripted
from lmrl.data.store import files, load_mixture, stored_seeds, write_new
from lmrl.runs.names import BEST_ACTIONS
from lmrl.schema import to_table
from lmrl.screen import Screen
from lmrl.screen.stages import Stage
from lmrl.seeds import first_training_seed, tokenizer_seed
from lmrl.tasks import make
from lmrl.trajectory import Trajectory


@dataclass
class SourceState:
    """Position of a source. Every checkpoint has it, so that a resumed run continues there.

    Attributes:
        next_seed: distance of the next fresh episode's seed from the run's first seed.
        mean_length: mean number of turns per episode in the last round; 0 before the first round.
        taken: number of episodes of the data set that have been used.
        cloned: number of episodes that a behaviour-cloning term has used of its data set.
        pending: episodes that were started and are not learned from yet, as pairs of seed and
            member; a resumed run plays them again.
    """

    next_seed: int = 0
    mean_length: float = 0.0
    taken: int = 0
    cloned: int = 0
    pending: Sequence[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class UpdateBatch:
    """Episodes of one update.

    Attributes:
        tables: episodes as Arrow tables.
        data: episodes of a data set for a behaviour-cloning term, one table for each optimiser
            step; None without such a term.
        replayed: further episodes to learn from, from a data set or from earlier rounds. The ledger
            does not count them again.
        trained: number of fresh episodes in `tables`.
        ages: number of sampled tokens that are 0, 1, 2, … versions older than the learner.
        tokens: number of tokens that the policy sampled.
        seconds: time in which the episodes were played, in seconds.
        waited: time for which the learner waited for them, in seconds.
    """

    tables: list[pa.Table]
    data: list[pa.Table] | None = None
    replayed: list[pa.Table] = field(default_factory=list)
    trained: int = 0
    ages: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    tokens: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    @property
    def staleness(self) -> int:
        """Number of versions between the learner and the oldest token."""
        return max(len(self.ages) - 1, 0)


class Source(Protocol):
    """A source of batches, one per update."""

    position: SourceState

    def take(self, fleet: Fleet) -> UpdateBatch:
        """Return the next batch."""
        ...

    def state(self) -> SourceState:
        """Return the position to save, also within a `take` that a signal has ended."""
        ...

    def close(self, fleet: Fleet) -> None:
        """Account for what was started and is in no batch, after the last one."""


class OfflineSource:
    """Endless batches of a data set, shuffled by the experiment's seed.

    Args:
        exp: experiment of the run.
        parts: weights of the data sets of a mixture, by their paths.
    """

    def __init__(self, exp: Experiment, parts: Mapping[Path, float]) -> None:
        for path in parts:
            files(path)
        self.exp, self.parts, self.position = exp, parts, SourceState()
        self.stream: Iterator[Trajectory] | None = None

    def take(self, fleet: Fleet | None = None) -> UpdateBatch:
        """Return the next `data.batch` episodes."""
        return UpdateBatch([to_table(self.next())])

    def state(self) -> SourceState:
        """Return the position, which changes with a whole batch only."""
        return self.position

    def close(self, fleet: Fleet) -> None:
        """Nothing is started ahead of an update."""

    def next(self, count: int | None = None) -> list[Trajectory]:
        """Return the next episodes.

        Args:
            count: number of episodes; None is `data.batch`.
        """
        if self.stream is None:
            self.stream = load_mixture(self.parts, self.exp.seed, self._keep())
            for _ in islice(self.stream, self.position.taken):
                pass
        batch = list(islice(self.stream, count or self.exp.data.batch))
        self.position.taken += len(batch)
        return batch

    def _keep(self) -> dict[Path, NDArray[np.bool_]] | None:
        """Return masks of the episodes that the algorithm learns from, by data set; None is all."""
        if not self.exp.algorithm.selects:
            return None
        return {path: selected(self.exp.algorithm, path) for path in self.parts}


class BestActionSource:
    """Batches of the best of several sampled actions, each in a state of a data set.

    They are sampled and chosen at the first update, when the samplers hold the start policy, and
    read from the run directory afterwards.

    Args:
        exp: experiment of the run.
        parts: weights of the data sets of a mixture, by their paths.
        folder: run directory.
    """

    def __init__(self, exp: Experiment, parts: Mapping[Path, float], folder: Path) -> None:
        self.exp, self.path, self.position = exp, folder / BEST_ACTIONS, SourceState()
        self.states = OfflineSource(exp, parts)
        self.actions: OfflineSource | None = None

    def take(self, fleet: Fleet) -> UpdateBatch:
        """Return the actions in the next `data.batch` states."""
        if not self.path.exists():
            episodes = (self.states.next(1)[0] for _ in range(self._episodes()))
            write_new(best_actions(fleet, episodes), self.path)
        if self.actions is None:
            self.actions = OfflineSource(self.exp, {self.path: 1.0})
        self.actions.position = self.position
        return self.actions.take()

    def state(self) -> SourceState:
        """Return the position, which changes with a whole batch only."""
        return self.position

    def _episodes(self) -> int:
        """Return the number of episodes of the data sets; no more are drawn for states."""
        return sum(len(stored_seeds(path)) for path in self.states.parts)

    def close(self, fleet: Fleet) -> None:
        """Nothing is started ahead of an update."""


def data_set(exp: Experiment, folder: Path, screen: Screen | None = None) -> Path:
    """Return the data set of the task's scripted players in `folder`; make it if it is missing.

    Args:
        exp: experiment of the run.
        folder: folder of the data set.
        screen: screen that shows that it is made; None shows nothing.
    """
    if not folder.exists():
        env = make(exp.task, **exp.options)
        made = scripted(
            env,
            exp.task,
            exp.data.episodes,
            first_training_seed(exp.seed),
            exp.data.player,
            exp.options,
        )
        shown = screen or Screen()
        with shown.stage("data", "data set", total=exp.data.episodes) as stage:
            write_new(_shown(made, shown, stage), folder)
    return folder


def _shown(episodes: Iterator[Trajectory], screen: Screen, stage: Stage) -> Iterator[Trajectory]:
    for done, episode in enumerate(episodes, 1):
        yield episode
        if done % 50 == 0:
            screen.advance(stage, done)


def sample_texts(exp: Experiment) -> list[str]:
    """Return observations and actions of some episodes, from which a tokenizer is made.

    For letters and words 50 episodes of the random player are enough. If whole lines become tokens,
    there are 1,000 episodes of the random player and 1,000 of the player that makes the data.
    """
    env = make(exp.task, **exp.options)
    first = tokenizer_seed(exp.seed)
    many = {"random": 1000, exp.data.player: 1000}
    return [
        text
        for player, count in (many if exp.model.lines else {"random": 50}).items()
        for trajectory in scripted(env, exp.task, count, first, player, exp.options)
        for turn in trajectory.turns
        for text in (turn.observation, turn.action, trajectory.final)
    ]
