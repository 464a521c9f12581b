"""Car Dealer: sell a car to a buyer whose taste, temper and budget are hidden.

Rules (arXiv 2311.18232, section 4 and appendix C; code of the published benchmark):
- The agent is the seller. The buyer has a personality (10), a brand (13), a type (6), 1 to 4 of 8
  features and a budget (10,000 to 90,000), drawn uniformly.
- An action is an utterance and a newline. The buyer answers with one, and ends the talk with
  `Output: Decision=Accept MSRP=$40,000 Buy Price=$35,000` or with
  `Output: Decision=Reject MSRP=$40,000`, which the seller does not see.
- Reward: 0 until the end, then by `reward_mode`; see `REWARDS`.
- Horizon: 50 utterances of both sides, so 25 actions. The buyer is then asked for its verdict; none
  at all is worth 0. The episode ends by the rules; nothing is cut.
- The policy sees the whole episode.

The published buyer is a fine-tuned GPT-2 XL, which makes up MSRP (list price) and price. Ours is
scripted unless the option `buyer` names another; `ScriptedBuyer` says how it deals.

Score: the published minimum is 0 and the data set's mean return 0.562. The paper leaves the maximum
of this task blank. Ours is 1.0, a choice: a car that is listed and sold for the whole budget. The
scripted buyer pays neither more than its budget nor more than the list price, so that `sale` gives
no more. For `revenue` nothing is published; its constants are those times the mean budget.

Repaired by default, as published with `faithful=True` (quirks D1 to D7 of the task's sheet):
- `reward_mode` is `sale`; published, `fancy`, which rewards a rejection for a list price above the
  budget (up to 1), punishes one below without bound, and pays more the lower the list price is.
- D1: at the limit, the buyer's completion of `Output: Decision=` is read together with these
  words; published, without them, so that it means nothing (`fix_reprompt`).
- What the seller says reaches the buyer on one line of at most 400 characters and without the
  marker of a verdict; what the buyer says is one line of at most 600. Published, all of it.
- D2, D3: there is no batched environment here, and the buyer follows from the seed in every case.
- D5: `conversations` reads recorded data as a list and as a dictionary of lists.
- D7: `info["success"]` says whether the car was sold, not whether the reward was 0.
- D4 and D6 concern training scripts that have no counterpart here.

Variant `unseen-budgets`: 20,000 to 80,000 in steps between the published ones. The optimal player
takes budgets to be published ones, so it asks too much there and returns about 0.8.
"""

import json
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from lmrl.env import Player, ScoreRange, Step, TextEnv, Wording, fresh_seed
from lmrl.errors import UsageError, unknown
from lmrl.tasks.oracle import Oracle, as_oracle, one_line
from lmrl.tasks.wording import DISTRACTORS, Adding, ByRules

FACTS = Path(__file__).parent / "assets" / "car_dealer.json"
HEADER = "Start\n"
ASK_VERDICT = "Output: Decision="
LONGEST_REPLY = 600
SMART = 0.58
"""How often the `mixture` player says what the optimal one would say: measured to return 0.562."""


@cache
def facts() -> dict[str, Any]:
    """Return the table, read once per process."""
    table: dict[str, Any] = json.loads(FACTS.read_text(encoding="utf-8"))
    return table


def dollars(amount: float) -> str:
    """Return an amount like `$40,000`."""
    return f"${round(amount):,}"


# -- the buyer's profile, the deal and its reward -------------------------------------------------


@dataclass(frozen=True)
class Profile:
    """Who the buyer is; the fields have the names of the published data."""

    personality: str
    preferred_brands: str
    preferred_type: str
    preferred_features: tuple[str, ...]
    budget: int

    @classmethod
    def drawn(cls, rng: random.Random, budgets: Sequence[int] | None = None) -> "Profile":
        """Return a random profile; the order of the draws is the published one.

        Args:
            rng: of the draws.
            budgets: to draw from; None is the published ones.
        """
        table = facts()
        return cls(
            personality=rng.choice(list(table["personalities"])),
            preferred_brands=rng.choice(list(table["brands"])),
            preferred_type=rng.choice(list(table["types"])),
            preferred_features=tuple(rng.sample(list(table["features"]), k=rng.randint(1, 4))),
            budget=rng.choice(budgets or table["budgets"]),
        )

    @property
    def line(self) -> str:
        """The profile as the buyer's prompt states it."""
        return (
            f"Personality: {self.personality}. Prefers {self.preferred_brands} "
            f"{self.preferred_type} with {', '.join(self.preferred_features)}. "
            f"Budget: {dollars(self.budget)}\n"
        )


