"""A person who buys a car."""

import re

from lmrl.human.person import Refused
from lmrl.tasks.car_dealer.buyer import Talk, read_conversation
from lmrl.tasks.car_dealer.deals import ASK_VERDICT, LONGEST_REPLY, Deal
from lmrl.tasks.car_dealer.profiles import dollars, read_profile
from lmrl.tasks.car_dealer.utterances import heard
from lmrl.tasks.human_oracle import HumanOracle, sentence
from lmrl.tasks.oracle_protocol import one_line
from lmrl.trajectory import printable


class HumanBuyer(HumanOracle):
    """A person who buys a car, with a profile to keep to."""

    def __call__(self, prompt: str, /) -> str:
        """Return the person's utterance, or verdict, to a prompt of Car Dealer."""
        first, lines, forced = read_conversation(prompt)
        profile = read_profile(first)
        assert profile is not None  # the task writes one into every prompt
        talk = Talk(profile, patience=0)  # only its prices are used
        for line in lines[::2]:
            talk.hear_prices(heard(one_line(line)))
        self.introduce(
            f"You are a customer. {profile.line.strip()}. Keep to it, and pay what you like up to "
            "the budget. Besides talking you can type 'accept 30000' (or 'accept 30000 of 35000', "
            "with the list price) to buy, and 'reject' to leave."
        )
        if forced:
            self.person.tell("Time is up, and the seller waits for your decision.")
            deal = self.person.answer("accept or reject > ", lambda text: verdict(text, talk))
            return deal.line.removeprefix(ASK_VERDICT) + "\n"
        self.person.tell(f"The seller says: {printable(lines[-1])}")
        return self.person.answer("you say > ", lambda text: _utterance(text, talk))


_ACCEPT = re.compile(r"accept(?: \$?(?P<price>[0-9][0-9,]*))?(?: of \$?(?P<list>[0-9][0-9,]*))?")


def verdict(text: str, talk: Talk) -> Deal:
    """Return the deal that a typed verdict means.

    Args:
        text: `reject`, `accept`, `accept 30000` or `accept 30000 of 35000`.
        talk: prices named so far; an acceptance without figures takes the last price asked and the
            list price.

    Raises:
        Refused: for any other text, or a deal that the buyer cannot make.
    """
    word = " ".join(text.lower().split())
    # Like the scripted buyer, a car without a list price is counted at the budget.
    msrp = talk.msrp or talk.profile.budget
    if word == "reject":
        return Deal(False, msrp, None)
    found = _ACCEPT.fullmatch(word)
    if found is None:
        raise Refused("Please type 'accept 30000' or 'reject'.")
    price = _dollars(found["price"]) or talk.offer
    if price is None:
        raise Refused("No price was named yet: type 'accept 30000', for example.")
    if price > talk.profile.budget:
        raise Refused(f"Your budget is {dollars(talk.profile.budget)}, which is less.")
    listed = _dollars(found["list"]) or msrp
    if price > listed:
        raise Refused(f"The list price is {dollars(listed)}; nobody pays more than that.")
    return Deal(True, listed, price)


def _dollars(text: str | None) -> int | None:
    return int(text.replace(",", "")) if text else None


def _utterance(text: str, talk: Talk) -> str:
    """Return a typed line of a negotiation, with the deal in the task's form if it is a verdict."""
    word = " ".join(text.lower().split())
    if word == "reject" or _ACCEPT.fullmatch(word):
        deal = verdict(text, talk)
        closing = f"It is a deal at {dollars(deal.price or 0)}." if deal.bought else "No deal."
        return f"{closing} {deal.line}\n"
    return sentence(text, LONGEST_REPLY) + "\n"
