"""Collate trajectories into a `Batch`: rows for the network, flat columns for the loss.

Shape legend, used in every file of this package:

    N   action tokens of the batch, episode by episode, in order of time
    K   bootstrap entries, one for each truncated episode; they follow the N actions
    P   observation tokens (only behaviour cloning may use them)
    R   rows of one micro-batch, T its positions, S the distinct hidden states that it needs
    V   vocabulary, H hidden width

A *segment* is a series of turns of one episode in which every context extends the previous one. It
is one sequence of tokens for the network. Tasks that show their whole state give one segment per
turn, tasks with a history give one per episode.

**Equal segments are computed once.** Rows with the same tokens give the same hidden states. So a
micro-batch holds each distinct row once, and the flat columns refer to it as often as needed.
Losses are sums over flat columns, so values and gradients do not change. In a maze with 25
observations and 4 moves, a batch of thousands of turns needs a hundred rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lmrl.errors import DataError
from lmrl.trajectory import TRUNCATED, Floats, Ids, Trajectory, fitting_span

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Episodes as rows and flat columns.

    Attributes:
        rows: distinct token sequences.
        segment_row: row of each segment `[segments]`.
        segment_turns: number of turns in each segment `[segments]`.
        segment: segment of each entry `[N + K]`.
        position: position of each entry's hidden state in its row `[N + K]`. For an action token
            it is the state that predicts it, for a bootstrap entry the last of the final context.
        token: action tokens `[N]`.
        reward: reward of each action token `[N]`; the last token of a turn has the turn's reward,
            the others have 0.
        logprob: log-probability of each action token in the sampler `[N]`, in nats.
        version: weight version that sampled each action token `[N]`; -1 if no model sampled it.
        next: index of the entry that follows each action token in its episode `[N]`, an action or a
            bootstrap entry; -1 where the episode terminated.
        turn_end: whether each action token is the last of its turn `[N]`.
        episode: episode of each action token `[N]`.
        observation_segment, observation_position, observation_token: segment, position of the
            hidden state, and token id of each observation token `[P]`.
        episodes: number of episodes.
    """

    rows: list[Ids]
    segment_row: Index
    segment_turns: Index
    segment: Index
    position: Index
    token: Index
    reward: Floats
    logprob: Floats
    version: Index
    next: Index
    turn_end: NDArray[np.bool_]
    episode: Index
    observation_segment: Index
    observation_position: Index
    observation_token: Index
    episodes: int

    @property
    def actions(self) -> int:
        """N, the number of action tokens."""
        return len(self.token)

    @property
    def entries(self) -> int:
        """N + K, actions and bootstrap entries."""
        return len(self.segment)

    @property
    def segments(self) -> int:
        """Number of segments, including equal ones."""
        return len(self.segment_row)

    @property
    def tokens(self) -> int:
        """Number of tokens of all segments, including equal ones."""
        lengths = np.array([len(row) for row in self.rows], np.int64)
        return int(lengths[self.segment_row].sum())


