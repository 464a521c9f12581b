"""The benchmark of the oracles: what they understand, and how replies are rated."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.oracles.__main__ import QUESTIONS, SETS, rate_all, read, shares
from benchmarks.oracles.rating import RATINGS, rated
from lmrl.env import Step
from lmrl.errors import UsageError

AIMS = {
    "twenty-questions": {"right": 0.85, "wrong": 0.01, "off_topic": 0.0},
    "guess-my-city": {"right": 0.75, "wrong": 0.02, "off_topic": 0.01},
    "car-dealer": {"right": 0.75, "wrong": 0.03, "off_topic": 0.25},
}
"""Least share of right replies of a task, and largest shares of wrong ones."""


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, Any]]:
    return shares(rate_all([row for name in SETS for row in read(QUESTIONS / f"{name}.jsonl")]))


@pytest.mark.parametrize("task", AIMS)
def test_oracles_understand_what_others_ask(task: str, measured: dict[str, Any]) -> None:
    found, aims = measured[task], AIMS[task]
    assert found["questions"] >= 150
    assert sum(found[rating] for rating in RATINGS) == pytest.approx(1.0, abs=1e-3)
    assert found["right"] >= aims["right"]
    assert found["wrong"] <= aims["wrong"]
    assert found["off_topic"] <= aims["off_topic"]


@pytest.mark.parametrize(
    ("verdicts", "reply", "won", "rating"),
    [
        (["yes"], "Yes.", False, "right"),
        (["yes"], "No.", False, "wrong"),
        (["yes"], "I don't know.", False, "unknown"),
        (["yes", "unknown"], "I don't know.", False, "right"),
        (["yes"], "It is in Asia.", False, "off_topic"),
        (["French"], "Most people there speak French, German or Italian.", False, "right"),
        (["French"], "It has mild weather.", False, "off_topic"),
        (["French"], "Yes.", False, "off_topic"),
        (["names it"], "Yes.", True, "right"),
        (["names it"], "Yes.", False, "wrong"),
        (["no"], "Yes.", True, "wrong"),
        (["can't tell"], "I can't tell you that.", False, "right"),
    ],
)
def test_answers_are_rated(verdicts: list[str], reply: str, won: bool, rating: str) -> None:
    row = {"task": "guess-my-city", "verdicts": verdicts}
    step = Step.ended(reply + "\n", 0.0, success=True) if won else Step.going(reply + "\n", -1.0)
    assert rated(row, step) == rating


@pytest.mark.parametrize(
    ("verdicts", "reply", "ended", "rating"),
    [
        (["brand"], "I want a Honda.", {}, "right"),
        (["brand"], "I do not understand.", {}, "unknown"),
        (["brand"], "Show me what you have.", {}, "off_topic"),
        (["yes"], "Are you deaf? No.", {}, "wrong"),
        (["sold at 28000"], "Deal.", {"success": True, "price": 28_000}, "right"),
        (["sold at 28000", "haggle"], "Deal.", {"success": True, "price": 500}, "wrong"),
        (["budget"], "No deal.", {"success": False}, "wrong"),
    ],
)
def test_replies_of_the_buyer_are_rated(
    verdicts: list[str], reply: str, ended: dict[str, Any], rating: str
) -> None:
    hidden = {
        "personality": "abusive",
        "preferred_brands": "a Honda",
        "preferred_type": "SUV",
        "preferred_features": ["sunroof"],
    }
    row = {"task": "car-dealer", "verdicts": verdicts, "hidden": hidden}
    step = Step.ended(reply + "\n", 0.0, **ended) if ended else Step.going(reply + "\n", 0.0)
    assert rated(row, step) == rating


def test_bad_question_sets_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"task": "twenty-questions", "hidden": "Lion"}\n')
    with pytest.raises(UsageError, match="line 1 has no question, verdicts"):
        read(path)
    path.write_text("\nIs it a lion?\n")
    with pytest.raises(UsageError, match="line 2 is not JSON"):
        read(path)
