"""Cut a `Batch` into micro-batches of distinct rows, each within a budget of positions.

`learners.batch` has the shape legend.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learners.batch import Batch, Index
from lmrl.trajectory import Ids


@dataclass(frozen=True)
class MicroBatch:
    """One forward pass: distinct rows, and how flat entries refer to them.

    Attributes:
        tokens: token ids of the rows `[R, T]`, padded with 0 on the right. Attention is causal, so
            padding does not influence real positions, and no mask is needed.
        lengths: number of tokens of each row without padding `[R]`.
        state_row, state_position: row and position of the needed hidden states, distinct `[S]`.
        entry: indices of the batch's entries that are in this pass `[E]`; those below N are
            actions.
        entry_state: index of each entry's hidden state among the S `[E]`.
        entry_token: action token of each entry `[E]`; 0 for a bootstrap entry.
        is_action: whether each entry is an action, not a bootstrap entry `[E]`.
        observation: indices of the batch's observation tokens that are in this pass `[E']`.
        observation_state, observation_token: hidden state and token id of each of these observation
            tokens `[E']`.
    """

    tokens: Index
    lengths: Index
    state_row: Index
    state_position: Index
    entry: Index
    entry_state: Index
    entry_token: Index
    is_action: NDArray[np.bool_]
    observation: Index
    observation_state: Index
    observation_token: Index


def micro_batches(
    batch: Batch,
    segments: Index | None = None,
    budget: int = 16384,
    at_least: int = 1,
    bootstraps: bool = True,
) -> list[MicroBatch]:
    """Cut a batch into forward passes of at most `budget` padded tokens.

    Args:
        batch: batch to cut.
        segments: indices of the segments to include; None includes all.
        budget: largest number of rows x positions of a pass. A longer row gets a pass of its own.
        at_least: smallest number of passes to return, with empty ones at the end. All ranks of a
            group must make the same number of passes, or their collectives wait for ever.
        bootstraps: whether bootstrap entries are included.
    """
    if segments is None:
        chosen = np.ones(batch.segments, np.bool_)
    else:
        chosen = np.zeros(batch.segments, np.bool_)
        chosen[segments] = True
    count = batch.entries if bootstraps else batch.actions
    entries = np.flatnonzero(chosen[batch.segment[:count]])
    observation = np.flatnonzero(chosen[batch.observation_segment])
    entry_row = batch.segment_row[batch.segment[entries]]
    observation_row = batch.segment_row[batch.observation_segment[observation]]
    needed = np.unique(np.concatenate([entry_row, observation_row]))
    # Rows of similar length share a pass, so that there is little padding.
    order = sorted(needed.tolist(), key=lambda row: -len(batch.rows[row]))
    # Entries are sorted by row, so that slices find those of one pass without scans of the batch.
    entry_order, observation_order = (
        np.argsort(entry_row, kind="stable"),
        np.argsort(observation_row, kind="stable"),
    )
    entry_sorted, observation_sorted = entry_row[entry_order], observation_row[observation_order]
    passes = []
    for group in _groups(order, batch.rows, budget):
        which = np.array(group, np.int64)
        e = entries[_pick(entry_sorted, entry_order, which)]
        p = observation[_pick(observation_sorted, observation_order, which)]
        passes.append(_micro(batch, which, np.sort(e), np.sort(p)))
    none = np.empty(0, np.int64)
    while len(passes) < at_least:
        passes.append(
            MicroBatch(
                np.zeros((1, 1), np.int64),
                np.ones(1, np.int64),
                *(none, none, none, none, none),
                none.astype(np.bool_),
                *(none, none, none),
            )
        )
    return passes


def _groups(order: list[int], rows: list[Ids], budget: int) -> Iterator[list[int]]:
    group: list[int] = []
    for row in order:
        if group and (len(group) + 1) * len(rows[group[0]]) > budget:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _pick(sorted_rows: Index, order: Index, which: Index) -> Index:
    low = np.searchsorted(sorted_rows, which, "left")
    high = np.searchsorted(sorted_rows, which, "right")
    return np.concatenate([order[a:b] for a, b in zip(low, high, strict=True)])


def _micro(batch: Batch, which: Index, entry: Index, observation: Index) -> MicroBatch:
    width = max(len(batch.rows[row]) for row in which)
    tokens = np.zeros((len(which), width), np.int64)
    place = np.zeros(len(batch.rows), np.int64)
    for position, row in enumerate(which):
        ids = batch.rows[row]
        tokens[position, : len(ids)] = ids
        place[row] = position
    at_entry = place[batch.segment_row[batch.segment[entry]]] * width + batch.position[entry]
    at_observation = (
        place[batch.segment_row[batch.observation_segment[observation]]] * width
        + batch.observation_position[observation]
    )
    states, inverse = np.unique(np.concatenate([at_entry, at_observation]), return_inverse=True)
    is_action = entry < batch.actions
    entry_token = np.zeros(len(entry), np.int64)
    entry_token[is_action] = batch.token[entry[is_action]]
    return MicroBatch(
        tokens=tokens,
        lengths=np.array([len(batch.rows[row]) for row in which], np.int64),
        state_row=states // width,
        state_position=states % width,
        entry=entry,
        entry_state=inverse[: len(entry)],
        entry_token=entry_token,
        is_action=is_action,
        observation=observation,
        observation_state=inverse[len(entry) :],
        observation_token=batch.observation_token[observation],
    )
