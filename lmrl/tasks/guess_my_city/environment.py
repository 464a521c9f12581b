"""Guess My City: find out by open questions which of 100 cities somebody is from.

Rules (arXiv 2311.18232, section 4 and appendix C; code of the published benchmark):
- The hidden city is uniform over the 100 most populous cities of a published list.
- An action is a question, of any kind, and a newline. An oracle answers in free text and may not
  say the city or its country unless the city was guessed.
- Reward: 0 for the question that names the city, -1 for any other. Naming it at question k returns
  -(k - 1), never naming it returns -20.
- A question wins if it names the city and the oracle's answer begins with `Yes`.
- Horizon: 20 questions. The twentieth ends the episode by the rules; nothing is cut.
- The policy sees the whole episode.

The published oracle is a fine-tuned FLAN-T5-XL. Ours is scripted unless the option `oracle` names
another: a table (`assets/guess_my_city.json`), the grammar of `grammar.Grammar` for yes/no
questions, and a sentence for each topic of `TOPICS`. It answers `I don't know.` where it does not
understand.

Repaired by default, as published with `faithful=True` (quirks G1 to G4 of the task's sheet):
- A question that claims to know the city wins (`Is it Mumbai?`), aliases and a country after it
  included. Published, the characters of `city,country` are compared with the question's tokens, so
  that no normal guess wins.
- The oracle's text is the answer, on one line of at most 300 characters and with the names of city
  and country masked. Published, it is cut to `Yes.` or `No.`.
- There are 100 cities; published, Seoul is skipped.
- Prompt lines are not indented.
"""

import json
import random
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from lmrl.env import ScoreRange, Wording
from lmrl.tasks.dialogue import Facts, QuestionGame, members, shared, wordings
from lmrl.tasks.grammar import listed
from lmrl.tasks.oracle import (
    UNKNOWN,
    YES,
    city_prompt,
    one_line,
    published_city_is_done,
    published_yes_or_no,
    yes_or_no,
)

FACTS = Path(__file__).parent / "assets" / "guess_my_city.json"
SECRET = "I can't tell you that."
LONGEST_ANSWER = 300

WORDINGS = wordings(
    (r"^I can't tell you that\.", "That I keep to myself."),
    (r"^Its name begins with (.*)\.", r"\1 is the first letter of its name."),
    (r"^Most people there speak (.*)\.", r"What you hear in the streets is \1."),
    (r"^People pay with (.*)\.", r"The money is \1."),
    (r"^People like to eat (.*)\.", r"On the tables there is \1."),
    (r"^It has (.*) people\.", r"As for inhabitants, \1."),
    (r"^It has (.*)\.", r"Expect \1."),
    (r"^It is known for (.*)\.", r"What comes to mind is \1."),
    (r"^It is a national capital\.", "A country is governed from there."),
    (r"^It is not a national capital\.", "No country is governed from there."),
    (r"^It is an inland city\.", "There is no sea and no lake nearby."),
    (r"^It is (in|on) (.*)\.", r"You would find it \1 \2."),
)

TOPICS: tuple[tuple[str, str], ...] = (
    (r"\bletters?\b|begin with|start with", "letter"),
    (r"\bhemisphere\b|\bequator\b", "hemisphere"),
    (r"\bcontinent\b", "continent"),
    (r"\blanguages?\b|\bspeak\b|\bspoken\b|\btongue\b", "language"),
    (r"\bcurrency\b|\bmoney\b|\bpay\b", "currency"),
    (r"\bfoods?\b|\bcuisine\b|\bdish(es)?\b|\beat\b|\bmeals?\b|\brestaurants?\b", "food"),
    (
        r"\bweather\b|\bclimate\b|\btemperatures?\b|\bwinters?\b|\bsummers?\b|\bseasons?\b",
        "climate",
    ),
    (r"\bpopulation\b|\bpopulous\b|how (big|large|many)|\binhabitants\b|\bpeople live\b", "people"),
    (r"\bsea\b|\bocean\b|\bcoast\b|\bwater\b|\bport\b|\briver\b|\bbeach", "water"),
    (
        r"\bfamous\b|\bknown\b|\blandmarks?\b|\battractions?\b|\btourists?\b|\bsights?\b|\bvisit\b"
        r"|\bmonuments?\b|\bculture\b|\bindustr(y|ies)\b|\bspecial\b|\bpopular\b|\bsee\b",
        "known for",
    ),
    (r"\bname\b|what city|which city|(what|which) country|country are you", "secret"),
    (r"\bcapital\b", "capital"),
    (r"\bwhere\b|\bregion\b|\bpart\b|\barea\b|\blocated\b|\blocation\b|\baltitude\b", "region"),
)
"""Topics of open questions, each with a pattern; the first that fits is answered."""