def collate(
    trajectories: Sequence[Trajectory],
    context: int = 2**31,
    observations: bool = False,
    strided: bool = False,
    bootstrap: Literal["reply", "action"] = "reply",
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

    Raises:
        DataError: if an action or a first context has no tokens, or an observation alone exceeds
            `context`.
    """
    rows: dict[bytes, int] = {}
    row_ids: list[Ids] = []
    segment_row: list[int] = []
    segment_turns: list[int] = []
    segment: list[int] = []
    positions: list[NDArray[np.int64]] = []
    tokens: list[Ids] = []
    logprobs: list[Floats] = []
    versions: list[Ids] = []
    action_counts: list[int] = []
    rewards: list[float] = []
    turn_episode: list[int] = []
    bootstraps: list[tuple[int, int, int]] = []  # episode, segment, position
    observation: list[tuple[int, int, int]] = []  # segment, first position, length
    observation_tokens: list[Ids] = []

    def close(parts: list[Ids], turns: int) -> None:
        ids = np.concatenate(parts)
        key = ids.tobytes()
        if key not in rows:
            rows[key] = len(row_ids)
            row_ids.append(ids)
        segment_row.append(rows[key])
        segment_turns.append(turns)

    for episode, trajectory in enumerate(t.executed() for t in trajectories):
        items = trajectory.item_ids()
        lengths = [len(item) for item in items]
        parts: list[Ids] = []
        length = turns = span = opened = 0
        final_needed = trajectory.ending == TRUNCATED
        for index in range(len(trajectory.turns) + final_needed):
            last = index == len(trajectory.turns)
            wanted = trajectory.final_span if last else trajectory.turns[index].span
            end = 2 * index + 1
            wanted = fitting_span(lengths[:end], wanted, context)
            if wanted == 0:
                raise DataError(
                    f"an observation of {lengths[end - 1]} tokens in task {trajectory.task}, seed "
                    f"{trajectory.seed}, exceeds the context of {context}; give the model a longer "
                    "one (model.context)"
                )
            if strided:
                if opened < end - wanted:
                    opened = _middle(end - wanted, end)
                wanted = end - opened
            if parts and wanted == span + 2:
                parts.append(items[end - 1])
                new = lengths[end - 1]
            else:
                if parts:
                    close(parts, turns)
                parts, length, turns = list(items[end - wanted : end]), 0, 0
                new = sum(lengths[end - wanted : end])
            here = len(segment_row)
            if observations and lengths[end - 1]:
                first = length + new - lengths[end - 1]
                skip = 1 if first == 0 else 0  # nothing predicts the first token of a row
                observation.append((here, first + skip - 1, lengths[end - 1] - skip))
                observation_tokens.append(items[end - 1][skip:])
            length, span = length + new, wanted
            if last:
                if bootstrap == "reply":
                    bootstraps.append((episode, here, length - 1))
                break
            turn = trajectory.turns[index]
            count = len(turn.action_ids)
            if count == 0 or length == 0:
                raise DataError(
                    f"turn {index} of task {trajectory.task}, seed {trajectory.seed}, has "
                    f"{'no action' if count == 0 else 'no context'} tokens; every action and every "
                    "first observation needs at least one"
                )
            parts.append(turn.action_ids)
            segment += [here] * count
            positions.append(np.arange(length - 1, length - 1 + count))
            tokens.append(turn.action_ids)
            logprobs.append(turn.logprobs)
            versions.append(turn.versions)
            action_counts.append(count)
            rewards.append(turn.reward)
            turn_episode.append(episode)
            length, turns = length + count, turns + 1
            if bootstrap == "action" and final_needed and index == len(trajectory.turns) - 1:
                bootstraps.append((episode, here, length - 1))
        if parts:
            close(parts, turns)

    counts = np.array(action_counts, np.int64)
    total = int(counts.sum())
    ends = np.cumsum(counts) - 1
    reward = np.zeros(total, np.float32)
    turn_end = np.zeros(total, np.bool_)
    reward[ends] = rewards
    turn_end[ends] = True
    episodes = np.repeat(np.array(turn_episode, np.int64), counts)
    follow = np.arange(1, total + 1)
    is_last = np.append(episodes[1:] != episodes[:-1], True) if total else np.empty(0, np.bool_)
    bootstrap_of = np.full(len(trajectories), -1, np.int64)
    for position, (episode, _, _) in enumerate(bootstraps):
        bootstrap_of[episode] = total + position
    follow[is_last] = bootstrap_of[episodes[is_last]]
    return Batch(
        rows=row_ids,
        segment_row=np.array(segment_row, np.int64),
        segment_turns=np.array(segment_turns, np.int64),
        segment=np.array(segment + [s for _, s, _ in bootstraps], np.int64),
        position=_join([*positions, np.array([c for _, _, c in bootstraps], np.int64)], np.int64),
        token=_join(tokens, np.int64),
        reward=reward,
        logprob=_join(logprobs, np.float32),
        version=_join(versions, np.int64),
        next=follow.astype(np.int64),
        turn_end=turn_end,
        episode=episodes,
        observation_segment=np.repeat(
            np.array([s for s, _, _ in observation], np.int64),
            np.array([n for *_, n in observation], np.int64),
        ),
        observation_position=_join([np.arange(c, c + n) for _, c, n in observation], np.int64),
        observation_token=_join(observation_tokens, np.int64),
        episodes=len(trajectories),
    )


def _middle(first: int, end: int) -> int:
    """Return the index of the observation in the middle of the items `first` to `end - 1`."""
    middle = (first + end) // 2
    return max(first, middle - middle % 2)


def _join(parts: Sequence[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate(parts).astype(kind) if parts else np.empty(0, kind)