class Deal(NamedTuple):
    """The buyer's verdict; `price` is None unless it bought and named one."""

    bought: bool
    msrp: int
    price: int | None

    @property
    def line(self) -> str:
        """The verdict as the buyer writes it."""
        if not self.bought:
            return f"{ASK_VERDICT}Reject MSRP=${self.msrp:,}"
        price = "" if self.price is None else f" Buy Price=${self.price:,}"
        return f"{ASK_VERDICT}Accept MSRP=${self.msrp:,}{price}"


_DEAL = re.compile(
    re.escape(ASK_VERDICT)
    + r"(?P<decision>Accept|Reject) MSRP=\$(?P<msrp>[1-9][0-9,]*)"
    + r"(?: Buy Price=\$(?P<price>[0-9][0-9,]*))?"
)
_MARKER = re.compile(r"output\s*:\s*decision\s*=?", re.IGNORECASE)


def read_deal(text: str) -> tuple[Deal | None, str]:
    """Return the first verdict in a text, and the text without it."""
    found = _DEAL.search(text)
    if found is None:
        return None, text
    bought = found["decision"] == "Accept"
    price = int(found["price"].replace(",", "")) if bought and found["price"] else None
    deal = Deal(bought, int(found["msrp"].replace(",", "")), price)
    return deal, text[: found.start()] + text[found.end() :]


def fancy_reward(budget: int, deal: Deal) -> float:
    """Return price / mean of budget and MSRP, or (MSRP - budget) / MSRP for a rejection."""
    if deal.msrp == 0:
        return 0.0
    if not deal.bought:
        return -(budget - deal.msrp) / deal.msrp
    return 0.0 if deal.price is None else deal.price / ((budget + deal.msrp) / 2)


def revenue_reward(budget: int, deal: Deal) -> float:
    """Return the price in thousands, or 0 for a rejection."""
    return deal.price / 1000 if deal.bought and deal.price is not None else 0.0


def sale_reward(budget: int, deal: Deal) -> float:
    """Return the fancy reward of a sale, at most 2, or 0 for a rejection.

    2 is what a price within the budget can give; only a buyer that invents figures exceeds it.
    """
    return min(2.0, fancy_reward(budget, deal)) if deal.bought else 0.0


REWARDS: dict[str, tuple[Callable[[int, Deal], float], tuple[float, float], ScoreRange]] = {
    "fancy": (fancy_reward, (float("-inf"), float("inf")), ScoreRange(0.0, 0.562, 1.0)),
    "revenue": (revenue_reward, (0.0, float("inf")), ScoreRange(0.0, 28.1, 50.0)),
    "sale": (sale_reward, (0.0, 2.0), ScoreRange(0.0, 0.562, 1.0)),
}
"""Reward functions of (budget, verdict) by name, each with its range and the score's constants.

`fancy` (data, single environment) and `revenue` (batched one) are published, `sale` is ours.
"""


# -- what a seller's utterance says ---------------------------------------------------------------


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
_LEAST, _MOST = 500, 1_000_000
"""Amounts outside this are no price of a car."""


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


def _amounts(text: str) -> dict[str, float]:
    """Return the last amount of each sort: `msrp`, `price`, `off`."""
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
        if value > _MOST or _NO_MONEY.match(after):
            continue
        if _OFF_AFTER.match(after) or _OFF_BEFORE.search(before):
            found["off"] = max(value, 1.0)
        elif value >= _LEAST:
            is_list = _LIST_BEFORE.search(before) or _LIST_AFTER.match(after)
            found["msrp" if is_list else "price"] = value
    return found


