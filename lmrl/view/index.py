"""Figures of the episodes as arrays, with the filters and the order of the list."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmrl.errors import UsageError, unknown
from lmrl.report.episodes.figures import NO_SUCCESS, SUCCESS

Places = NDArray[np.int64]
"""Places of episodes in the index."""

NUMBERS = {
    "return": "returned",
    "turns": "length",
    "length": "length",
    "version": "version",
    "update": "update",
}
"""Names of numbers in a filter, with their columns."""
WORDS = ("kind", "policy", "run", "outcome", "learner")
"""Names of texts in a filter."""
OUTCOMES = ("success", "failure", "ended", "cut")
"""Values of `outcome`: what the task said, or else how the episode ended."""
ORDERS = ("stored", "return", "turns", "version", "update", "policy", "kind", "outcome")
"""Names of the columns that the list can be ordered by."""

_TERM = re.compile(r"([A-Za-z_]+)(>=|<=|=|>|<)(.*)", re.DOTALL)
_WORD = re.compile(r'"([^"]*)"|(\S+)')
_COMPARE = {
    ">=": np.greater_equal,
    "<=": np.less_equal,
    ">": np.greater,
    "<": np.less,
    "=": np.equal,
}


@dataclass(frozen=True)
class Filter:
    """What episodes have to be to stay in the list.

    Attributes:
        bounds: column, comparison and number of each bound.
        words: name from `WORDS` and its value in lower case.
        text: text in the episode; empty for any.
        typed: the filter as it was typed.
    """

    bounds: tuple[tuple[str, str, float], ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    text: str = ""
    typed: str = ""


def parsed(typed: str) -> Filter:
    """Return the filter that a user typed, for example `return>-10 kind=training wall`.

    Words that compare nothing are the text to look for; quotes keep one from being read.

    Raises:
        UsageError: for a name or value that is unknown.
    """
    bounds: list[tuple[str, str, float]] = []
    words: list[tuple[str, str]] = []
    looked_for: list[str] = []
    for quoted, plain in _WORD.findall(typed):
        term = _TERM.fullmatch(plain)
        if term is None:
            looked_for.append(quoted or plain)
            continue
        name, sign, value = term[1].lower(), term[2], term[3]
        if name in NUMBERS:
            bounds.append((NUMBERS[name], sign, _number(name, value)))
        elif name in WORDS:
            words.append((name, _value(name, sign, value.lower())))
        else:
            raise unknown("the filter", name, [*NUMBERS, *WORDS])
    return Filter(tuple(bounds), tuple(words), " ".join(filter(None, looked_for)), typed)


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"{name} is compared with a number, not '{value}'") from None


def _value(name: str, sign: str, value: str) -> str:
    if sign != "=":
        raise UsageError(f"{name} is a text; write {name}={value or 'TEXT'}")
    known = {"outcome": OUTCOMES, "learner": ("yes", "no")}.get(name)
    if known is not None and value not in known:
        raise unknown(name, value, known)
    return value


@dataclass(frozen=True)
class Index:
    """Figures of the episodes of some runs.

    Attributes:
        columns: values of each column, `[n]`, with the names of `lmrl.report.episodes.embed`.
        kinds: names of the purposes; the column `kind` has places in it.
        files: names of files; the column `file` has places in it.
        players: names of policies; the column `player` has places in it.
        runs: names of the runs; the column `run` has places in it.
        problems: sentences about what could not be read.
    """

    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    kinds: Sequence[str] = ()
    files: Sequence[str] = ()
    players: Sequence[str] = ()
    runs: Sequence[str] = ()
    problems: Sequence[str] = ()

    @classmethod
    def of(cls, found: Mapping[str, Any], runs: Sequence[str]) -> "Index":
        """Return the index of what `Live.index` returned.

        Args:
            found: its answer.
            runs: names of the runs.
        """
        columns = {name: np.array(values) for name, values in found["columns"].items()}
        return cls(
            columns, found["kinds"], found["files"], found["players"], runs, found["problems"]
        )

    def __len__(self) -> int:
        return len(self.columns["row"]) if "row" in self.columns else 0

    def outcomes(self) -> NDArray[np.int64]:
        """Return the place of each episode's outcome in `OUTCOMES`, `[n]`."""
        said, ended = self.columns["outcome"], self.columns["terminated"]
        found: NDArray[np.int64] = np.select(
            [said == SUCCESS, said == NO_SUCCESS, ended == 1], [0, 1, 2], 3
        )
        return found

    def matching(self, wanted: Filter, hits: Sequence[Any]) -> Places:
        """Return the places of the episodes that a filter keeps, in stored order.

        Args:
            wanted: the filter.
            hits: what `Live.search` returned for its text; not read if it has none.
        """
        if not len(self):
            return np.empty(0, np.int64)
        keep = np.ones(len(self), bool)
        for name, sign, bound in wanted.bounds:
            keep &= _COMPARE[sign](self.columns[name], bound)
        for name, value in wanted.words:
            keep &= self._has(name, value)
        if wanted.text:
            keep &= self._found(hits)
        return np.flatnonzero(keep)

    def _has(self, name: str, value: str) -> NDArray[np.bool_]:
        found: NDArray[np.bool_]
        if name == "outcome":
            found = self.outcomes() == OUTCOMES.index(value)
            return found
        if name == "learner":
            found = self.columns["learned"] == (value == "yes")
            return found
        names, column = {
            "kind": (self.kinds, "kind"),
            "policy": (self.players, "player"),
            "run": (self.runs, "run"),
        }[name]
        fitting = np.array([value in own.lower() for own in names], bool)
        found = fitting[self.columns[column]]
        return found

    def _found(self, hits: Sequence[Any]) -> NDArray[np.bool_]:
        keep = np.zeros(len(self), bool)
        numbers = {name: number for number, name in enumerate(self.files)}
        of_file = (
            (self.columns["run"] * len(self.kinds) + self.columns["kind"]) * len(self.files)
        ) + self.columns["file"]
        for run, kind, file, rows in hits:
            if file in numbers:
                mark = (run * len(self.kinds) + self.kinds.index(kind)) * len(self.files)
                own = np.flatnonzero(of_file == mark + numbers[file])
                keep[own[np.isin(self.columns["row"][own], rows)]] = True
        return keep

    def ordered(self, places: Places, order: str, down: bool) -> Places:
        """Return places of episodes in an order; equal ones stay in stored order.

        Args:
            places: the places, in stored order.
            order: name from `ORDERS`.
            down: whether the largest value is first.
        """
        if order == "stored" or not len(places):
            return places[::-1] if down else places
        values = self._values(order)[places]
        return places[np.argsort(-values if down else values, kind="stable")]

    def _values(self, order: str) -> NDArray[Any]:
        if order == "policy":
            ranks: NDArray[Any] = np.argsort(np.argsort(np.array(self.players)))
            values: NDArray[Any] = ranks[self.columns["player"]]
        elif order == "outcome":
            values = self.outcomes()
        else:
            values = self.columns[NUMBERS.get(order, order)]
        return values

    def row(self, place: int) -> dict[str, Any]:
        """Return the figures of an episode, with names in the place of numbers of names."""
        own = {name: values[place].item() for name, values in self.columns.items()}
        outcome = {SUCCESS: 0, NO_SUCCESS: 1}.get(own["outcome"], 3 - own["terminated"])
        return own | {
            "run": self.runs[own["run"]],
            "kind": self.kinds[own["kind"]],
            "file": self.files[own["file"]],
            "player": self.players[own["player"]] or "unknown",
            "outcome": OUTCOMES[outcome],
        }

    def key(self, place: int) -> tuple[int, str, str, int]:
        """Return what `Live.episode` needs to find an episode: run, kind, file, row."""
        own = {name: int(self.columns[name][place]) for name in ("run", "kind", "file", "row")}
        return own["run"], self.kinds[own["kind"]], self.files[own["file"]], own["row"]

    def find(self, key: tuple[int, str, str, int]) -> int | None:
        """Return the place of an episode; None if it is not there any more."""
        run, kind, file, row = key
        if not len(self) or kind not in self.kinds or file not in self.files:
            return None
        found = np.flatnonzero(
            (self.columns["run"] == run)
            & (self.columns["kind"] == self.kinds.index(kind))
            & (self.columns["file"] == list(self.files).index(file))
            & (self.columns["row"] == row)
        )
        return int(found[0]) if len(found) else None
