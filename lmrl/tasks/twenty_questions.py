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
another: a table of some thousand phrases (`assets/twenty_questions.json`) with the grammar of
`questions.grammar.Grammar`. It answers `I don't know.` where it does not understand.

Repaired by default, as published with `faithful=True`:
- A question that claims the object's identity names it: `Is the animal a lion?`, `Is it the
  lions?` and synonyms (`Is it a sofa?`) win, `Is it something like a lion?` does not. Published,
  every noun but the object's name stops a win, and a plural wins only if it is listed; see
  `published_rules.published_is_done`.
- A reply that is neither yes nor no is `I don't know.`; published, it is `No.`.
"""

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from lmrl.env import ScoreRange, Wording
from lmrl.tasks.assets import read_json
from lmrl.tasks.human_oracle import HumanOracle
from lmrl.tasks.oracle_protocol import one_line
from lmrl.tasks.questions.facts import Facts, members, shared
from lmrl.tasks.questions.game import QuestionGame, wordings
from lmrl.tasks.questions.published_rules import published_is_done, published_yes_or_no
from lmrl.tasks.questions.replies import (
    NO,
    UNKNOWN,
    YES,
    is_answer,
    object_prompt,
    read_prompt,
    yes_or_no,
)
from lmrl.tasks.questions.words import forms, listed

_CONDITION = re.compile(r"(\w+)(<|>)([\d.]+)")


class Knowledge(Facts):
    """The objects and what is true of them; a set of objects is an integer with a bit for each.

    Attributes:
        words: the accepted names of each object, the canonical one first.
        ask: property -> (objects that have it, ways to ask for it).
    """

    def __init__(self) -> None:
        facts = read_json("twenty_questions.json")
        self.words: list[tuple[str, ...]] = []
        self.category: list[str] = []
        self.size: list[float] = []
        for category, entries in facts["objects"].items():
            for entry in listed(entries):
                variants, _, size = entry.rpartition(" ")
                self.words.append(tuple(variants.split(";")))
                self.category.append(category)
                self.size.append(float(size))
        super().__init__(
            [names[0] for names in self.words],
            [f"({', '.join(names)})" for names in self.words],
            self.size,
        )
        self.groups: dict[str, tuple[int, int]] = {}
        self.ask: dict[str, tuple[int, list[str]]] = {}
        for measure, values in facts["measures"].items():
            self.comparisons.measures[measure] = [
                None if value == "-" else float(value)
                for category in facts["objects"]
                for value in values[category].split()
            ]
        for attribute, (described, _, _) in facts["attributes"].items():
            self.groups[attribute] = (self.described(described)[0], 0)
        self._learn(facts)
        for attribute, (_, ask, means) in facts["attributes"].items():
            self._add(attribute, self.groups[attribute][0], ask, means)
        for attribute, (condition, ask, means) in facts["sizes"].items():
            limit = float(condition[2:])
            less, more = (
                self.comparisons.compare(limit, False),
                self.comparisons.compare(limit, True),
            )
            self._add(attribute, self.all & ~(more if condition[0] == "<" else less), ask, means)
        for attribute, means in facts["opposites"].items():
            self.add_property(self.all & ~self.ask[attribute][0], means)
        self.add_property(self.all, facts["anything"])
        self.add_unknown_names(listed(facts["others"]))
        for number, names in enumerate(self.words):
            self.add_names(number, names, wins=True)
        for canonical, means in facts["synonyms"].items():
            self.add_names(self.index[canonical], listed(means), wins=True)
        for canonical, means in facts["perhaps"].items():
            self.add_doubtful_names(self.index[canonical], listed(means))
        for canonical, means in facts["also"].items():
            self.add_names(self.index[canonical], listed(means), wins=False)
        for measure, compared in facts["compared"].items():
            known = self.comparisons.references.setdefault(measure, {})
            known.update({form: size for name, size in compared.items() for form in forms(name)})
        for attribute, (mask, questions) in self.ask.items():
            self.ask[attribute] = (self.true_set(questions[0]) or mask, questions)

    def _learn(self, facts: Mapping[str, Any]) -> None:
        """Let the phrases of the table mean what no player asks for; the first meaning stays."""
        for name, described in facts["groups"].items():
            self.groups[name] = self.described(described)
        for means, described in facts["knowledge"].items():
            self.add_property(*self.truth(means, described))
        for section in ("containers", "holders", "places", "colors", "materials", "users"):
            frames = facts["frames"][section]
            for names, described in facts[section].items():
                for frame in frames:
                    means = ", ".join(frame.replace("*", name) for name in listed(names))
                    self.add_property(*self.truth(means, described))

    def entry(self, name: str) -> tuple[int, int]:
        """Return the objects that an entry of a description means; see `described`."""
        if name[0] == "@":
            return sum(1 << n for n, c in enumerate(self.category) if c == name[1:]), 0
        if name[0] == "#":
            return self.groups[name[1:]]
        condition = _CONDITION.fullmatch(name)
        if condition:
            limit, less = float(condition[3]), condition[2] == "<"
            values = (
                self.size if condition[1] == "size" else self.comparisons.measures[condition[1]]
            )
            return sum(
                1 << n for n, v in enumerate(values) if v is not None and (v < limit) is less
            ), 0
        return super().entry(name)

    def _add(self, attribute: str, mask: int, ask: str, means: str) -> None:
        self.ask[attribute] = (mask, [question.strip() for question in ask.split("|")])
        self.add_property(mask, means)

    def answer(self, number: int, question: str) -> str:
        """Return what the oracle says about object `number`."""
        return self.judgement(number, question) or UNKNOWN


def knowledge() -> Knowledge:
    """Return the table, read once per process."""
    return shared(Knowledge)


class HumanAnswerer(HumanOracle):
    """A person with an object in mind, who answers yes, no, or that it is unknown."""

    def __call__(self, prompt: str, /) -> str:
        """Return the person's answer to a prompt of Twenty Questions."""
        hidden, question = read_prompt(prompt)
        named = knowledge().wins(knowledge().by_prompt[hidden], question)
        self.introduce(
            f"You have in mind: {hidden.strip('()')}. Answer truthfully with yes, no, or ? if "
            "nobody could tell."
        )
        self.show_question(question)
        return self.yes_or_no("yes, no or ? > ", named)


