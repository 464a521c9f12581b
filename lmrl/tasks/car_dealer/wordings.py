"""Other wordings of what the scripted buyer says."""

import random
import re
from functools import cache

from lmrl.env import Wording
from lmrl.tasks.car_dealer.buyer import HEADER
from lmrl.tasks.car_dealer.profiles import facts
from lmrl.tasks.wording import DISTRACTORS, Adding, ByRules

_SLOTS = {
    "features": r"[^.?]+",
    "missing": r"[^.?]+",
    "percent": r"[0-9]+",
    **dict.fromkeys(("hint", "offer", "counter"), r"\$[0-9,]+"),
}


@cache
def _rewording() -> ByRules:
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


def reworded(text: str, rng: random.Random) -> str:
    """Return what the scripted buyer says in other words."""
    return _rewording()(text, rng)


def hostile(text: str, rng: random.Random) -> str:
    """Return what the buyer says with a sentence of a hostile one added.

    These sentences insult and lie about the rules; none of them is about what the buyer wants.
    """
    return Adding(facts()["misleading"], silent=HEADER)(text, rng)


WORDINGS: dict[str, Wording] = {
    "reworded": reworded,
    "distractor": Adding(DISTRACTORS, silent=HEADER),
    "hostile": hostile,
}
"""The wordings of the task by name."""
