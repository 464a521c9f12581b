"""What ends a run from outside: Ctrl-C, SIGTERM, SIGUSR1, and a limit of time.

A signal raises an exception, so that a process that is asked to end does so as after Ctrl-C.
Within `deferred` the first signal only asks: `check_stop`, which a long loop calls where its state
is whole, raises it there. A second signal raises at once.

Python drops an exception that a signal raises within `__del__` or another callback. The signal is
remembered, and `check_stop` raises it.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from lmrl.errors import OutOfTime, Terminated

ENDING = (signal.SIGTERM, signal.SIGUSR1)
"""Signals of batch systems: of the end, and of the end that comes soon."""

REPEAT = 1.0
"""Time within which another signal is the same request, in seconds: some batch systems send a
signal to a process and to its group."""


@dataclass
class _Requests:
    """Requests to end that have arrived.

    Attributes:
        number: first signal; None if none has arrived.
        depth: number of `signals_raise` blocks that are open.
        arrived: time of that signal, on the monotonic clock, in seconds.
        hurried: whether a second signal has arrived.
        deferred: number of `deferred` blocks that are open.
        told: function that is called with a signal that is deferred.
        deadline: end of the time limit, on the monotonic clock, in seconds; None is no limit.
        progressed: whether the time limit may end the process.
    """

    number: int | None = None
    depth: int = 0
    arrived: float = 0.0
    hurried: bool = False
    deferred: int = 0
    told: Callable[[int], None] | None = None
    deadline: float | None = None
    progressed: bool = False


_requests = _Requests()


def _error(number: int) -> KeyboardInterrupt:
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated()


def _arrived(number: int, frame: FrameType | None) -> None:
    first = _requests.number is None
    if not first and time.monotonic() - _requests.arrived < REPEAT:
        return
    if first:
        _requests.number, _requests.arrived = number, time.monotonic()
        if _requests.deferred:
            if _requests.told is not None:
                _requests.told(number)
            return
    else:
        _requests.hurried = True
        # A third one would cut short what the second one makes end.
        for handled in (signal.SIGINT, *ENDING):
            signal.signal(handled, signal.SIG_IGN)
    raise _error(number)


def check_stop() -> None:
    """Raise what a signal has asked for, or the end of the time limit.

    Raises:
        Terminated: if SIGTERM or SIGUSR1 has arrived within an open `signals_raise` block.
        KeyboardInterrupt: if Ctrl-C or SIGINT has.
        OutOfTime: if the limit of an open `time_limit` block is exceeded, and `progressed` was
            called within it.
    """
    if _requests.number is not None:
        raise _error(_requests.number)
    deadline = _requests.deadline
    if deadline is not None and _requests.progressed and time.monotonic() > deadline:
        raise OutOfTime


def stopping() -> bool:
    """Return whether a signal has arrived within a `signals_raise` block that is still open."""
    return _requests.number is not None


def terminated() -> bool:
    """Return whether SIGTERM or SIGUSR1 has arrived within an open `signals_raise` block."""
    return _requests.number in ENDING


def ended_at_once() -> bool:
    """Return whether a second signal has arrived."""
    return _requests.hurried


def progressed() -> None:
    """Note that there is something to save: from now on a time limit may end the process.

    So jobs that go on with a run one after another finish it, however short their limit is.
    """
    _requests.progressed = True


@contextmanager
def time_limit(minutes: float) -> Iterator[None]:
    """Let `check_stop` raise `OutOfTime` within the block once a time has passed.

    Args:
        minutes: time, in minutes; 0 sets no limit. The limit of an outer block stays.
    """
    if not minutes or _requests.deadline is not None:
        yield
        return
    _requests.deadline, _requests.progressed = time.monotonic() + 60.0 * minutes, False
    try:
        yield
    finally:
        _requests.deadline, _requests.progressed = None, False


@contextmanager
def deferred(told: Callable[[int], None] | None = None) -> Iterator[None]:
    """Let the first signal within the block raise at the next `check_stop` only.

    Args:
        told: function that is called with the number of such a signal, as it arrives.
    """
    before = _requests.told
    _requests.deferred, _requests.told = _requests.deferred + 1, told
    try:
        yield
    finally:
        _requests.deferred, _requests.told = _requests.deferred - 1, before


@contextmanager
def signals_raise() -> Iterator[None]:
    """Let SIGTERM and SIGUSR1 raise `Terminated` within the block, and remember Ctrl-C.

    Outside the main thread nothing changes. Where a signal arrives within one of its calls, Ray
    raises `KeyboardInterrupt` instead, or loses the exception. What the block then raises, of a
    process that the same signal has ended for example, leaves it as the signal's own exception.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = list(ENDING)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        handled.append(signal.SIGINT)
    before = {number: signal.signal(number, _arrived) for number in handled}
    _requests.depth += 1
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        if terminated() and not isinstance(error, Terminated):
            raise Terminated from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _requests.depth -= 1
        if not _requests.depth:
            _requests.number, _requests.hurried = None, False
