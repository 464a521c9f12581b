"""What the scripted oracle tells when a question is open.

Every answer is a category that many cities share, so that no question tells most cities apart: what
few have in common is told together with others (`Spanish or Portuguese`). The yes/no questions of
the table are exact.
"""

import re
from collections.abc import Mapping, Sequence

from lmrl.tasks.guess_my_city.city import City
from lmrl.tasks.questions.words import listed

SECRET = "I can't tell you that."
LARGE = 5000
"""Thousands of inhabitants from which a city counts as one of the largest."""
NOT_KNOWN = "-"
"""Value of a column of the table that says nothing."""
_OCEANS = {
    "pacific": "the Pacific or one of its seas",
    "atlantic": "the Atlantic or one of its seas",
    "indian": "the Indian Ocean or one of its seas",
}
_AGES = {
    "ancient": "It has been a city for many centuries.",
    "old": "It has been a city for many centuries.",
    "young": "It is young for a city: at most 300 years old.",
}
_COMPARED = re.compile(r"\bor\b")


def either(names: Sequence[str]) -> str:
    """Return names joined by commas and an `or`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


class OpenAnswers:
    """Answers to open questions, one of a few for each topic.

    Args:
        topics: topics, each with its pattern; the first that fits is answered.
        together: `language` or `currency` -> lists of values that are told together.
        regions: region -> how it is told.
    """

    def __init__(
        self,
        topics: Sequence[tuple[str, str]],
        together: Mapping[str, Sequence[str]],
        regions: Mapping[str, str],
    ) -> None:
        self.topics = [(topic, re.compile(pattern)) for topic, pattern in topics]
        self.told = {
            kind: {value: either(values) for values in map(listed, lines) for value in values}
            for kind, lines in together.items()
        }
        self.regions = regions

    def answer(self, city: City, question: str) -> str | None:
        """Return the answer to an open question in lower case; None if its topic is unknown."""
        for topic, pattern in self.topics:
            if pattern.search(question):
                return self.sentence(city, topic)
        return None

    def sentence(self, city: City, topic: str) -> str | None:
        """Return what is told about a topic; None if it is unknown."""
        if topic in ("religion", "sport") and getattr(city, topic) == NOT_KNOWN:
            return None
        return {
            "nothing": None,
            "letter": SECRET,
            "secret": SECRET,
            "hemisphere": f"It is in the {'south' if city.southern else 'north'}ern hemisphere.",
            "continent": f"It is in {city.continent}.",
            "part": f"It is in the {city.part} of its continent.",
            "region": f"It is in {self.regions[city.region]}.",
            "language": f"Most people there speak {self._shared('language', city.language)}.",
            "currency": f"People pay with {self._shared('currency', city.currency)}.",
            "food": f"People like to eat {city.food}.",
            "religion": f"The main religion there is {city.religion}.",
            "sport": f"The favorite sport there is {city.sport}.",
            "alphabet": f"People there write with {city.script}.",
            "climate": f"It has {_weather(city.climate)}.",
            "people": (
                f"It has {'more than 5' if city.thousands >= LARGE else '2 to 5'} million people."
            ),
            "known for": f"It is known for {city.known_for}.",
            "water": (
                "It lies by the sea or a large lake."
                if {"coast", "lake"} & city.flags
                else "It is an inland city."
            ),
            "ocean": _ocean(city),
            "river": "A large river runs through it." if "river" in city.flags else None,
            "age": next((_AGES[flag] for flag in _AGES if flag in city.flags), None),
            "altitude": f"It {'lies' if 'high' in city.flags else 'does not lie'} high.",
            "capital": f"It is {'a' if 'capital' in city.flags else 'not a'} national capital.",
        }[topic]

    def _shared(self, kind: str, value: str) -> str:
        return self.told[kind].get(value, value)


def _weather(climate: str) -> str:
    if climate.startswith("hot summers"):
        return "hot summers and cool winters: four seasons"
    if climate.startswith("cold"):
        return "warm summers and cold winters: four seasons"
    return climate if climate.startswith("mild") else "hot weather for most of the year"


def _ocean(city: City) -> str:
    for ocean, named in _OCEANS.items():
        if ocean in city.flags:
            return f"It is near {named}."
    return "No ocean is close."
