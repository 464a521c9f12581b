"""Signals whose exception a library loses are raised again."""

import os
import signal
from collections.abc import Iterator

import pytest

from lmrl.errors import OutOfTime, Terminated
from lmrl.interrupt import (
    check_stop,
    deferred,
    ended_at_once,
    progressed,
    signals_raise,
    stopping,
    time_limit,
)


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """Python's own handler of SIGINT, which a shell's background job ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Losing:
    """An object in whose `__del__` a signal arrives."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __del__(self) -> None:
        """Send the signal; Python drops what it raises here."""
        os.kill(os.getpid(), self.number)
        sum(range(1000))  # the handler runs between two instructions


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_signal_that_a_callback_drops_is_raised_at_the_next_step(
    number: signal.Signals, raised: type[BaseException]
) -> None:
    with pytest.raises(raised), signals_raise():
        lost = Losing(number)
        del lost
        check_stop()
    check_stop()  # outside the block nothing is remembered


def test_within_deferred_a_signal_raises_at_the_next_check() -> None:
    told: list[int] = []
    with pytest.raises(Terminated), signals_raise(), deferred(told.append):
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)  # at once: the same request
        assert told == [signal.SIGUSR1] and stopping() and not ended_at_once()
        check_stop()
    assert not stopping() and signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_a_second_signal_raises_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmrl.interrupt.REPEAT", 0.0)
    with pytest.raises(KeyboardInterrupt) as raised, signals_raise(), deferred():
        os.kill(os.getpid(), signal.SIGINT)
        assert stopping() and not ended_at_once()
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            assert ended_at_once()
            os.kill(os.getpid(), signal.SIGINT)  # a third one does not cut the clean-up short
    assert not isinstance(raised.value, Terminated)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_outer_time_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("lmrl.interrupt.time.monotonic", lambda: clock[0])
    with time_limit(0):
        clock[0] = 1e6
        check_stop()  # no limit
    with time_limit(2.0), time_limit(100.0):
        clock[0] += 119.0
        check_stop()
        clock[0] += 2.0
        check_stop()  # nothing is done yet
        progressed()
        with pytest.raises(OutOfTime):
            check_stop()
    check_stop()
