"""What human oracles share: a person at a terminal who answers for a task or negotiates.

The class of a task's own person is beside the task: `TextEnv.human_oracle`.
"""

from lmrl.human.person import HUMAN, Person, Refused
from lmrl.tasks.questions.replies import NO, UNKNOWN, YES
from lmrl.trajectory import printable

_REPLIES = {
    YES: frozenset(("y", "yes", "yes.")),
    NO: frozenset(("n", "no", "no.")),
    UNKNOWN: frozenset(("?", "i don't know", "i don't know.", "don't know", "unknown")),
}
"""Replies of the tasks, each with the words that a person may type for it."""


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
        return self.person.answer(prompt, lambda text: yes_or_no(text, named))


def is_yes_or_no(text: str) -> bool:
    """Return whether a typed text is a word for yes, no or unknown."""
    return any(text.strip().lower() in words for words in _REPLIES.values())


def yes_or_no(text: str, named: bool = False) -> str:
    """Return the reply that a typed word means.

    Args:
        text: typed text.
        named: whether the question named the hidden thing, so that only yes is true.

    Raises:
        Refused: for any other text.
    """
    word = text.strip().lower()
    reply = next((reply for reply, words in _REPLIES.items() if word in words), None)
    if reply is None:
        raise Refused("Please answer yes, no or ?.")
    if named and reply != YES:
        raise Refused("They named what you have in mind: the answer is yes.")
    return reply


def sentence(text: str, max_length: int) -> str:
    """Return a typed text with single spaces.

    Args:
        text: typed text.
        max_length: maximum number of characters.

    Raises:
        Refused: for an empty or a longer text.
    """
    words = " ".join(text.split())
    if not 0 < len(words) <= max_length:
        raise Refused(f"Please answer with 1 to {max_length} characters.")
    return words
