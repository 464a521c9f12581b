"""How the scripted oracles answer questions that others wrote than those who wrote the oracles."""

import json
from pathlib import Path
from typing import Any

import pytest

from lmrl.tasks import make
from lmrl.tasks.guess_my_city import GuessMyCity
from lmrl.tasks.guess_my_city.cities import cities
from lmrl.tasks.questions.replies import NO, UNKNOWN, YES
from lmrl.tasks.twenty_questions import TwentyQuestions, knowledge

DATA = Path(__file__).parents[1] / "data"
FILES = ("oracle_questions.jsonl", "oracle_questions_held_out.jsonl")
UNKNOWN_AT_MOST = {"twenty-questions": 0.2, "guess-my-city": 0.35}
WRONG_AT_MOST = 0.05


def label(task: str, secret: str) -> str:
    """Return how the table of a task calls something that a person named."""
    named: dict[str, int] = (knowledge() if task == "twenty-questions" else cities()).winning
    mask = named[secret.lower()]
    labels = (knowledge() if task == "twenty-questions" else cities()).labels
    return str(labels[mask.bit_length() - 1])


def given(task: str, secret: str, question: str) -> str:
    """Return what the oracle of the real environment answers to the first question."""
    env = make(task)
    assert isinstance(env, TwentyQuestions | GuessMyCity)
    env.reset(seed=0, options={"word": label(task, secret)})
    return env.step(question + "\n").text.strip()


def rows(name: str) -> list[dict[str, Any]]:
    """Return the questions of a file, each with task, secret and the true answer."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"there is no {name}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


@pytest.mark.parametrize("task", UNKNOWN_AT_MOST)
@pytest.mark.parametrize("name", FILES)
def test_oracle_answers_what_others_ask(name: str, task: str) -> None:
    asked = [row for row in rows(name) if row["task"] == task]
    if not asked:
        pytest.skip(f"{name} asks nothing of {task}")
    assert {row["answer"] for row in asked} <= {YES, NO}
    wrong, unknown = [], []
    for row in asked:
        secret, question, answer = row["secret"], row["question"], row["answer"]
        said = given(task, secret, question)
        if said == UNKNOWN:
            unknown.append((secret, question))
        elif said != answer:
            wrong.append((secret, question, said))
    assert len(wrong) <= WRONG_AT_MOST * len(asked), wrong
    assert len(unknown) <= UNKNOWN_AT_MOST[task] * len(asked), unknown
