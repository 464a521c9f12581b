"""The boards of a game, with the squares that changed since the one before."""

import re

from lmrl.drawing import Drawing, Frame
from lmrl.tasks.chess.notation import fen_of
from lmrl.trajectory import Trajectory

PIECES = dict(zip("KQRBNPkqrbnp", "♔♕♖♗♘♙♚♛♜♝♞♟", strict=True))
GROUND = "".join("ld"[(rank + file) % 2] for rank in range(8) for file in range(8))
_DIAGRAM = re.compile(r"^[1-8] ((?:[.\w] ){7}[.\w])$", re.MULTILINE)


def draw(episode: Trajectory) -> Drawing | None:
    """Return the position of every observation; None if one cannot be read."""
    boards = [_squares(turn.observation) for turn in episode.turns] + [_squares(episode.final)]
    frames = []
    before = boards[0]
    for board in boards:
        if board is None or before is None:
            return None
        changed = tuple(
            place for place, (old, new) in enumerate(zip(before, board, strict=True)) if old != new
        )
        glyphs = "".join(PIECES.get(piece, " ") for piece in board)
        frames.append(Frame(glyphs=glyphs, marked=changed))
        before = board
    return Drawing(8, 8, GROUND, tuple(frames))


def _squares(text: str) -> str | None:
    """Return the 64 squares of a position, from the eighth rank down; None if there is none."""
    rows = [row.replace(" ", "") for row in _DIAGRAM.findall(text)]
    if not rows:
        placement = fen_of(text).partition(" ")[0]
        rows = [re.sub(r"[1-8]", lambda n: "." * int(n[0]), row) for row in placement.split("/")]
    squares = "".join(rows)
    fits = len(rows) == 8 and all(len(row) == 8 for row in rows)
    return squares if fits and set(squares) <= {".", *PIECES} else None
