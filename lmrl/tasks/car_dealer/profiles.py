"""The buyer's profile: drawn at random, written into a prompt and read from one."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from lmrl.errors import UsageError, unknown
from lmrl.tasks.assets import read_json

START_OPTIONS = (
    "budget",
    "personality",
    "preferred_brands",
    "preferred_features",
    "preferred_type",
)
_PROFILE = re.compile(
    r"Personality: (\w+)\. Prefers (.*?) with (.*)\. Budget: \$([0-9][0-9,]*)\n", re.DOTALL
)


@cache
def facts() -> dict[str, Any]:
    """Return the table of buyers, their wishes and their sentences; read once per process."""
    table: dict[str, Any] = read_json("car_dealer.json")
    return table


def dollars(amount: float) -> str:
    """Return an amount like `$40,000`."""
    return f"${round(amount):,}"


@dataclass(frozen=True)
class Profile:
    """Who the buyer is; the fields have the names of the published data.

    Attributes:
        personality: name of the personality, a key of `personalities` in the table.
        preferred_brands: brand with its article, for example `a Honda`.
        preferred_type: type of car.
        preferred_features: one or more features.
        budget: largest amount that the buyer can spend, in dollars.
    """

    personality: str
    preferred_brands: str
    preferred_type: str
    preferred_features: tuple[str, ...]
    budget: int

    @classmethod
    def drawn(cls, rng: random.Random, budgets: Sequence[int] | None = None) -> "Profile":
        """Return a random profile; the order of the draws is the published one.

        Args:
            rng: generator of the draws.
            budgets: budgets to draw from, in dollars; None uses the published ones.
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


def read_profile(line: str) -> Profile | None:
    """Return the profile that a line of a prompt states, or None."""
    found = _PROFILE.fullmatch(line)
    if found is None or found[1] not in facts()["personalities"]:
        return None
    brand, _, kind = found[2].rpartition(" ")
    budget = int(found[4].replace(",", ""))
    return Profile(found[1], brand, kind, tuple(found[3].split(", ")), budget)


def checked(profile: Profile) -> Profile:
    """Return a profile that a buyer can have.

    Raises:
        UsageError: for an unknown name, no features, or a budget that is not a positive integer.
    """
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


def are_budgets(budgets: Any) -> bool:
    """Return whether a value is a list of budgets: one or more integers above 0."""
    return (
        isinstance(budgets, list | tuple)
        and len(budgets) > 0
        and all(type(budget) is int and budget > 0 for budget in budgets)
    )