class TwentyQuestions(QuestionGame[Knowledge]):
    """Twenty Questions of LMRL-Gym; the module's docstring has the rules.

    Args:
        oracle: callable that answers the prompts of `questions.replies.object_prompt`; None is the
            scripted oracle.
        max_turns: questions until the episode ends.
        faithful: behave as the published code does, quirks included.
        hidden: `all`, `training` or `held-out`: which things may be hidden.
        things: number of things of the table in the game, at equal distances; None is all.
    """

    game = "twenty-questions"
    instructions = (
        "You play Twenty Questions: find out which everyday object, animal, food or other thing "
        "somebody has in mind, in as few questions as you can and at most 20. An action is one "
        "question that can be answered with yes or no, for example: Is it an animal? Narrow it "
        "down first, then name the thing, for example: Is it a lion? You win when you name it."
    )
    thing = "object"
    smart = 0.29  # with it the mixture player was measured to return -17.0
    score_range = ScoreRange(worst=-20.0, data=-17.3, best=-12.6)
    # 6,000 episodes of `mixture` and 3,000 of `optimal`
    score_ranges: ClassVar[Mapping[int, ScoreRange]] = {
        40: ScoreRange(worst=-20.0, data=-13.3, best=-5.27)
    }
    wordings: ClassVar[Mapping[str, Wording]] = wordings()
    human_oracle = HumanAnswerer

    def table(self) -> Knowledge:
        """Return the table of objects."""
        return knowledge()

    @property
    def word(self) -> tuple[str, ...]:
        """The accepted names of the hidden object."""
        assert self.state is not None
        return self.facts.words[self.state.hidden]

    def ask(self, number: int, action: str) -> tuple[str, bool]:
        """Return the answer to a question, and whether it wins."""
        names = self.facts.words[number]
        if self.faithful:
            question = action.strip()
            answer = published_yes_or_no(self._reply(names, question), question)
            named = published_is_done(names, question)
        else:
            question = one_line(action)
            answer = yes_or_no(self._reply(names, question))
            named = self.facts.wins(number, question)
        return answer, named and answer == YES

    def _reply(self, names: Sequence[str], question: str) -> str:
        return self.consult(object_prompt(names, question), is_answer)

    def learned(self, left: int, question: str, answer: str) -> int:
        """Return the objects of `left` that an answer leaves possible."""
        found = self.facts.evaluate(question)
        if found is None:
            return left
        sure, maybe = found
        if answer not in (YES, NO):
            return left
        return left & (sure if answer == YES else ~maybe)

    def guess(self, rng: random.Random, number: int) -> str:
        """Return a question that names an object."""
        return guess(self.facts, rng, number)

    def any_property(self, rng: random.Random) -> str:
        """Return a question about any property."""
        return rng.choice(self.facts.ask[rng.choice(list(self.facts.ask))][1])

    def best_question(self, rng: random.Random, left: int, asked: set[str]) -> str:
        """Return a question that halves `left` as well as any other; none is asked twice."""
        size = left.bit_count()
        unbalance = {
            name: abs(2 * (left & mask).bit_count() - size)
            for name, (mask, _) in self.facts.ask.items()
            if name not in asked and 0 < (left & mask).bit_count() < size
        }
        if not unbalance:
            return self.guess(rng, rng.choice(members(left)))
        least = min(unbalance.values())
        best = [name for name, value in unbalance.items() if value <= least + size // 20]
        chosen = rng.choice(best)
        asked.add(chosen)
        return rng.choice(self.facts.ask[chosen][1])


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
