"""What a field of a configuration may hold, said in its annotation and checked in one place.

    gamma: Annotated[float, SHARE] = 0.99
    kl_horizon: Annotated[float, POSITIVE, Used("algorithm.kl_target")] = 10_000.0

A new field needs its annotation only.
"""

import math
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Any

from lmrl.errors import UsageError


@dataclass(frozen=True)
class Range:
    """The numbers that a field may hold; None is always allowed where the type has it.

    Attributes:
        low, high: bounds, themselves allowed.
        above, below: bounds, themselves not allowed.
        ordered: whether a tuple has to ascend.
    """

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    ordered: bool = False

    def holds(self, value: float) -> bool:
        """Return whether a number is allowed; one that is not finite never is."""
        inside = self.low <= value <= self.high and self.above < value < self.below
        return math.isfinite(value) and inside

    @property
    def words(self) -> str:
        """Bounds in words, like "above 0 and below 1"; empty without a bound."""
        parts = [
            f"{words} {bound:g}"
            for words, bound in (
                ("at least", self.low),
                ("above", self.above),
                ("at most", self.high),
                ("below", self.below),
            )
            if math.isfinite(bound)
        ]
        return " and ".join(parts)

    def __str__(self) -> str:
        return self.words or "a finite number"


@dataclass(frozen=True)
class Used:
    """When a field has an effect.

    Attributes:
        by: dotted name of a field or property of the root; the field is used if that one is set
            (neither None, 0, False nor empty). With `not ` before it, if it is not set.
        where: words for that, after "it is used only"; without them `by` is named.
    """

    by: str
    where: str = ""

    def holds(self, root: Any) -> bool:
        """Return whether the field has an effect in a configuration."""
        name = self.by.removeprefix("not ")
        try:
            there = bool(attrgetter(name)(root))
        except AttributeError:  # another algorithm, which has no such field
            there = False
        return there != self.by.startswith("not ")

    def __str__(self) -> str:
        name = self.by.removeprefix("not ")
        return self.where or (f"without {name}" if name != self.by else f"with {name}")


ANY = Range()
POSITIVE = Range(above=0.0)
NOT_NEGATIVE = Range(low=0.0)
COUNT = Range(above=0)
SHARE = Range(low=0.0, high=1.0)
SEED = Range(low=0, high=2**31 - 1)
BOUNDS = Range(ordered=True)
"""A lower and an upper bound."""


def leaves(
    value: Any, prefix: str = "", inherited: tuple[Any, ...] = ()
) -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """Yield the dotted name, value and annotations of each field of nested dataclasses.

    Args:
        value: a dataclass.
        prefix: of the names.
        inherited: annotations of the field that holds `value`, which its fields have too.
    """
    hints = typing.get_type_hints(type(value), include_extras=True)
    for field in fields(value):
        inner = getattr(value, field.name)
        name = prefix + field.name
        annotations = inherited + getattr(hints[field.name], "__metadata__", ())
        if is_dataclass(inner):
            yield from leaves(inner, f"{name}.", annotations)
        else:
            yield name, inner, annotations


def check_ranges(root: Any) -> None:
    """Refuse a field whose number lies outside of its range.

    Raises:
        UsageError: with the field, its value and the range.
    """
    for name, value, annotations in leaves(root):
        check_range(name, value, annotations)


def check_range(name: str, value: Any, annotations: Iterable[Any]) -> None:
    """Refuse a number, or numbers, outside of the ranges among some annotations.

    Args:
        name: name of the field or option.
        value: value of the field; only numbers and sequences of numbers are looked at.
        annotations: annotations of its type; without a `Range` any finite number is allowed.

    Raises:
        UsageError: with the name, the value and the range.
    """
    items = value if isinstance(value, tuple | list) else (value,)
    numbers = [item for item in items if type(item) in (int, float)]
    for limit in [a for a in annotations if isinstance(a, Range)] or [ANY]:
        for number in numbers:
            if not limit.holds(number):
                raise UsageError(f"{name} is {number:g}; it has to be {limit}")
        if limit.ordered and any(a >= b for a, b in pairwise(numbers)):
            shown = ", ".join(f"{number:g}" for number in numbers)
            raise UsageError(f"{name} is {shown}; give the lower one first")


def check_used(base: Any, root: Any) -> None:
    """Refuse a field that was changed and has no effect.

    Args:
        base: the configuration before the change.
        root: the one after it.

    Raises:
        UsageError: with the field and what it is used with.
    """
    before = {name: value for name, value, _ in leaves(base)}
    for name, value, annotations in leaves(root):
        for used in (a for a in annotations if isinstance(a, Used)):
            if value != before.get(name, value) and not used.holds(root):
                raise UsageError(
                    f"{name} was set to {value} and has no effect here; it is used only {used}. "
                    "Leave it out"
                )
