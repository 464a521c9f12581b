"""A person who answers for a city."""

from lmrl.human.person import Refused
from lmrl.tasks.guess_my_city.cities import cities
from lmrl.tasks.human_oracle import HumanOracle, is_yes_or_no, sentence, yes_or_no
from lmrl.tasks.questions.replies import LONGEST_ANSWER, read_prompt


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
        return self.person.answer("your answer > ", lambda text: _answer(text, number))


def _answer(text: str, number: int) -> str:
    """Return a typed answer in Guess My City; `number` is that of the hidden city."""
    if is_yes_or_no(text):
        return yes_or_no(text)
    said = sentence(text, LONGEST_ANSWER)
    if cities().masked(number, said) != said:
        raise Refused("That names the city or its country; please say it in another way.")
    return said
