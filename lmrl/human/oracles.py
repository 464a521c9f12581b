"""A person who answers for a task or negotiates, one class a task."""

import re
from collections.abc import Callable, Mapping

from lmrl.human.person import HUMAN, Person, Refused
from lmrl.tasks.car_dealer.buyer import Talk, read_conversation
from lmrl.tasks.car_dealer.deals import ASK_VERDICT, Deal
from lmrl.tasks.car_dealer.environment import LONGEST_REPLY
from lmrl.tasks.car_dealer.profiles import dollars, read_profile
from lmrl.tasks.car_dealer.utterances import heard
from lmrl.tasks.guess_my_city.cities import cities
from lmrl.tasks.guess_my_city.environment import LONGEST_ANSWER
from lmrl.tasks.oracle_protocol import Oracle, one_line
from lmrl.tasks.questions.replies import NO, UNKNOWN, YES, read_prompt
from lmrl.tasks.twenty_questions import knowledge
from lmrl.trajectory import printable


class HumanOracle:
    """A person who answers for a task.

    Args:
        person: the person.
    """

    name = HUMAN
    version = "1"

    def __init__(self, person: Person) -> None:
        self.person = person
        self.introduced = False

    def introduce(self, text: str) -> None:
        """Show what the person has to know, once an episode."""
        if not self.introduced:
            self.person.tell(text)
            self.introduced = True

    def show_question(self, question: str) -> None:
        """Show a policy's question."""
        self.person.tell(f"They ask: {printable(question)}")

    def yes_or_no(self, prompt: str, named: bool) -> str:
        """Return the person's answer to a question with the answers yes, no and unknown.

        Args:
            prompt: text before the input.
            named: whether the question named the hidden thing, so that only yes is true.
        """
        return self.person.answer(prompt, lambda text: _yes_or_no(text, named))


class HumanAnswerer(HumanOracle):
    """A person with an object in mind, who answers yes, no, or that it is unknown."""

    def __call__(self, prompt: str, /) -> str:
        """Return the person's answer to a prompt of Twenty Questions."""
        hidden, question = read_prompt(prompt)
        named = knowledge().wins(knowledge().by_prompt[hidden], question)
        self.introduce(
            f"You have in mind: {hidden.strip('()')}. Answer truthfully with yes, no, or ? if "
            "nobody could tell."
        )
        self.show_question(question)
        return self.yes_or_no("yes, no or ? > ", named)


class HumanCitizen(HumanOracle):
    """A person from a city, who answers in a sentence and does not name it."""

    def __call__(self, prompt: str, /) -> str:
        """Return the person's answer to a prompt of Guess My City."""
        hidden, question = read_prompt(prompt)
        number = cities().by_prompt[hidden]
        city = cities().cities[number]
        self.introduce(
            f"You are from {city.name}, {city.country}. Answer truthfully, in a sentence or with "
            "yes or no, and do not name the city or its country."
        )
        self.show_question(question)
        if cities().guessed(number, question):
            return self.yes_or_no("your answer > ", named=True)
        return self.person.answer("your answer > ", lambda text: _city_answer(text, number))


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


ORACLES: Mapping[str, Callable[[Person], Oracle]] = {
    "car-dealer": HumanBuyer,
    "guess-my-city": HumanCitizen,
    "twenty-questions": HumanAnswerer,
}
"""Tasks in which a person can be the other side, with the class of that person."""


_YES = frozenset(("y", "yes", "yes."))
_NO = frozenset(("n", "no", "no."))
_UNKNOWN = frozenset(("?", "i don't know", "don't know", "unknown", UNKNOWN.lower()))


def _yes_or_no(text: str, named: bool) -> str:
    """Return the answer that a word means; only yes if the question named the hidden thing."""
    word = text.strip().lower()
    if word not in _YES | _NO | _UNKNOWN:
        raise Refused("Please answer yes, no or ?.")
    if named and word not in _YES:
        raise Refused("They named what you have in mind: the answer is yes.")
    return YES if word in _YES else NO if word in _NO else UNKNOWN


def _sentence(text: str, longest: int) -> str:
    """Return typed words with single spaces; `longest` is the maximum number of characters."""
    said = " ".join(text.split())
    if not 0 < len(said) <= longest:
        raise Refused(f"Please answer with 1 to {longest} characters.")
    return said


def _city_answer(text: str, number: int) -> str:
    """Return a typed answer in Guess My City; `number` is that of the hidden city."""
    if " ".join(text.split()).lower() in _YES | _NO | _UNKNOWN:
        return _yes_or_no(text, named=False)
    said = _sentence(text, LONGEST_ANSWER)
    if cities().masked(number, said) != said:
        raise Refused("That names the city or its country; please say it in another way.")
    return said


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
    return Deal(True, _dollars(found["list"]) or msrp, price)


def _dollars(text: str | None) -> int | None:
    return int(text.replace(",", "")) if text else None


def _utterance(text: str, talk: Talk) -> str:
    """Return a typed line of a negotiation, with the deal in the task's form if it is a verdict."""
    word = " ".join(text.lower().split())
    if word == "reject" or _ACCEPT.fullmatch(word):
        deal = verdict(text, talk)
        closing = f"It is a deal at {dollars(deal.price or 0)}." if deal.bought else "No deal."
        return f"{closing} {deal.line}\n"
    return _sentence(text, LONGEST_REPLY) + "\n"
