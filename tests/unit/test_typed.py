"""Values of fields from texts and from JSON."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pytest

from lmrl.fields.attributes import entries, first_sentence
from lmrl.fields.typed import Mismatch, convert, expected, read
from lmrl.limits import COUNT, SHARE


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("no", str, "no"),
        ("10", str, "10"),
        ("null", str, "null"),
        ("null", str | None, None),
        ("10", str | None, "10"),
        ("", str, ""),
        ("10", int, 10),
        ("-3", int, -3),
        ("10", float, 10.0),
        ("3e-4", float, 3e-4),
        ("10", int | float, 10),
        ("1.5", int | float | None, 1.5),
        ("true", bool, True),
        ("1", Literal[0, 1, 2], 1),
        ("cuda", Literal["cpu", "cuda"], "cuda"),
        ("null", Literal["a"] | None, None),
        ("[0.9, 1]", tuple[float, float], (0.9, 1.0)),
        ("[]", tuple[int, ...], ()),
        ('["10", "no"]', list[str], ["10", "no"]),
        ("[1, 2]", Sequence[int] | None, [1, 2]),
        ('{"a": "no"}', dict[str, Any], {"a": "no"}),
        ("10", Any, 10),
        ("no", Any, "no"),
        ('"10"', Any, "10"),
        ("0.5", Annotated[float, SHARE], 0.5),
    ],
)
def test_a_text_is_read_as_its_field_says(text: str, hint: Any, value: object) -> None:
    found = read(text, hint)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "hint", "words"),
    [
        ("many", int, "a whole number"),
        ("1.5", Annotated[int, COUNT], "a whole number above 0"),
        ("true", int, "a whole number"),
        ("", float, "a number"),
        ("no", bool, "true or false"),
        ("1", bool, "true or false"),
        ("null", bool, "true or false"),
        ("7", Literal[0, 1], "one of 0, 1"),
        ("0.9", tuple[float, float], "2 values in brackets"),
        ("[0.9]", tuple[float, float], "2 values in brackets"),
        ('["a"]', list[int], "values in brackets"),
        ("[1]", dict[str, int], "a JSON object"),
        ("x", Annotated[float | None, SHARE], "a number at least 0 and at most 1 or null"),
    ],
)
def test_another_text_is_refused_with_what_fits(text: str, hint: Any, words: str) -> None:
    with pytest.raises(Mismatch, match=f"^give {words}".replace("[", r"\[")):
        read(text, hint)


def test_json_values_keep_their_types() -> None:
    assert convert([1, 2], tuple[float, float]) == (1.0, 2.0)
    for value, hint in ((True, int), (1, bool), (1, str), ("1", int), (1.0, int), (None, int)):
        with pytest.raises(Mismatch):
            convert(value, hint)


def test_ranges_and_unions_are_words() -> None:
    assert expected(Annotated[int, COUNT]) == "a whole number above 0"
    assert expected(int | float) == "a number"
    assert expected(dict[str, Any]) == "a JSON object"


class Base:
    """Something.

    It has two paragraphs.

    Attributes:
        one: the first, which is
            continued.
        two, three: the others.

    Raises:
        four: not an attribute.
    """


class Derived(Base):
    """A derived thing
    on two lines.

    Args:
        one: another text: with a colon.
    """


def test_texts_come_from_docstrings_of_all_bases() -> None:
    assert entries(Base) == {
        "one": "the first, which is continued.",
        "two": "the others.",
        "three": "the others.",
    }
    assert entries(Derived)["one"] == "another text: with a colon."
    assert entries(Derived)["three"] == "the others."
    assert first_sentence(Derived) == "A derived thing on two lines."
