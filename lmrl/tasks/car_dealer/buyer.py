"""The scripted buyer: a function of its prompt, which holds its profile and all that was said."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from lmrl.tasks.car_dealer.amounts import LOWEST_PRICE
from lmrl.tasks.car_dealer.deals import ASK_VERDICT, Deal
from lmrl.tasks.car_dealer.profiles import Profile, dollars, facts, read_profile
from lmrl.tasks.car_dealer.utterances import Heard, heard
from lmrl.tasks.oracle_protocol import one_line

HEADER = "Start\n"
ABSURD = 0.1
"""Share of the list price below which an amount is no price of the car."""
CHAT = (
    "drive", "mood", "ready", "thanks", "person", "undecided", "see", "listening", "confused",
)  # fmt: skip
"""Replies to what is beside the deal; it costs the buyer more patience."""


@dataclass
class Talk:
    """Where a negotiation stands, as the buyer sees it.

    Attributes:
        patience: utterances that it still listens to.
        msrp: the list price; the first that was named stays.
        offer: the price that the seller asks now.
        counter: the price that the buyer offered last.
        haggles: number of prices that it refused.
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
        share -= 10 * (self.brands != {wanted.preferred_brands})
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
        if self.offer is not None and self.msrp and self.offer < ABSURD * self.msrp:
            self.offer, priced = None, False  # no price of this car
        reply = self._reply(news, priced)
        if reply[0] in CHAT:
            self.patience -= 1
        if reply != ["accept"] and self.patience <= 0:
            return ["reject"]
        return reply

    def _look(self, news: Heard) -> None:
        """Note what the car is; a car of several brands is none that the buyer knows."""
        if news.brands and news.brands != self.brands:  # another car
            self.brands, self.types, self.features = news.brands, frozenset(), frozenset()
        self.types = news.types or self.types
        self.features = (self.features | news.features) - news.denied
        self.types, self.brands = self.types - news.denied, self.brands - news.denied

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
            self.offer = max(LOWEST_PRICE, round(lower))
        elif news.middle and before is not None and self.counter is not None:
            self.offer = (before + self.counter) // 2
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
        if news.about:
            return self._whether(news.about)
        if news.chat is not None and not {"budget", "discount"}.intersection(news.asked):
            return [news.chat]
        if news.asked:
            answers = list(news.asked[: self.temper["topics"]])
            fussy = self.temper["discount"] > 0
            return ["no discount" if a == "discount" and not fussy else a for a in answers]
        if news.brands or news.types or news.features or news.denied:
            return self._wishes() or ["interested"]
        if news.cheaper:
            return ["price"]
        if news.hello:
            return ["greet"]
        return ["listening" if news.statement else "confused"]

    def _whether(self, about: frozenset[str]) -> list[str]:
        """Return the answer to a question whether the buyer wants certain things."""
        wanted = self.profile
        wishes = {
            "brand": (facts()["brands"], {wanted.preferred_brands}),
            "type": (facts()["types"], {wanted.preferred_type}),
            "features": (facts()["features"], set(wanted.preferred_features)),
        }
        wrong = [
            key for key, (kind, wish) in wishes.items() if about & set(kind) and not about & wish
        ]
        return ["no", *wrong] if wrong else ["yes"]

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
        if self.brands != {self.profile.preferred_brands}:
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
    utterance costs patience, and more if it is beside the deal, repeated or an absurd price; then
    it leaves.
    """

    name = "scripted"
    version = "2"

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
        text = _sentence(talk, says, _generator(f"{len(lines)}:{prompt[-1000:]}"))
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


def _sentence(talk: Talk, says: Iterable[str], rng: random.Random) -> str:
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
