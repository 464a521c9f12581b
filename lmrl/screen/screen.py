"""`Screen`, to which a run reports, and `PlainScreen`, which prints lines."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from lmrl.screen.capture import captured
from lmrl.screen.figures import figures
from lmrl.screen.stages import Stage, Stages, clock_text, left_text
from lmrl.trajectory import printable

QUIET = 10.0
"""Seconds between two lines about the same stage."""

PACKAGES = ("lmrl", "actors", "cluster", "learners")
"""Loggers whose warnings are for the user."""


class Screen:
    """What a run reports to. This class shows nothing.

    Args:
        clock: function that returns the time in seconds.

    Attributes:
        stages: stages of the run.
        returns: mean return of each update that had fresh episodes, for the curve.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.stages = Stages(clock=clock)
        self.returns: list[float] = []
        self.began = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the display."""

    def capturing(self, path: Path) -> AbstractContextManager[None]:
        """Return a context in which the output of libraries may go to a file instead."""
        return nullcontext()

    @contextmanager
    def stage(
        self, kind: str, title: str, waiting: str = "", total: int = 1, first: int = 0
    ) -> Iterator[Stage]:
        """Show a stage while the block runs.

        Args:
            kind: kind of the stage, as in the plan.
            title: name for a reader.
            waiting: what the run waits for, in words.
            total: number of steps.
            first: steps that were done before this process began.
        """
        stage = self.stages.begin(kind, title, total, first)
        self.changed(stage, waiting)
        try:
            yield stage
        except BaseException:
            self.stages.end(stage, finished=False)
            raise
        self.stages.end(stage)
        self.over(stage)

    def advance(self, stage: Stage, done: int, waiting: str = "") -> None:
        """Record the steps of a stage that are done, and what it waits for."""
        stage.done = done
        self.changed(stage, waiting)

    def episodes(self, done: int, total: int) -> None:
        """Record the episodes of the stage that runs.

        Args:
            done: number of episodes that have ended.
            total: number of episodes that were asked for.
        """
        if self.stages.open and self.stages.open[-1].kind == "evaluate":
            self.advance(self.stages.open[-1], done)
        elif self.stages.open:
            self.changed(self.stages.open[-1], f"{done} of {total} episodes")

    def changed(self, stage: Stage, waiting: str) -> None:
        """Show that a stage began or went on."""

    def over(self, stage: Stage) -> None:
        """Show that a stage ended."""

    def update(
        self, stage: Stage, done: int, record: Mapping[str, float], ledger: Mapping[str, float]
    ) -> None:
        """Show an update.

        Args:
            stage: stage of the updates.
            done: number of updates that are done.
            record: metrics of the update, by name.
            ledger: counts of episodes, by name.
        """
        value = record.get("rollout/return_mean")
        if value is not None and math.isfinite(value):
            self.returns.append(value)
        stage.done = done

    def note(self, text: str) -> None:
        """Show a sentence that stays on the screen."""

    def sample(self, title: str, lines: Sequence[str]) -> None:
        """Show an episode.

        Args:
            title: which episode it is.
            lines: lines of its transcript.
        """


class PlainScreen(Screen):
    """Prints a line when a stage begins, and others from time to time.

    Args:
        file: text file to print to.
        title: first words on the screen.
        clock: function that returns the time in seconds.
    """

    def __init__(
        self, file: TextIO, title: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(clock)
        self.file = file
        self.printed = -math.inf  # time of the last line about a stage
        self.figured = -math.inf  # time of the last line with an update's figures
        self.last: Stage | None = None  # stage of that line
        self.handler: logging.Handler | None = None
        self.title = title  # printed before the first line

    def capturing(self, path: Path) -> AbstractContextManager[None]:
        """Return a context in which the output of libraries goes to a file.

        Warnings of this project are shown as well. Within such a context another one changes
        nothing.
        """
        return nullcontext() if self.handler is not None else self._capture(path)

    @contextmanager
    def _capture(self, path: Path) -> Iterator[None]:
        self.handler = _Notes(self)
        for name in PACKAGES:
            logging.getLogger(name).addHandler(self.handler)
        try:
            with captured(path):
                yield
        finally:
            for name in PACKAGES:
                logging.getLogger(name).removeHandler(self.handler)
            self.handler = None

    def changed(self, stage: Stage, waiting: str) -> None:
        """Print a line if the stage is new, or the last line is some seconds old."""
        now = self.stages.clock()
        # Once an update is done, its figures say more than what the next one waits for.
        quiet = QUIET if self.figured == -math.inf else 3 * QUIET
        if stage is self.last and now - self.printed < quiet:
            return
        if stage is not self.last and len(self.stages.open) > 1 and now - self.printed < QUIET:
            return  # a short stage within another one
        words = [stage.title]
        if stage.total > 1 and stage.done:
            words.append(f"{stage.done}/{stage.total}")
        if waiting:
            words.append(waiting)
        left = self.stages.left(stage)
        if left:
            words.append(f"about {clock_text(left)}")
        self._line(stage, ": ".join((words[0], ", ".join(words[1:]))) if words[1:] else words[0])

    def update(
        self, stage: Stage, done: int, record: Mapping[str, float], ledger: Mapping[str, float]
    ) -> None:
        """Print a line for the last update, and for others from time to time."""
        super().update(stage, done, record, ledger)
        if self.stages.clock() - self.figured >= QUIET or done == stage.total:
            self.figured = self.stages.clock()
            words = [f"{stage.title} {done}/{stage.total}", *figures(record)]
            left = left_text(self.stages.time_left())
            self._line(stage, "  ".join([*words, left] if left else words))

    def over(self, stage: Stage) -> None:
        """Begin anew with the figures of the next stage of updates."""
        if not self.stages.open:
            self.figured = -math.inf

    def note(self, text: str) -> None:
        """Print a sentence."""
        if self.title:
            title, self.title = self.title, ""
            self.note(title)
        elapsed = clock_text(self.stages.clock() - self.began)
        print(f"[{elapsed}] {printable(text)}", file=self.file, flush=True)

    def _line(self, stage: Stage, text: str) -> None:
        self.printed, self.last = self.stages.clock(), stage
        self.note(text)


class _Notes(logging.Handler):
    """Shows warnings on a screen, each as one line."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self.screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        first = (record.getMessage().splitlines() or [""])[0]
        self.screen.note(f"{record.levelname.lower()}: {first}")
