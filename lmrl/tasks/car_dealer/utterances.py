"""What a seller's utterance says, as the scripted buyer understands it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from lmrl.tasks.car_dealer.amounts import amounts
from lmrl.tasks.car_dealer.profiles import facts

WISHES = {"brand": "brands", "type": "types", "features": "features"}
"""What a buyer wants -> its kind in the table."""
_NEGATED = re.compile(
    r"(\b(no|not|without|lacks?|lacking|missing|never|out of)\b|n't\b)[^,.;!?]*", re.I
)
_QUESTION = re.compile(
    r"(so |and |well |ok(ay)?,? |please )*"
    r"(what|which|how|whats|tell me|describe|let me know|any\b|do (you|u)\b)",
    re.I,
)
"""How a question begins that has no question mark."""
_ASKING = re.compile(
    r"^(so |and |well |ok(ay)?,? )*(what|which|how|why|is there|is (a|an|the)|are (any|there)|any )"
    r"|\b(do|did|are|have|could|can) (you|u)\b"
    r"|(?<!would )\byou (want|need|like|prefer|said|mentioned|mean)\b"
    r"|\bwould (you|u) (prefer|need|want|give up|mind)\b|\b(deal ?breaker|important)\b",
    re.I,
)
"""What asks for wishes, where other questions offer a car (`Would you like our Audi?`)."""
_TOPICS = {
    "budget": r"budget|spend|afford|price range|how much|(willing|like|able|want) to pay"
    r"|you('d| would)? pay\b|stretch",
    "brand": r"brand|\bmake\b|manufacturer|looking for|in mind|prefer|help you|want\b|"
    r"brings you|(dream|perfect|ideal|right) car|repeat",
    "type": r"\btype|\bkind\b|body|style|looking for|in mind|prefer|help you|want\b|brings you"
    r"|(dream|perfect|ideal|right) car|vehicle",
    "features": r"feature|extras|options|equipment|need|must|looking for|in mind|anything special"
    r"|should it have|brings you|(dream|perfect|ideal|right) car",
    "discount": r"discount|rebate|\boff\b",
}
_BUDGET = re.compile(
    r"\b(spend|afford|budget|go (above|over|up|as high|higher)|stretch|too much|price range)\b",
    re.I,
)
"""What makes a question with an amount one for the budget."""
_CHAT = {
    "drive": r"test[- ]?drive|go for a (spin|ride|drive)|drive (it|one)\b|driven|behind the wheel"
    r"|try it out|take it out",
    "mood": r"how are you|how do you do|weather|how('s| is) (it going|your day)|nice day",
    "ready": r"ready to (buy|sign)|buy (it )?today|sign (it )?today",
    "thanks": r"coffee|\btea\b|something to drink|anything else|warranty|add-?ons?|insurance",
    "person": r"your name|who are you|famil|where (do|are) you|drive now|current car|old car"
    r"|hear about us|our ad\b|how many people|why do you|when do you|for work|making the decision"
    r"|yourself|your (job|wife|husband|kids|children)|do you (own|work|live)\b|trade[- ]?in",
    "undecided": r"colou?r|new or used|used (car|one)|manual|automatic|transmission|fuel|mileage"
    r"|economy|safety|engine|financ|cash|lease|loan|diesel|hybrid|sporty|quality|how soon",
    "see": r"(like|want) to (see|look at) (it|one|them)|have a look",
    "price": r"questions? for me",
}
"""Matters beside the deal, the most specific first."""
_STATEMENT = re.compile(
    r"\b(the|our|we|you|your|is|are|have|it|all|this|that|i|me|my|ok(ay)?|sure|yes|no|please|well"
    r"|thanks?|great|understand|there|and|for|will|can|would|do|of|to|be|a|an)\b",
    re.I,
)
_CLOSING = re.compile(r"\b(deal|agreed|sold|take it|shake on|sign|buy it|accept)\b", re.I)
_NO_CLOSING = re.compile(
    r"\b(deal ?breakers?|(great|good|best) deals?|(reach|get|make|offer)( you)? a (good )?deal)\b",
    re.I,
)
_LAST_WORD = re.compile(
    r"\b(best|final|last) (offer|price)|take it or leave it|(any|go) lower|sound good"
    r"|what do you (say|think)|interested\b",
    re.I,
)
_MIDDLE = re.compile(r"\bmeet( you)?( \w+)? (in the middle|half ?way)|split the difference", re.I)
_GOODBYE = re.compile(
    r"\b(good ?bye|bye|get out|no sale|go away|farewell|take care|so long|good night"
    r"|see you (later|soon|around)|have a (great|good|nice|lovely) (day|one|evening|weekend)"
    r"|thank(s| you) for (coming in|your time|stopping by|your visit)"
    r"|(can't|cannot|can not|don't think we can) (help you|reach a deal|make a deal))\b",
    re.I,
)
_HELLO = re.compile(r"\b(hello|hi|hey|welcome|good (morning|afternoon|evening|day))\b", re.I)
_CHEAPER = re.compile(
    r"\b(discount|cheaper|special price|better price|lower the price|negotiable|come down)\b", re.I
)


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


def last_mentioned(kind: str, text: str) -> str | None:
    """Return the one of `brands`, `types` or `features` that a text speaks of last."""
    ends = {
        max(match.end() for match in means.finditer(text)): name
        for name, means in _patterns()[kind].items()
        if means.search(text)
    }
    return ends[max(ends)] if ends else None


@dataclass(frozen=True)
class Heard:
    """What an utterance says, as the scripted buyer understands it.

    - `$40,000`, `40k`, `forty thousand dollars` are amounts; so is a bare number above 2100. After
      or before `MSRP`, `list`, `sticker` or `retail` it is the list price; with `off`, `discount`
      or `by` a discount, as are percentages; else it is a price, and the last one counts. Fees,
      deposits and instalments are none of these.
    - Brands, types and features count as those of the car on offer unless a question asks for them
      (`Do you want a Ford?`) or the words before deny them (`no sunroof`). A car has one type, the
      one that is named last.
    - A question without an amount asks for budget, brand, type, features or discount.
    """

    msrp: int | None = None
    price: int | None = None
    off: float = 0.0
    """Dollars above 1, a share below it."""
    brands: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    about: frozenset[str] = frozenset()
    """Brands, types and features of which it asks whether the buyer wants them."""
    denied: frozenset[str] = frozenset()
    """Brands, types and features that it says are not to be had."""
    asked: tuple[str, ...] = ()
    chat: str | None = None
    """Another matter that it is about, a key of `says` in the table."""
    closing: bool = False
    """Whether it says that there is a deal."""
    closing_question: bool = False
    """Whether it asks if there is one, or insists on its last offer."""
    middle: bool = False
    """Whether it offers to meet in the middle."""
    goodbye: bool = False
    hello: bool = False
    cheaper: bool = False
    """Whether it promises a lower price without saying which."""
    statement: bool = False
    """Whether it says something in English words."""


def _named(text: str) -> frozenset[str]:
    return frozenset().union(*(mentioned(kind, text) for kind in WISHES.values()))


@lru_cache(4096)  # the buyer hears the whole conversation at every turn
def heard(text: str) -> Heard:
    """Return what an utterance, on one line, says."""
    named: dict[str, float] = {}
    offered: list[str] = []
    about: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    asked: dict[str, None] = {}
    closing = closing_question = False
    for sentence in re.split(r"(?<=[.!?]) +", text):
        found = amounts(sentence)
        choice = " or " in sentence and len(sentence.split()) <= 5
        question = sentence.endswith("?") or bool(_QUESTION.match(sentence)) or choice
        if question and found and _BUDGET.search(sentence) and not _named(sentence):
            found = {}
            asked["budget"] = None
        named |= found
        if _LAST_WORD.search(sentence) or _MIDDLE.search(sentence):
            closing_question = True
        elif _CLOSING.search(_NO_CLOSING.sub("", sentence)) and not _NEGATED.search(sentence):
            closing, closing_question = closing or not question, closing_question or question
        if question and not found:
            asked |= dict.fromkeys(t for t, p in _TOPICS.items() if re.search(p, sentence, re.I))
        if question and not found and (choice or _ASKING.search(sentence)):
            if " or " in sentence:  # which of them
                asked |= {key: None for key, kind in WISHES.items() if mentioned(kind, sentence)}
            else:
                about |= _named(sentence)
            continue
        offered.append(_NEGATED.sub("", sentence))
        denied |= _named(" ".join(part[0] for part in _NEGATED.finditer(sentence)))
    shown = " ".join(offered)
    kind = last_mentioned("types", shown)
    chat = next((name for name, p in _CHAT.items() if re.search(p, text, re.I)), None)
    return Heard(
        msrp=round(named["msrp"]) if "msrp" in named else None,
        price=round(named["price"]) if "price" in named else None,
        off=named.get("off", 0.0),
        brands=mentioned("brands", shown),
        types=frozenset({kind} if kind else ()),
        features=mentioned("features", shown),
        about=about,
        denied=denied,
        asked=tuple(asked),
        chat=chat,
        closing=closing,
        closing_question=closing_question,
        middle=bool(_MIDDLE.search(text)),
        goodbye=bool(_GOODBYE.search(text)) and not asked and not named,
        hello=bool(_HELLO.search(text)),
        cheaper=bool(_CHEAPER.search(text)),
        statement=bool(_STATEMENT.search(text)),
    )
