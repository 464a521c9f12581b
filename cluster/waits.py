"""Waits for remote answers: each has a deadline, and an error that names who did not answer."""

from typing import Any

import ray

from lmrl.errors import RunError


class NoAnswer(RunError):
    """An actor did not answer within its deadline."""


def fetch(refs: Any, seconds: float, what: str) -> Any:
    """Return the value of a reference, or the values of a list of them.

    Args:
        refs: one reference or a list.
        seconds: deadline.
        what: subject of the error's sentence, such as `the sampler`.

    Raises:
        NoAnswer: past the deadline.
    """
    try:
        return ray.get(refs, timeout=seconds)
    except ray.exceptions.GetTimeoutError:
        raise NoAnswer(f"{what} did not answer within {seconds:g} s") from None
