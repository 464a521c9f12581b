"""The cities and what is true of them, and a scripted oracle that tells it."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from lmrl.tasks.assets import read_json
from lmrl.tasks.guess_my_city.city import City, plain, words_of
from lmrl.tasks.guess_my_city.open_answers import OpenAnswers
from lmrl.tasks.guess_my_city.properties import SPELLED, has, mentions, properties
from lmrl.tasks.questions.facts import Facts, shared
from lmrl.tasks.questions.replies import UNKNOWN
from lmrl.tasks.questions.words import listed

_OPEN = re.compile(
    r"(so |and |well |ok(ay)? |please |then |hmm )*(what|which|where|how|who|when|why|whose|tell"
    r"|describe|name|(can|could|would|will) you (please )?(tell|describe|name|give|say|share)"
    r"|(in|on|at|by|for|near|to|from|with|of) (what|which|whose)|(do|can|could) you have any|give"
    r"|whats|wheres|hows|i (want|would like) to know (what|which|where|how))\b"
)


_CHOICE = re.compile(
    r"(?P<before>(?:is|does|do|are|would|has) .*?)"
    r"(?P<first>(?:(?:in|on|near|by|a|an|the|at) )*[a-z]+) or (?P<second>(?:[a-z]+ ?){1,4})\W*"
)
_ORDINALS = {
    "16": "sixteenth",
    "17": "seventeenth",
    "18": "eighteenth",
    "19": "nineteenth",
    "20": "twentieth",
    "21": "twentyfirst",
}
_PREPOSITION = re.compile(r"^(?:(?:in|on|near|by|a|an|the|at|more) )+")


class Cities(Facts):
    """The cities and what is true of them, and a scripted oracle that tells it.

    Attributes:
        cities: rows of the table.
        countries: names of countries as they may follow a city's name in a guess.
        open_answers: what it tells when a question is open.
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
        self.cities = [replace(city, **facts["own"].get(city.name, {})) for city in self.cities]
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
        self.add_unknown_names(
            words_of(name) for line in facts["other cities"] for name in listed(line)
        )
        self.open_answers = OpenAnswers(
            facts["topics"], facts["told together"], facts["regions together"]
        )
        self.ask: dict[str, list[str]] = {}
        for means, described in facts["knowledge"].items():
            self.add_property(*self.truth(means, described))
        for found in properties(self.cities):
            unsure = 0 if found.unsure is None else self._which(found.unsure)
            self.add_property(self._which(found.holds), found.means, unsure)
            if found.ask:
                self.ask[found.ask[0]] = list(found.ask)
        self.add_property(0, facts["other countries"])
        for line in facts["open questions"]:
            questions = [question.strip() for question in line.split("|")]
            self.ask[questions[0]] = questions
        self.told = lru_cache(4096)(self._told)

    def entry(self, name: str) -> tuple[int, int]:
        """Return the cities of an entry of a description.

        They are those of a country (`=China`), a continent (`^Asia`), a climate (`'dry'`) or a flag
        (`#river`), or those with so many million people (`#m5`). Anything else is a city or `*`.
        """
        if name[0] == "=":
            return self._which(has("country", name[1:])), 0
        if name[0] == "^":
            return self._which(has("continent", name[1:])), 0
        if name[0] == "'":
            return self._which(mentions("climate", name.strip("'"))), 0
        if name[:2] == "#m":
            millions = int(name[2:])
            return self._which(lambda city: city.thousands >= 1000 * millions), 0
        if name[0] == "#":
            return self._which(lambda city: name[1:] in city.flags), 0
        return super().entry(name)

    def _which(self, holds: Callable[[City], bool]) -> int:
        return sum(1 << number for number, city in enumerate(self.cities) if holds(city))

    def answer(self, number: int, question: str) -> str:
        """Return what the oracle says about city `number`."""
        text = _in_words(question)
        if _OPEN.match(text):
            return self.open_answers.answer(self.cities[number], text) or UNKNOWN
        chosen = self._choice(number, text)
        if chosen is not None:
            return chosen
        return self.judgement(number, self.without_country(text)) or UNKNOWN

    def _choice(self, number: int, text: str) -> str | None:
        """Return which side of `Is it hot or cold?` holds; None if a question offers no choice."""
        found = _CHOICE.fullmatch(text)
        if found is None:
            return None
        sides = [found["first"], found["second"]]
        truths = [
            truth
            for side in sides
            if (truth := self.evaluate(f"{found['before']} {side}")) is not None
        ]
        if len(truths) < 2 or truths[0][0] & truths[1][0]:
            return None
        bit = 1 << number
        for side, (sure, _), (_, maybe) in zip(sides, truths, truths[::-1], strict=True):
            if sure & bit and not maybe & bit and self.masked(number, side) == side:
                return _PREPOSITION.sub("", side).strip().title() + "."
        return None

    def without_country(self, text: str) -> str:
        """Return a guess (`is it seoul, south korea`) without the country after the name."""
        text = " ".join(re.findall("[a-z?']+", text)).rstrip("? ")
        for country in self.countries:
            if text.endswith(" " + country):
                rest = text.removesuffix(country).rstrip().removesuffix(" in")
                if self.named(rest.split(), self.names):
                    return rest
        return text

    def guessed(self, number: int, question: str) -> bool:
        """Return whether a question claims that `number` is the hidden city."""
        return self.wins(number, self.without_country(_in_words(question)))

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


def _in_words(question: str) -> str:
    """Return a question in lower case, without accents, with numbers of millions in words."""
    text = plain(question).replace("’", "'")
    text = re.sub(r"\b(\d\d)(?:st|nd|rd|th)\b", lambda m: _ORDINALS.get(m[1], "?"), text)
    return re.sub(r"\d+", lambda m: SPELLED.get(int(m[0][:4]), "?"), text)


def cities() -> Cities:
    """Return the table, read once per process."""
    return shared(Cities)
