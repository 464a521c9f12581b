"""Play stored episodes again: the same task, seed and actions have to lead to the same texts,
rewards and ending. `lmrl replay` runs it over a data set.

An action's stored text is what the task was given, after whatever a sampler cut or added, so
nothing is decoded here and no tokenizer is needed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lmrl.env import TextEnv
from lmrl.episode import Episode
from lmrl.errors import DataError
from lmrl.tasks import make
from lmrl.trajectory import Trajectory

GOING = "going on"
"""Stands for the ending of an episode that has not ended."""

SHOWN = 160
"""Characters of a text that `Difference.sentence` shows."""


@dataclass(frozen=True)
class Difference:
    """Where an episode first went another way than it is stored.

    Attributes:
        episode: number in the data set, from 0.
        task: name.
        seed: of the episode.
        turn: number as in a transcript, from 1; for `final`, the last one.
        field: `observation`, `reward`, `ending` or `final`.
        stored: value in the data.
        replayed: value now.
    """

    episode: int
    task: str
    seed: int
    turn: int
    field: str
    stored: str | float
    replayed: str | float

    def sentence(self) -> str:
        """Return one line for a reader; no character of it can drive a terminal."""
        stored, replayed = _shown(self.stored, self.replayed)
        return (
            f"episode {self.episode}, {self.task}, seed {self.seed}, turn {self.turn}, "
            f"{self.field}: stored {stored}, replayed {replayed}"
        )


def _shown(stored: str | float, replayed: str | float) -> tuple[str, str]:
    """Return both values in quotes; of long texts the part where they begin to differ."""
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
    """What came of replaying a data set.

    Attributes:
        episodes: how many there were.
        differences: the first one of each episode that has any.
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


def replay_all(trajectories: Iterable[Trajectory]) -> Report:
    """Replay episodes, each in a task of its own.

    Raises:
        UsageError: if a task, one of its options or a start is unknown here.
        DataError: if an episode was imported, or somebody answered in it who is not here.
    """
    found: list[Difference] = []
    count = 0
    for trajectory in trajectories:
        difference = replay(trajectory, count)
        if difference is not None:
            found.append(difference)
        count += 1
    return Report(count, tuple(found))


def _check_answerer(
    stored: Trajectory, number: int, env: TextEnv, start: Mapping[str, Any] | None
) -> None:
    """Refuse an episode in which somebody else answered than would answer now."""
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
    """Return the first difference between a stored episode and the same actions now, if any.

    Args:
        stored: the episode.
        number: of the episode, for the record.

    Raises:
        UsageError: if its task, one of its options or its start is unknown here.
        DataError: if it was imported, has no proper start, or was answered by a model or a person.
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
