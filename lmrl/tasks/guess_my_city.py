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
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from lmrl.env import Player, ScoreRange, Step, TextEnv, fresh_seed
from lmrl.errors import UsageError, unknown
from lmrl.tasks.grammar import Grammar, listed
from lmrl.tasks.oracle import (
    HEADER,
    NO,
    TURNS,
    UNKNOWN,
    YES,
    Oracle,
    as_oracle,
    city_prompt,
    one_line,
    published_city_is_done,
    published_yes_or_no,
    read_prompt,
    yes_or_no,
)

FACTS = Path(__file__).parent / "assets" / "guess_my_city.json"
START_OPTIONS = ("deterministic", "word")
SECRET = "I can't tell you that."
LONGEST_ANSWER = 300
SMART = 0.03
"""How often the `mixture` player asks what the optimal one would ask: measured to return -18.8."""

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
_NUMBERS = dict(
    zip(range(1, 11), "one two three four five six seven eight nine ten".split(), strict=True)  # noqa: SIM905
)
# Words that mean nothing beside the properties, and that may stand before a city's name.
_FILLERS = """
    city cities town hometown country located situated lie lies live lived lives come speak spoken
    spoken language official famous known popular population inhabitants residents citizens local
    region area continent near close its name letter sit place home large-scale native mother tongue
    climate weather hemisphere century currency money pay mainly tourist attraction landmark
    there inhabitant state nation world begin start first
"""
_PREAMBLE = "city town hometown from come live located do does in place"


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
    def southern(self) -> bool:
        """Whether it lies south of the equator."""
        south = ("Brazil", "Peru", "Chile", "Australia", "Argentina", "Ecuador", "Congo")
        return self.country in south or (self.country == "Indonesia" and self.name != "Medan")


def people(thousands: float) -> str:
    """Return how many people live in a city, roughly."""
    for limit, text in ((8000, "more than 8 million"), (5000, "5 to 8 million")):
        if thousands >= limit:
            return text
    return "3 to 5 million" if thousands >= 3000 else "2 to 3 million"


