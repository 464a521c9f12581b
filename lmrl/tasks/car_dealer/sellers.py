"""The scripted players of Car Dealer."""

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lmrl.env import Player
from lmrl.tasks.car_dealer.amounts import amounts
from lmrl.tasks.car_dealer.profiles import dollars, facts
from lmrl.tasks.car_dealer.utterances import mentioned

SMART = 0.58
"""How often the `mixture` player says what the optimal one would say: measured to return 0.562."""


def _sentences(kind: str) -> list[str]:
    found: list[str] = facts()["seller"][kind]
    return found


def _question(rng: random.Random, topic: str) -> str:
    questions: list[str] = facts()["seller"]["questions"][topic]
    return rng.choice(questions)


def random_utterance(rng: random.Random) -> str:
    """Return anything that a seller might say."""
    price = dollars(rng.randrange(5_000, 120_001, 1_000))
    questions = facts()["seller"]["questions"]
    sorts = (
        lambda: rng.choice(_sentences("small talk")),
        lambda: rng.choice(questions[rng.choice(list(questions))]),
        lambda: f"I have {_car(rng)}.",
        lambda: f"I have {_car(rng)} for {price}.",
        lambda: rng.choice(_sentences("lower prices")).format(price),
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
        named = amounts(text)
        asked = self.asked[-1] if self.asked else ""
        if asked == "budget" and self.budget is None and "price" in named:
            # Buyers hide a part of it, and budgets are round.
            least = named["price"]
            self.budget = min((b for b in facts()["budgets"] if b >= least), default=round(least))
        if 0 < named.get("off", 0.0) < 1:
            self.discount = named["off"]
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
        return _question(self.rng, thing)

    def _offer(self) -> str:
        self.asked.append("offer")
        if self.msrp is None:
            self.price = self.budget or 30_000
            # Rounded up, so that the discount of the list price does not undercut the budget.
            self.msrp = int(self.price / (1 - (self.discount or 0.0))) + 1
            car = car_text(self.brand or "a Toyota", self.kind or "SUV", sorted(self.features))
            text = self.rng.choice(_sentences("offers"))
            return text.format(car=car, msrp=dollars(self.msrp), price=dollars(self.price))
        self.price = round(self.price * 0.9)
        return self.rng.choice(_sentences("lower prices")).format(dollars(self.price))


def _seller(rng: random.Random, smart: float) -> Player:
    """Return a player that sells well with probability `smart` a turn, else says anything."""
    seller = Seller(rng)

    def play(observation: str) -> str:
        seller.listen(observation)
        good = rng.random() < smart
        return (seller.advance() if good else random_utterance(rng)) + "\n"

    return play


def optimal(env: Any, rng: random.Random) -> Player:
    """Return a strong seller that knows what it was told, and nothing of the hidden profile.

    It asks for all wishes, the budget and the discount, lists the wanted car so that the price
    after the discount is the budget, and gives way if that is refused. Not proven to be best,
    and meant for `sale`: `fancy` can be had for an absurd list price and no sale at all.
    """
    return _seller(rng, 1.0)


def mixture(env: Any, rng: random.Random) -> Player:
    """Return a player that acts like `optimal` in a share `SMART` of its turns."""
    return _seller(rng, SMART)


def anything(env: Any, rng: random.Random) -> Player:
    """Return a player that says anything."""
    return lambda observation: random_utterance(rng) + "\n"


def discounter(env: Any, rng: random.Random) -> Player:
    """Return the published persona that asks nothing, and gives discounts freely."""
    price = rng.randrange(60_000, 100_001, 5_000)
    opened = False

    def play(observation: str) -> str:
        nonlocal price, opened
        if not opened:
            opened = True
            return f"Hello! I have {_car(rng)}. The list price is {dollars(price)}.\n"
        price = max(5_000, round(price * 0.85))
        return rng.choice(_sentences("lower prices")).format(dollars(price)) + "\n"

    return play


PLAYERS: Mapping[str, Callable[[Any, random.Random], Player]] = {
    "optimal": optimal,
    "random": anything,
    "mixture": mixture,
    "discounter": discounter,
}
"""Scripted players by name."""
