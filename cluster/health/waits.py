"""Waits for remote results, with a time limit and an error that names the actor in one sentence.

An error that an actor raised becomes the cause of that error, with its traceback, for the run's log
file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from lmrl.errors import RunError, UsageError, disk_full


class NoAnswer(RunError):
    """An actor did not answer within its deadline."""


class ActorLost(RunError):
    """An actor's process ended, or its constructor raised an error."""


@contextmanager
def answers_of(who: str) -> Iterator[None]:
    """Convert errors of an actor in the block to errors with a one-sentence message.

    Args:
        who: subject of the sentence, such as `learner rank 0`.

    Raises:
        UsageError: if the actor raised a `UsageError`.
        ActorLost: if its process ended, or its constructor raised another error.
        RunError: if the actor raised any other error.
    """
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, UsageError | RunError):
            kind = UsageError if isinstance(cause, UsageError) else RunError
            raise kind(str(cause)) from error
        first = (str(cause).strip().splitlines() or ["without a message"])[0]
        raise RunError(
            disk_full(cause) or f"{who} raised {type(cause).__name__}: {first}"
        ) from error
    except ray.exceptions.RayActorError as error:
        if error.actor_init_failed:
            raise _of_constructor(who, str(error)) from error
        raise ActorLost(
            f"the process of {who} ended: it was killed, ran out of memory or crashed; Ray's "
            "worker logs may show the reason"
        ) from error


def _of_constructor(who: str, text: str) -> UsageError | ActorLost:
    """Return the error that a constructor raised; Ray keeps only the text of its traceback.

    Args:
        who: subject of the sentence.
        text: text of Ray's error, whose last line has the type and the message.
    """
    kind, _, message = text.strip().splitlines()[-1].partition(": ")
    if kind == f"{UsageError.__module__}.{UsageError.__qualname__}":
        return UsageError(message)
    return ActorLost(f"{who} raised {kind.rpartition('.')[2]} as it started: {message}")


def fetch(refs: Any, seconds: float, who: str) -> Any:
    """Return the value of a reference, or the values of a list of them.

    Args:
        refs: one reference or a list of references.
        seconds: time limit, in seconds.
        who: subject of the error's sentence, such as `the sampler`.

    Raises:
        NoAnswer: if the time limit is exceeded.
        UsageError, ActorLost, RunError: if the actor raised an error or its process ended, see
            `answers_of`.
    """
    try:
        with answers_of(who):
            return ray.get(refs, timeout=seconds)
    except ray.exceptions.GetTimeoutError:
        raise NoAnswer(f"{who} did not answer within {seconds:g} s") from None
