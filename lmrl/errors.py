"""The errors that a user can cause, and so can mend.

Everything below the command line raises one of these for bad input, with the offending value and
the remedy in the message; `lmrl` prints the sentence and exits with code 2.
"""

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """Bad input that was noticed before anything expensive started."""


class DataError(UsageError):
    """A data file that is missing, cut off, or not ours."""


class RunError(RuntimeError):
    """A run that had to stop: what failed, where, and what can be done."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that is not in `known`, with the nearest known one."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return UsageError(f"{kind} '{name}' is unknown; {hint}known: {', '.join(known)}")