_OPEN = re.compile(
    r"(so |and |well |ok(ay)? |please )*(what|which|where|how|who|when|tell|describe|name"
    r"|(can|could|would|will) you (please )?(tell|describe|name|give|say|share)|in what|in which"
    r"|on which|on what|(do|can|could) you have any|give|for what|near which|near what)\b"
)
_LARGE = {12: "twelve", 15: "fifteen", 20: "twenty", 25: "twentyfive", 30: "thirty", 40: "forty"}
"""Millions that no city of the table has; with its surroundings one may have three times more."""
_NUMBERS = dict(
    zip(range(1, 11), "one two three four five six seven eight nine ten".split(), strict=True)  # noqa: SIM905
)
_SPELLED = _NUMBERS | _LARGE
# Words that mean nothing beside the properties, and that may stand before a city's name.
_FILLERS = """
    city cities town hometown country located situated lie lies live lived lives come speak spoken
    spoken language official famous known popular population inhabitants residents citizens local
    region area continent near close its name letter sit place home large-scale native mother tongue
    climate weather hemisphere century currency money pay mainly tourist attraction landmark
    there inhabitant state nation world begin start first
    is are was were be been being do does did can could would will have has had having get i you we
    our one people person someone everyone many much more most called belong belongs made make use
    uses used find found in on at by with to from into inside within through during when while if
    and where which who what other than like part parts about all both self around up out off s
    somewhere anywhere right main mostly considered day life see seen feature features it be
"""
_PREAMBLE = "city town hometown from come live located do does in place"

_GUESSES = (
    "Is it {}?",
    "Is your city {}?",
    "Is the city {}?",
    "Are you from {}?",
    "Could it be {}?",
)


def plain(text: str) -> str:
    """Return a text in lower case without accents."""
    split = unicodedata.normalize("NFKD", text)
    return "".join(c for c in split if not unicodedata.combining(c)).lower()


def words_of(name: str) -> str:
    """Return a name as it looks in a question cut into words."""
    return " ".join(re.findall("[a-z]+", plain(name)))


@dataclass(frozen=True)
class City:
    """A row of the table."""

    name: str
    country: str
    thousands: float
    flags: frozenset[str]
    climate: str
    known_for: str
    aliases: tuple[str, ...]
    continent: str
    region: str
    language: str
    food: str
    currency: str

    @property
    def published(self) -> str:
        """The published string of the city."""
        return f"{self.name},{self.country}".lower()

    @property
    def initial(self) -> str:
        """The first letter of its name."""
        return self.name[0]

    @property
    def southern(self) -> bool:
        """Whether it lies south of the equator."""
        south = ("Brazil", "Peru", "Chile", "Australia", "Argentina", "Ecuador", "Congo")
        return self.country in south or (self.country == "Indonesia" and self.name != "Medan")


def has(field: str, value: str) -> Callable[[City], bool]:
    """Return a test for a city whose field `field` has a value."""
    return lambda city: bool(getattr(city, field) == value)


def mentions(field: str, word: str) -> Callable[[City], bool]:
    """Return a test for a city whose field `field` has a word in it."""
    return lambda city: word in getattr(city, field)


def people(thousands: float) -> str:
    """Return how many people live in a city, roughly."""
    for limit, text in ((8000, "more than 8 million"), (5000, "5 to 8 million")):
        if thousands >= limit:
            return text
    return "3 to 5 million" if thousands >= 3000 else "2 to 3 million"


