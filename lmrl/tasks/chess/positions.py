"""Where games start."""

import random
from functools import cache
from pathlib import Path

from lmrl.errors import UsageError
from lmrl.tasks.assets import FOLDER

PIECE_SETS = ("kQK", "kRK", "kQRK", "kRRK")
"""The published endgames, black pieces in lower case."""
UNSEEN_SETS = ("kQQK", "kQBK", "kQNK", "kRBK")
"""Endgames that the published ones do not have."""
POSITIONS: dict[str, tuple[str, ...]] = {
    "initial": (),
    "openings": (),
    "endgames": PIECE_SETS,
    "unseen-endgames": UNSEEN_SETS,
    **{pieces: (pieces,) for pieces in PIECE_SETS},
}
"""Where games start: the piece sets to draw from, none for the usual position and after it."""
OPENINGS = FOLDER / "openings.txt"


@cache
def listed_positions(path: str) -> tuple[str, ...]:
    """Return the FENs of a file, one a line, in quotes or not (the published format).

    Raises:
        UsageError: if the file cannot be read or is empty.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"chess option positions: {path!r} cannot be read: {error}") from error
    found = tuple(fen for line in lines if (fen := line.strip().strip('"')))
    if not found:
        raise UsageError(f"chess option positions: {path!r} is empty; give one FEN a line")
    return found


def random_endgame(pieces: str, rng: random.Random) -> str:
    """Return the FEN of a uniform legal position of a piece set, White to move and not in check.

    White to move wins every such position of the published sets, as the endgame tables say.
    """
    import chess

    while True:
        board = chess.Board(None)
        for square, symbol in zip(rng.sample(range(64), len(pieces)), pieces, strict=True):
            board.set_piece_at(square, chess.Piece.from_symbol(symbol))
        if board.is_valid() and not board.is_check():
            return board.fen()
