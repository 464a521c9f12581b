"""Read values of annotated fields, from texts of a command line and from JSON.

The rules are those of JSON, guided by the field's type: a field of text takes every text as it is,
so `no` and `10` stay texts; a number is written as a number, a choice as its name, an absent value
as `null`, and a tuple or dictionary as JSON.
"""

import json
import types
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal

from lmrl.errors import UsageError
from lmrl.limits import Range

NONE = type(None)
_SEQUENCES = (tuple, list, Sequence)
_MAPPINGS = (dict, Mapping)


class Mismatch(ValueError):
    """A value that does not have the type of its field."""


def read(text: str, hint: Any) -> Any:
    """Return the value that a text of a command line stands for.

    Args:
        text: the text.
        hint: type of the field, with annotations or without.

    Raises:
        Mismatch: if the text does not stand for a value of this type.
    """
    kinds = members(plain(hint))
    if NONE in kinds and text == "null":
        return None
    if str in kinds and not _others(kinds):
        return text
    for kind in _others(kinds):
        if typing.get_origin(kind) is Literal:
            for choice in typing.get_args(kind):
                if text == str(choice):
                    return choice
    if float in kinds:
        with suppress(ValueError):
            return int(text) if int in kinds and text.lstrip("+-").isdigit() else float(text)
    try:
        return convert(json.loads(text), hint)
    except ValueError as error:  # also Mismatch
        if str in kinds or Any in kinds:
            return text
        raise Mismatch(f"give {expected(hint)}") from error


def convert(value: Any, hint: Any) -> Any:
    """Return a JSON value as a value of a type: a list becomes a tuple, a whole number a float.

    Args:
        value: value from JSON.
        hint: type of the field, with annotations or without.

    Raises:
        Mismatch: if the value does not have this type.
    """
    for kind in members(plain(hint)):
        try:
            return _as(value, kind)
        except Mismatch:
            continue
    raise Mismatch(f"give {expected(hint)}")


def _as(value: Any, kind: Any) -> Any:
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if kind is Any:
        return value
    if origin is Literal:
        for choice in arguments:
            if value == choice and type(value) is type(choice):
                return choice
    elif kind is float and type(value) in (int, float):
        return float(value)
    elif kind is Path and isinstance(value, str):
        return Path(value)
    elif origin in _SEQUENCES and isinstance(value, list | tuple):
        return _sequence(value, origin, arguments)
    elif (origin in _MAPPINGS and isinstance(value, dict)) or type(value) is kind:
        return value
    raise Mismatch


def _sequence(value: Sequence[Any], origin: Any, kinds: tuple[Any, ...]) -> Any:
    if origin is tuple and kinds and kinds[-1] is not Ellipsis:
        if len(value) != len(kinds):
            raise Mismatch
        return tuple(convert(item, kind) for item, kind in zip(value, kinds, strict=True))
    items = [convert(item, kinds[0] if kinds else Any) for item in value]
    return tuple(items) if origin is tuple else items


def plain(hint: Any) -> Any:
    """Return a type without its annotations."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def members(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union; any other type is its own only member."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def _others(kinds: Sequence[Any]) -> list[Any]:
    return [kind for kind in kinds if kind not in (str, NONE)]


def expected(hint: Any, ranges: Sequence[Range] = ()) -> str:
    """Return words for the values that a field takes, like "a whole number above 0, or null".

    Args:
        hint: type of the field, with annotations or without.
        ranges: ranges of its numbers; those in the annotations come on top.
    """
    if typing.get_origin(hint) is typing.Annotated:
        ranges = [*ranges, *(a for a in hint.__metadata__ if isinstance(a, Range))]
    kinds = members(plain(hint))
    words = [_words(kind, ranges) for kind in kinds if kind is not NONE]
    # An int is a float: "a whole number or a number" says no more than "a number".
    if float in kinds and int in kinds:
        words.remove(_words(int, ranges))
    return " or ".join(words + (["null"] if NONE in kinds else []))


def _words(kind: Any, ranges: Sequence[Range]) -> str:
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    limits = "".join(f" {limit.words}" for limit in ranges if limit.words)
    if kind is bool:
        return "true or false"
    if kind is int:
        return f"a whole number{limits}"
    if kind is float:
        return f"a number{limits}"
    if kind in (str, Path):
        return "a text" if kind is str else "a path"
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in arguments)
    if origin in _SEQUENCES:
        fixed = origin is tuple and arguments and arguments[-1] is not Ellipsis
        count = f"{len(arguments)} values" if fixed else "values"
        return f"{count} in brackets, like [{_example(arguments if fixed else arguments[:1] * 2)}]"
    if origin in _MAPPINGS or (isinstance(kind, type) and is_dataclass(kind)):
        return "a JSON object"
    return "a JSON value"


def _example(kinds: Sequence[Any]) -> str:
    return ", ".join(
        "0" if int in members(kind) or float in members(kind) else '"a"' for kind in kinds or (int,)
    )


def reject(name: str, value: Any, remedy: str) -> UsageError:
    """Return the error for a value that a field does not take.

    Args:
        name: name of the field or option.
        value: value that was given.
        remedy: what to give instead.
    """
    return UsageError(f"{name} is {value!r}; {remedy}")