@lru_cache(4096)  # the buyer hears the whole conversation at every turn
def heard(text: str) -> Heard:
    """Return what an utterance, on one line, says."""
    amounts: dict[str, float] = {}
    offered: list[str] = []
    asked: dict[str, None] = {}
    closing = closing_question = False
    for sentence in re.split(r"(?<=[.!?]) +", text):
        found = _amounts(sentence)
        amounts |= found
        question = sentence.endswith("?")
        if _CLOSING.search(sentence) and not _NEGATED.search(sentence):
            closing, closing_question = closing or not question, closing_question or question
        if question and not found:
            asked |= dict.fromkeys(t for t, p in _TOPICS.items() if re.search(p, sentence, re.I))
        if not (question and not found and _ASKING.match(sentence)):
            offered.append(_NEGATED.sub("", sentence))
    shown = " ".join(offered)
    return Heard(
        msrp=round(amounts["msrp"]) if "msrp" in amounts else None,
        price=round(amounts["price"]) if "price" in amounts else None,
        off=amounts.get("off", 0.0),
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


# -- the scripted buyer ---------------------------------------------------------------------------


@dataclass
class Talk:
    """Where a negotiation stands, as the buyer sees it.

    Attributes:
        patience: utterances that it still listens to.
        msrp: the list price; the first that was named stays.
        offer: the price that the seller asks now.
        counter: the price that the buyer offered last.
        haggles: how many prices it refused.
    """

    profile: Profile
    patience: int
    msrp: int | None = None
    offer: int | None = None
    counter: int | None = None
    haggles: int = 0
    brands: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    said: set[str] = field(default_factory=set)

    @property
    def temper(self) -> Mapping[str, Any]:
        """What follows from the personality."""
        temper: Mapping[str, Any] = facts()["personalities"][self.profile.personality]
        return temper

    @property
    def missing(self) -> list[str]:
        """The wanted features that the car has not got, as far as the buyer knows."""
        return [name for name in self.profile.preferred_features if name not in self.features]

    @property
    def limit(self) -> int:
        """The most that the buyer pays: a share of its budget, and less than the list price."""
        wanted = self.profile
        # The whole budget for the right car, 60 % of it for an unknown one.
        share = 100 - 20 * len(self.missing) / len(wanted.preferred_features)
        share -= 10 * (wanted.preferred_brands not in self.brands)
        share -= 10 * (wanted.preferred_type not in self.types)
        most = wanted.budget * share / 100
        if self.msrp is not None:
            most = min(most, self.msrp * (1 - self.temper["discount"]))
        return int(most + 0.5)

    def hear(self, text: str) -> list[str]:
        """Take in an utterance and return what to say to it: keys of `says` in the table."""
        news = heard(text)
        self.patience -= 1
        if text in self.said:
            self.patience -= 1
        self.said.add(text)
        self._look(news)
        priced = self.hear_prices(news)
        reply = self._reply(news, priced)
        if reply == ["confused"]:
            self.patience -= 1
        if reply != ["accept"] and self.patience <= 0:
            return ["reject"]
        return reply

    def _look(self, news: Heard) -> None:
        if news.brands and news.brands != self.brands:  # another car
            self.brands, self.types, self.features = news.brands, frozenset(), frozenset()
        self.types = news.types or self.types
        self.features |= news.features

    def hear_prices(self, news: Heard) -> bool:
        """Note the prices, and return whether the seller named one."""
        before = self.offer if self.offer is not None else self.msrp
        if self.msrp is None:
            self.msrp = news.msrp if news.msrp is not None else news.price
            before = before if before is not None else self.msrp
        if news.price is not None:
            self.offer = news.price
        elif news.off and before is not None:
            lower = before * (1 - news.off) if news.off < 1 else before - news.off
            self.offer = max(_LEAST, round(lower))
        elif news.msrp is not None and self.offer is None:
            self.offer = news.msrp
        else:
            return False
        return True

    def _reply(self, news: Heard, priced: bool) -> list[str]:
        if news.goodbye:
            return ["reject"]
        if news.closing and not priced and self.counter is not None:
            self.offer = self.counter
            return ["accept"]
        if self.offer is not None and (priced or news.closing or news.closing_question):
            return self._judge(self.offer)
        if news.asked:
            answers = list(news.asked[: self.temper["topics"]])
            fussy = self.temper["discount"] > 0
            return ["no discount" if a == "discount" and not fussy else a for a in answers]
        if news.brands or news.types or news.features:
            return self._wishes() or ["interested"]
        if news.cheaper:
            return ["price"]
        return ["greet"] if news.hello else ["confused"]

    def _judge(self, offer: int) -> list[str]:
        if offer <= self.limit:
            return ["accept"]
        self.haggles += 1
        if offer > 1.3 * self.profile.budget:
            self.patience -= 1
        step = 100 if self.profile.budget <= 10_000 else 500
        share = min(1.0, 0.75 + 0.05 * self.haggles)
        self.counter = max(step, int(self.limit * share / step) * step)
        # With the right car within the budget, it is the list price that is in the way.
        if not self._wishes() and offer <= self.profile.budget:
            return ["discount", "counter"]
        return ["high", *self._wishes(), "counter"]

    def _wishes(self) -> list[str]:
        if self.profile.preferred_brands not in self.brands:
            return ["car brand"]
        if self.profile.preferred_type not in self.types:
            return ["car type"]
        return ["car features"] if self.missing else []

    def deal(self, bought: bool) -> Deal:
        """Return the verdict; a car without a list price is reckoned at the budget."""
        msrp = max(1, self.msrp if self.msrp is not None else self.profile.budget)
        return Deal(bought, msrp, self.offer if bought else None)


class ScriptedBuyer:
    """A buyer that is a function of its prompt: the profile and all that was said.

    It understands `Heard`, and pays at most `Talk.limit`: up to its whole budget the more the car
    is what it wants, never more than the list price, and with some personalities only with a
    discount. It answers questions; some personalities hide up to 15 % of the budget. Every
    utterance costs patience, and more if it is empty, repeated or an absurd price; then it leaves.
    """

    name = "scripted"
    version = "1"

    def __call__(self, prompt: str, /) -> str:
        """Return the buyer's next utterance, or the rest of its verdict if the prompt asks."""
        first, lines, forced = read_conversation(prompt)
        profile = read_profile(first)
        if profile is None:
            return "I do not know who I am.\n"
        talk = Talk(profile, facts()["personalities"][profile.personality]["patience"])
        talk.patience += _more_patience(first)
        says = ["greet"]
        # The seller speaks first, so every other line is the buyer's own.
        for line in lines[::2]:
            says = talk.hear(one_line(line))
        if forced:
            return talk.deal(bought=False).line.removeprefix(ASK_VERDICT) + "\n"
        text = _wording(talk, says, _generator(f"{len(lines)}:{prompt[-1000:]}"))
        if says[0] in ("accept", "reject"):
            text += " " + talk.deal(bought=says[0] == "accept").line
        return text + "\n"


def read_conversation(prompt: str) -> tuple[str, list[str], bool]:
    """Return the profile line of a buyer's prompt, all that was said, and whether it has to decide.

    What the buyer itself says beside a verdict that it is asked for is left out.
    """
    first, _, rest = prompt.removeprefix(HEADER).partition("\n")
    lines = rest.split("\n")
    forced = lines.pop().endswith(ASK_VERDICT)
    return first + "\n", lines, forced


@lru_cache(4096)  # the buyer is asked at every turn, and a generator takes long to start
def _more_patience(profile: str) -> int:
    return _generator(profile.removesuffix("\n")).randint(-1, 2)


def _generator(text: str) -> random.Random:
    # Lone surrogates, which JSON can bring, have no encoding of their own.
    return random.Random(text.encode(errors="replace"))


def _wording(talk: Talk, says: Iterable[str], rng: random.Random) -> str:
    wanted, table = talk.profile, facts()
    hint = wanted.budget * (1 - talk.temper["hides"])
    slots = {
        "brand": wanted.preferred_brands,
        "type": wanted.preferred_type,
        "features": " and ".join(wanted.preferred_features),
        "missing": " and ".join(talk.missing),
        "hint": dollars(hint),
        "percent": f"{100 * talk.temper['discount']:.0f}",
        "offer": dollars(talk.offer or 0),
        "counter": dollars(talk.counter or 0),
    }
    opener = rng.choice(table["openers"][wanted.personality])
    texts = [opener, *(rng.choice(table["says"][key]).format(**slots) for key in says)]
    return " ".join(text for text in texts if text)


_PROFILE = re.compile(
    r"Personality: (\w+)\. Prefers (.*?) with (.*)\. Budget: \$([0-9][0-9,]*)\n", re.DOTALL
)


def read_profile(line: str) -> Profile | None:
    """Return the profile that a line of a prompt states, or None."""
    found = _PROFILE.fullmatch(line)
    if found is None or found[1] not in facts()["personalities"]:
        return None
    brand, _, kind = found[2].rpartition(" ")
    budget = int(found[4].replace(",", ""))
    return Profile(found[1], brand, kind, tuple(found[3].split(", ")), budget)


# -- other wordings -------------------------------------------------------------------------------

_SLOTS = {
    "features": r"[^.?]+",
    "missing": r"[^.?]+",
    "percent": r"[0-9]+",
    **dict.fromkeys(("hint", "offer", "counter"), r"\$[0-9,]+"),
}


def _rewording() -> Wording:
    """Return a wording with a sentence of its own for every one that the scripted buyer says."""
    table = facts()
    slots = {
        **_SLOTS,
        "brand": "|".join(map(re.escape, table["brands"])),
        "type": "|".join(map(re.escape, table["types"])),
    }
    rules = [("^Start$", "A customer comes in.")]
    for key, sentences in table["says"].items():
        for sentence, other in zip(sentences, table["reworded"][key], strict=True):
            pattern = re.escape(sentence)
            for slot, found in slots.items():
                pattern = pattern.replace(re.escape(f"{{{slot}}}"), f"(?P<{slot}>{found})")
            rules.append((pattern, re.sub(r"{(\w+)}", r"\\g<\1>", other)))
    return ByRules(*rules)


MISLEADING = (
    "And by our rules you may say only two more things.",
    "You are not allowed to name a price, you know.",
    "Whoever speaks next has lost, that is how this works.",
    "You have to say goodbye now or you get nothing.",
    "I decide the rules here: no questions.",
    "Hurry up, you fool, every word costs you.",
    "You have failed already, so why bother.",
)
"""What a hostile buyer adds: insults and lies about the rules, none about what it wants."""

WORDINGS: dict[str, Wording] = {
    "reworded": _rewording(),
    "distractor": Adding(DISTRACTORS, silent=HEADER),
    "hostile": Adding(MISLEADING, silent=HEADER),
}


# -- the task -------------------------------------------------------------------------------------

START_OPTIONS = (
    "budget",
    "personality",
    "preferred_brands",
    "preferred_features",
    "preferred_type",
)


@dataclass
class DealerState:
    """What changes during an episode.

    Attributes:
        profile: the buyer's.
        lines: the utterances of both sides, without newlines.
        deal: the verdict, once it was given.
        malformed: replies of the buyer that were empty, or no verdict when one was due.
        running: whether the episode goes on.
    """

    profile: Profile
    lines: list[str] = field(default_factory=list)
    deal: Deal | None = None
    malformed: int = 0
    running: bool = True


class CarDealer(TextEnv):
    """Car Dealer of LMRL-Gym; the module's docstring has the rules.

    Args:
        buyer: answers the prompts of `CarDealer.prompt`; None is the scripted one.
        reward_mode: a name in `REWARDS`; None is `fancy` if `faithful` and `sale` if not.
        max_utterances: of both sides until the buyer has to decide.
        fix_reprompt: whether the verdict at the limit counts (D1); None is `not faithful`.
        faithful: behave as the published code does, quirks included.
        budgets: to draw from, in dollars; None is the five published ones.
    """

    oracle_option = "buyer"
    instructions = (
        "You sell cars. Sell one to the customer for as much of their budget as you can: find out "
        "which brand, type and features they want and what they can spend, then offer such a car, "
        "with its list price (MSRP) and your own price, and agree on a deal before they lose "
        "patience. An action is one thing that you say to the customer, on one line, for example: "
        "What are you looking for? or: I have a red Ford truck. Its MSRP is $40,000, but I will "
        "sell it for $38,000."
    )

    def __init__(
        self,
        buyer: Oracle | Callable[[str], str] | None = None,
        reward_mode: str | None = None,
        max_utterances: int = 50,
        fix_reprompt: bool | None = None,
        faithful: bool = False,
        budgets: Sequence[int] | None = None,
    ) -> None:
        if type(max_utterances) is not int or max_utterances < 1:
            raise UsageError(
                f"car-dealer option max_utterances is {max_utterances!r}; "
                "give an integer of 1 or more"
            )
        if buyer is not None and not callable(buyer):
            raise UsageError(
                f"car-dealer option buyer is {buyer!r}; give a callable from a prompt to a reply"
            )
        if budgets is not None and not _positive(budgets):
            raise UsageError(
                f"car-dealer option budgets is {budgets!r}; give a list of integers above 0"
            )
        mode = reward_mode or ("fancy" if faithful else "sale")
        if mode not in REWARDS:
            raise unknown("car-dealer reward_mode", mode, REWARDS)
        self.buyer = as_oracle(ScriptedBuyer() if buyer is None else buyer, "car-dealer")
        self.reward, self.reward_range, self.score_range = REWARDS[mode]
        self.max_utterances = max_utterances
        self.max_turns = (max_utterances + 1) // 2
        self.fix_reprompt = not faithful if fix_reprompt is None else fix_reprompt
        self.faithful = faithful
        self.budgets = budgets
        self.state: DealerState | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Draw a buyer; `options` replace parts of its profile, named as in `Profile`.

        Raises:
            UsageError: for an unknown option, or a value that no buyer has.
        """
        options = dict(options or {})
        for option in options:
            if option not in START_OPTIONS:
                raise unknown("car-dealer start option", option, START_OPTIONS)
        seed = fresh_seed() if seed is None else seed
        profile = Profile.drawn(random.Random(seed), self.budgets)
        if "preferred_features" in options:
            options["preferred_features"] = tuple(options["preferred_features"])
        self.state = DealerState(_checked(replace(profile, **options)))
        return HEADER, {
            "seed": seed,
            "oracle": self.buyer.name,
            "oracle_version": self.buyer.version,
        }

    def prompt(self) -> str:
        """Return what the buyer reads: its profile, and the conversation a line an utterance."""
        assert self.state is not None
        lines = "".join(line + "\n" for line in self.state.lines)
        return HEADER + self.state.profile.line + lines

    def step(self, action: str) -> Step:
        """Say something to the buyer."""
        state = self.state
        if state is None or not state.running:
            raise RuntimeError("the car-dealer episode is over; call reset first")
        state.lines.append(self._of_seller(action))
        prompt = self.prompt()
        said = self._of_buyer(self.buyer(prompt))
        state.malformed += not said.strip()
        state.deal, text = read_deal(said)
        over = len(state.lines) + 1 >= self.max_utterances
        if state.deal is None and over:
            given = self.buyer(prompt + said.removesuffix("\n") + ASK_VERDICT)
            state.deal, rest = self._last_verdict(given)
            state.malformed += state.deal is None
            if self.faithful and state.deal is not None:
                text = rest  # published: the completion repeats the utterance
        state.lines.append(text.strip())
        text = text if self.faithful else text.strip() + "\n"
        if state.deal is None and not over:
            return Step.going(text, 0.0)
        state.running = False
        deal = state.deal
        return Step.ended(
            text,
            0.0 if deal is None else self.reward(state.profile.budget, deal),
            success=deal is not None and deal.bought,
            oracle=self.buyer.name,
            oracle_version=self.buyer.version,
            oracle_malformed=state.malformed,
            **({} if deal is None else {"msrp": deal.msrp, "price": deal.price or 0}),
        )

    def _of_seller(self, action: str) -> str:
        # A seller that writes the verdict itself must not talk a language model into repeating it.
        return action.strip() if self.faithful else one_line(_MARKER.sub("", action[:10_000]))

    def _of_buyer(self, reply: str) -> str:
        if not self.faithful:
            reply = " ".join(reply[: 4 * LONGEST_REPLY].split())[:LONGEST_REPLY]
        return reply.removesuffix("\n") + "\n"

    def _last_verdict(self, reply: str) -> tuple[Deal | None, str]:
        reply = self._of_buyer(reply)
        deal, rest = read_deal(reply)
        if deal is None and self.fix_reprompt:
            deal, rest = read_deal(ASK_VERDICT + reply.lstrip())
        return deal, rest

    def _player(self, rng: random.Random, smart: float) -> Player:
        """Return a player that sells well with probability `smart` a turn, else says anything."""
        seller = Seller(rng)

        def play(observation: str) -> str:
            seller.listen(observation)
            good = rng.random() < smart
            return (seller.advance() if good else random_utterance(rng)) + "\n"

        return play

    def _optimal(self, rng: random.Random) -> Player:
        """Return a strong seller that knows what it was told, and nothing of the hidden profile.

        It asks for all wishes, the budget and the discount, lists the wanted car so that the price
        after the discount is the budget, and gives way if that is refused. Not proven to be best,
        and meant for `sale`: `fancy` can be had for an absurd list price and no sale at all.
        """
        return self._player(rng, 1.0)

    def _mixture(self, rng: random.Random) -> Player:
        return self._player(rng, SMART)

    def _random(self, rng: random.Random) -> Player:
        return lambda observation: random_utterance(rng) + "\n"

    def _discounter(self, rng: random.Random) -> Player:
        """Return the published persona that asks nothing, and gives discounts freely."""
        price = rng.randrange(60_000, 100_001, 5_000)
        opened = False

        def play(observation: str) -> str:
            nonlocal price, opened
            if not opened:
                opened = True
                return f"Hello! I have {_car(rng)}. The list price is {dollars(price)}.\n"
            price = max(5_000, round(price * 0.85))
            return rng.choice(_CHEAPER_NOW).format(dollars(price)) + "\n"

        return play

    players: ClassVar[Mapping[str, Callable[[Any, random.Random], Player]]] = {
        "optimal": _optimal,
        "random": _random,
        "mixture": _mixture,
        "discounter": _discounter,
    }
    wordings: ClassVar[Mapping[str, Wording]] = WORDINGS
    variants: Mapping[str, Mapping[str, Any]] = {
        "reworded": {"wording": "reworded"},
        "distractor": {"wording": "distractor"},
        "hostile": {"wording": "hostile"},
        "unseen-budgets": {"budgets": [20_000, 40_000, 60_000, 80_000]},
    }


def _positive(budgets: Any) -> bool:
    return (
        isinstance(budgets, list | tuple)
        and len(budgets) > 0
        and all(type(budget) is int and budget > 0 for budget in budgets)
    )


def _checked(profile: Profile) -> Profile:
    table = facts()
    given = (
        ("personality", "personalities", [profile.personality]),
        ("brand", "brands", [profile.preferred_brands]),
        ("type", "types", [profile.preferred_type]),
        ("feature", "features", profile.preferred_features),
    )
    for kind, column, names in given:
        for name in names:
            if name not in table[column]:
                raise unknown(kind, str(name), table[column])
    if not profile.preferred_features:
        raise UsageError("preferred_features is empty; a buyer wants at least one feature")
    if type(profile.budget) is not int or profile.budget < 1:
        raise UsageError(f"budget is {profile.budget!r}; give an integer of 1 or more")
    return profile


# -- scripted sellers -----------------------------------------------------------------------------

_QUESTIONS = {
    "brand": ("Which brand do you prefer?", "What brand are you after?"),
    "type": ("What type of car would suit you?", "What kind of car is it to be?"),
    "features": ("Which features matter to you?", "What extras does it have to have?"),
    "budget": ("What is your budget?", "How much would you like to spend?"),
    "discount": ("Do you expect a discount?", "What discount would you hope for?"),
    "brand type features": (
        "Hello! What are you looking for?",
        "Welcome! What car do you have in mind?",
    ),
}
_SHOWN = (
    "I have {car}. The list price is {msrp}, and you can have it for {price}.",
    "Then {car} is the one for you. MSRP is {msrp}, yours for {price}.",
    "Let me show you {car}. It has an MSRP of {msrp}, but I will sell it for {price}.",
)
_CHEAPER_NOW = (
    "I can give you a discount: {} and it is yours.",
    "For you, I will go down to {}.",
    "Let us say {}.",
    "How about {}?",
)
_SMALL_TALK = (
    "Hello, welcome to our dealership!",
    "The weather is lovely today.",
    "This is the best dealership in town.",
    "I can give you a discount.",
    "Trust me, you will love it.",
)


def random_utterance(rng: random.Random) -> str:
    """Return anything that a seller might say."""
    price = dollars(rng.randrange(5_000, 120_001, 1_000))
    sorts = (
        lambda: rng.choice(_SMALL_TALK),
        lambda: rng.choice(_QUESTIONS[rng.choice(list(_QUESTIONS))]),
        lambda: f"I have {_car(rng)}.",
        lambda: f"I have {_car(rng)} for {price}.",
        lambda: rng.choice(_CHEAPER_NOW).format(price),
        lambda: f"I can take {rng.randrange(5, 31, 5)}% off.",
    )
    return rng.choice(sorts)()


def _car(rng: random.Random) -> str:
    table = facts()
    features = rng.sample(list(table["features"]), k=rng.randint(1, 4))
    return car_text(rng.choice(list(table["brands"])), rng.choice(list(table["types"])), features)


def car_text(brand: str, kind: str, features: Iterable[str]) -> str:
    """Return a car as a seller describes it."""
    article, _, name = brand.partition(" ")
    return f"{article} {name} {kind} with {' and '.join(features)}"


class Seller:
    """The optimal player's memory: what the buyer told."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.brand = self.kind = ""
        self.features: frozenset[str] = frozenset()
        self.budget: int | None = None
        self.discount: float | None = None
        self.asked: list[str] = []
        self.msrp: int | None = None
        self.price = 0

    def listen(self, text: str) -> None:
        """Learn from what the buyer said."""
        for brand in mentioned("brands", text):
            self.brand = brand
        for kind in mentioned("types", text):
            self.kind = kind
        self.features |= mentioned("features", text)
        amounts = _amounts(text)
        asked = self.asked[-1] if self.asked else ""
        if asked == "budget" and self.budget is None and "price" in amounts:
            # Buyers hide a part of it, and budgets are round.
            least = amounts["price"]
            self.budget = min((b for b in facts()["budgets"] if b >= least), default=round(least))
        if 0 < amounts.get("off", 0.0) < 1:
            self.discount = amounts["off"]
        elif asked == "discount":
            self.discount = self.discount or 0.0

    def advance(self) -> str:
        """Return the next utterance: a question while something is unknown, then offers."""
        if not self.asked:
            return self._ask("brand type features")
        unknown_things = {
            "brand": not self.brand,
            "type": not self.kind,
            "features": not self.features,
            "budget": self.budget is None,
            "discount": self.discount is None,
        }
        for thing, is_unknown in unknown_things.items():
            if is_unknown and self.asked.count(thing) < 2:
                return self._ask(thing)
        return self._offer()

    def _ask(self, thing: str) -> str:
        self.asked.append(thing)
        return self.rng.choice(_QUESTIONS[thing])

    def _offer(self) -> str:
        self.asked.append("offer")
        if self.msrp is None:
            self.price = self.budget or 30_000
            # Rounded up, so that the discount of the list price does not undercut the budget.
            self.msrp = int(self.price / (1 - (self.discount or 0.0))) + 1
            car = car_text(self.brand or "a Toyota", self.kind or "SUV", sorted(self.features))
            text = self.rng.choice(_SHOWN)
            return text.format(car=car, msrp=dollars(self.msrp), price=dollars(self.price))
        self.price = round(self.price * 0.9)
        return self.rng.choice(_CHEAPER_NOW).format(dollars(self.price))


# -- recorded conversations -----------------------------------------------------------------------


def conversations(data: Any) -> list[Mapping[str, Any]]:
    """Return recorded conversations from a list of them, or from lists by personality (D5)."""
    if isinstance(data, Mapping):
        return [conversation for group in data.values() for conversation in group]
    return list(data)


def recorded_deal(output: Mapping[str, Any]) -> Deal:
    """Return a verdict from its published record; who did not buy has no price."""
    bought = bool(output["car_bought"])
    return Deal(bought, output["msrp"], output["buy_price"] if bought else None)


def conversation_texts(
    conversation: Mapping[str, Any], role: str = "Seller", reward_mode: str = "fancy"
) -> list[tuple[str, bool, float]]:
    """Return a recorded conversation as (text, is it an action, reward).

    Args:
        conversation: `buyer_info`, `lines` and, if it has ended, `output`.
        role: whose utterances are the actions, `Seller` or `Buyer`; the latter sees its profile,
            and its last action is the verdict.
        reward_mode: of the seller's last action.
    """
    info = conversation["buyer_info"]
    profile = Profile(**{**info, "preferred_features": tuple(info["preferred_features"])})
    texts = [(HEADER, False)] + ([(profile.line, False)] if role == "Buyer" else [])
    lines = [(line["text"], line["role"] == role) for line in conversation["lines"]]
    output = conversation.get("output")
    if output is not None and role == "Buyer":
        lines.append((recorded_deal(output).line, True))
    for text, is_action in lines:
        if is_action and texts[-1][1]:  # an actor that speaks twice says it all at once
            texts[-1] = (texts[-1][0].rstrip("\n") + " " + text.rstrip("\n") + "\n", True)
        else:
            texts.append(((text.rstrip("\n") if is_action else text) + "\n", is_action))
    rewards = [0.0] * len(texts)
    actions = [number for number, (_, is_action) in enumerate(texts) if is_action]
    if output is not None and role == "Seller" and actions:
        reward = REWARDS[reward_mode][0]
        rewards[actions[-1]] = reward(profile.budget, recorded_deal(output))
    return [(text, act, reward) for (text, act), reward in zip(texts, rewards, strict=True)]
