"""What a training run shows in a terminal, or as plain lines where there is none.

    stages       the stages of a run, and an estimate of the time that is left
    screen       `Screen`, which shows nothing, and `PlainScreen`, which prints lines
    live         `LiveScreen`, a panel that is drawn again several times a second
    figures      the figures of an update, and sparklines
    capture      the output of libraries, which goes to the run's log file instead
    closing      the last screen: curve, scores, episodes, and what to do next

A run reports to a `Screen` and does not know which kind it is.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lmrl.screen.capture import terminal_copy
from lmrl.screen.screen import PlainScreen, Screen

__all__ = ["PlainScreen", "Screen", "open_screen"]


@contextmanager
def open_screen(title: str, *, plain: bool = False) -> Iterator[Screen]:
    """Yield a screen on standard error: live on a terminal, lines elsewhere.

    It writes to a copy of the file descriptor, so that it stays visible while the output of
    libraries is captured.

    Args:
        title: first words on the screen.
        plain: whether to print lines on a terminal too.
    """
    with terminal_copy(sys.stderr) as file:
        if plain or not file.isatty():
            with PlainScreen(file, title) as screen:
                yield screen
            return
        from lmrl.screen.live import LiveScreen

        with LiveScreen(file, title) as live:
            yield live
