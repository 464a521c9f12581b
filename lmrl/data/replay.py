"""Play stored episodes again: the same task, seed and actions have to give the same texts,
rewards and ending. `lmrl replay` does so with a data set.

The stored text of an action is what the task got. So nothing is decoded here, and no tokenizer is
needed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lmrl.env import TextEnv
from lmrl.episode import Episode
from lmrl.errors import DataError
from lmrl.tasks import check_trusted, make
from lmrl.trajectory import Trajectory

GOING = "going on"
"""Value of the field `ending` for an episode that has not ended."""

SHOWN = 160
"""Largest number of characters of a text in `Difference.sentence`."""


@dataclass(frozen=True)
class Difference:
    """The first place where an episode differs from the stored one.

    Attributes:
        episode: number of the episode in the data set, from 0.
        task: name of the task.
        seed: seed of the episode.
        turn: number of the turn, from 1 as in a transcript; the last one for `final`.
        field: name of what differs: `observation`, `reward`, `ending` or `final`.
        stored: value in the data set.
        replayed: value in the new episode.
    """

    episode: int
    task: str
    seed: int
    turn: int
    field: str
    stored: str | float
    replayed: str | float

    def sentence(self) -> str:
        """Return the difference in one line, without control characters of a terminal."""
        stored, replayed = _shown(self.stored, self.replayed)
        return (
            f"episode {self.episode}, {self.task}, seed {self.seed}, turn {self.turn}, "
            f"{self.field}: stored {stored}, replayed {replayed}"
        )


def _shown(stored: str | float, replayed: str | float) -> tuple[str, str]:
    """Return both values in quotes; of long texts, the part where the difference begins."""
    if not isinstance(stored, str) or not isinstance(replayed, str):
        return repr(stored), repr(replayed)
    if max(len(stored), len(replayed)) <= SHOWN:
        return repr(stored), repr(replayed)
    pairs = zip(stored, replayed, strict=False)
    shorter = min(len(stored), len(replayed))
    place = next((i for i, (a, b) in enumerate(pairs) if a != b), shorter)
    start = max(0, place - SHOWN // 4)
    part = slice(start, start + SHOWN)
    where = f" from character {start}"
    return repr(stored[part]) + where, repr(replayed[part]) + where


@dataclass(frozen=True)
class Report:
    """The result of a replay.

    Attributes:
        episodes: number of episodes.
        differences: first difference of each episode that differs.
    """

    episodes: int
    differences: tuple[Difference, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "episodes": self.episodes,
            "equal": self.episodes - len(self.differences),
            "differences": [asdict(difference) for difference in self.differences],
        }


def replay_all(trajectories: Iterable[Trajectory], load: bool = False) -> Report:
    """Replay episodes, each in an environment of its own.

    Args:
        trajectories: stored episodes.
        load: whether a task may be named as `module:Class`. Its module is then imported, so that
            its code runs.

    Raises:
        UsageError: if a task, one of its options or a start is unknown, or would be imported.
        DataError: if an episode was imported, or was answered by a model or a person.
    """
    found: list[Difference] = []
    count = 0
    for trajectory in trajectories:
        check_trusted(trajectory.task, f"episode {count}", load)
        difference = replay(trajectory, count)
        if difference is not None:
            found.append(difference)
        count += 1
    return Report(count, tuple(found))


def _check_answerer(
    stored: Trajectory, number: int, env: TextEnv, start: Mapping[str, Any] | None
) -> None:
    """Refuse an episode that another oracle answered than the one that would answer now."""
    if "oracle" not in stored.info:
        return
    _, told = env.reset(seed=stored.seed, options=start)
    then, now = (
        f"{info.get('oracle')} (version {info.get('oracle_version') or 'unknown'})"
        for info in (stored.info, told)
    )
    if then != now:
        raise DataError(
            f"episode {number}, {stored.task}, was answered by {then}: such episodes cannot be "
            f"replayed without it, because {now} would answer now"
        )


def replay(stored: Trajectory, number: int = 0) -> Difference | None:
    """Return the first difference of an episode from the stored one; None if there is none.

    Args:
        stored: stored episode.
        number: number of the episode, for messages.

    Raises:
        UsageError: if its task, one of its options or its start is unknown.
        DataError: if it was imported, its start is not an object, or a model or a person answered.
    """
    if stored.imported:
        raise DataError(
            f"episode {number}, {stored.task}, was imported from {stored.imported}: imported "
            "episodes have no seed and cannot be replayed"
        )
    options = dict(stored.options)
    start = options.pop("start", None)
    if start is not None and not isinstance(start, Mapping):
        raise DataError(f"episode {number} has the start {start!r}, which is not a JSON object")
    env = make(stored.task, **options)
    _check_answerer(stored, number, env, start)
    episode = Episode(env, stored.seed, name=stored.task, options=options, start=start)

    def differing(turn: int, field: str, old: str | float, new: str | float) -> Difference | None:
        if old == new:
            return None
        return Difference(number, stored.task, stored.seed, turn, field, old, new)

    last = len(stored.turns)
    for index, turn in enumerate(stored.turns, 1):
        found = differing(index, "observation", turn.observation, episode.observation)
        if found:
            return found
        episode.act(turn.action)
        ending = stored.ending if index == last else GOING
        found = differing(index, "reward", turn.reward, episode.turns[-1].reward)
        # The next action must not be given to an episode that has ended.
        found = found or differing(index, "ending", ending, episode.ending or GOING)
        if found:
            return found
    if not last:
        return differing(0, "ending", stored.ending, GOING)
    return differing(last, "final", stored.final, episode.observation)