class Cities(Grammar):
    """The cities and what is true of them, and a scripted oracle that tells it.

    It never changes, so an environment pickles without it.
    """

    name = "scripted"
    version = "1"

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
        super().__init__([city.thousands for city in self.cities], _FILLERS, _PREAMBLE)
        self.index = {city.name: number for number, city in enumerate(self.cities)}
        self.by_prompt = {city.published: number for number, city in enumerate(self.cities)}
        self.countries = {words_of(city.country) for city in self.cities}
        self.countries |= {"united states", "england", "united kingdom", "america", "taiwan"}
        for number, city in enumerate(self.cities):
            self.call(number, {words_of(name) for name in (city.name, *city.aliases)}, wins=True)
        self.ask: dict[str, list[str]] = {}
        self._properties()
        self.told = lru_cache(4096)(self._told)

    def __reduce__(self) -> tuple[Callable[[], "Cities"], tuple[()]]:
        return cities, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Cities":
        return self

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
            self._property(lambda city, v=value: city.continent == v, means, *ask)  # type: ignore[misc]
        americas = ("South America", "North America")
        self._property(lambda city: city.continent in americas, "americas, american continent")
        for value in sorted({city.region for city in self.cities}):
            ask = (f"Is it in {value}?", f"Does it lie in {value}?")
            self._property(lambda city, v=value: city.region == v, words_of(value), *ask)  # type: ignore[misc]
        for value in sorted({w for c in self.cities for w in re.findall("[A-Z]\\w+", c.language)}):
            ask = (f"Do people there speak {value}?", f"Is {value} the language of the city?")
            self._property(lambda city, v=value: v in city.language, value.lower(), *ask)  # type: ignore[misc]
        # Singapore is a guess before it is a country.
        for value in sorted({city.country for city in self.cities} - self.index.keys()):
            self._property(lambda city, v=value: city.country == v, words_of(value))  # type: ignore[misc]
        self._property(lambda c: c.country == "USA", "united states, america, us")
        self._property(lambda c: c.country == "UK", "united kingdom, england, britain")
        for value in sorted({city.currency for city in self.cities}):
            ask = (f"Is the currency {value}?", f"Do you pay with {value}?")
            self._property(lambda city, v=value: city.currency == v, words_of(value), *ask)  # type: ignore[misc]
        for value in sorted({city.climate for city in self.cities}):
            ask = (f"Does it have {value}?", f"Is it known for {value}?")
            self._property(lambda city, v=value: city.climate == v, words_of(value), *ask)  # type: ignore[misc]
        for value in sorted({city.known_for for city in self.cities}):
            ask = (f"Is it famous for {value}?", f"Is it known for {value}?")
            means = f"{words_of(value)}, {words_of(value).replace(' and ', ', ')}"
            self._property(lambda city, v=value: city.known_for == v, means, *ask)  # type: ignore[misc]
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
            self._property(lambda city, v=letter: city.name[0] == v, means, *ask)  # type: ignore[misc]
        for number, word in _NUMBERS.items():
            more = self.compare(1000 * number, True)
            means = f"more than {word} million, over {word} million, above {word} million"
            self.mean(more, f"{means}, at least {word} million")
            self.mean(self.all & ~more, means.replace("more", "less").replace("over", "under"))
            self.mean(self.all & ~more, f"below {word} million, fewer than {word} million")
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
            self._property(lambda c, w=word: w in c.climate, word)  # type: ignore[misc]
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
        text = re.sub(r"\d+", lambda m: _NUMBERS.get(int(m[0][:4]), "?"), plain(question))
        wanted = _OPEN.match(text)
        if not wanted:
            found = self.understood(self.without_country(text))
            if found is not None:
                return YES if found >> number & 1 else NO
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

    def __call__(self, prompt: str, /) -> str:
        """Answer a prompt about one of the cities."""
        hidden, question = read_prompt(prompt)
        number = self.by_prompt.get(hidden)
        return UNKNOWN if number is None else self.answer(number, question)


@cache
def cities() -> Cities:
    """Return the table, read once per process."""
    return Cities()


@dataclass
class CityState:
    """What changes during an episode."""

    hidden: int
    asked: int = 0
    running: bool = True


