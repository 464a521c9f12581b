"""The list of episodes."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from rich.text import Text
from textual.binding import Binding, BindingType

from lmrl.view.index import ORDERS, Filter, Index, Places
from lmrl.view.rows import Rows
from lmrl.view.text import column, figure

_COLUMNS = (
    ("kind", 10, False),
    ("update", 6, True),
    ("return", 9, True),
    ("turns", 6, True),
    ("outcome", 8, False),
    ("version", 8, True),
    ("learner", 7, False),
)
"""Columns after the policy and the run: name, cells, whether they are at the right."""
_RUN = 14
"""Cells of the name of a run, where there are several."""


class EpisodeList(Rows):
    """The episodes of the runs that fit the filter, in an order.

    Attributes:
        index: figures of all episodes.
        places: places of the rows in the index.
        filter: filter of the rows.
        order: name of the column that the rows are ordered by.
        down: whether the largest value is first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "Sort"),
        Binding("S", "reverse", "Reverse"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.index = Index()
        self.places: Places = self.index.matching(Filter(), [])
        self.filter = Filter()
        self.order = ORDERS[0]
        self.down = False
        self._hits: Sequence[Any] = ()

    def set_index(self, index: Index, wanted: Filter, hits: Sequence[Any]) -> None:
        """Show episodes; the cursor stays on its episode if that is still there.

        Args:
            index: figures of all episodes.
            wanted: filter of the rows.
            hits: what `Live.search` returned for the filter's text.
        """
        before = None if self.place is None else self.index.key(self.place)
        self.index, self.filter, self._hits = index, wanted, hits
        self._apply(None if before is None else index.find(before))

    def _apply(self, place: int | None) -> None:
        matching = self.index.matching(self.filter, self._hits)
        self.places = self.index.ordered(matching, self.order, self.down)
        found = np.flatnonzero(self.places == (-1 if place is None else place))
        self.show(len(self.places), int(found[0]) if len(found) else 0)

    @property
    def place(self) -> int | None:
        """Place of the cursor's episode in the index; None if there is none."""
        return int(self.places[self.cursor]) if self.cursor < len(self.places) else None

    def action_sort(self) -> None:
        """Order by the next column."""
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
        self._apply(None)

    def action_reverse(self) -> None:
        """Turn the order round."""
        self.down = not self.down
        self._apply(None)

    def header(self, width: int) -> Text:
        """Return the names of the columns."""
        names = {name: name + self._arrow(name) for name, _, _ in _COLUMNS}
        names |= {"policy": "policy" + self._arrow("policy"), "run": "run"}
        return Text("  " + self._line(names, width - 2))

    def _arrow(self, name: str) -> str:
        return ("▾" if self.down else "▴") if name == self.order else ""

    def row(self, number: int, width: int) -> Text:
        """Return the figures of an episode."""
        own = self.index.row(int(self.places[number]))
        values = {
            "policy": own["player"],
            "run": own["run"],
            "kind": own["kind"],
            "update": str(own["update"]) if own["update"] >= 0 else "",
            "return": figure(own["returned"]),
            "turns": str(own["length"]),
            "outcome": own["outcome"],
            "version": str(own["version"]) if own["version"] >= 0 else "",
            "learner": "yes" if own["learned"] else "",
        }
        mark = "> " if number == self.cursor else "  "
        return Text(mark + self._line(values, width - 2))

    def _line(self, values: dict[str, str], width: int) -> str:
        several = len(self.index.runs) > 1
        rest = width - sum(size + 1 for _, size, _ in _COLUMNS) - (_RUN + 1 if several else 0)
        parts = [column(values["run"], _RUN)] if several else []
        parts.append(column(values["policy"], max(rest, 6)))
        parts += [column(values[name], size, right) for name, size, right in _COLUMNS]
        return " ".join(parts)
