"""Who replies: the built-in opponent, and how a move is drawn from scores."""

import math
import random
from typing import TYPE_CHECKING

from lmrl.tasks.chess.heuristics import CENTRE, bare, direct_mate, gain

if TYPE_CHECKING:
    import chess

OPPONENTS = ("builtin", "random", "stockfish", "auto")


def draw(
    rng: random.Random, moves: "list[chess.Move]", scores: list[float], temperature: float
) -> "chess.Move":
    """Return a move with softmax weights over scores in pawns."""
    best = max(scores)
    weights = [math.exp((score - best) / temperature) for score in scores]
    return rng.choices(moves, weights)[0]


def builtin_reply(board: "chess.Board", rng: random.Random, temperature: float) -> "chess.Move":
    """Return the reply of the built-in opponent; the package's docstring describes it."""
    moves = list(board.legal_moves)
    mate = direct_mate(board, moves)
    if mate is not None:
        return mate
    # With pieces on the board a king is safest at home.
    lone = bare(board, board.turn)
    kings = board.kings
    scores = []
    for move in moves:
        step = CENTRE[move.to_square] - CENTRE[move.from_square]
        if kings >> move.from_square & 1:
            step *= 5.0 if lone else -1.0
        scores.append(gain(board, move) + 0.2 * step)
    return draw(rng, moves, scores, temperature)
