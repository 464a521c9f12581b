"""The turns of a batch: their first and last action tokens, and the turn that follows each."""

from typing import NamedTuple

import numpy as np

from learners.batch import Batch, Index


class Turns(NamedTuple):
    """Turns of a batch, episode by episode, in order of time.

    Attributes:
        turn: turn of each action token `[N]`.
        first, last: index of the first and the last action token of each turn `[turns]`.
        next: turn that follows each turn `[turns]`; `turns` + k for the bootstrap entry k, -1 where
            the episode terminated.
    """

    turn: Index
    first: Index
    last: Index
    next: Index

    @property
    def number(self) -> int:
        """Number of turns."""
        return len(self.first)


def turns_of(batch: Batch) -> Turns:
    """Return the turns of a batch."""
    ends = batch.turn_end.astype(np.int64)
    turn: Index = np.cumsum(ends) - ends
    last = np.flatnonzero(batch.turn_end)
    first = np.flatnonzero(np.append(True, batch.turn_end[:-1])[: batch.actions])
    follow = batch.next[last]
    after = np.append(turn, np.arange(len(last), len(last) + batch.entries - batch.actions))
    return Turns(turn, first, last, np.where(follow < 0, -1, np.append(after, -1)[follow]))
