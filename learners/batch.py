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

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmrl.trajectory import Floats, Ids

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
        cut: whether each action token belongs to an action that was cut at the token limit `[N]`.
        group: group of each episode `[episodes]`; the episodes of a group begin in the same state.
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
    cut: NDArray[np.bool_]
    group: Index
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
