"""Signals whose exception a library loses are raised again."""

import os
import signal

import pytest

from lmrl.errors import Terminated
from lmrl.interrupt import check_stop, signals_raise


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