class GuessMyCity(TextEnv):
    """Guess My City of LMRL-Gym; the module's docstring has the rules.

    Args:
        oracle: answers the prompts of `oracle.city_prompt`; None is the scripted one.
        max_turns: questions until the episode ends.
        faithful: behave as the published code does, quirks included.
    """

    max_turns: int = TURNS
    reward_range: tuple[float, float] = (-1.0, 0.0)
    score_range = ScoreRange(worst=-20.0, data=-18.8, best=-8.56)

    def __init__(
        self,
        oracle: Oracle | Callable[[str], str] | None = None,
        max_turns: int = TURNS,
        faithful: bool = False,
    ) -> None:
        if type(max_turns) is not int or max_turns < 1:
            raise UsageError(
                f"guess-my-city option max_turns is {max_turns!r}; give an integer of 1 or more"
            )
        self.facts = cities()
        self.oracle = as_oracle(cities() if oracle is None else oracle, "guess-my-city")
        self.max_turns = max_turns
        self.faithful = faithful
        self.state: CityState | None = None

    @property
    def city(self) -> City:
        """The hidden city."""
        assert self.state is not None
        return self.facts.cities[self.state.hidden]

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Hide a random city, or `options["word"]`, or with `deterministic` that of the seed.

        Raises:
            UsageError: for an unknown option or city.
        """
        options = options or {}
        for option in options:
            if option not in START_OPTIONS:
                raise unknown("guess-my-city start option", option, START_OPTIONS)
        seed = fresh_seed() if seed is None else seed
        # The published loader skips the first line of the table, Seoul.
        choices = range(1 if self.faithful else 0, len(self.facts.cities))
        if "word" in options:
            if options["word"] not in self.facts.index:
                raise unknown("city", str(options["word"]), self.facts.index)
            hidden = self.facts.index[options["word"]]
        elif options.get("deterministic", False):
            hidden = choices[seed % len(choices)]
        else:
            hidden = random.Random(seed).choice(choices)
        self.state = CityState(hidden)
        return HEADER, {
            "seed": seed,
            "oracle": self.oracle.name,
            "oracle_version": self.oracle.version,
        }

    def step(self, action: str) -> Step:
        """Ask a question."""
        state = self.state
        if state is None or not state.running:
            raise RuntimeError("the guess-my-city episode is over; call reset first")
        state.asked += 1
        if self.faithful:
            question = action.strip()
            reply = self.oracle(city_prompt(self.city.published, question, faithful=True))
            answer = published_yes_or_no(reply, question)
            solved = answer == YES and published_city_is_done(self.city.published, question)
        else:
            question = one_line(action)
            reply = self.oracle(city_prompt(self.city.published, question))
            answer = one_line(reply)[:LONGEST_ANSWER]
            solved = yes_or_no(answer) == YES and self.facts.guessed(state.hidden, question)
            if not solved:
                answer = self.facts.masked(state.hidden, answer)
        reward = 0.0 if solved else -1.0
        if solved or state.asked >= self.max_turns:
            state.running = False
            return Step.ended(
                answer + "\n",
                reward,
                success=solved,
                word=self.city.name,
                oracle=self.oracle.name,
                oracle_version=self.oracle.version,
            )
        return Step.going(answer + "\n", reward)

    def _player(self, rng: random.Random, smart: float) -> Player:
        """Return a player that asks well with probability `smart` a question, else anything.

        It learns from every answer, and guesses once a single city is left or the last question has
        come.
        """
        facts = self.facts
        left, question, turns = facts.all, "", 0

        def play(observation: str) -> str:
            nonlocal left, question, turns
            if turns:
                # An oracle that contradicts the table teaches nothing.
                left = left & facts.told(question).get(observation.strip(), left) or facts.all
            turns += 1
            if rng.random() >= smart:
                question = random_question(facts, rng)
            elif left.bit_count() <= 2 or turns >= self.max_turns:
                question = guess(facts, rng, left)
            else:
                question = best_question(facts, rng, left)
            return question + "\n"

        return play

    def _optimal(self, rng: random.Random) -> Player:
        return self._player(rng, 1.0)

    def _mixture(self, rng: random.Random) -> Player:
        return self._player(rng, SMART)

    def _random(self, rng: random.Random) -> Player:
        return lambda observation: random_question(self.facts, rng) + "\n"

    players = {  # noqa: RUF012 the base class says what it is
        "optimal": _optimal,
        "random": _random,
        "mixture": _mixture,
    }


_GUESSES = (
    "Is it {}?",
    "Is your city {}?",
    "Is the city {}?",
    "Are you from {}?",
    "Could it be {}?",
)


def guess(facts: Cities, rng: random.Random, mask: int) -> str:
    """Return a question that names one of the cities."""
    number = rng.choice([n for n in range(mask.bit_length()) if mask >> n & 1])
    return rng.choice(_GUESSES).format(facts.cities[number].name)


def random_question(facts: Cities, rng: random.Random) -> str:
    """Return any question: about a property, or one time in five a city."""
    if rng.random() < 0.2:
        return guess(facts, rng, facts.all)
    return rng.choice(facts.ask[rng.choice(list(facts.ask))])


def best_question(facts: Cities, rng: random.Random, left: int) -> str:
    """Return a question that is expected to leave as few cities as any other."""
    expected: dict[str, int] = {}
    for first in facts.ask:
        expected[first] = sum(
            (left & m).bit_count() ** 2 for m in facts.told(facts.ask[first][0]).values()
        )
    least = min(expected.values())
    if least == left.bit_count() ** 2:
        return guess(facts, rng, left)
    chosen = rng.choice([first for first, value in expected.items() if value <= 1.1 * least])
    return rng.choice(facts.ask[chosen])
