"""Rates the reply of an oracle to a question against the verdicts that the question allows."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from lmrl.env import Step
from lmrl.tasks import make
from lmrl.tasks.car_dealer.profiles import facts
from lmrl.tasks.car_dealer.utterances import mentioned
from lmrl.tasks.guess_my_city import GuessMyCity
from lmrl.tasks.guess_my_city.city import words_of
from lmrl.tasks.guess_my_city.open_answers import SECRET
from lmrl.tasks.questions.replies import NO, UNKNOWN, YES
from lmrl.tasks.twenty_questions import TwentyQuestions

RIGHT, WRONG, OFF_TOPIC, DONT_KNOW = "right", "wrong", "off_topic", "unknown"
RATINGS = (RIGHT, WRONG, OFF_TOPIC, DONT_KNOW)
ANSWERS = {YES: "yes", NO: "no", UNKNOWN: "unknown", SECRET: "unknown"}
"""Answers of the two guessing games that are verdicts of the same meaning."""
NAMES_IT = "names it"
"""Verdict of a question that wins."""
_KINDS = {
    "budget": r"\$[0-9]|budget|spend|afford",
    "haggle": r"too (much|high)|more than i|can ?not pay|discount|% off|i (could|can) do|how about"
    r"|i offer|say to \$|lower|come down",
    "price": r"how much|price|cost|a number",
    "drive": r"\b(test.?drive|drive|driv(en|ing)|wheel|ride|spin)\b",
    "see": r"\b(see|look|show)\b",
    "bye": r"bye|farewell|leaving|somewhere else|\bgo(ing)? now|not buy",
    "yes": r"\b(yes|sure|exactly|right|correct|of course|gladly|that is it|i do)\b",
    "no": r"\b(no|not|don't|nothing|never|without)\b",
    "unknown": r"do(n't| not) (understand|know)|what do you mean|nothing about a car"
    r"|can we talk about a car|no idea|have not thought|not made up my mind|all the same to me",
    "smalltalk": r"\bfine\b|\bwell\b|rather talk about the car|about the car|keep that to myself"
    r"|my own business|thank|all right|listening|take your time|not made up my mind"
    r"|all the same to me|have not thought|no idea|not need that|either way|if you say so|go on",
}
"""What a reply of the buyer does, as patterns."""
_WANTS = re.compile(r"want to buy|here to look|shopping for|show me what")


def ask(row: Mapping[str, Any]) -> Step:
    """Return what the real environment of a row's task replies to its question.

    Args:
        row: `task`, `hidden` and `question` of a question set; `before`, utterances that came
            first, is allowed in Car Dealer.
    """
    env = make(row["task"])
    hidden = row["hidden"]
    if isinstance(env, TwentyQuestions | GuessMyCity):
        table: Any = env.facts
        names = table.winning
        mask = names.get(words_of(hidden)) or names.get(hidden.lower()) or 0
        if not mask:
            raise ValueError(f"{row['task']} hides no {hidden!r}")
        env.reset(seed=0, options={"word": table.labels[mask.bit_length() - 1]})
    else:
        env.reset(seed=0, options=hidden)
    for said in row.get("before", ()):
        env.step(said + "\n")
    return env.step(row["question"] + "\n")


def rated(row: Mapping[str, Any], step: Step) -> str:
    """Return `right`, `wrong`, `off_topic` or `unknown` for the reply to a row's question."""
    allowed = row["verdicts"]
    if row["task"] == "car-dealer":
        return _of_buyer(allowed, step, row["hidden"])
    return _of_answer(allowed, step.text.strip(), bool(step.info.get("success")))


def _of_answer(allowed: Collection[str], reply: str, won: bool) -> str:
    """Rate an answer of a guessing game.

    A sentence counts as right if it has one of the allowed phrases in it. Any other sentence, and
    a yes or no to a question that cannot be answered so, is beside the question.
    """
    verdict = NAMES_IT if won else ANSWERS.get(reply, "")
    if verdict in allowed:
        return RIGHT
    if any(phrase.lower() in reply.lower() for phrase in allowed if phrase not in _VERDICTS):
        return RIGHT
    if verdict == "unknown":
        return DONT_KNOW
    decided = _VERDICTS.intersection(allowed) - {"unknown"}
    return WRONG if verdict and decided else WRONG if won else OFF_TOPIC


_VERDICTS = frozenset({"yes", "no", "unknown", NAMES_IT})


def kinds(step: Step, hidden: Mapping[str, Any]) -> set[str]:
    """Return what a reply of the buyer does: verdicts of Car Dealer.

    Args:
        step: the buyer's reply.
        hidden: the buyer's profile.
    """
    if step.terminated:
        if not step.info["success"]:
            return {"walks", "bye"}
        return {"sold", f"sold at {step.info['price']}"}
    text = step.text.strip()
    for opener in facts()["openers"][hidden["personality"]]:
        text = text.removeprefix(opener).strip() if opener else text
    found = {kind for kind, pattern in _KINDS.items() if re.search(pattern, text.lower())}
    wishes = {
        "brand": {hidden["preferred_brands"]} & mentioned("brands", text),
        "type": {hidden["preferred_type"]} & mentioned("types", text),
        "features": set(hidden["preferred_features"]) & mentioned("features", text),
    }
    found |= {kind for kind, named in wishes.items() if named}
    if any(wishes.values()) or re.search(
        r"want to buy|here to look|shopping for|show me what", text
    ):
        found.add("wants")
    return found


def _of_buyer(allowed: Collection[str], step: Step, hidden: Mapping[str, Any]) -> str:
    """Rate a reply of the buyer: wrong is a decision, a yes or a no that is not allowed."""
    found = kinds(step, hidden)
    if found.intersection(allowed):
        return RIGHT
    if step.terminated:
        return WRONG
    if "unknown" in found:
        return DONT_KNOW
    yes_or_no = {"yes", "no"}
    if yes_or_no.intersection(allowed) and yes_or_no & found:
        return WRONG
    return OFF_TOPIC
