"""What a study consists of: task, policies, seeds and their order; and its file."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lmrl.errors import DataError, UsageError, unknown
from lmrl.files import write_json
from lmrl.seeds import order_rng
from lmrl.tasks import make

AGENT, ORACLE = "agent", "oracle"
SIDES = (AGENT, ORACLE)
"""Sides that a person can take."""

PLAN = "study.json"
"""File of a study in its folder."""

SIMULATED = "simulated"
"""Folder of the episodes against the scripted oracle, within that of the study."""


@dataclass(frozen=True)
class Slot:
    """An episode of a study: its number from 0, the policy that plays the agent, and its seed."""

    number: int
    policy: str
    seed: int


@dataclass(frozen=True)
class Study:
    """What is played in a study.

    Attributes:
        task: name of the task.
        options: options of the task.
        side: side of the person, one of `SIDES`.
        policies: names of the policies that play the agent; `("human",)` if the person does.
        episodes: number of episodes of each policy.
        seed: seed of the first episode; the following episodes have the following seeds, every
            policy has the same ones, and the order of the policies is drawn from it.
        blind: whether the policies' names are hidden until the end.
        decoding: sampling settings of the policies, for the record.
    """

    task: str
    options: Mapping[str, Any]
    side: str
    policies: tuple[str, ...]
    episodes: int
    seed: int
    blind: bool = False
    decoding: Mapping[str, Any] | None = None

    def check(self) -> None:
        """Refuse a study that cannot be played.

        Raises:
            UsageError: with the wrong value and the remedy.
        """
        env = make(self.task, **self.options)
        if self.side not in SIDES:
            raise unknown("side", self.side, SIDES)
        if self.episodes < 1:
            raise UsageError(f"--episodes is {self.episodes}; give 1 or more")
        self.check_policies()
        if self.side == ORACLE and env.human_oracle is None:
            raise UsageError(
                f"nobody answers in {self.task}, so no person can; 'lmrl study answer' is for "
                "twenty-questions, guess-my-city, car-dealer and tasks of your own with a "
                "human_oracle"
            )

    def check_policies(self) -> None:
        """Refuse a policy that is named twice.

        Raises:
            UsageError: if there is one.
        """
        if len(set(self.policies)) != len(self.policies):
            raise UsageError(
                f"--policy names one twice: {', '.join(self.policies)}; give each policy once"
            )

    def plan(self) -> Iterator[Slot]:
        """Yield the episodes in order: seed by seed, all policies in a new random order.

        Wherever a study is stopped, all policies have met the same hidden things, equally often. A
        longer study begins as the shorter one does.
        """
        number = 0
        for seed in range(self.seed, self.seed + self.episodes):
            order = list(self.policies)
            order_rng(self.seed, seed).shuffle(order)
            for policy in order:
                yield Slot(number, policy, seed)
                number += 1

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "policies": list(self.policies)}


def open_study(study: Study, folder: Path, seed_given: bool) -> Study:
    """Return a study as it can be played in `folder`: a new one, or one begun there to go on with.

    Nothing is written yet.

    Args:
        study: study that is wanted.
        folder: folder of the study.
        seed_given: whether the seed was asked for; otherwise that of a study begun there is taken.

    Raises:
        UsageError: if the folder holds another study, or anything else.
    """
    path = folder / PLAN
    if path.exists():
        begun = read_study(folder)
        wanted = study if seed_given else replace(study, seed=begun.seed)
        # More episodes are allowed: the plan only grows at its end.
        if replace(begun, episodes=wanted.episodes) != wanted:
            raise UsageError(
                f"{folder} has another study: {json.dumps(begun.to_json())}; go on with the same "
                "task, options and policies, or choose a new folder with --out"
            )
        study = replace(wanted, episodes=max(begun.episodes, wanted.episodes))
    elif folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; choose a new folder with --out")
    return study


def write_study(study: Study, folder: Path) -> None:
    """Write the file of a study to its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / PLAN, study.to_json())


def read_study(folder: Path) -> Study:
    """Return the study that was begun in a folder.

    Raises:
        DataError: if there is none.
    """
    try:
        plain = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        return Study(**{**plain, "policies": tuple(plain["policies"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{folder} has no study ({error}); 'lmrl play TASK --out DIR' and 'lmrl study answer' "
            "begin one"
        ) from error
