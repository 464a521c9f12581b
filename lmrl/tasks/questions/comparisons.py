"""Comparisons: `Is it bigger than a breadbox?`, `Does it weigh more than ten pounds?`."""

from collections.abc import Sequence

from lmrl.tasks.questions.lexicon import lexicon
from lmrl.tasks.questions.phrase_table import Truth


class Comparisons:
    """How big things are, and what they are compared with.

    Args:
        sizes: length of each thing, in the table's own unit (centimetres, or thousands of people).

    Attributes:
        measures: `length`, `bulk`, `weight`, `price`, `speed` or `thin` -> that of each thing.
        references: measure -> name -> that of something to compare with.
        own: name -> the thing itself, neither bigger nor smaller.
    """

    def __init__(self, sizes: Sequence[float]) -> None:
        self.sizes = sizes
        self.measures: dict[str, Sequence[float | None]] = {"length": sizes, "bulk": sizes}
        self.references: dict[str, dict[str, float]] = {}
        self.own: dict[str, int] = {}

    def add_name(self, form: str, number: int, precedence: bool) -> None:
        """Let a name mean the size of a thing.

        Args:
            form: the name.
            number: number of the thing.
            precedence: whether the name becomes that of this thing if it is another's already.
        """
        if precedence or form not in self.own:
            self.own[form] = number
        for measure, values in self.measures.items():
            if (value := values[number]) is not None:
                self.references.setdefault(measure, {}).setdefault(form, value)

    def compare(self, limit: float, bigger: bool) -> int:
        """Return the things that are bigger or smaller than a size."""
        return sum(
            1 << number
            for number, size in enumerate(self.sizes)
            if (size > limit if bigger else size < limit)
        )

    def read(self, words: list[str], stems: list[str], at: int) -> tuple[Truth, int] | None:
        """Return the truth of a comparison at a place, and its length in words."""
        known = lexicon()
        word, start = words[at], at
        sign = 0
        if word in ("weigh", "weighs", "cost", "costs"):
            measure = "weight" if word.startswith("weigh") else "price"
            at += 1
            word = words[at] if at < len(words) else ""
            sign = {"more": 1, "over": 1, "less": -1, "under": -1, "as": 2, "at": 3}.get(word, 0)
            if not sign:
                return None
        elif word in known.measures:
            sign, measure = known.measures[word]
        elif word in ("more", "less") and words[at + 1 : at + 2] == ["expensive"]:
            sign, measure, at = (1 if word == "more" else -1), "price", at + 1
        elif word in ("more", "less", "over", "under"):
            sign, measure = (1 if word in ("more", "over") else -1), ""
        elif word == "as" and words[at + 1 : at + 2] and words[at + 1] in known.adjectives:
            sign, measure, at = 2, known.adjectives[words[at + 1]], at + 1
            if words[at + 1 : at + 2] != ["as"]:
                return None
        elif stems[at] == "siz":
            sign, measure = 4, "bulk"
        elif word in ("go", "goes", "move", "moves", "run", "travel") and words[
            at + 1 : at + 2
        ] == ["faster"]:
            sign, measure, at = 1, "speed", at + 1
        else:
            return None
        at += 1
        if at < len(words) and words[at] in ("than", "as", "least"):
            at += 1
        elif measure and sign in (1, -1) and words[at - 1] not in ("over", "under"):
            return None
        limit = self._limit(words, stems, at, measure)
        if limit is None:
            return None
        measure, value, length = limit
        own = self.own.get(" ".join(words[at : at + length]))
        return self._against(measure, value, sign, own), at + length - start

    def _limit(
        self, words: list[str], stems: list[str], at: int, measure: str
    ) -> tuple[str, float, int] | None:
        """Return the measure, the value and the words of what is compared with."""
        known = lexicon()
        for length in (4, 3, 2, 1):
            value = self.references.get(measure, {}).get(" ".join(words[at : at + length]))
            if value is not None and at + length <= len(words):
                return measure, value, length
        usd = int(words[at : at + 1] == ["usd"])
        at += usd
        number, length = 1.0, 0
        if at < len(words):
            try:
                number, length = float(words[at]), 1
            except ValueError:
                if words[at] in known.numbers:
                    number, length = known.numbers[words[at]], 1
        while at + length < len(words) and words[at + length] in ("hundred", "thousand", "million"):
            number *= {"hundred": 100, "thousand": 1000, "million": 1e6}[words[at + length]]
            length += 1
        if usd and length:
            return "price", number, length + 1
        if at + length < len(words) and stems[at + length] in known.units:
            factor, unit = known.units[stems[at + length]]
            if measure and {unit, measure} - {"length", "bulk", "thin"} and unit != measure:
                return None
            length += 1
            if words[at + length : at + length + 1] and words[at + length] in (
                "long", "tall", "high", "wide", "big",
            ):  # fmt: skip
                length += 1
            return unit, number * factor, length
        return None

    def _against(self, measure: str, limit: float, sign: int, own: int | None) -> Truth:
        """Return the truth of being more (1), less (-1), at least (2, 3) or about (4) a limit."""
        sure = maybe = 0
        kinds = ("length", "bulk") if measure == "bulk" else (measure,)
        for number in range(len(self.sizes)):
            bit = 1 << number
            ratios = []
            for kind in kinds:
                value = self.measures.get(kind, ())[number] if kind in self.measures else None
                ratios.append(None if value is None else value / (limit or 1e-9))
            ratios_known = [ratio for ratio in ratios if ratio is not None]
            if number == own and sign in (1, -1):
                continue
            if len(ratios_known) < len(ratios):
                maybe |= bit
                continue
            if sign == 4:
                low, high = min(ratios_known) > 0.6, max(ratios_known) < 1.6
                outside = max(ratios_known) < 0.5 or min(ratios_known) > 2
                sure |= bit if low and high else 0
                maybe |= 0 if outside else bit
                continue
            edge = 1.12 if sign in (1, -1) else 0.9
            under = 0.9 if sign in (1, -1) else 0.8
            if sign == -1:
                ratios_known = [1 / max(ratio, 1e-9) for ratio in ratios_known]
            sure |= bit if min(ratios_known) > edge else 0
            maybe |= bit if max(ratios_known) > under else 0
        return sure, maybe
