"""A person at a terminal: questions, answers, and the time between them."""

import re
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
Ask = Callable[[str], str]
"""Shows a prompt and returns a typed line; raises EOFError at the end of the input."""
Tell = Callable[[str], None]
"""Shows a text."""

_UNDECODED = re.compile(r"[\ud800-\udfff]")
"""Byte of the input that is no UTF-8, as Python reads it in some locales; no file can store it."""

HUMAN = "human"
"""Name of a person among policies and oracles."""


class Refused(ValueError):
    """A typed line cannot be used; the message says what can."""


class Person:
    """A person at a terminal whose answers are timed.

    Args:
        ask: function that shows a prompt and returns a typed line.
        tell: function that shows a text.
        clock: function that returns the time in seconds.

    Attributes:
        seconds: seconds from each question to its answer, since the last `forget`.
        refused: number of refused lines before each answer, since the last `forget`.
    """

    def __init__(self, ask: Ask, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        self.ask, self.tell, self.clock = ask, tell, clock
        self.forget()

    def forget(self) -> None:
        """Empty the record of answers."""
        self.seconds: list[float] = []
        self.refused: list[int] = []

    def answer(self, prompt: str, read: Callable[[str], T]) -> T:
        """Ask until a line can be used, and return what it means.

        Args:
            prompt: text before the input.
            read: function from a line to its meaning; raises `Refused` for a line without one.

        Raises:
            EOFError: if the person ends the input.
        """
        began = self.clock()
        refused = 0
        while True:
            try:
                line = self.ask(prompt)
                if _UNDECODED.search(line):
                    raise Refused("Some characters could not be read; please type the line again.")
                found = read(line)
            except Refused as error:
                self.tell(str(error))
                refused += 1
                continue
            self.seconds.append(round(self.clock() - began, 3))
            self.refused.append(refused)
            return found