class Cities(Facts):
    """The cities and what is true of them, and a scripted oracle that tells it."""

    def __init__(self) -> None:
        facts = json.loads(FACTS.read_text(encoding="utf-8"))
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
            _FILLERS,
            _PREAMBLE,
        )
        self.countries = {words_of(city.country) for city in self.cities}
        self.countries |= {"united states", "england", "united kingdom", "america", "taiwan"}
        for number, city in enumerate(self.cities):
            self.call(number, {words_of(name) for name in (city.name, *city.aliases)}, wins=True)
        self.ask: dict[str, list[str]] = {}
        for means, described in facts["knowledge"].items():
            self.mean(*self.truth(means, described))
        self._properties()
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

    def _property(self, holds: Callable[[City], bool], means: str, *ask: str) -> None:
        self.mean(self._which(holds), means)
        if ask:
            self.ask[ask[0]] = list(ask)

    def _properties(self) -> None:
        adjectives = {"Asia": "asian", "Europe": "european", "Africa": "african"}
        for value in sorted({city.continent for city in self.cities}):
            means = f"{words_of(value)}, {adjectives.get(value, words_of(value) + 'n')}"
            ask = (f"Is it in {value}?", f"Is your city in {value}?")
            self._property(has("continent", value), means, *ask)
        americas = ("South America", "North America")
        self._property(lambda city: city.continent in americas, "americas, american continent")
        for value in sorted({city.region for city in self.cities}):
            ask = (f"Is it in {value}?", f"Does it lie in {value}?")
            self._property(has("region", value), words_of(value), *ask)
        for value in sorted({w for c in self.cities for w in re.findall("[A-Z]\\w+", c.language)}):
            ask = (f"Is {value} the main language there?", f"Is the main language {value}?")
            low = value.lower()
            means = f"{low}, {low} main language, main language {low}"
            self._property(mentions("language", value), means, *ask)
        # Singapore is a guess before it is a country.
        for value in sorted({city.country for city in self.cities} - self.index.keys()):
            self._property(has("country", value), words_of(value))
        self._property(lambda c: c.country == "USA", "united states, america, us")
        self._property(lambda c: c.country == "UK", "united kingdom, england, britain")
        for value in sorted({city.currency for city in self.cities}):
            ask = (f"Is the currency {value}?", f"Do you pay with {value}?")
            self._property(has("currency", value), words_of(value), *ask)
        for value in sorted({city.climate for city in self.cities}):
            ask = (f"Does it have {value}?", f"Is it known for {value}?")
            self._property(has("climate", value), words_of(value), *ask)
        for value in sorted({city.known_for for city in self.cities}):
            ask = (f"Is it famous for {value}?", f"Is it known for {value}?")
            means = f"{words_of(value)}, {words_of(value).replace(' and ', ', ')}"
            self._property(has("known_for", value), means, *ask)
        for letter in sorted({city.name[0] for city in self.cities}):
            low = letter.lower()
            ask = (
                f"Does its name begin with the letter {letter}?",
                f"Does it start with {letter}?",
            )
            means = ", ".join(
                f"{verb} with {what}{low}"
                for verb in ("begin", "start")
                for what in ("", "letter ")
            )
            self._property(has("initial", letter), means, *ask)
        for number, word in _NUMBERS.items():
            more = self.compare(1000 * number, True)
            means = f"more than {word} million, over {word} million, above {word} million"
            self.mean(more, f"{means}, at least {word} million")
            self.mean(self.all & ~more, means.replace("more", "less").replace("over", "under"))
            self.mean(self.all & ~more, f"below {word} million, fewer than {word} million")
        for number, word in _LARGE.items():
            near = self.compare(1000 * number / 3, True)
            means = f"more than {word} million, over {word} million, above {word} million"
            self.mean(0, f"{means}, at least {word} million", near)
            less = means.replace("more", "less").replace("over", "under").replace("above", "below")
            self.mean(self.all & ~near, f"{less}, fewer than {word} million", near)
        for number in (2, 3, 5, 8):
            question = f"Do more than {number} million people live there?"
            self.ask[question] = [question, f"Are there more than {number} million people?"]
        self._property(
            lambda city: "capital" in city.flags,
            "capital, capital city, capital country, national capital, seat government",
            "Is it a capital?",
            "Is it the capital of its country?",
        )
        self._property(
            lambda city: "coast" in city.flags,
            "coast, coastal, sea, by sea, on sea, near sea, ocean, by ocean, near ocean, on ocean, "
            "port, port city, seaside, near coast, on coast",
            "Is it on the coast?",
            "Is it by the sea?",
            "Is it a port city?",
        )
        self._property(lambda city: "coast" not in city.flags, "inland, landlocked")
        self._property(
            lambda city: bool({"coast", "lake"} & city.flags), "lake, by lake, on lake, near water"
        )
        self._property(
            lambda city: "high" in city.flags,
            "high, mountains, in mountains, high altitude, mountainous, in hills, hilly",
            "Does it lie high in the mountains?",
        )
        self._property(lambda c: c.southern, "southern hemisphere, south equator, southern")
        self.ask["southern"] = ["Is it in the southern hemisphere?"]
        self._property(lambda c: not c.southern, "northern hemisphere, north equator, northern")
        self._property(lambda c: c.thousands >= 5000, "big, large, huge, megacity")
        self._property(lambda c: c.thousands < 5000, "small")
        self._property(lambda c: "hot" in c.climate.split(), "hot, warm, tropical")
        self._property(lambda c: c.climate.startswith("cold"), "cold, snow, snowy, cold winter")
        for word in ("humid", "dry", "mild", "monsoon"):
            self._property(mentions("climate", word), word)
        for topic in (
            "What continent is it on? | Which continent are you from?",
            "What part of the world is it in? | Where is it? | Which region is your city in?",
            "What language do people speak there? | What is the main language of your city?",
            "What food do people eat there? | What dish is your city known for?",
            "What is the weather like? | How is the climate there?",
            "How many people live there? | How big is the population of your city?",
            "Which hemisphere is it in?",
            "What is the city famous for? | What do tourists come to see?",
            "What currency do you pay with? | What money is used there?",
            "How far is it to the sea? | What water is it close to?",
        ):
            found = [question.strip() for question in topic.split("|")]
            self.ask[found[0]] = found

    def answer(self, number: int, question: str) -> str:
        """Return what the oracle says about city `number`."""
        text = re.sub(r"\d+", lambda m: _SPELLED.get(int(m[0][:4]), "?"), plain(question))
        wanted = _OPEN.match(text)
        if not wanted:
            given = self.judgement(number, self.without_country(text))
            if given is not None:
                return given
        for pattern, topic in TOPICS:
            if wanted and re.search(pattern, text):
                return self._sentence(self.cities[number], topic)
        return UNKNOWN

    def without_country(self, text: str) -> str:
        """Return a guess (`is it seoul, south korea`) without the country after the name."""
        text = " ".join(re.findall("[a-z?]+", text)).rstrip("? ")
        for country in self.countries:
            if text.endswith(" " + country):
                rest = text.removesuffix(country).rstrip().removesuffix(" in")
                if self.claimed(rest.split(), self.names):
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


