"""The stages of a run in their order, and an estimate of the time that is left."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass
class Stage:
    """One stage of a run.

    Attributes:
        kind: stages of one kind take the same time a step.
        title: name for a reader.
        total: number of steps, such as updates or episodes.
        expected: seconds of a step before one of this kind was timed; None if unknown.
        together: whether the steps happen at one time, as the starts of actors do. Then those that
            are done say nothing about the others.
        first: steps that were done before this process began.
        done: steps that are done.
        began, ended: times of begin and end in seconds; None before them.
    """

    kind: str
    title: str
    total: int = 1
    expected: float | None = None
    together: bool = False
    first: int = 0
    done: int = 0
    began: float | None = None
    ended: float | None = None


class TimeLeft(NamedTuple):
    """An estimate of the time that is left.

    Attributes:
        seconds: sum over the stages that can be estimated.
        whole: whether every stage can be estimated.
    """

    seconds: float
    whole: bool


@dataclass
class Stages:
    """The planned stages of a run, those that are over first.

    A stage within another one, such as a score between two updates, is not planned: its time
    belongs to the outer stage.

    Attributes:
        stages: stages in their order.
        clock: function that returns the time in seconds.
        open: stages that run, the outermost first.
    """

    stages: list[Stage] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    open: list[Stage] = field(default_factory=list)

    def plan(self, stages: Sequence[Stage]) -> None:
        """Add stages at the end."""
        self.stages.extend(stages)

    def begin(self, kind: str, title: str, total: int = 1, first: int = 0) -> Stage:
        """Begin a stage and return it.

        It is the next planned one of its kind. Planned ones before it are dropped, since the run
        did not need them.

        Args:
            kind: kind of the stage.
            title: name for a reader.
            total: number of steps.
            first: steps that were done before this process began.
        """
        stage = Stage(kind, title, total)
        if not self.open:
            over = sum(stage.began is not None for stage in self.stages)
            planned = [i for i, s in enumerate(self.stages) if i >= over and s.kind == kind]
            if planned:
                del self.stages[over : planned[0]]
                stage = self.stages[over]
            else:
                self.stages.insert(over, stage)
        stage.title, stage.total = title, total
        stage.first = stage.done = first
        stage.began = self.clock()
        self.open.append(stage)
        return stage

    def end(self, stage: Stage, finished: bool = True) -> None:
        """End a stage.

        Args:
            stage: stage that runs.
            finished: whether all of its steps are done.
        """
        stage.ended = self.clock()
        if finished:
            stage.done = stage.total
        self.open.remove(stage)

    def elapsed(self, stage: Stage) -> float:
        """Return the seconds since a stage began, until its end."""
        if stage.began is None:
            return 0.0
        return (self.clock() if stage.ended is None else stage.ended) - stage.began

    def per_step(self, stage: Stage) -> float | None:
        """Return the seconds of a step of a stage; None if nothing is known."""
        alike = [
            s
            for s in self.stages
            if s.kind == stage.kind and s.done > s.first and (s.ended is not None or not s.together)
        ]
        steps = sum(s.done - s.first for s in alike)
        return sum(map(self.elapsed, alike)) / steps if steps else stage.expected

    def left(self, stage: Stage) -> float | None:
        """Return the seconds that a stage still needs; None if nothing is known."""
        if stage.ended is not None:
            return 0.0
        step = self.per_step(stage)
        if step is None:
            return None
        if stage.together or stage.done == stage.first:
            needed = step * (stage.total - stage.first) - self.elapsed(stage)
        else:
            needed = step * (stage.total - stage.done)
        return max(needed, 0.0)

    def time_left(self) -> TimeLeft:
        """Return the time that all stages still need."""
        found = [self.left(stage) for stage in self.stages]
        return TimeLeft(sum(s for s in found if s is not None), None not in found)


def clock_text(seconds: float) -> str:
    """Return a time as `m:ss` or `h:mm:ss`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def left_text(left: TimeLeft) -> str:
    """Return the time that is left in words; empty if nothing is known."""
    if not left.seconds:
        return ""
    if left.whole:
        return f"about {clock_text(left.seconds)} left"
    return f"more than {clock_text(left.seconds)} left"
