"""Twenty Questions: find out by yes/no questions which of 158 objects is hidden.

Rules (arXiv 2311.18232, section 4 and appendix C; code of the published benchmark):
- The hidden object is uniform over 158 objects of 17 categories; some have several names.
- An action is a question and a newline. An oracle answers `Yes.` or `No.`.
- Reward: 0 for the question that names the object, -1 for any other. Naming it at question k
  returns -(k - 1), never naming it returns -20.
- A question wins if it names the object and the oracle's answer is `Yes.`.
- Horizon: 20 questions. The twentieth ends the episode by the rules; nothing is cut.
- The policy sees the whole episode.

The published oracle is a fine-tuned FLAN-T5-XL. Ours is scripted unless the option `oracle` names
another: a table of about 170 properties (`assets/twenty_questions.json`) with the grammar of
`grammar.Grammar.understood`. It answers `I don't know.` where it does not understand.

Repaired by default, as published with `faithful=True`:
- A question that claims the object's identity names it: `Is the animal a lion?` and `Is it the
  lions?` win, `Is it something like a lion?` does not. Published, every noun but the object's name
  stops a win and a plural wins only if it is listed; see `oracle.published_is_done`.
- A reply that is neither yes nor no is `I don't know.`; published, it is `No.`.
"""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

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
    object_prompt,
    one_line,
    published_is_done,
    published_yes_or_no,
    read_prompt,
    yes_or_no,
)

FACTS = Path(__file__).parent / "assets" / "twenty_questions.json"
START_OPTIONS = ("deterministic", "word")
SMART = 0.29
"""How often the `mixture` player asks what the optimal one would ask: measured to return -17.3."""


class Knowledge(Grammar):
    """The objects and what is true of them; a set of objects is an integer with a bit for each.

    It never changes, so an environment pickles without it.

    Attributes:
        words: the accepted names of each object, the canonical one first.
        ask: property -> (objects that have it, ways to ask for it).
    """

    name = "scripted"
    version = "1"

    def __init__(self) -> None:
        facts = json.loads(FACTS.read_text(encoding="utf-8"))
        self.words: list[tuple[str, ...]] = []
        self.category: list[str] = []
        self.size: list[float] = []
        for category, entries in facts["objects"].items():
            for entry in listed(entries):
                variants, _, size = entry.rpartition(" ")
                self.words.append(tuple(variants.split(";")))
                self.category.append(category)
                self.size.append(float(size))
        self.index = {names[0]: number for number, names in enumerate(self.words)}
        self.by_prompt = {f"({', '.join(names)})": n for n, names in enumerate(self.words)}
        super().__init__(self.size)
        self.ask: dict[str, tuple[int, list[str]]] = {}
        for attribute, (members, ask, means) in facts["attributes"].items():
            self._add(attribute, self._members(members), ask, means)
        for attribute, (condition, ask, means) in facts["sizes"].items():
            limit = float(condition[2:])
            less, more = self.compare(limit, False), self.compare(limit, True)
            self._add(attribute, self.all & ~(more if condition[0] == "<" else less), ask, means)
        for attribute, means in facts["opposites"].items():
            self.mean(self.all & ~self.ask[attribute][0], means)
        self.mean(self.all, facts["anything"])
        self.mean(0, facts["others"])
        for number, names in enumerate(self.words):
            self.call(number, names, wins=True)
        for canonical, means in facts["also"].items():
            self.call(self.index[canonical], listed(means), wins=False)
        self.references.update(facts["compared"])

    def __reduce__(self) -> tuple[Callable[[], "Knowledge"], tuple[()]]:
        return knowledge, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Knowledge":
        return self

    def _members(self, described: str) -> int:
        mask = 0
        for entry in listed(described):
            name = entry.removeprefix("-")
            if name.startswith("@"):
                found = sum(1 << n for n, c in enumerate(self.category) if c == name[1:])
            else:
                found = 1 << self.index[name]
            mask = mask & ~found if entry.startswith("-") else mask | found
        return mask

    def _add(self, attribute: str, mask: int, ask: str, means: str) -> None:
        self.ask[attribute] = (mask, [question.strip() for question in ask.split("|")])
        self.mean(mask, means)

    def __call__(self, prompt: str, /) -> str:
        """Answer a prompt about one of the objects."""
        hidden, question = read_prompt(prompt)
        number = self.by_prompt.get(hidden)
        found = self.understood(question)
        if number is None or found is None:
            return UNKNOWN
        return YES if found >> number & 1 else NO


@cache
def knowledge() -> Knowledge:
    """Return the table, read once per process."""
    return Knowledge()


@dataclass
class QuestionsState:
    """What changes during an episode."""

    hidden: int
    asked: int = 0
    running: bool = True


