"""SIGTERM as an exception, so that a process that is asked to end does so as after Ctrl-C."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lmrl.errors import Terminated

_received = threading.Event()


def _raise(signum: int, frame: FrameType | None) -> None:
    # Once is enough: a second signal would cut short what the first one made end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _received.set()
    raise Terminated


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
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        if _received.is_set() and not isinstance(error, Terminated):
            raise Terminated from error
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        if before is not _raise:
            _received.clear()
