"""SIGTERM as an exception, so that a process that is asked to end does so as after Ctrl-C.

Python drops an exception that a signal raises within `__del__` or another callback. The signal is
remembered, and `check_signals` raises it where a long loop begins its next step.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lmrl.errors import Terminated

_received = threading.Event()
_interrupted = threading.Event()


def _raise(signum: int, frame: FrameType | None) -> None:
    # Once is enough: a second signal would cut short what the first one made end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _received.set()
    raise Terminated


def _interrupt(signum: int, frame: FrameType | None) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


def check_signals() -> None:
    """Raise again what a signal raised within a `sigterm_raises` block that is still open.

    Raises:
        Terminated: if SIGTERM has arrived.
        KeyboardInterrupt: if Ctrl-C or SIGINT has arrived.
    """
    if _received.is_set():
        raise Terminated
    if _interrupted.is_set():
        raise KeyboardInterrupt


def terminated() -> bool:
    """Return whether SIGTERM has arrived within a `sigterm_raises` block that is still open."""
    return _received.is_set()


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` within the block; outside the main thread, change nothing.

    Where the signal arrives within one of its calls, Ray raises `KeyboardInterrupt` instead, or
    loses the exception. What the block then raises, of a process that the same signal has ended for
    example, leaves it as `Terminated`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise)
    outermost = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if outermost:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        if _received.is_set() and not isinstance(error, Terminated):
            raise Terminated from error
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        if outermost:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _interrupted.clear()
        if before is not _raise:
            _received.clear()
