"""The maze of an episode, with the cell of every observation."""

import re
from typing import TYPE_CHECKING

from lmrl.drawing import Drawing, Frame
from lmrl.tasks.maze.grid import Cell
from lmrl.trajectory import Trajectory

if TYPE_CHECKING:
    from lmrl.tasks.maze.environment import Maze

_DIGITS = r"(\d(?: \d)*)"
_CELL = re.compile(rf"position is at position {_DIGITS}, {_DIGITS}\.")
_GOAL = re.compile(rf"goal is at position {_DIGITS}, {_DIGITS}\.")


def draw(env: "Maze", episode: Trajectory) -> Drawing | None:
    """Return the maze of an episode with its path; None if the path is not known.

    The path is read from the observations. Where they do not name the position, the episode is
    played again from its seed.

    Args:
        env: environment with the episode's options.
        episode: stored episode.
    """
    path = _stated(episode) or _replayed(env, episode)
    if path is None or not all(cell in env.grid.walls for cell in path):
        return None
    rows, columns = env.grid.shape
    goal = _found(_GOAL, episode.turns[0].observation) if episode.turns else None
    goal = goal if goal in env.grid.walls else env.goal
    ground = "".join(
        "*" if (r, c) == goal else "." if (r, c) in env.grid.walls else "#"
        for r in range(rows)
        for c in range(columns)
    )
    frames = tuple(
        Frame(at=row * columns + column, caption=f"row {row}, column {column}")
        for row, column in path
    )
    return Drawing(rows, columns, ground, frames)


def _found(pattern: re.Pattern[str], text: str) -> Cell | None:
    found = pattern.search(text)
    if found is None:
        return None
    row, column = (int(number.replace(" ", "")[:9]) for number in found.groups())
    return row, column


def _stated(episode: Trajectory) -> list[Cell] | None:
    """Return the positions that the observations name; None if one names none."""
    path = [_found(_CELL, turn.observation) for turn in episode.turns]
    last = _found(_CELL, episode.final)
    if last is None:  # at the goal the text is `Success`
        position = episode.info.get("position")
        if isinstance(position, list) and len(position) == 2:
            last = (position[0], position[1])
    cells = [cell for cell in (*path, last) if cell is not None]
    return cells if len(cells) == len(path) + 1 else None


def _replayed(env: "Maze", episode: Trajectory) -> list[Cell] | None:
    """Return the positions of the episode, played again; None if it has no seed."""
    if episode.seed < 0:
        return None
    env.reset(seed=episode.seed)
    assert env.state is not None
    path = [env.state.position]
    for turn in episode.turns:
        if not env.state.running:
            return None
        env.step(turn.action)
        path.append(env.state.position)
    return path
