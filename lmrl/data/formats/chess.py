"""Files of chess and of the endgames: lines of states, lines of moves, and NumPy arrays."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lmrl.data.bad_rows import BadRows
from lmrl.data.formats.episode import Played, Reader, action, states, trajectory
from lmrl.data.json_rows import Field, lines
from lmrl.errors import DataError
from lmrl.tasks.chess.notation import action_text, fen_of, san_of, state_text
from lmrl.trajectory import Trajectory

LONGEST_GAME = 200
"""Maximum number of actions of a game in the files of single moves."""

ARRAYS = ("actions", "states", "done", "reward")
"""Names of the NumPy files that hold games together."""

START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
"""FEN of the usual start position."""

_FEN = re.compile(
    r"[pnbrqkPNBRQK1-8]+(/[pnbrqkPNBRQK1-8]+){7} [wb] (-|[A-Ha-hKQkq]+) (-|[a-h][36]) \d+ \d+"
)


def chess_games(task: str) -> Reader:
    """Return the reader of chess or of the endgames, which have the same files.

    Only rows that are whole games can be left out.

    - A line that is a list of `{"state", "action", "reward", "done"}` is a game.
    - A line that is `{"from_state", "action"}` is one move for behaviour cloning, without reward
      or end unless it has `reward` and `done` too. In a file with `unshuffled` in its name the
      lines are games in order, which end with `done` or after 200 moves.
    - `actions.npy`, `states.npy`, `done.npy` and `reward.npy` are games in rows; see `arrays`.

    States are FEN and actions SAN, as they are or with a space between every two characters; which
    of the two forms the published files have is not known. They become the task's texts.
    """

    def read(file: Path, bad: BadRows) -> Iterator[Trajectory]:
        if file.suffix == ".npy":
            yield from arrays(task, file)
            return
        ordered = "unshuffled" in file.name
        game: list[Played] = []
        for row in lines(file, bad.skip):
            if isinstance(row.value, list):
                yield from bad.each(
                    [row], lambda row: states(row, task, file, lambda s: _move(s, "state"), 1.0)
                )
                continue
            bad.rows += 1
            game.append(_move(row, "from_state", rewarded=ordered))
            done = row["done"].flag() if ordered or "done" in row else False
            if done or not ordered or len(game) == LONGEST_GAME:
                yield _game(task, file, game, done)
                game = []
        if game:
            yield _game(task, file, game, False)

    return read


def _game(task: str, file: Path, game: list[Played], done: bool) -> Trajectory:
    return trajectory(task, file, game, "" if done else game[-1].observation, done, window=1)


def _move(step: Field, state: str, rewarded: bool = True) -> Played:
    reward = step["reward"].number() if rewarded or "reward" in step else 0.0
    return Played(board_text(step[state]), move_text(step["action"]), reward)


def board_text(field: Field) -> str:
    """Return a state as the task's text, whether it is spaced or not.

    Raises:
        DataError: if it is not a FEN.
    """
    text = field.text()
    fen = fen_of(text) if "   " in text or re.match(r"\S \S ", text) else text.strip()
    if not _FEN.fullmatch(fen):
        raise field.wrong(f"is no FEN: {fen[:80]!r}")
    return state_text(fen)


def move_text(field: Field) -> str:
    """Return a move as an action, whether it is spaced or not.

    Raises:
        DataError: if it is empty or longer than a line.
    """
    move = san_of(action(field))
    if not move:
        raise field.wrong("is empty")
    return action_text(move)


def arrays(task: str, file: Path) -> Iterator[Trajectory]:
    """Read games of chess from four NumPy files: a row is a game, a column a move.

    `states` has the FEN *after* each move and its reply; all games begin in the usual position, so
    that there are no endgames of this form. An empty action ends a game.

    Raises:
        DataError: if a file is missing, cut off, or of another shape or type than `actions`.
    """
    if task != "chess":
        raise DataError(f"{file}: NumPy files do not tell where games of {task} began; use .jsonl")
    found = {name: _array(file.with_name(f"{name}.npy")) for name in ARRAYS}
    shape = found["actions"].shape
    for name, array in found.items():
        path = file.with_name(f"{name}.npy")
        kinds = "U" if name in ("actions", "states") else "bif"
        if array.ndim != 2 or array.shape != shape or array.dtype.kind not in kinds:
            raise DataError(
                f"{path} holds {array.dtype} in the shape {array.shape}; it has to hold "
                f"{'text' if kinds == 'U' else 'numbers'} in the shape {shape} of actions.npy"
            )
    for number in range(shape[0]):
        where = f"{file.parent}: row {number + 1}"
        row = {
            name: [Field(v, where, f"{name}[{i}]") for i, v in enumerate(array[number].tolist())]
            for name, array in found.items()
        }
        yield _array_game(file, where, row)


def _array_game(file: Path, where: str, row: dict[str, list[Field]]) -> Trajectory:
    state, done = state_text(START), False
    turns: list[Played] = []
    for move, after, ends, reward in zip(*(row[name] for name in ARRAYS), strict=True):
        if not move.value or done:
            break
        turns.append(Played(state, move_text(move), reward.number()))
        state, done = board_text(after), ends.flag()
    if not turns:
        raise DataError(f"{where}, field actions: has no move")
    return trajectory("chess", file, turns, state, done, window=1)


def _array(path: Path) -> np.ndarray:
    try:
        loaded: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path} is missing, cut off, or holds Python objects, which are pickled and so never "
            f"read; save it again as an array of text or numbers ({str(error).splitlines()[0]})"
        ) from error
    return loaded
