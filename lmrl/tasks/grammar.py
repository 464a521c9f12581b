"""What the scripted oracles understand: yes/no questions over a fixed set of things."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

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


def listed(text: str) -> list[str]:
    """Return the parts of a text between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


class Grammar:
    """Names and properties of numbered things; a set of things is an integer with a bit for each.

    Args:
        sizes: of the things, for comparisons.
        fillers: words that mean nothing here, beside those of `_FILLERS`.
        preamble: words that may stand before a name, beside those of `_PREAMBLE`.

    Attributes:
        all: the set of all things.
        names: word forms -> the things they name; `winning` has those that win an episode.
        phrases: word stems -> the things that have the property.
        references: name -> size, to compare with.
    """

    def __init__(self, sizes: Sequence[float], fillers: str = "", preamble: str = "") -> None:
        self.sizes = sizes
        self.all = (1 << len(sizes)) - 1
        self.fillers = _FILLERS | _words(fillers)
        self.preamble = _PREAMBLE | _words(preamble)
        self.names: dict[str, int] = {}
        self.winning: dict[str, int] = {}
        self.endings: set[str] = set()  # last words of names
        self.phrases: dict[tuple[str, ...], int] = {}
        self.longest: dict[str, int] = {}  # phrase that begins with this stem
        self.references: dict[str, float] = {}
        self.understood = lru_cache(1 << 16)(self._understood)

    def call(self, number: int, names: Iterable[str], wins: bool) -> None:
        """Give names to a thing; those that do not win are only answered."""
        for name in names:
            self.references.setdefault(name.lower(), self.sizes[number])
            for form in forms(name):
                self.endings.add(form.rpartition(" ")[2])
                for table in (self.names, self.winning) if wins else (self.names,):
                    table[form] = table.get(form, 0) | 1 << number

    def compare(self, limit: float, bigger: bool) -> int:
        """Return the things that are bigger or smaller than a size."""
        return sum(
            1 << number
            for number, size in enumerate(self.sizes)
            if (size > limit if bigger else size < limit)
        )

    def mean(self, mask: int, means: str) -> None:
        """Let phrases, separated by commas, mean a property; a phrase means the first one."""
        for phrase in listed(means):
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
            elif word not in self.fillers:
                return None
            at += taken
        return result if properties else None

    def _comparison(self, words: list[str], at: int) -> tuple[int, int] | None:
        if words[at + 1 : at + 2] != ["than"]:
            return None
        for length in (3, 2, 1):
            limit = self.references.get(" ".join(words[at + 2 : at + 2 + length]))
            if limit is not None:
                mask = self.compare(limit, words[at] in _BIGGER)
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
            if not self.preamble.issuperset(before):
                return 0
            # "Is it orange?" asks for the colour, "Is it an orange?" for the fruit.
            ambiguous = (stem(name),) in self.phrases and before
            return 0 if ambiguous and before[-1] in ("it", "be", "is") else names[name]
        return 0

    def wins(self, number: int, question: str) -> bool:
        """Return whether a question claims to know that `number` is the hidden thing."""
        words = _WORD.findall(question.lower())
        return bool(self.claimed(words, self.winning) >> number & 1)
