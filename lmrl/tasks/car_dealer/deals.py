"""The verdict that ends a negotiation, its written form, and what it is worth to the seller."""

import re
from collections.abc import Callable
from typing import NamedTuple

from lmrl.env import ScoreRange

ASK_VERDICT = "Output: Decision="
LONGEST_REPLY = 600
"""Maximum number of characters of what the buyer says."""
_DEAL = re.compile(
    re.escape(ASK_VERDICT)
    + r"(?P<decision>Accept|Reject) MSRP=\$(?P<msrp>[1-9][0-9,]*)"
    + r"(?: Buy Price=\$(?P<price>[0-9][0-9,]*))?"
)
MARKER = re.compile(r"output\s*:\s*decision\s*=?", re.IGNORECASE)
"""Text that announces a verdict."""


class Deal(NamedTuple):
    """The buyer's verdict.

    Attributes:
        bought: whether the buyer bought the car.
        msrp: list price in dollars.
        price: price paid in dollars; None without a sale or if the buyer named none.
    """

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
