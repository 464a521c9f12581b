"""`OnlineSource`: fresh episodes for each update, played by the newest policy or ahead of it."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from actors.messages import EpisodeId, Finished
from cluster.evaluation.fixed_seeds import mean_return
from cluster.experiment import Experiment
from cluster.fleet import Fleet
from cluster.source import OfflineSource, SourceState, UpdateBatch, data_set
from cluster.stream import EpisodeStream, training_job
from lmrl.data.store import mixture
from lmrl.errors import RunError
from lmrl.runs.names import DATA, TRAJECTORIES
from lmrl.schema import to_table
from lmrl.screen import Screen
from lmrl.seeds import first_training_seed, replay_rng

MEMBER = "member"
"""Column of an episode's number in its group, while it waits."""


class Pool:
    """Episodes that were started and not yet taken, in groups of the same seed.

    Attributes:
        playing: episodes of each group that have not ended, by seed, in the order in which the
            groups were started.
        waiting: episodes that have arrived.
        taken: those of them that the next update has.
    """

    def __init__(self) -> None:
        self.playing: dict[int, set[EpisodeId]] = {}
        self.waiting = self.taken = _with_members(to_table([]), [])

    def start(self, episodes: Sequence[EpisodeId]) -> None:
        """Add episodes that are now played."""
        for episode in episodes:
            self.playing.setdefault(episode.seed, set()).add(episode)

    def arrived(self, finished: Finished) -> None:
        """Add episodes that have ended; failed ones are forgotten."""
        for episode in finished.episodes:
            self.playing[episode.seed].discard(episode)
        ended = _with_members(finished.table, finished.members)
        self.waiting = pa.concat_tables([self.waiting, ended])

    def ended(self) -> list[int]:
        """Return the seeds of the groups whose episodes have all ended, the oldest first."""
        return [seed for seed, playing in self.playing.items() if not playing]

    def take(self, seeds: Sequence[int], oldest: int) -> tuple[int, int]:
        """Move groups to those that the next update has, without episodes that are too old.

        Args:
            seeds: seeds of groups that have ended.
            oldest: oldest version that a token may have.

        Returns:
            Number of groups that were moved or had failed, and number of dropped episodes. A group
            that was dropped as a whole does not count as moved.
        """
        for seed in seeds:
            del self.playing[seed]
        chosen = np.isin(self.waiting["seed"].to_numpy(), np.array(seeds, np.int64))
        found = self.waiting.filter(pa.array(chosen))
        self.waiting = self.waiting.filter(pa.array(~chosen))
        kept = found.filter(pa.array(oldest_versions(found, oldest) >= oldest))
        self.taken = pa.concat_tables([self.taken, kept])
        dropped = set(found["seed"].to_numpy()) - set(kept["seed"].to_numpy())
        return len(seeds) - len(dropped), found.num_rows - kept.num_rows

    def release(self) -> pa.Table:
        """Return the episodes that were taken, sorted by seed and member, and forget them.

        So learning does not depend on which simulator finished first.
        """
        taken, self.taken = self.taken, self.taken.slice(0, 0)
        order = np.lexsort((taken[MEMBER].to_numpy(), taken["seed"].to_numpy()))
        return taken.take(pa.array(order)).drop_columns([MEMBER])

    def untaken(self) -> list[EpisodeId]:
        """Return the episodes that are in no update yet: played, arrived or taken, sorted."""
        playing = [episode for group in self.playing.values() for episode in group]
        there = pa.concat_tables([self.waiting, self.taken])
        pairs = zip(there["seed"].to_pylist(), there[MEMBER].to_pylist(), strict=True)
        return sorted([*playing, *(EpisodeId(*pair) for pair in pairs)])


def _with_members(table: pa.Table, members: Sequence[int]) -> pa.Table:
    """Return episodes with a column of their numbers in their groups."""
    return table.append_column(MEMBER, pa.array(members, pa.int64()))