class GuessMyCity(QuestionGame[Cities]):
    """Guess My City of LMRL-Gym; the module's docstring has the rules.

    Args:
        oracle: answers the prompts of `oracle.city_prompt`; None is the scripted one.
        max_turns: questions until the episode ends.
        faithful: behave as the published code does, quirks included.
        hidden: `all`, `training` or `held-out`: which things may be hidden.
        things: how many things of the table are in the game, at equal distances; None is all.
    """

    game = "guess-my-city"
    instructions = (
        "You play Guess My City: find out which large city of the world somebody is from, in as "
        "few questions as you can and at most 20. An action is one question; it may be open, for "
        "example: What language do people speak there? The name of the city and its country will "
        "not be told. When you think that you know it, name it, for example: Is it Mumbai? You win "
        "when you name it."
    )
    thing = "city"
    smart = 0.03  # with it the mixture player was measured to return -18.8
    score_range = ScoreRange(worst=-20.0, data=-18.8, best=-8.56)
    wordings: ClassVar[Mapping[str, Wording]] = WORDINGS

    def table(self) -> Cities:
        """Return the table of cities."""
        return cities()

    @property
    def city(self) -> City:
        """The hidden city."""
        assert self.state is not None
        return self.facts.cities[self.state.hidden]

    def listed(self) -> range:
        """Return the cities that the game knows."""
        # The published loader skips the first line of the table, Seoul.
        return range(1 if self.faithful else 0, len(self.facts.cities))

    def ask(self, number: int, action: str) -> tuple[str, bool]:
        """Return the answer to a question, and whether it wins."""
        name = self.facts.cities[number].published
        if self.faithful:
            question = action.strip()
            reply = self.consult(city_prompt(name, question, faithful=True), str.strip)
            answer = published_yes_or_no(reply, question)
            return answer, answer == YES and published_city_is_done(name, question)
        question = one_line(action)
        answer = one_line(self.consult(city_prompt(name, question), str.strip))[:LONGEST_ANSWER]
        solved = yes_or_no(answer) == YES and self.facts.guessed(number, question)
        return answer if solved else self.facts.masked(number, answer), solved

    def learned(self, left: int, question: str, answer: str) -> int:
        """Return the cities of `left` that an answer leaves possible."""
        return left & self.facts.told(question).get(answer, left)

    def guess(self, rng: random.Random, number: int) -> str:
        """Return a question that names a city."""
        return rng.choice(_GUESSES).format(self.facts.labels[number])

    def any_property(self, rng: random.Random) -> str:
        """Return a question about any property."""
        return rng.choice(self.facts.ask[rng.choice(list(self.facts.ask))])

    def best_question(self, rng: random.Random, left: int, asked: set[str]) -> str:
        """Return a question that is expected to leave as few cities as any other."""
        expected: dict[str, int] = {}
        for first in self.facts.ask:
            told = self.facts.told(self.facts.ask[first][0])
            expected[first] = sum((left & cities).bit_count() ** 2 for cities in told.values())
        least = min(expected.values())
        if least == left.bit_count() ** 2:
            return self.guess(rng, rng.choice(members(left)))
        chosen = rng.choice([first for first, value in expected.items() if value <= 1.1 * least])
        return rng.choice(self.facts.ask[chosen])
