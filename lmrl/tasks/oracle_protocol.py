"""Who answers for a task: a callable from a prompt to a reply.

It may be a scripted oracle, a language model or a function in a test.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from lmrl.errors import UsageError

LONGEST_QUESTION = 400
"""Characters of a question that anybody reads; the published oracle read 124 tokens."""
Ask = Callable[[str], str]


@runtime_checkable
class Oracle(Protocol):
    """Answers a prompt; `name` and `version` are recorded in every episode."""

    @property
    def name(self) -> str:
        """Who answers."""
        ...

    @property
    def version(self) -> str:
        """Which one of that name."""
        ...

    def __call__(self, prompt: str, /) -> str:
        """Return the reply to a prompt."""
        ...


@dataclass(frozen=True)
class CallableOracle:
    """An oracle made of any callable."""

    ask: Ask
    name: str
    version: str = ""

    def __call__(self, prompt: str, /) -> str:
        """Return the reply to a prompt."""
        return self.ask(prompt)


def as_oracle(given: Any, task: str) -> Oracle:
    """Return what was given for the option `oracle` of a task as an oracle.

    Raises:
        UsageError: if it cannot be called.
    """
    if isinstance(given, Oracle):
        return given
    if not callable(given):
        raise UsageError(
            f"{task} option oracle is {given!r}; give a callable from a prompt to a reply"
        )
    return CallableOracle(given, name=getattr(given, "__name__", type(given).__name__))


def one_line(text: str) -> str:
    """Return a question as an oracle reads it: one line of at most `LONGEST_QUESTION` letters."""
    return " ".join(text[: 4 * LONGEST_QUESTION].split())[:LONGEST_QUESTION]
