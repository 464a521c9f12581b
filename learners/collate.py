"""`collate`: trajectories in, a `Batch` out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from learners.batch import Batch, Index
from lmrl.errors import DataError
from lmrl.tokens.context import Ids, Items
from lmrl.trajectory import TRUNCATED, Trajectory, Turn


def collate(
    trajectories: Sequence[Trajectory],
    context: int = 2**31,
    observations: bool = False,
    strided: bool = False,
    bootstrap: Literal["reply", "action"] = "reply",
    malformed_penalty: float = 0.0,
    groups: Index | None = None,
) -> Batch:
    """Return the batch of some episodes.

    Args:
        trajectories: episodes with tokens (`Codec.read` adds them to text-only data). A last action
            that the task did not apply is left out, see `Trajectory.executed`.
        context: largest number of tokens of a turn's context. Older items are left out, as in the
            sampler.
        observations: whether observation tokens get columns too.
        strided: whether histories that exceed their window are cut with a stride. If not, each such
            turn has a row of its own with the context that the sampler used. If so, a row grows
            until the window is full, and the next row begins half a window earlier. Contexts then
            hold between half a window and a whole one, at a fraction of the cost. For off-policy
            learning only.
        bootstrap: state from which a truncated episode is bootstrapped: the one after the
            environment's last `reply`, or the one after the last `action`.
        malformed_penalty: reward that a malformed turn loses, in reward units.
        groups: group of each episode `[episodes]`; None makes each episode a group of its own.

    Raises:
        DataError: if an action or a first context has no tokens, or an observation alone exceeds
            `context`.
    """
    columns = _Columns()
    for episode, trajectory in enumerate(t.executed() for t in trajectories):
        items = trajectory.items()
        spans = _spans(trajectory, items, context, strided)
        _add(columns, episode, trajectory, items, spans, observations, bootstrap)
    if groups is None:
        groups = np.arange(len(trajectories))
    return columns.batch(groups, malformed_penalty)


@dataclass
class _Columns:
    """The columns of a batch while episodes are added. `learners.batch` has the shape legend."""

    rows: list[Ids] = field(default_factory=list)
    row_of: dict[bytes, int] = field(default_factory=dict)
    segment_row: list[int] = field(default_factory=list)
    segment_turns: list[int] = field(default_factory=list)
    segment: list[int] = field(default_factory=list)
    positions: list[NDArray[np.int64]] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    turn_episode: list[int] = field(default_factory=list)
    bootstraps: list[tuple[int, int, int]] = field(default_factory=list)
    """Episode, segment, position."""
    observations: list[tuple[int, int, int]] = field(default_factory=list)
    """Segment, first position, length."""
    observation_tokens: list[Ids] = field(default_factory=list)

    @property
    def open_segment(self) -> int:
        """The segment whose row is not closed yet."""
        return len(self.segment_row)

    def close(self, parts: list[Ids], turns: int) -> None:
        """Add the row of a segment; a row that is there already is not added again."""
        ids = np.concatenate(parts)
        key = ids.tobytes()
        if key not in self.row_of:
            self.row_of[key] = len(self.rows)
            self.rows.append(ids)
        self.segment_row.append(self.row_of[key])
        self.segment_turns.append(turns)

    def observe(self, ids: Ids, first: int) -> None:
        """Add the tokens of an observation that begins at position `first` of the open segment."""
        skip = 1 if first == 0 else 0  # nothing predicts the first token of a row
        self.observations.append((self.open_segment, first + skip - 1, len(ids) - skip))
        self.observation_tokens.append(ids[skip:])

    def act(self, turn: Turn, episode: int, length: int) -> None:
        """Add an action after `length` tokens of the open segment."""
        count = len(turn.action_ids)
        self.segment += [self.open_segment] * count
        self.positions.append(np.arange(length - 1, length - 1 + count))
        self.turns.append(turn)
        self.turn_episode.append(episode)

    def bootstrap(self, episode: int, length: int) -> None:
        """Add the state after `length` tokens of the open segment, where an episode was cut."""
        self.bootstraps.append((episode, self.open_segment, length - 1))

    def batch(self, groups: Index, malformed_penalty: float) -> Batch:
        """Return the columns as arrays; see `collate`."""
        episodes = len(groups)
        counts = np.array([len(turn.action_ids) for turn in self.turns], np.int64)
        total = int(counts.sum())
        ends = np.cumsum(counts) - 1
        reward = np.zeros(total, np.float32)
        turn_end = np.zeros(total, np.bool_)
        reward[ends] = [turn.reward - malformed_penalty * turn.malformed for turn in self.turns]
        turn_end[ends] = True
        episode = np.repeat(np.array(self.turn_episode, np.int64), counts)
        starts = [position for _, _, position in self.bootstraps]
        return Batch(
            rows=self.rows,
            segment_row=np.array(self.segment_row, np.int64),
            segment_turns=np.array(self.segment_turns, np.int64),
            segment=np.array(self.segment + [s for _, s, _ in self.bootstraps], np.int64),
            position=_join([*self.positions, np.array(starts, np.int64)], np.int64),
            token=_join([turn.action_ids for turn in self.turns], np.int64),
            reward=reward,
            logprob=_join([turn.logprobs for turn in self.turns], np.float32),
            version=_join([turn.versions for turn in self.turns], np.int64),
            next=self._next(episode, episodes),
            turn_end=turn_end,
            episode=episode,
            cut=np.repeat(np.array([turn.cut for turn in self.turns], np.bool_), counts),
            group=groups,
            observation_segment=np.repeat(
                np.array([s for s, _, _ in self.observations], np.int64),
                np.array([n for *_, n in self.observations], np.int64),
            ),
            observation_position=_join(
                [np.arange(c, c + n) for _, c, n in self.observations], np.int64
            ),
            observation_token=_join(self.observation_tokens, np.int64),
            episodes=episodes,
        )

    def _next(self, episode: NDArray[np.int64], episodes: int) -> NDArray[np.int64]:
        """Return the entry after each action token `[N]`: see `Batch.next`."""
        total = len(episode)
        bootstrap_of = np.full(episodes, -1, np.int64)
        for index, (cut, _, _) in enumerate(self.bootstraps):
            bootstrap_of[cut] = total + index
        follow = np.arange(1, total + 1, dtype=np.int64)
        is_last = np.append(episode[1:] != episode[:-1], True) if total else np.empty(0, np.bool_)
        follow[is_last] = bootstrap_of[episode[is_last]]
        return follow


def _spans(trajectory: Trajectory, items: Items, context: int, strided: bool) -> list[int]:
    """Return for each observation how many of the newest items its context has.

    The last observation of an episode counts if the episode was cut.

    Raises:
        DataError: if an observation alone exceeds `context`.
    """
    wanted = [turn.span for turn in trajectory.turns]
    wanted += [trajectory.final_span] if trajectory.ending == TRUNCATED else []
    spans, opened = [], 0
    for index, span in enumerate(wanted):
        end = 2 * index + 1
        fitting = items.fitting(end, span, context)
        if fitting == 0:
            raise DataError(
                f"an observation of {len(items.context(end, 1))} tokens in task "
                f"{trajectory.task}, seed {trajectory.seed}, exceeds the context of {context}; "
                "give the model a longer one (model.context)"
            )
        if strided:
            if opened < end - fitting:
                opened = _middle(end - fitting, end)
            fitting = end - opened
        spans.append(fitting)
    return spans


def _add(
    columns: _Columns,
    episode: int,
    trajectory: Trajectory,
    items: Items,
    spans: Sequence[int],
    observations: bool,
    bootstrap: str,
) -> None:
    """Add an episode; `spans` is how many items each context has."""
    parts: list[Ids] = []
    length = turns = before = 0
    for index, span in enumerate(spans):
        end = 2 * index + 1
        if parts and span == before + 2:  # the context goes on where the last turn ended
            context = [items.ids[end - 1]]
        else:
            if parts:
                columns.close(parts, turns)
            context, parts, length, turns = items.parts(end, span), [], 0, 0
        parts += context
        length += sum(len(part) for part in context)
        if observations and len(context[-1]):
            columns.observe(context[-1], length - len(context[-1]))
        before = span
        if index == len(trajectory.turns):  # the state in which the episode was cut
            if bootstrap == "reply":
                columns.bootstrap(episode, length)
            break
        turn = trajectory.turns[index]
        if len(turn.action_ids) == 0 or length == 0:
            raise DataError(
                f"turn {index} of task {trajectory.task}, seed {trajectory.seed}, has "
                f"{'no action' if len(turn.action_ids) == 0 else 'no context'} tokens; every "
                "action and every first observation needs at least one"
            )
        columns.act(turn, episode, length)
        parts.append(turn.action_ids)
        length, turns = length + len(turn.action_ids), turns + 1
        cut_here = len(spans) > len(trajectory.turns) and index == len(trajectory.turns) - 1
        if bootstrap == "action" and cut_here:
            columns.bootstrap(episode, length)
    if parts:
        columns.close(parts, turns)


def _middle(first: int, end: int) -> int:
    """Return the index of the observation in the middle of the items `first` to `end - 1`."""
    middle = (first + end) // 2
    return max(first, middle - middle % 2)


def _join(parts: Sequence[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate(parts).astype(kind) if parts else np.empty(0, kind)
