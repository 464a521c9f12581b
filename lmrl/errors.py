"""The errors that a user can cause, and so can mend.

Everything below the command line raises one of these for bad input, with the offending value and
the remedy in the message; `lmrl` prints the sentence and exits with code 2.
"""

import difflib
import errno
import re
from collections.abc import Iterable


class UsageError(ValueError):
    """Bad input that was noticed before anything expensive started."""


class DataError(UsageError):
    """A data file that is missing, cut off, or not ours."""


class RunError(RuntimeError):
    """A run that had to stop: what failed, where, and what can be done."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM or SIGUSR1."""


class OutOfTime(Exception):
    """The limit of time that a run was given is over."""


FULL = re.compile(
    r"no space left on device|file too large|disk quota exceeded|os error (28|27|122)\b"
    r"|PytorchStreamWriter failed|inline_container\.cc:\d+\] \. unexpected pos|iostream error",
    re.IGNORECASE,
)
"""Messages of libraries that lose the error number when a file cannot be written to its end."""


def disk_full(error: BaseException | None) -> str:
    """Return a sentence if an error, or what caused it, is a full disk; else an empty text."""
    while error is not None:
        number = error.errno if isinstance(error, OSError) else None
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or FULL.search(str(error)):
            name = error.filename if isinstance(error, OSError) else None
            return (
                f"the disk is full, or a limit on files is reached: {name or 'a file'} could not "
                "be written to its end; free some space or choose another folder. A training run "
                "goes on with --resume"
            )
        error = error.__cause__ or error.__context__
    return ""


def option(name: str) -> str:
    """Return how a field is written on the command line: `--save-every` for `save_every`."""
    return "--" + name.replace("_", "-")


def nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """Return "; did you mean 'X'?" with the name nearest to an unknown one; empty without one.

    Args:
        name: name that is unknown.
        known: known names.
        cutoff: smallest similarity of a name, between 0 and 1.
    """
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)
    return f"; did you mean '{near[0]}'?" if near else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that is not in `known`, with the nearest known one."""
    known = sorted(known)
    hint = nearest(name, known, cutoff=0.4).removeprefix("; ")
    return UsageError(
        f"{kind} '{name}' is unknown; {hint}{' ' if hint else ''}known: {', '.join(known)}"
    )
