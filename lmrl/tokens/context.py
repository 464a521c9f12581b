"""`Items`: the tokens of an episode's observations and actions, and the contexts made of them.

Items alternate: observation, action, observation, ... A *context* is what the policy sees at a
turn: a beginning, and the newest items up to an observation. `Episode`, `Trajectory` and `collate`
build contexts with this class, so that sampler and learner see the same tokens.

A chat template puts tokens between two messages. Those that close an action and open the next
message stand at the beginning of the observation that follows, its *lead*. A context that begins
with this observation leaves them out: its beginning opens the message instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]

NO_IDS: Ids = np.empty(0, np.int32)


def no_ids() -> Ids:
    """Return no tokens, as the default of a field."""
    return NO_IDS


@dataclass
class Items:
    """The items of an episode.

    Attributes:
        opening: tokens before the first item of a context that begins with an observation `[O]`.
        resuming: tokens before the first item of a context that begins with an action `[O']`.
        ids: tokens of each item.
        leads: number of tokens of each item's lead; 0 for actions.
    """

    opening: Ids = field(default_factory=no_ids)
    resuming: Ids = field(default_factory=no_ids)
    ids: list[Ids] = field(default_factory=list)
    leads: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, ids: Ids, lead: int = 0) -> None:
        """Add an item."""
        self.ids.append(ids)
        self.leads.append(lead)

    def parts(self, end: int, span: int) -> list[Ids]:
        """Return the context of `span` items before index `end` in parts; its last is an item."""
        first = end - span
        items = self.ids[first:end]
        items[0] = items[0][self.leads[first] :]
        beginning = self.resuming if first % 2 else self.opening
        return [beginning, *items] if len(beginning) else items

    def context(self, end: int, span: int) -> Ids:
        """Return the tokens of the context of `span` items before index `end` `[C]`."""
        return np.concatenate(self.parts(end, span))

    def fitting(self, end: int, span: int, limit: int) -> int:
        """Return how many of the newest items before index `end` fit a context.

        Whole items are left out, oldest first, and what is left begins with an observation, unless
        `span` itself fits.

        Args:
            end: index after the newest observation.
            span: number of the newest items that the task would show.
            limit: largest number of tokens of the context.

        Returns:
            `span` or less; 0 if not even the newest item fits.
        """
        best = used = 0
        for count in range(1, span + 1):
            first = end - count
            used += len(self.ids[first])
            beginning = self.resuming if first % 2 else self.opening
            needed = used - self.leads[first]
            if needed > limit:
                break
            if needed + len(beginning) <= limit and (count == span or count % 2):
                best = count
        return best


def items_of(
    observations: Sequence[tuple[Ids, int]],
    actions: Sequence[Ids],
    opening: Ids = NO_IDS,
    resuming: Ids = NO_IDS,
) -> Items:
    """Return items from observations, tokens and lead each, with an action between any two."""
    items = Items(opening, resuming)
    for index, (ids, lead) in enumerate(observations):
        items.add(ids, lead)
        if index < len(actions):
            items.add(actions[index])
    return items
