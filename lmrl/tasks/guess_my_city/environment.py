"""The environment of Guess My City."""

import random
from collections.abc import Mapping
from typing import ClassVar

from lmrl.env import ScoreRange, Wording
from lmrl.tasks.guess_my_city.cities import Cities, cities
from lmrl.tasks.guess_my_city.city import City
from lmrl.tasks.guess_my_city.human import HumanCitizen
from lmrl.tasks.oracle_protocol import one_line
from lmrl.tasks.questions.facts import members
from lmrl.tasks.questions.game import QuestionGame, wordings
from lmrl.tasks.questions.published_rules import published_city_is_done, published_yes_or_no
from lmrl.tasks.questions.replies import LONGEST_ANSWER, YES, city_prompt, yes_or_no

WORDINGS = wordings(
    (r"^I can't tell you that\.", "That I keep to myself."),
    (r"^Most people there speak (.*)\.", r"What you hear in the streets is \1."),
    (r"^People pay with (.*)\.", r"The money is \1."),
    (r"^People like to eat (.*)\.", r"On the tables there is \1."),
    (r"^People there write with (.*)\.", r"The signs in the streets are in \1."),
    (r"^The main religion there is (.*)\.", r"Most believers follow \1."),
    (r"^The favorite sport there is (.*)\.", r"The stadiums are for \1."),
    (r"^It has been a city for many centuries\.", "It stands there since long ago."),
    (r"^It is young for a city: (.*)\.", r"As cities go, it is new: \1."),
    (r"^A large river runs through it\.", "There is a stream with ships in the middle of it."),
    (r"^It (lies|does not lie) high\.", r"As for the height, it \1 high up."),
    (r"^It has (.*) people\.", r"As for inhabitants, \1."),
    (r"^It has (.*)\.", r"Expect \1."),
    (r"^It is known for (.*)\.", r"What comes to mind is \1."),
    (r"^It is a national capital\.", "A country is governed from there."),
    (r"^It is not a national capital\.", "No country is governed from there."),
    (r"^It is an inland city\.", "There is no sea and no lake nearby."),
    (r"^It lies by the sea or a large lake\.", "There is a shore with ships."),
    (r"^No ocean is close\.", "The oceans are far away."),
    (r"^It is near (.*)\.", r"The closest waves are those of \1."),
    (r"^It is (in|on) (.*)\.", r"You would find it \1 \2."),
)
_GUESSES = (
    "Is it {}?",
    "Is your city {}?",
    "Is the city {}?",
    "Are you from {}?",
    "Could it be {}?",
)


class GuessMyCity(QuestionGame[Cities]):
    """Guess My City of LMRL-Gym; the package's docstring has the rules.

    Args:
        oracle: callable that answers the prompts of `questions.replies.city_prompt`; None is the
            scripted oracle.
        max_turns: questions until the episode ends.
        faithful: behave as the published code does, quirks included.
        hidden: `all`, `training` or `held-out`: which things may be hidden.
        things: number of things of the table in the game, at equal distances; None is all.
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
    smart = 0.12  # measured to return -17.3, above that of naming 20 cities in turn (-17.9)
    score_range = ScoreRange(worst=-20.0, data=-18.8, best=-8.56)
    wordings: ClassVar[Mapping[str, Wording]] = WORDINGS
    human_oracle = HumanCitizen

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