class OnlineSource:
    """Fresh episodes of an online update.

    An update has about `rollouts.turns` turns. When episodes get shorter, more of them are played.
    They are whole groups of the size that the algorithm asks for.

    With `max_staleness` 0 the episodes of an update start after the push before it, and all of them
    are awaited. With k, those of k further updates are played at the same time, also while the
    learner works and weights are pushed; an update takes the groups that have ended, the oldest
    first. An episode with a token that was sampled more than k versions ago is dropped and counted.

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
        self.pool = Pool()
        self.stream: EpisodeStream | None = None
        self.returned: float | None = None  # time at which the last batch was returned

    def take(self, fleet: Fleet) -> UpdateBatch:
        """Return the episodes of the next update.

        Raises:
            RunError: if every episode failed or was dropped.
        """
        began = time.perf_counter()
        exp, position, sizes = self.exp, self.position, self.exp.rollouts
        assert fleet.weights is not None
        version = fleet.weights.version
        self.stream = self.stream or EpisodeStream(fleet)
        self.stream.watch()
        wanted = (
            round(sizes.turns / position.mean_length)
            if position.mean_length
            else sizes.min_episodes
        )
        groups = self._groups(wanted)
        self._submit(fleet, self.stream, groups, version)
        table = self._await(fleet, self.stream, groups, version)
        position.mean_length = mean_return([table])[1]
        ended = time.perf_counter()
        # Episodes that are played ahead took the whole time since the last batch.
        since = self.returned if exp.max_staleness and self.returned is not None else began
        self.returned = ended
        ages = token_ages(table, version)
        return UpdateBatch(
            [table],
            self._cloned([table]),
            self._replayed(table.num_rows),
            trained=table.num_rows,
            ages=ages,
            tokens=_action_tokens(table),
            seconds=ended - since,
            waited=ended - began,
        )

    def state(self) -> SourceState:
        """Return the position, with the episodes that are started and in no returned batch."""
        return replace(self.position, pending=self.pool.untaken() or self.position.pending)

    def close(self, fleet: Fleet) -> None:
        """Await the episodes that no update will take, and count them as stale.

        Those of a resumed run that has no update left are not played again.
        """
        while self.stream is not None and self.stream.open:
            for finished in self.stream.collect():
                self.pool.arrived(finished)
        fleet.ledger.stale += len(self.state().pending)
        self.pool, self.position.pending = Pool(), []

    def _submit(self, fleet: Fleet, stream: EpisodeStream, groups: int, version: int) -> None:
        """Start groups, so that those of `max_staleness` updates after this one are started."""
        exp, position, pool = self.exp, self.position, self.pool
        if position.pending and not pool.playing:  # a resumed run
            lost = [EpisodeId(*episode) for episode in position.pending]
            pool.start(lost)
            position.pending = []
            stream.submit(training_job(fleet, lost, version, self._at_once), again=True)
        updates = min(exp.max_staleness + 1, exp.updates - version)
        self._start(fleet, stream, updates * groups - len(pool.playing), version)

    @property
    def _at_once(self) -> int:
        """Largest number of episodes of a job that run at one time."""
        # Each simulator plays the jobs of all updates ahead at one time, and evaluations beside.
        ahead = self.exp.max_staleness
        return self.exp.rollouts.in_flight // (ahead + 2 if ahead else 1)

    def _start(self, fleet: Fleet, stream: EpisodeStream, groups: int, version: int) -> None:
        """Start new groups."""
        if groups <= 0:
            return
        exp, position = self.exp, self.position
        # The seeds of different runs are far apart, and those of evaluations are even farther.
        first = first_training_seed(exp.seed) + position.next_seed
        position.next_seed += groups
        members = range(exp.algorithm.group)
        wanted = [EpisodeId(seed, n) for seed in range(first, first + groups) for n in members]
        self.pool.start(wanted)
        stream.submit(training_job(fleet, wanted, version, self._at_once))

    def _await(self, fleet: Fleet, stream: EpisodeStream, groups: int, version: int) -> pa.Table:
        """Return the episodes of the oldest groups that have ended, without those too old."""
        pool = self.pool
        missing = groups
        while missing:
            ended = pool.ended()[:missing]
            fleet.screen.episodes(groups - missing + len(ended), groups)
            if len(ended) < missing and stream.open:
                for finished in stream.collect():
                    pool.arrived(finished)
                continue
            taken, dropped = pool.take(ended, version - self.exp.max_staleness)
            fleet.ledger.stale += dropped
            missing -= taken
            if not stream.open:
                # Groups that were too old are replaced. Those that failed are not missing.
                self._start(fleet, stream, missing, version)
        table = pool.release()
        if not table.num_rows:
            raise RunError(
                f"every one of the {groups * self.exp.algorithm.group} episodes of this round "
                "failed; failures.jsonl in the run directory has their errors"
            )
        return table

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


def token_ages(table: pa.Table, version: int) -> NDArray[np.int64]:
    """Return how many sampled tokens are 0, 1, 2, … versions old.

    Args:
        table: episodes as an Arrow table.
        version: version of the learner.
    """
    versions = table["turns"].combine_chunks().flatten().field("versions").flatten().to_numpy()
    return np.bincount(version - versions[versions >= 0])


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
