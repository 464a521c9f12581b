"""Sources of an update's episodes: fresh rollouts, or a data set.

Both have the same interface, so the training loop is the same for online and offline learning.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cluster.evaluation.fixed_seeds import mean_return
from cluster.experiment import Experiment
from cluster.fleet import Fleet
from cluster.stream import episodes, training_job
from learners.algorithms.selection import selected
from lmrl.data.generate import episodes as scripted
from lmrl.data.store import files, load_mixture, mixture, write_new
from lmrl.errors import RunError
from lmrl.runs.names import DATA, TRAJECTORIES
from lmrl.schema import to_table
from lmrl.screen import Screen
from lmrl.screen.stages import Stage
from lmrl.seeds import first_training_seed, replay_rng, tokenizer_seed
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
    """

    next_seed: int = 0
    mean_length: float = 0.0
    taken: int = 0
    cloned: int = 0


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
        staleness: number of versions between the learner and the oldest token.
        tokens: number of tokens that the policy sampled.
        seconds: time that the rollouts took, in seconds.
    """

    tables: list[pa.Table]
    data: list[pa.Table] | None = None
    replayed: list[pa.Table] = field(default_factory=list)
    trained: int = 0
    staleness: int = 0
    tokens: int = 0
    seconds: float = 0.0


class Source(Protocol):
    """A source of batches, one per update."""

    position: SourceState

    def take(self, fleet: Fleet) -> UpdateBatch:
        """Return the next batch."""
        ...


def batches(exp: Experiment, folder: Path, screen: Screen | None = None) -> Source:
    """Return the source of an experiment. If it needs a data set and none is given, one is made.

    Args:
        exp: experiment of the run.
        folder: run directory.
        screen: screen that shows that a data set is made; None shows nothing.

    Raises:
        DataError: if a given data set is missing, cut off, or in another format.
    """
    if exp.algorithm.on_policy:
        return OnlineSource(exp, folder, screen)
    if exp.data.path is not None:
        return OfflineSource(exp, mixture(exp.data.path))
    return OfflineSource(exp, {data_set(exp, folder / DATA, screen): 1.0})


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


class OnlineSource:
    """Rounds of fresh episodes, one after each push, sampled by the pushed version.

    A round has about `rollouts.turns` turns. When episodes get shorter, more of them are played.
    They are whole groups of the size that the algorithm asks for.

    Args:
        exp: experiment of the run.
        folder: run directory.
        screen: screen that shows that a data set is made; None shows nothing.
    """

    def __init__(self, exp: Experiment, folder: Path, screen: Screen | None = None) -> None:
        self.exp, self.folder, self.position = exp, folder, SourceState()
        clones = exp.algorithm.bc_coef > 0 and exp.data.path
        self.data = OfflineSource(exp, mixture(clones)) if clones else None
        self.replay: OfflineSource | None = None
        if exp.algorithm.replay > 0:
            path = exp.data.path
            parts = mixture(path) if path else {data_set(exp, folder / DATA, screen): 1.0}
            self.replay = OfflineSource(exp, parts)

    def take(self, fleet: Fleet) -> UpdateBatch:
        """Play a round."""
        began = time.perf_counter()
        exp, position, sizes = self.exp, self.position, self.exp.rollouts
        assert fleet.weights is not None
        version = fleet.weights.version
        wanted = (
            round(sizes.turns / position.mean_length)
            if position.mean_length
            else sizes.min_episodes
        )
        groups = self._groups(wanted)
        # The seeds of different runs are far apart, and those of evaluations are even farther.
        first = first_training_seed(exp.seed) + position.next_seed
        position.next_seed += groups
        seeds = range(first, first + groups)
        tables: list[pa.Table] = []
        members: list[NDArray[np.int64]] = []
        ages = [0]
        for finished in episodes(fleet, training_job(fleet, seeds, version, f"v{version}")):
            age = version - oldest_versions(finished.table, version)
            young = age <= exp.max_staleness
            fresh = finished.table.filter(pa.array(young))
            fleet.ledger.stale += finished.table.num_rows - fresh.num_rows
            tables.append(fresh)
            members.append(np.array(finished.members, np.int64)[young])
            ages.append(int(age[young].max(initial=0)))
        if not tables:
            raise RunError(
                f"every one of the {len(seeds)} episodes of this round failed; failures.jsonl in "
                "the run directory has their errors"
            )
        # Sorted, so that learning does not depend on which simulator finished first.
        table = pa.concat_tables(tables)
        order = np.lexsort((np.concatenate(members), table["seed"].to_numpy()))
        tables = [table.take(pa.array(order))]
        if table.num_rows:
            position.mean_length = mean_return(tables)[1]
        return UpdateBatch(
            tables,
            self._cloned(tables),
            self._replayed(sum(table.num_rows for table in tables)),
            trained=sum(table.num_rows for table in tables),
            staleness=max(ages),
            tokens=sum(_action_tokens(table) for table in tables),
            seconds=time.perf_counter() - began,
        )

    def _groups(self, wanted: int) -> int:
        """Return the number of groups of a round with about this number of episodes."""
        sizes, size = self.exp.rollouts, self.exp.algorithm.group
        fewest, most = -(-sizes.min_episodes // size), sizes.max_episodes // size
        return max(min(max(round(wanted / size), fewest), most), 1)

    def _cloned(self, tables: list[pa.Table]) -> list[pa.Table] | None:
        """Return the episodes to clone in each optimiser step; None without cloning."""
        if self.data is None:
            return None
        self.data.position.taken = self.position.cloned
        steps = self.exp.algorithm.steps(sum(segments(table) for table in tables))
        drawn = [to_table(self.data.next()) for _ in range(steps)]
        self.position.cloned = self.data.position.taken
        return drawn

    def _replayed(self, fresh: int) -> list[pa.Table]:
        """Return the episodes to replay with this number of fresh ones."""
        share = self.exp.algorithm.replay
        if self.replay is None or not fresh:
            return []
        count = round(fresh * share / (1.0 - share))
        # Rounds are read back from the run directory, so that a resumed run replays them too. A
        # resume deletes those that were played after its checkpoint.
        rounds = sorted((self.folder / TRAJECTORIES / "training").glob("update-*.parquet"))
        old = count // 2 if rounds else 0
        self.replay.position = self.position
        tables = [to_table(self.replay.next(count - old))]
        rng = replay_rng(self.exp.seed, self.position.next_seed)
        if old:
            chosen, times = np.unique(rng.integers(len(rounds), size=old), return_counts=True)
            for index, number in zip(chosen.tolist(), times.tolist(), strict=True):
                table = pq.read_table(rounds[index])
                tables.append(table.take(rng.integers(table.num_rows, size=number)))
        return tables


def oldest_versions(table: pa.Table, default: int) -> NDArray[np.int64]:
    """Return the oldest weight version in each episode `[rows]`.

    The engine reports the version of every token.

    Args:
        table: episodes as an Arrow table.
        default: version of an episode without sampled tokens.
    """
    turns = table["turns"].combine_chunks()
    per_turn = turns.values.field("versions")
    token_ends = per_turn.offsets.to_numpy()
    values = np.append(per_turn.values.to_numpy(), default)
    starts = token_ends[turns.offsets.to_numpy()]
    lowest = np.minimum.reduceat(values, starts[:-1]) if table.num_rows else np.empty(0)
    return np.where(starts[1:] > starts[:-1], lowest, default).astype(np.int64)


def segments(table: pa.Table) -> int:
    """Return the number of segments of some episodes, see `learners.batch`.

    Args:
        table: episodes as an Arrow table, without contexts that are cut to the model's context.
    """
    turns = table["turns"].combine_chunks()
    spans = turns.values.field("span").to_numpy()
    if not len(spans):
        return 0
    extends = np.append(False, np.diff(spans) == 2)
    first = turns.offsets.to_numpy()[:-1]
    extends[first[first < len(spans)]] = False
    return int((~extends).sum())


def _action_tokens(table: pa.Table) -> int:
    lengths = pc.list_value_length(table["turns"].combine_chunks().values.field("action_ids"))
    return int(pc.sum(lengths).as_py() or 0)


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