class TwentyQuestions(TextEnv):
    """Twenty Questions of LMRL-Gym; the module's docstring has the rules.

    Args:
        oracle: answers the prompts of `oracle.object_prompt`; None is the scripted one.
        max_turns: questions until the episode ends.
        faithful: behave as the published code does, quirks included.
    """

    max_turns: int = TURNS
    reward_range: tuple[float, float] = (-1.0, 0.0)
    score_range = ScoreRange(worst=-20.0, data=-17.3, best=-12.6)

    def __init__(
        self,
        oracle: Oracle | Callable[[str], str] | None = None,
        max_turns: int = TURNS,
        faithful: bool = False,
    ) -> None:
        if type(max_turns) is not int or max_turns < 1:
            raise UsageError(
                f"twenty-questions option max_turns is {max_turns!r}; give an integer of 1 or more"
            )
        self.knowledge = knowledge()
        self.oracle = as_oracle(knowledge() if oracle is None else oracle, "twenty-questions")
        self.max_turns = max_turns
        self.faithful = faithful
        self.state: QuestionsState | None = None

    @property
    def word(self) -> tuple[str, ...]:
        """The accepted names of the hidden object."""
        assert self.state is not None
        return self.knowledge.words[self.state.hidden]

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Hide a random object, or `options["word"]`, or with `deterministic` that of the seed.

        Raises:
            UsageError: for an unknown option or object.
        """
        options = options or {}
        for option in options:
            if option not in START_OPTIONS:
                raise unknown("twenty-questions start option", option, START_OPTIONS)
        seed = fresh_seed() if seed is None else seed
        count = len(self.knowledge.words)
        if "word" in options:
            if options["word"] not in self.knowledge.index:
                raise unknown("object", str(options["word"]), self.knowledge.index)
            hidden = self.knowledge.index[options["word"]]
        elif options.get("deterministic", False):
            hidden = seed % count
        else:
            hidden = random.Random(seed).choice(range(count))
        self.state = QuestionsState(hidden)
        return HEADER, {
            "seed": seed,
            "oracle": self.oracle.name,
            "oracle_version": self.oracle.version,
        }

    def step(self, action: str) -> Step:
        """Ask a question."""
        state = self.state
        if state is None or not state.running:
            raise RuntimeError("the twenty-questions episode is over; call reset first")
        state.asked += 1
        if self.faithful:
            question = action.strip()
            answer = published_yes_or_no(self.oracle(object_prompt(self.word, question)), question)
            named = published_is_done(self.word, question)
        else:
            question = one_line(action)
            answer = yes_or_no(self.oracle(object_prompt(self.word, question)))
            named = self.knowledge.wins(state.hidden, question)
        solved = named and answer == YES
        reward = 0.0 if solved else -1.0
        if solved or state.asked >= self.max_turns:
            state.running = False
            return Step.ended(
                answer + "\n",
                reward,
                success=solved,
                word=self.word[0],
                oracle=self.oracle.name,
                oracle_version=self.oracle.version,
            )
        return Step.going(answer + "\n", reward)

    def _player(self, rng: random.Random, smart: float) -> Player:
        """Return a player that bisects with probability `smart` a question, else asks anything.

        It learns from every answer, and guesses once a single object is left or the last question
        has come.
        """
        facts = self.knowledge
        left, asked, question = facts.all, set[str](), ""
        turns = 0

        def play(observation: str) -> str:
            nonlocal left, question, turns
            if turns and observation.strip() in (YES, NO):
                holds = facts.understood(question)
                if holds is not None:
                    left &= holds if observation.strip() == YES else ~holds
            left = left or facts.all  # the oracle contradicts the table: think again
            turns += 1
            wise = rng.random() < smart
            if not wise:
                question = random_question(facts, rng)
            elif left.bit_count() <= 2 or turns >= self.max_turns:
                question = guess(facts, rng, rng.choice(members(left)))
            else:
                question = best_question(facts, rng, left, asked)
            return question + "\n"

        return play

    def _optimal(self, rng: random.Random) -> Player:
        return self._player(rng, 1.0)

    def _mixture(self, rng: random.Random) -> Player:
        return self._player(rng, SMART)

    def _random(self, rng: random.Random) -> Player:
        return lambda observation: random_question(self.knowledge, rng) + "\n"

    players: ClassVar[Mapping[str, Callable[[Any, random.Random], Player]]] = {
        "optimal": _optimal,
        "random": _random,
        "mixture": _mixture,
    }


def members(mask: int) -> list[int]:
    """Return the numbers of the bits that are set."""
    return [number for number in range(mask.bit_length()) if mask >> number & 1]


_GUESSES = (
    "Is it {}?",
    "Is it {}?",
    "Is the object {}?",
    "Could it be {}?",
    "Is this {}?",
    "Is the thing {}?",
)


def with_article(name: str) -> str:
    """Return a name with `a` or `an`, or neither before a plural."""
    if name.endswith("s") and not name.endswith(("ss", "us")):
        return name
    return ("an " if name[0] in "aeiou" else "a ") + name


def guess(facts: Knowledge, rng: random.Random, number: int) -> str:
    """Return a question that names an object."""
    name = with_article(facts.words[number][0].lower())
    return rng.choice(_GUESSES).format(name)


def random_question(facts: Knowledge, rng: random.Random) -> str:
    """Return any question: a property, or one time in five an object."""
    if rng.random() < 0.2:
        return guess(facts, rng, rng.randrange(len(facts.words)))
    return rng.choice(facts.ask[rng.choice(list(facts.ask))][1])


def best_question(facts: Knowledge, rng: random.Random, left: int, asked: set[str]) -> str:
    """Return a question that halves `left` as well as any other; no property is asked twice."""
    size = left.bit_count()
    unbalance = {
        name: abs(2 * (left & mask).bit_count() - size)
        for name, (mask, _) in facts.ask.items()
        if name not in asked and 0 < (left & mask).bit_count() < size
    }
    if not unbalance:
        return guess(facts, rng, rng.choice(members(left)))
    least = min(unbalance.values())
    chosen = rng.choice([name for name, value in unbalance.items() if value <= least + size // 20])
    asked.add(chosen)
    return rng.choice(facts.ask[chosen][1])
