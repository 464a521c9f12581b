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
`Knowledge.understood`. It answers `I don't know.` where it does not understand.

Repaired by default, as published with `faithful=True`:
- A question that claims the object's identity names it: `Is the animal a lion?` and `Is it the
  lions?` win, `Is it something like a lion?` does not. Published, every noun but the object's name
  stops a win and a plural wins only if it is listed; see `oracle.published_is_done`.
- A reply that is neither yes nor no is `I don't know.`; published, it is `No.`.
"""

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, ClassVar

from lmrl.env import Player, ScoreRange, Step, TextEnv, fresh_seed
from lmrl.errors import UsageError, unknown
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
SMART = 0.31
"""How often the `mixture` player asks what the optimal one would ask: measured to return -17.3."""

_WORD = re.compile("[a-z]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NEGATIONS = frozenset({"not", "never", "without", "non", "cannot", "isnt", "doesnt"})
_BIGGER = _words("bigger larger taller longer wider heavier")
_SMALLER = _words("smaller shorter tinier thinner lighter narrower")
_DETERMINERS = _words("a an the some any your my our their his her its it them of")
_PREAMBLE = _words("""
    a an the some any is are was were be it this that they these those s could can would might may
    must object thing something item word answer mystery secret hidden so well ok okay then maybe
    perhaps probably i you think thinking guess believe bet my your final of about kind type sort
    piece pair set called known as named by chance actually really just simply possibly category
    animal fruit vegetable food vehicle instrument musical sport sports clothing clothes device
    furniture tool toy jewelry appliance utensil plant place material electronic electronics
    big small large little red green blue yellow white black brown gray common regular normal
    correct what have in mind one
    """)
"""Words that may stand before the name in a question that claims to know the object."""
_AFTERTHOUGHTS = _words("right then please maybe perhaps by chance correct possibly")
_FILLERS = _words("""
    a an the some any is are was were be been being it its this that they them these those s do does
    did can could would will might may must should has have had having i you your we our one ones
    people person human man someone somebody anyone anybody everyone most many much more less least
    object objects thing things something anything item items type kind sort form category class
    considered called known classified belong belongs related involve involves associated made make
    makes used use uses using user useful purpose intended meant designed for find finds found
    commonly usually typically often generally normally mostly mainly primarily frequently sometimes
    regularly primary main common typical average usual ordinary daily everyday day life every basis
    of in on at by with to from as into onto inside within through during when while if or and also
    very really quite pretty fairly just only even ever actually so there here where which who whose
    what other than like such part parts able need needs want have get gets own see seen look looks
    like material feature features contain contains component composed consist mean means like under
    part outer about will all each both both own self itself by himself between around near up down
    out off over size shape shaped color colored colour coloured please tell me think modern
    adult different various standard function serve serves specific certain product member keep
    roll come comes exactly article put set turn before after example
    """)
"""Words that change nothing in what a question asks; a property in the table goes first."""
_UNSTEMMED = _words(
    "clothes clothing painting building drawing earring being stuffed glasses hooves keys"
)


@lru_cache(1 << 16)
def stem(word: str) -> str:
    """Return a word without the ending of a plural or a verb form."""
    if word in _UNSTEMMED:
        return word
    for ending in ("ing", "ed", "es", "s", "e"):
        rest = word[: -len(ending)]
        if word.endswith(ending) and len(rest) >= 3 and not word.endswith("ss"):
            if ending in ("ing", "ed") and not re.search("[aeiouy]", rest):
                continue
            if ending in ("ing", "ed") and rest[-1] == rest[-2] and rest[-1] not in "lsz":
                rest = rest[:-1]
            return rest.removesuffix("e") if len(rest) > 3 else rest
    return word


def forms(name: str) -> set[str]:
    """Return a name in lower case with its plural and its singular."""
    name = name.lower()
    plural = name + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")
    found = {name, plural}
    if name.endswith("y"):
        found.add(name[:-1] + "ies")
    if name.endswith(("fe", "f")):
        found.add(name.removesuffix("e")[:-1] + "ves")
    if name.endswith("o"):
        found.add(name + "es")
    if name.endswith("s") and not name.endswith(("ss", "us")):
        found.add(name[:-1])
    return found


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


class Knowledge:
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
        for category, listed in facts["objects"].items():
            for entry in _listed(listed):
                variants, _, size = entry.rpartition(" ")
                self.words.append(tuple(variants.split(";")))
                self.category.append(category)
                self.size.append(float(size))
        self.index = {names[0]: number for number, names in enumerate(self.words)}
        self.by_prompt = {f"({', '.join(names)})": n for n, names in enumerate(self.words)}
        self.all = (1 << len(self.words)) - 1
        self.ask: dict[str, tuple[int, list[str]]] = {}
        self.phrases: dict[tuple[str, ...], int] = {}
        self.longest: dict[str, int] = {}  # phrase that begins with this stem
        for attribute, (members, ask, means) in facts["attributes"].items():
            self._add(attribute, self._members(members), ask, means)
        for attribute, (condition, ask, means) in facts["sizes"].items():
            limit = float(condition[2:])
            less, more = self._compared(limit, False), self._compared(limit, True)
            self._add(attribute, self.all & ~(more if condition[0] == "<" else less), ask, means)
        for attribute, means in facts["opposites"].items():
            self._mean(self.all & ~self.ask[attribute][0], means)
        self._mean(self.all, facts["anything"])
        self._mean(0, facts["others"])
        self.names: dict[str, int] = {}
        self.winning: dict[str, int] = {}
        for number, names in enumerate(self.words):
            for form in {form for name in names for form in forms(name)}:
                self.winning[form] = self.winning.get(form, 0) | 1 << number
        self.names.update(self.winning)
        for canonical, means in facts["also"].items():
            for form in {form for name in _listed(means) for form in forms(name)}:
                self.names[form] = self.names.get(form, 0) | 1 << self.index[canonical]
        self.endings = {name.rpartition(" ")[2] for name in self.names}
        self.compared: dict[str, float] = dict(facts["compared"])
        for number, names in enumerate(self.words):
            for name in names:
                self.compared.setdefault(name.lower(), self.size[number])
        self.understood = lru_cache(1 << 16)(self._understood)

    def __reduce__(self) -> tuple[Callable[[], "Knowledge"], tuple[()]]:
        return knowledge, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Knowledge":
        return self

    def _compared(self, limit: float, bigger: bool) -> int:
        return sum(
            1 << number
            for number, size in enumerate(self.size)
            if (size > limit if bigger else size < limit)
        )

    def _members(self, listed: str) -> int:
        mask = 0
        for entry in _listed(listed):
            name = entry.removeprefix("-")
            if name.startswith("@"):
                found = sum(1 << n for n, c in enumerate(self.category) if c == name[1:])
            else:
                found = 1 << self.index[name]
            mask = mask & ~found if entry.startswith("-") else mask | found
        return mask

    def _add(self, attribute: str, mask: int, ask: str, means: str) -> None:
        self.ask[attribute] = (mask, [question.strip() for question in ask.split("|")])
        self._mean(mask, means)

    def _mean(self, mask: int, means: str) -> None:
        for phrase in _listed(means):
            words = [w for w in _WORD.findall(phrase) if w not in _DETERMINERS]
            key = tuple(map(stem, words))
            self.phrases.setdefault(key, mask)
            self.longest[key[0]] = max(len(key), self.longest.get(key[0], 0))

    def _understood(self, question: str) -> int | None:
        """Return the objects of which the answer is yes; None if the question is not understood.

        The grammar: a question is clauses joined by `or`, one of which must hold. A clause is a
        claim to know the object (words of `_PREAMBLE` and a name), or a sequence of properties all
        of which must hold: phrases of the table, longest first, compared by word stems; comparisons
        of size (`bigger than a breadbox`); words of `_FILLERS`, which mean nothing. `not`,
        `without` and the like negate the next property, but `Isn't it ...?` negates nothing. Every
        word must be understood, and there must be a property.
        """
        text = question.lower().replace("n't", " not").replace("n’t", " not")
        words = _WORD.findall(text)
        if len(words) > 40:
            return None
        if words[1:2] == ["not"]:
            # "Isn't it red?" wants to hear yes of red things.
            del words[1]
        elif words[2:3] == ["not"] and words[1] == "it":
            return None  # of "Is it not red?" nobody knows what a yes would mean
        result = 0
        clause: list[str] = []
        for number, word in enumerate([*words, "or"]):
            # An "or" inside a phrase of the table joins no clauses.
            inside = number < len(words) and self._within(words, number)
            if word != "or" or inside:
                clause.append(word)
                continue
            found = self._clause(clause)
            if found is None:
                return None
            result |= found
            clause = []
        return result

    def _within(self, words: list[str], number: int) -> bool:
        around = tuple(stem(word) for word in words[max(0, number - 1) : number + 2])
        return around in self.phrases

    def _clause(self, words: list[str]) -> int | None:
        claimed = self.claimed(words, self.names)
        if claimed:
            return claimed
        words = [word for word in words if word not in _DETERMINERS]
        stems = [stem(word) for word in words]
        result, negated, properties, at = self.all, False, 0, 0
        while at < len(words):
            word = words[at]
            found: int | None = None
            taken = 1
            if word in _NEGATIONS and (stem(word), *stems[at + 1 : at + 2]) not in self.phrases:
                negated, at = True, at + 1
                continue
            if word in _BIGGER or word in _SMALLER:
                compared = self._comparison(words, at)
                if compared is None:
                    return None
                found, taken = compared
            else:
                most = self.longest.get(stems[at], 0)
                for length in range(min(most, len(words) - at), 0, -1):
                    if (key := tuple(stems[at : at + length])) in self.phrases:
                        found, taken = self.phrases[key], length
                        break
            if found is not None:
                result &= self.all & ~found if negated else found
                negated, properties = False, properties + 1
            elif word not in _FILLERS:
                return None
            at += taken
        return result if properties else None

    def _comparison(self, words: list[str], at: int) -> tuple[int, int] | None:
        if words[at + 1 : at + 2] != ["than"]:
            return None
        for length in (3, 2, 1):
            limit = self.compared.get(" ".join(words[at + 2 : at + 2 + length]))
            if limit is not None:
                mask = self._compared(limit, words[at] in _BIGGER)
                return mask, 2 + length
        return None

    def claimed(self, words: Sequence[str], names: Mapping[str, int]) -> int:
        """Return the objects that `Is it a ...?` names, as word forms of `names`; 0 for none."""
        end = len(words)
        while end > 1 and words[end - 1] in _AFTERTHOUGHTS:
            end -= 1
        if not end or words[end - 1] not in self.endings:
            return 0
        for length in range(min(4, end), 0, -1):
            name = " ".join(words[end - length : end])
            if name not in names:
                continue
            before = words[: end - length]
            if not _PREAMBLE.issuperset(before):
                return 0
            # "Is it orange?" asks for the colour, "Is it an orange?" for the fruit.
            ambiguous = (stem(name),) in self.phrases and before
            return 0 if ambiguous and before[-1] in ("it", "be", "is") else names[name]
        return 0

    def wins(self, number: int, question: str) -> bool:
        """Return whether a question claims to know that object `number` is hidden."""
        words = _WORD.findall(question.lower())
        return bool(self.claimed(words, self.winning) >> number & 1)

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
    score_range: ClassVar[ScoreRange] = ScoreRange(worst=-20.0, data=-17.3, best=-12.6)

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
