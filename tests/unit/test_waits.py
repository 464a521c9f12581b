"""Errors of actors become one sentence that says what they raised."""

import pytest

ray = pytest.importorskip("ray")

from ray.exceptions import ActorDiedError, RayTaskError  # noqa: E402

from cluster.health.waits import ActorLost, answers_of  # noqa: E402
from lmrl.errors import RunError, UsageError  # noqa: E402


def died(error: Exception) -> ActorDiedError:
    """Return what Ray raises for calls of an actor whose constructor raised an error."""
    name = type(error).__module__.removeprefix("builtins")
    last = f"{name}{'.' if name else ''}{type(error).__qualname__}: {error}"
    return ActorDiedError(RayTaskError("Learner.__init__", f"Traceback:\n  x\n{last}", error))


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (ValueError("no rank 3"), ActorLost, "rank 0 raised ValueError as it started: no rank 3"),
        (RunError("it hangs"), ActorLost, "rank 0 raised RunError as it started: it hangs"),
        (UsageError("set a: 1"), UsageError, "set a: 1"),
    ],
)
def test_what_a_constructor_raised_is_said(
    error: Exception, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind) as raised, answers_of("rank 0"):
        raise died(error)
    assert str(raised.value) == sentence


def test_a_process_that_ended_is_lost() -> None:
    with (
        pytest.raises(ActorLost, match="the process of learner rank 0 ended"),
        answers_of("learner rank 0"),
    ):
        raise ActorDiedError()
