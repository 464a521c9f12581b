"""`LiveScreen`: a panel on a terminal that is drawn again several times a second."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from lmrl.screen.figures import figures, sparkline
from lmrl.screen.screen import PlainScreen
from lmrl.screen.stages import Stage, clock_text, left_text
from lmrl.trajectory import printable

SAMPLE_LINES = 8
"""Largest number of lines of an episode in the panel."""


class TerminalConsole(Console):
    """A console that takes its size from the terminal of its file, whatever standard output is."""

    @property  # type: ignore[misc]  # rich has a setter too, which nothing here uses
    def size(self) -> ConsoleDimensions:
        """Return columns and rows of the terminal."""
        try:
            columns, rows = os.get_terminal_size(self.file.fileno())
        except (OSError, ValueError, AttributeError):
            return super().size
        return ConsoleDimensions(columns or 80, rows or 25)


class LiveScreen(PlainScreen):
    """Shows stages, figures, the curve and an episode of a run in a panel.

    Args:
        file: terminal as a text file.
        title: first words on the screen.
        clock: function that returns the time in seconds.
    """

    def __init__(
        self, file: TextIO, title: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(file, title, clock)
        self.waiting: dict[int, str] = {}
        self.record: Mapping[str, float] = {}
        self.ledger: Mapping[str, float] = {}
        self.episode: tuple[str, list[str]] | None = None
        self.console = TerminalConsole(file=file, force_terminal=True, highlight=False)
        self.spinner = Spinner("dots" if not self.console.options.ascii_only else "line")
        self.live = Live(
            console=self.console,
            get_renderable=self._panel,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.live.start()

    def close(self) -> None:
        """Remove the panel."""
        self.live.stop()

    def changed(self, stage: Stage, waiting: str) -> None:
        """Note what a stage waits for; the panel shows it."""
        self.waiting[id(stage)] = waiting

    def over(self, stage: Stage) -> None:
        """Print a line for a planned stage that ended."""
        self.waiting.pop(id(stage), None)
        if not self.stages.open:
            self.record, self.ledger, self.episode = {}, {}, None
        if not self.stages.open and stage.kind != "evaluate":
            took = clock_text(self.stages.elapsed(stage))
            self.console.print(Text(f"{self._tick()} {stage.title} ", "dim") + Text(took, "dim"))

    def update(
        self, stage: Stage, done: int, record: Mapping[str, float], ledger: Mapping[str, float]
    ) -> None:
        """Keep the figures of an update; the panel shows them."""
        super(PlainScreen, self).update(stage, done, record, ledger)
        self.record, self.ledger = dict(record), dict(ledger)

    def note(self, text: str) -> None:
        """Print a sentence above the panel."""
        self.console.print(Text(printable(text)))

    def sample(self, title: str, lines: Sequence[str]) -> None:
        """Keep an episode; the panel shows its first lines."""
        self.episode = (title, list(lines))

    def _tick(self) -> str:
        return "+" if self.console.options.ascii_only else "✓"

    def _panel(self) -> RenderableType:
        """Return the panel. Another thread calls this while the run changes the screen's state."""
        elapsed = clock_text(self.stages.clock() - self.began)
        left = left_text(self.stages.time_left())
        words = [self.title, f"{elapsed} elapsed", *([left] if left else [])]
        rows: list[RenderableType] = [Text("  ".join(words), "bold", no_wrap=True)]
        running = list(self.stages.open)
        rows += [self._stage(stage) for stage in running]
        if not running:
            rows.append(self._row("preparing"))
        if self.record:
            rows.append(Text("  ".join(figures(self.record)), "cyan"))
        if len(self.returns) > 1:
            rows.append(self._curve())
        if any(self.ledger.values()):
            counts = [f"{value:g} {name}" for name, value in self.ledger.items() if value]
            rows.append(Text("episodes: " + ", ".join(counts), "dim"))
        if self.episode is not None:
            rows += self._episode(*self.episode)
        return Group(*rows)

    def _stage(self, stage: Stage) -> RenderableType:
        cells: list[RenderableType] = []
        if stage.total > 1:
            cells.append(ProgressBar(total=stage.total, completed=stage.done, width=20))
            cells.append(Text(f"{stage.done}/{stage.total}", no_wrap=True))
        took = clock_text(self.stages.elapsed(stage))
        left = self.stages.left(stage)
        cells.append(
            Text(f"{took}, about {clock_text(left)} left" if left else took, "dim", no_wrap=True)
        )
        waiting = self.waiting.get(id(stage), "")
        if waiting:
            cells.append(Text(waiting, "dim", overflow="ellipsis", no_wrap=True))
        return self._row(stage.title, *cells)

    def _row(self, title: str, *cells: RenderableType) -> RenderableType:
        row = Table.grid(padding=(0, 1))
        row.add_row(self.spinner, Text(title, no_wrap=True), *cells)
        return row

    def _curve(self) -> Text:
        low, high = min(self.returns), max(self.returns)
        width = max(10, self.console.size.width - 40)
        line = sparkline(self.returns, width, self.console.options.ascii_only)
        last = self.returns[-1]
        label = f" {last:.1f} (lowest {low:.1f}, highest {high:.1f})"
        return Text("return ") + Text(line, "green") + Text(label, "dim")

    def _episode(self, title: str, lines: list[str]) -> list[RenderableType]:
        rows = max(0, min(SAMPLE_LINES, self.console.size.height - 14))
        shown = lines[:rows]
        if len(lines) > rows > 0:
            shown[-1] = f"... {len(lines) - rows + 1} more lines"
        head = Text(title, "bold dim", no_wrap=True, overflow="ellipsis")
        texts = ["  " + printable(line) for line in shown]
        return [head, *(Text(t, "dim", no_wrap=True, overflow="ellipsis") for t in texts)]
