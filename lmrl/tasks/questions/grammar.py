"""What the scripted oracles understand: yes/no questions over a fixed set of things."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from lmrl.tasks.questions.clauses import frame, segments
from lmrl.tasks.questions.comparisons import Comparisons
from lmrl.tasks.questions.lexicon import lexicon
from lmrl.tasks.questions.phrase_table import PhraseTable, Truth
from lmrl.tasks.questions.question_words import question_words
from lmrl.tasks.questions.words import forms, stem


class Grammar:
    """Names and properties of numbered things; a set of things is an integer with a bit for each.

    Args:
        sizes: sizes of the things, for comparisons.
        fillers: words that mean nothing here, beside those of the lexicon.
        preamble: words that may stand before a name, beside those of the lexicon.

    Attributes:
        all: the set of all things.
        names: word forms -> the things they name; `winning` has those that win an episode,
            `doubtful` those of which nobody can say whether they name a thing.
        endings: last words of names.
        table: phrases and the things of which they are true.
        comparisons: sizes of the things, and names to compare them with.
    """

    def __init__(self, sizes: Sequence[float], fillers: str = "", preamble: str = "") -> None:
        known = lexicon()
        self.all = (1 << len(sizes)) - 1
        self.fillers = known.fillers.union(fillers.split())
        self.preamble = known.preamble.union(preamble.split())
        self.carriers = frozenset(map(stem, known.carriers))
        self.names: dict[str, int] = {}
        self.winning: dict[str, int] = {}
        self.doubtful: dict[str, int] = {}
        self.endings: set[str] = set()
        self.table = PhraseTable()
        self.comparisons = Comparisons(sizes)
        self.evaluate = lru_cache(1 << 16)(self._evaluate)
        self.true_set = lru_cache(1 << 16)(self._true_set)

    # -- the table --------------------------------------------------------------------------------

    def add_names(self, number: int, names: Iterable[str], wins: bool) -> None:
        """Give names to a thing.

        Args:
            number: number of the thing.
            names: names in any case; plural and singular are added.
            wins: whether a question with one of them wins an episode.
        """
        for name in names:
            for form in forms(name):
                self.comparisons.add_name(form, number, wins)
                self._add_name(form, 1 << number, wins)

    def add_doubtful_names(self, number: int, names: Iterable[str]) -> None:
        """Know names that a thing may have or not."""
        for form in {form for name in names for form in forms(name)}:
            self.endings.add(form.rpartition(" ")[2])
            self.names.setdefault(form, 0)
            self.doubtful[form] = self.doubtful.get(form, 0) | 1 << number

    def add_unknown_names(self, names: Iterable[str]) -> None:
        """Know the names of things that are not in the table."""
        for name in names:
            for form in forms(name):
                if form not in self.names:
                    self._add_name(form, 0, False)

    def _add_name(self, form: str, mask: int, wins: bool) -> None:
        self.endings.add(form.rpartition(" ")[2])
        for table in (self.names, self.winning) if wins else (self.names,):
            table[form] = table.get(form, 0) | mask

    def add_property(self, mask: int, means: str, unsure: int = 0) -> None:
        """Let phrases mean a property; a phrase that is known keeps its meaning.

        Args:
            mask: the things that have the property.
            means: phrases as `words.spelled` reads them, separated by commas.
            unsure: the things of which nobody can say.
        """
        self.table.add(means, (mask & ~unsure, mask | unsure))

    # -- questions --------------------------------------------------------------------------------

    def _true_set(self, question: str) -> int | None:
        """Return the things of which the answer is yes; None if the question is not understood."""
        found = self._evaluate(question)
        return None if found is None else found[0]

    def _evaluate(self, question: str) -> Truth | None:
        """Return the things of which the answer is yes, and those of which it is not no.

        The grammar: what changes nothing goes first (`hmm`, `do you think`, `right?`). Then a
        question claims to know the thing (words of `preamble` and a name), or consists of clauses
        joined by `or` and `and`. A clause is a frame (`Is it`, `Do people`, `something that you`),
        and properties all of which must hold: phrases of the table, longest first, compared by word
        stems; comparisons (`bigger than a breadbox`); fillers, which mean nothing. The passive is
        read as the active (`Is it worn?` is `wear it`). `Is it not red?` is true of what is not
        red, but `Isn't it red?` hears yes of red things. Every word must be understood, and there
        must be a property. None if the question is not understood.
        """
        words = question_words(question)
        if not words or len(words) > 40:
            return None
        named = self.named(_spoken(question), self.names)
        if named is not None:
            return named, named | (self.named(_spoken(question), self.doubtful) or 0)
        if "or" in words and "," in words:
            last = len(words) - words[::-1].index("or")
            words = [
                "or" if w == "," and n < last and words[n + 1] != "or" else w
                for n, w in enumerate(words)
            ]
        return self._sentence_of([word for word in words if word != ","])

    def _sentence_of(self, words: list[str]) -> Truth | None:
        """Return the truth of clauses joined by `or` and `and`, some of which are in phrases."""
        found = [n for n, word in enumerate(words[:-1]) if n and word in ("or", "and")]
        joints = [n for n in found if not self.table.joins(words, n)]
        truth = self._joined(words, joints)
        return truth if truth is not None or joints == found else self._joined(words, found)

    def _joined(self, words: list[str], joints: list[int]) -> Truth | None:
        """Return the truth of clauses that are joined by the words `joints`."""
        if not joints:
            return self._clause(words)[0]
        parts = [words[: joints[0]]]
        for at, end in zip(joints, [*joints[1:], len(words)], strict=True):
            parts.append(words[at + 1 : end])
        result = self._clause(parts[0])[0]
        if result is None:
            return None
        left = parts[0]
        for at, part in zip(joints, parts[1:], strict=True):
            found, least, best = None, 99, left
            if not part:
                return None
            whole = part[0] in lexicon().auxiliaries and len(part) > 2
            # `a long tail and fur`: of what both share, the part that asks for nothing itself.
            for kept in range(0 if whole else len(left) - 1, -1, -1):
                candidate = left[:kept] + part
                truth, count = self._clause(candidate)
                if truth is not None and count < least:
                    found, least, best = truth, count, candidate
                    if count == 1:
                        break
            left = best
            if found is None:
                return None
            if words[at] == "or":
                result = (result[0] | found[0], result[1] | found[1])
            else:
                result = (result[0] & found[0], result[1] & found[1])
        return result

    # -- clauses ----------------------------------------------------------------------------------

    def _clause(self, words: list[str]) -> tuple[Truth | None, int]:
        """Return the truth of a clause: its frame, and relative clauses that say more.

        The number is that of its properties.
        """
        result, properties = (self.all, self.all), 0
        opposite = False
        for number, (segment, relative) in enumerate(segments(words)):
            negated, people, passive, rest = frame(segment, relative)
            found: Truth | None
            if not rest:
                if number == 0:
                    opposite = negated
                    continue
                return None, 0
            gap = people and relative and "it" not in rest
            verb = (
                passive
                or people
                or (
                    segment[:1] != []
                    and segment[0] in lexicon().forms_of_do
                    and "be" not in segment
                )
            )
            known = self._saying(rest, gap, not verb)
            if known[0] is None and passive:
                known = self._saying([rest[0], *rest[2:]], gap, False)
            found, count = known
            if found is None:
                return None, 0
            if negated and number == 0:
                opposite = True
            elif negated:
                found = (self.all & ~found[1], self.all & ~found[0])
            result = (result[0] & found[0], result[1] & found[1])
            properties += count
        if not properties:
            return None, 0
        if opposite:
            result = (self.all & ~result[1], self.all & ~result[0])
        return result, properties

    def _saying(self, words: list[str], gap: bool, naming: bool) -> tuple[Truth | None, int]:
        """Return the things with all properties that words name, and how many; None if any is new.

        Args:
            words: words of a clause after its frame.
            gap: whether `it` is left out after a verb, as in `something you eat`.
            naming: whether they may name things.
        """
        known = lexicon()
        words = [word for word in words if word not in known.determiners or word in ("a", "an")]
        words = ["it" if word in known.pronouns else word for word in words]
        # An article marks a name (`an orange`); without one it is a property (`orange`).
        article = bool(words) and words[0] in ("a", "an")
        words = [word for word in words if word not in ("a", "an")]
        stems = [stem(word) for word in words]
        sure = maybe = self.all
        some = 0
        negated, properties, at = False, 0, 0
        fresh = naming
        end = len(words)
        while at < end:
            word = words[at]
            found: Truth | None = None
            taken = 1
            skipped: int | None = None
            if fresh and (article or tuple(stems[at:]) not in self.table.phrases):
                named = self.names.get(" ".join(words[at:]))
                if named is not None:
                    found, taken = (named, named), end - at
            if found is None:
                found, taken = self.table.longest_match(stems, at, gap)
                skipped = self._carried(words, stems, at)
                if skipped is not None and at + skipped < end:
                    beyond, length = self.table.longest_match(stems, at + skipped, gap)
                    if beyond is not None and skipped + length > taken:
                        found, taken = beyond, skipped + length
            if found is None:
                measured = self.comparisons.read(words, stems, at)
                if measured is not None:
                    found, taken = measured
            if found is not None:
                if negated:
                    found = (self.all & ~found[1], self.all & ~found[0])
                sure, maybe, some = sure & found[0], maybe & found[1], some | found[1]
                negated, properties, fresh = False, properties + 1, False
            elif word in known.negations:
                negated = not negated
            elif word in self.fillers or word == "it":
                fresh = fresh and word in known.adverbs
            elif word == "by" and words[at + 1 : at + 2] == ["people"]:
                taken = 2
            elif word == "for" and at + 1 < end and not properties:
                pass
            elif skipped is not None:
                taken = skipped
            else:
                return None, 0
            at += taken
        # What holds of a verb and its object (`hold it with your fingers`) may not hold of each.
        return (sure, maybe if naming or properties < 2 else some), properties

    def _carried(self, words: list[str], stems: list[str], at: int) -> int | None:
        """Return the length of a verb that adds nothing to what follows; None for other verbs."""
        if stems[at] not in self.carriers or at + 1 >= len(words):
            return None
        after = at + (2 if words[at + 1] == "it" else 1)
        if after < len(words) and (
            words[after] in lexicon().before_places or stems[at] in ("consider", "call")
        ):
            skipped = ("as", "be", "to") if stems[at] != "use" else ("as", "for", "be")
            while after < len(words) and words[after] in skipped:
                after += 1
            return after - at
        return None

    # -- names ------------------------------------------------------------------------------------

    def named(self, words: Sequence[str], names: Mapping[str, int]) -> int | None:
        """Return the things that `Is it a ...?` names, as word forms of `names`; None for none."""
        known = lexicon()
        end = len(words)
        while end > 1 and words[end - 1] in known.afterthoughts and words[end - 1] not in names:
            end -= 1
        if not end or words[end - 1] not in self.endings:
            return None
        for length in range(min(4, end), 0, -1):
            name = " ".join(words[end - length : end])
            if name not in names:
                continue
            before = words[: end - length]
            if not self.preamble.issuperset(before) or ("have" in before) != ("mind" in before):
                return None
            if before and before[-1] in known.before_verbs:
                return None
            # A `big cat` is more than a cat that is big.
            if before and (stem(before[-1]), *map(stem, name.split())) in self.table.phrases:
                return None
            # "Is it orange?" asks for the colour, "Is it an orange?" for the fruit.
            ambiguous = (stem(name),) in self.table.phrases and before
            return None if ambiguous and before[-1] in ("it", "be", "is") else names[name]
        return None

    def wins(self, number: int, question: str) -> bool:
        """Return whether a question claims to know that `number` is the hidden thing.

        It reads the question as `evaluate` does, so that a claim that wins is also answered yes.
        """
        words = _spoken(question)
        named = self.named(words, self.winning)
        if named is None:
            named = self._clause_names(words)
        return bool((named or 0) >> number & 1)

    def _clause_names(self, words: list[str]) -> int | None:
        """Return the things that a question of one clause names and says nothing else of."""
        if not words or {"or", "and"}.intersection(words) or len(segments(words)) != 1:
            return None
        negated, people, passive, rest = frame(words, False)
        if negated or people or passive or words[0] in lexicon().forms_of_do:
            return None
        known = lexicon()
        while rest and rest[0] in known.adverbs:
            rest = rest[1:]
        name = [word for word in rest if word not in known.determiners]
        if name == rest and tuple(map(stem, name)) in self.table.phrases:
            return None  # "Is it orange?" asks for the colour
        return self.winning.get(" ".join(name)) if words[0] in known.auxiliaries else None


def _spoken(question: str) -> list[str]:
    return [word for word in question_words(question) if word != ","]
