"""What a seller's utterance says, as the scripted buyer understands it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from lmrl.tasks.car_dealer.profiles import facts

_AMOUNT = re.compile(
    r"(?<![\w.,])(?P<cash>\$ ?)?(?P<number>[0-9][0-9,]*(?:\.[0-9]+)?)"
    r"(?: ?(?P<unit>k|grand|thousand|dollars|bucks|usd)\b)?(?P<percent> ?(?:%|percent\b))?",
    re.I,
)
_LIST_BEFORE = re.compile(
    r"\b(msrp|list|lists|listed|list price|sticker|sticker price|retail|retail price)"
    r"[ :=]*((of|is|was|at|for|price|it|the)[ :=]+){0,4}$",
    re.I,
)
_LIST_AFTER = re.compile(r"^ ?\(?(msrp|list|sticker|retail)\b", re.I)
_OFF_BEFORE = re.compile(r"\b(by|discount of|rebate of|saves? you|knock|take off|cut)\s+$", re.I)
_OFF_AFTER = re.compile(r"^ ?(off|discount|less|rebate|cheaper|lower|down)\b", re.I)
_NO_MONEY = re.compile(r"^ ?(miles|mph|mpg|km|hp|horsepower|years?|seats)\b", re.I)
_NEGATED = re.compile(r"(\b(no|not|without|lacks?|lacking|missing)\b|n't\b)[^,.;!?]*", re.I)
_ASKING = re.compile(
    r"(so |and |well |ok(ay)?,? )*(what|which|how|why|do you|are you|is there|have you|any )", re.I
)
_TOPICS = {
    "budget": r"budget|spend|afford|price range|how much|willing to pay",
    "brand": r"brand|\bmake\b|manufacturer|looking for|in mind|prefer|help you|want\b",
    "type": r"type|\bkind\b|body|style|looking for|in mind|prefer|help you|want\b",
    "features": r"feature|extras|options|equipment|need|must|looking for|in mind",
    "discount": r"discount|rebate|\boff\b",
}
_CLOSING = re.compile(r"\b(deal|agreed|sold|take it|shake on|sign|buy it|accept)\b", re.I)
_GOODBYE = re.compile(r"\b(good ?bye|bye|get out|no sale|go away)\b", re.I)
_HELLO = re.compile(r"\b(hello|hi|hey|welcome|good (morning|afternoon|evening|day))\b", re.I)
_CHEAPER = re.compile(r"\b(discount|cheaper|special price|better price|lower the price)\b", re.I)
LOWEST_PRICE, HIGHEST_PRICE = 500, 1_000_000
"""Amounts in dollars outside this range are not the price of a car."""


def _any_of(table: Mapping[str, str]) -> dict[str, re.Pattern[str]]:
    return {name: re.compile(rf"\b({means})", re.I) for name, means in table.items()}


@cache
def _patterns() -> dict[str, dict[str, re.Pattern[str]]]:
    table = facts()
    types = {name: rf"({means})s?\b" for name, means in table["types"].items()}
    brands = {name: rf"({means})s?\b" for name, means in table["brands"].items()}
    found = {"brands": brands, "types": types, "features": table["features"]}
    return {kind: _any_of(entries) for kind, entries in found.items()}


def mentioned(kind: str, text: str) -> frozenset[str]:
    """Return the `brands`, `types` or `features` that a text speaks of."""
    return frozenset(name for name, means in _patterns()[kind].items() if means.search(text))


@dataclass(frozen=True)
class Heard:
    """What an utterance says, as the scripted buyer understands it.

    - `$40,000`, `40k`, `40,000 dollars` are amounts; so is a bare number above 2100. After or
      before `MSRP`, `list`, `sticker` or `retail` it is the list price; with `off`, `discount` or
      `by` a discount, as are percentages; else it is a price, and the last one counts.
    - Brands, types and features count as those of the car on offer unless a question asks for them
      (`Do you want a Ford?`) or the words before deny them (`no sunroof`).
    - A question without an amount asks for budget, brand, type, features or discount.
    """

    msrp: int | None = None
    price: int | None = None
    off: float = 0.0
    """Dollars above 1, a share below it."""
    brands: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    asked: tuple[str, ...] = ()
    closing: bool = False
    """Whether it says that there is a deal."""
    closing_question: bool = False
    """Whether it asks if there is one."""
    goodbye: bool = False
    hello: bool = False
    cheaper: bool = False
    """Whether it promises a lower price without saying which."""


def amounts(text: str) -> dict[str, float]:
    """Return the last amount of each sort in a text: `msrp`, `price`, `off`.

    Amounts are dollars; an `off` below 1 is a share.
    """
    found: dict[str, float] = {}
    for match in _AMOUNT.finditer(text):
        value = float(match["number"].replace(",", ""))
        before, after = text[max(0, match.start() - 40) : match.start()], text[match.end() :][:20]
        if match["percent"]:
            if 0 < value < 100:
                found["off"] = value / 100
            continue
        unit = (match["unit"] or "").lower()
        value *= 1000 if unit in ("k", "grand", "thousand") else 1
        # A bare number below 2100 may be a year.
        if not (match["cash"] or unit or "," in match["number"].strip(",") or value > 2100):
            continue
        if value > HIGHEST_PRICE or _NO_MONEY.match(after):
            continue
        if _OFF_AFTER.match(after) or _OFF_BEFORE.search(before):
            found["off"] = max(value, 1.0)
        elif value >= LOWEST_PRICE:
            is_list = _LIST_BEFORE.search(before) or _LIST_AFTER.match(after)
            found["msrp" if is_list else "price"] = value
    return found


@lru_cache(4096)  # the buyer hears the whole conversation at every turn
def heard(text: str) -> Heard:
    """Return what an utterance, on one line, says."""
    named: dict[str, float] = {}
    offered: list[str] = []
    asked: dict[str, None] = {}
    closing = closing_question = False
    for sentence in re.split(r"(?<=[.!?]) +", text):
        found = amounts(sentence)
        named |= found
        question = sentence.endswith("?")
        if _CLOSING.search(sentence) and not _NEGATED.search(sentence):
            closing, closing_question = closing or not question, closing_question or question
        if question and not found:
            asked |= dict.fromkeys(t for t, p in _TOPICS.items() if re.search(p, sentence, re.I))
        if not (question and not found and _ASKING.match(sentence)):
            offered.append(_NEGATED.sub("", sentence))
    shown = " ".join(offered)
    return Heard(
        msrp=round(named["msrp"]) if "msrp" in named else None,
        price=round(named["price"]) if "price" in named else None,
        off=named.get("off", 0.0),
        brands=mentioned("brands", shown),
        types=mentioned("types", shown),
        features=mentioned("features", shown),
        asked=tuple(asked),
        closing=closing,
        closing_question=closing_question,
        goodbye=bool(_GOODBYE.search(text)),
        hello=bool(_HELLO.search(text)),
        cheaper=bool(_CHEAPER.search(text)),
    )
