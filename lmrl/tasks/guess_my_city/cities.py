"""The cities and what is true of them, and a scripted oracle that tells it."""

import re
from collections.abc import Callable
from functools import lru_cache

from lmrl.tasks.assets import read_json
from lmrl.tasks.guess_my_city.city import City, plain, words_of
from lmrl.tasks.guess_my_city.properties import SPELLED, has, mentions, properties
from lmrl.tasks.questions.facts import Facts, shared
from lmrl.tasks.questions.replies import UNKNOWN
from lmrl.tasks.questions.words import listed

SECRET = "I can't tell you that."
_OPEN = re.compile(
    r"(so |and |well |ok(ay)? |please )*(what|which|where|how|who|when|tell|describe|name"
    r"|(can|could|would|will) you (please )?(tell|describe|name|give|say|share)|in what|in which"
    r"|on which|on what|(do|can|could) you have any|give|for what|near which|near what)\b"
)


def people(thousands: float) -> str:
    """Return how many people live in a city, roughly."""
    for limit, text in ((8000, "more than 8 million"), (5000, "5 to 8 million")):
        if thousands >= limit:
            return text
    return "3 to 5 million" if thousands >= 3000 else "2 to 3 million"


class Cities(Facts):
    """The cities and what is true of them, and a scripted oracle that tells it.

    Attributes:
        cities: rows of the table.
        countries: names of countries as they may follow a city's name in a guess.
        topics: topics of open questions, each with its pattern; the first that fits is answered.
        ask: first wording of a question that a player may ask -> all of its wordings.
        told: question -> its answers, each with the set of cities that get it.
    """

    def __init__(self) -> None:
        facts = read_json("guess_my_city.json")
        self.cities: list[City] = []
        for row in facts["cities"]:
            name, country, thousands, flags, climate, known_for, *aliases = row.split("; ")
            self.cities.append(
                City(
                    name,
                    country,
                    float(thousands),
                    frozenset(flags.split()),
                    climate,
                    known_for,
                    tuple(listed(aliases[0])) if aliases else (),
                    *facts["countries"][country].split("; "),
                )
            )
        super().__init__(
            [city.name for city in self.cities],
            [city.published for city in self.cities],
            [city.thousands for city in self.cities],
            " ".join(facts["fillers"]),
            facts["preamble"],
        )
        self.countries = {words_of(city.country) for city in self.cities}
        self.countries |= {"united states", "england", "united kingdom", "america", "taiwan"}
        for number, city in enumerate(self.cities):
            self.add_names(
                number, {words_of(name) for name in (city.name, *city.aliases)}, wins=True
            )
        self.topics = [(topic, re.compile(pattern)) for topic, pattern in facts["topics"]]
        self.ask: dict[str, list[str]] = {}
        for means, described in facts["knowledge"].items():
            self.add_property(*self.truth(means, described))
        for found in properties(self.cities):
            unsure = 0 if found.unsure is None else self._which(found.unsure)
            self.add_property(self._which(found.holds), found.means, unsure)
            if found.ask:
                self.ask[found.ask[0]] = list(found.ask)
        for line in facts["open questions"]:
            questions = [question.strip() for question in line.split("|")]
            self.ask[questions[0]] = questions
        self.told = lru_cache(4096)(self._told)

    def entry(self, name: str) -> tuple[int, int]:
        """Return the cities of a country (`=China`), a continent (`^Asia`) or a climate (`'dry'`).

        Anything else is a city or `*`.
        """
        if name[0] == "=":
            return self._which(has("country", name[1:])), 0
        if name[0] == "^":
            return self._which(has("continent", name[1:])), 0
        if name[0] == "'":
            return self._which(mentions("climate", name.strip("'"))), 0
        return super().entry(name)

    def _which(self, holds: Callable[[City], bool]) -> int:
        return sum(1 << number for number, city in enumerate(self.cities) if holds(city))

    def answer(self, number: int, question: str) -> str:
        """Return what the oracle says about city `number`."""
        text = re.sub(r"\d+", lambda m: SPELLED.get(int(m[0][:4]), "?"), plain(question))
        wanted = _OPEN.match(text)
        if not wanted:
            given = self.judgement(number, self.without_country(text))
            if given is not None:
                return given
        for topic, pattern in self.topics:
            if wanted and pattern.search(text):
                return self._sentence(self.cities[number], topic)
        return UNKNOWN

    def without_country(self, text: str) -> str:
        """Return a guess (`is it seoul, south korea`) without the country after the name."""
        text = " ".join(re.findall("[a-z?]+", text)).rstrip("? ")
        for country in self.countries:
            if text.endswith(" " + country):
                rest = text.removesuffix(country).rstrip().removesuffix(" in")
                if self.named(rest.split(), self.names):
                    return rest
        return text

    def _sentence(self, city: City, topic: str) -> str:
        if topic == "water":
            near = [w for w in ("coast", "lake") if w in city.flags]
            return (
                f"It is on {'the' if 'coast' in near else 'a'} {near[0]}."
                if near
                else ("It is an inland city.")
            )
        return {
            "letter": f"Its name begins with {city.name[0]}.",
            "hemisphere": f"It is in the {'south' if city.southern else 'north'}ern hemisphere.",
            "continent": f"It is in {city.continent}.",
            "language": f"Most people there speak {city.language}.",
            "currency": f"People pay with {city.currency}.",
            "food": f"People like to eat {city.food}.",
            "climate": f"It has {city.climate}.",
            "people": f"It has {people(city.thousands)} people.",
            "known for": f"It is known for {city.known_for}.",
            "secret": SECRET,
            "capital": f"It is {'a' if 'capital' in city.flags else 'not a'} national capital.",
            "region": f"It is in {city.region}.",
        }[topic]

    def guessed(self, number: int, question: str) -> bool:
        """Return whether a question claims that `number` is the hidden city."""
        return self.wins(number, self.without_country(plain(question)))

    def masked(self, number: int, text: str) -> str:
        """Return a text without the names of a city and its country."""
        city = self.cities[number]
        for name in sorted((city.name, *city.aliases, city.country), key=len, reverse=True):
            text = re.sub(rf"(?i)(?<!\w){re.escape(name)}(?!\w)", "***", text)
        return text

    def _told(self, question: str) -> dict[str, int]:
        """Return the answers to a question, each with the cities that get it."""
        answers: dict[str, int] = {}
        for number in range(len(self.cities)):
            given = self.masked(number, self.answer(number, question))
            answers[given] = answers.get(given, 0) | 1 << number
        return answers


def cities() -> Cities:
    """Return the table, read once per process."""
    return shared(Cities)
