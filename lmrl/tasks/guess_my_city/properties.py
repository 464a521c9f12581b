"""The properties of cities that the scripted oracle knows, and how a player asks for them."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from lmrl.tasks.guess_my_city.city import City, words_of

_LARGE = {12: "twelve", 15: "fifteen", 20: "twenty", 25: "twentyfive", 30: "thirty", 40: "forty"}
"""Millions that no city of the table has; with its surroundings one may have three times more."""
_NUMBERS = dict(
    zip(range(1, 11), "one two three four five six seven eight nine ten".split(), strict=True)  # noqa: SIM905
)
SPELLED = _NUMBERS | _LARGE
"""Numbers of millions in words."""


def has(field: str, value: str) -> Callable[[City], bool]:
    """Return a test for a city whose field `field` has a value."""
    return lambda city: bool(getattr(city, field) == value)


def mentions(field: str, word: str) -> Callable[[City], bool]:
    """Return a test for a city whose field `field` has a word in it."""
    return lambda city: word in getattr(city, field)


class Property(NamedTuple):
    """A property of cities.

    Attributes:
        holds: whether a city has it.
        means: phrases that mean it, as `questions.words.spelled` reads them.
        ask: questions for it; empty where no player asks.
        unsure: whether nobody can say if a city has it.
    """

    holds: Callable[[City], bool]
    means: str
    ask: tuple[str, ...] = ()
    unsure: Callable[[City], bool] | None = None


def properties(cities: Sequence[City]) -> Iterator[Property]:
    """Yield the properties of a table of cities; of equal phrases the first one counts."""
    yield from _of_places(cities)
    yield from _of_life(cities)
    yield from _of_letters(cities)
    yield from _of_population()
    yield from _of_location()
    yield from _of_size_and_weather()


def _of_places(cities: Sequence[City]) -> Iterator[Property]:
    adjectives = {"Asia": "asian", "Europe": "european", "Africa": "african"}
    for value in sorted({city.continent for city in cities}):
        means = f"{words_of(value)}, {adjectives.get(value, words_of(value) + 'n')}"
        ask = (f"Is it in {value}?", f"Is your city in {value}?")
        yield Property(has("continent", value), means, ask)
    americas = ("South America", "North America")
    yield Property(lambda city: city.continent in americas, "americas, american continent")
    for value in sorted({city.region for city in cities}):
        ask = (f"Is it in {value}?", f"Does it lie in {value}?")
        yield Property(has("region", value), words_of(value), ask)
    for value in sorted({w for c in cities for w in re.findall("[A-Z]\\w+", c.language)}):
        ask = (f"Is {value} the main language there?", f"Is the main language {value}?")
        low = value.lower()
        means = f"{low}, {low} main language, main language {low}"
        yield Property(mentions("language", value), means, ask)
    # Singapore is a guess before it is a country.
    for value in sorted({city.country for city in cities} - {city.name for city in cities}):
        yield Property(has("country", value), words_of(value))
    yield Property(lambda c: c.country == "USA", "united states, america, us")
    yield Property(lambda c: c.country == "UK", "united kingdom, england, britain")


def _of_life(cities: Sequence[City]) -> Iterator[Property]:
    for value in sorted({city.currency for city in cities}):
        ask = (f"Is the currency {value}?", f"Do you pay with {value}?")
        yield Property(has("currency", value), words_of(value), ask)
    for value in sorted({city.climate for city in cities}):
        ask = (f"Does it have {value}?", f"Is it known for {value}?")
        yield Property(has("climate", value), words_of(value), ask)


def _of_letters(cities: Sequence[City]) -> Iterator[Property]:
    for letter in sorted({city.name[0] for city in cities}):
        low = letter.lower()
        ask = (
            f"Does its name begin with the letter {letter}?",
            f"Does it start with {letter}?",
        )
        means = ", ".join(
            f"{verb} with {what}{low}" for verb in ("begin", "start") for what in ("", "letter ")
        )
        yield Property(has("initial", letter), means, ask)


def larger(thousands: float) -> Callable[[City], bool]:
    """Return a test for a city with more people than a number of thousands."""
    return lambda city: city.thousands > thousands


def not_larger(thousands: float) -> Callable[[City], bool]:
    """Return the opposite of `larger`."""
    return lambda city: not city.thousands > thousands


def _of_population() -> Iterator[Property]:
    for number, word in _NUMBERS.items():
        more, less = larger(1000 * number), not_larger(1000 * number)
        means = f"more than {word} million, over {word} million, above {word} million"
        yield Property(more, f"{means}, at least {word} million")
        yield Property(less, means.replace("more", "less").replace("over", "under"))
        yield Property(less, f"below {word} million, fewer than {word} million")
    for number, word in _LARGE.items():
        near, far = larger(1000 * number / 3), not_larger(1000 * number / 3)
        means = f"more than {word} million, over {word} million, above {word} million"
        yield Property(_never, f"{means}, at least {word} million", unsure=near)
        lower = means.replace("more", "less").replace("over", "under").replace("above", "below")
        yield Property(far, f"{lower}, fewer than {word} million", unsure=near)
    for number in (2, 3, 5, 8):
        question = f"Do more than {number} million people live there?"
        yield Property(_never, "", (question, f"Are there more than {number} million people?"))


def _never(city: City) -> bool:
    return False


def _of_location() -> Iterator[Property]:
    yield Property(
        lambda city: "capital" in city.flags,
        "capital, capital city, capital country, national capital, seat government",
        ("Is it a capital?", "Is it the capital of its country?"),
    )
    yield Property(
        lambda city: "coast" in city.flags,
        "coast, coastal, sea, by sea, on sea, near sea, ocean, by ocean, near ocean, on ocean, "
        "seaside, near coast, on coast",
        ("Is it on the coast?", "Is it by the sea?", "Is it near the ocean?"),
    )
    yield Property(lambda city: "coast" not in city.flags, "inland, landlocked")
    yield Property(
        lambda city: bool({"coast", "lake"} & city.flags), "lake, by lake, on lake, near water"
    )
    yield Property(
        lambda city: "high" in city.flags,
        "high, mountains, in mountains, high altitude, mountainous, in hills, hilly",
        ("Does it lie high in the mountains?",),
    )
    yield Property(
        lambda city: city.southern,
        "southern hemisphere, south equator, southern",
        ("Is it in the southern hemisphere?",),
    )
    yield Property(lambda city: not city.southern, "northern hemisphere, north equator, northern")


def _of_size_and_weather() -> Iterator[Property]:
    yield Property(lambda city: city.thousands >= 5000, "big, large, huge, megacity")
    yield Property(lambda city: city.thousands < 5000, "small")
    yield Property(lambda city: "hot" in city.climate.split(), "hot, warm, tropical")
    yield Property(lambda city: city.climate.startswith("cold"), "cold, snow, snowy, cold winter")
    for word in ("humid", "dry", "mild", "monsoon"):
        yield Property(mentions("climate", word), word)
