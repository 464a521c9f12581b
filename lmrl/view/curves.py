"""The tab of the curves: a list with sparklines, and the chosen one in full."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from lmrl.screen.figures import sparkline
from lmrl.trajectory import printable
from lmrl.view.plot import plot
from lmrl.view.rows import Rows
from lmrl.view.text import column, figure

_VALUE = 10
_SPARK = 16
_RUN = 14


@dataclass(frozen=True)
class Curve:
    """A curve of a run.

    Attributes:
        title: name for readers.
        run: name of the run.
        unit: unit of the values.
        text: meaning of the metric in a sentence.
        log: whether it is drawn on a logarithmic axis.
        x: updates `[n]`.
        y: values `[n]`; None where there is none.
    """

    title: str
    run: str
    unit: str
    text: str
    log: bool
    x: list[float | None]
    y: list[float | None]

    @property
    def values(self) -> list[float]:
        """The values that are known."""
        return [value for value in self.y if value is not None]


def curves(overview: Mapping[str, Any]) -> Iterator[Curve]:
    """Yield the curves of an overview of runs, the well-known ones first."""
    names = [run["name"] for run in overview["runs"]]
    for chart in [*overview["charts"], *overview["others"]]:
        for line in chart["lines"]:
            if line["run"] is None:  # the mean of a group
                continue
            title = chart["title"]
            if "name" in line:  # a part of the ledger
                title = f"{title}: {line['name']}"
            yield Curve(
                title,
                names[line["run"]],
                chart["unit"],
                chart["text"],
                chart["log"],
                line["x"],
                line["y"],
            )


class CurveList(Rows):
    """The curves with their sparklines, first and last values."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.curves: list[Curve] = []
        self._several = False

    def set_curves(self, found: list[Curve]) -> None:
        """Show curves; the cursor stays in its row."""
        self.curves = found
        self._several = len({curve.run for curve in found}) > 1
        self.show(len(found), self.cursor)

    @property
    def curve(self) -> Curve | None:
        """The curve of the cursor."""
        return self.curves[self.cursor] if self.cursor < len(self.curves) else None

    def header(self, width: int) -> Text:
        """Return the names of the columns."""
        if not self.curves:
            return Text("No curves yet: the run has written no metrics.")
        return Text("  " + self._line("curve", "run", "first", "over updates", "last", width - 2))

    def row(self, number: int, width: int) -> Text:
        """Return a curve in a line."""
        own = self.curves[number]
        values = own.values
        ends = [figure(values[0]), figure(values[-1])] if values else ["", ""]
        mark = "> " if number == self.cursor else "  "
        line = self._line(
            own.title, own.run, ends[0], sparkline(values, _SPARK), ends[1], width - 2
        )
        return Text(mark + line)

    def _line(self, title: str, run: str, first: str, line: str, last: str, width: int) -> str:
        rest = width - 2 * (_VALUE + 1) - _SPARK - 1 - (_RUN + 1 if self._several else 0)
        parts = [column(run, _RUN)] if self._several else []
        parts += [column(title, max(rest, 8)), column(first, _VALUE, right=True)]
        return " ".join([*parts, column(line, _SPARK), column(last, _VALUE, right=True)])


class Plot(Static):
    """The chosen curve in full."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self.curve: Curve | None = None

    def set_curve(self, curve: Curve | None) -> None:
        """Show a curve."""
        self.curve = curve
        self.refresh(layout=True)

    def render(self) -> Text:
        """Return the curve as lines of characters."""
        own, width, height = self.curve, self.size.width, self.size.height
        if own is None:
            return Text("")
        unit = f", {own.unit}" if own.unit else ""
        title = f"{own.title}{unit}{', logarithmic' if own.log else ''}"
        drawn = plot(own.x, own.y, width, height - 2, own.log)
        found = [column(title, width), *(drawn or ["no values that can be drawn"])]
        return Text("\n".join([*found, column(own.text, width)]), no_wrap=True)


class Curves(Vertical):
    """The tab of the curves."""

    DEFAULT_CSS = """
    Curves CurveList { height: 1fr; }
    Curves Plot { height: 45%; padding: 0 1; border-top: solid $primary; }
    """

    def compose(self) -> ComposeResult:
        """Yield the list and the curve in full."""
        yield CurveList(id="curve-list")
        yield Plot(id="plot")

    def set_overview(self, overview: Mapping[str, Any]) -> None:
        """Show the curves of an overview of runs."""
        self.query_one(CurveList).set_curves(list(curves(overview)))

    def on_rows_moved(self) -> None:
        """Show the curve of the cursor in full."""
        self.query_one(Plot).set_curve(self.query_one(CurveList).curve)


def heading(overview: Mapping[str, Any]) -> str:
    """Return the state of the runs in a line."""
    if not overview["runs"]:
        return "no runs"
    if len(overview["runs"]) > 1:
        going = sum(run["phase"] not in ("finished", "unknown") for run in overview["runs"])
        return f"{len(overview['runs'])} runs, {going} not finished"
    return state_line(overview["runs"][0])


def state_line(run: Mapping[str, Any]) -> str:
    """Return the state of a run in a line."""
    from lmrl.screen.stages import clock_text

    words = [run["name"], run["task"], run["algorithm"], run["phase"]]
    if run["updates"]:
        words.append(f"update {figure(run['update'])} of {figure(run['updates'])}")
    left = run["seconds_left"]
    if left and run["phase"] != "finished" and left < 1e7:
        words.append(f"{clock_text(left)} left")
    return printable("  ".join(words))
