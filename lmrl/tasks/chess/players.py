"""The scripted players of Chess and Chess Endgames."""

import random
from collections.abc import Callable, Mapping
from typing import Any

from lmrl.env import Player
from lmrl.tasks.chess.heuristics import CENTRE, direct_mate, worth
from lmrl.tasks.chess.notation import action_text

BLUNDERS = {"initial": (0.22, 1.0), "endgames": (0.0, 0.72)}
"""Range of the share of random moves of the `mixture` player, which draws a share for each game.

Against the built-in opponent 900 games of chess return 0.20 on average (published: 0.21; won 46 %,
published 60 %) and 1500 endgames 0.58 (published: 0.586).
"""


def anything(env: Any, rng: random.Random) -> Player:
    """Return a player that makes any legal move."""

    def play(observation: str) -> str:
        board = env.state.board
        return action_text(board.san(rng.choice(list(board.legal_moves))))

    return play


def optimal(env: Any, rng: random.Random) -> Player:
    """Return a player that looks one move and one capture ahead: cheap, and not optimal.

    It takes a mate in one, gives none away, wins material, and drives a lone king into ever
    less room.
    """

    def play(observation: str) -> str:
        board = env.state.board
        ranked = []
        for move in board.legal_moves:
            board.push(move)
            # Positions that come back make a draw of a won game.
            value = worth(board) - (1.0 if board.is_repetition(2) else 0.0)
            board.pop()
            value += 0.1 * (CENTRE[move.to_square] - CENTRE[move.from_square])
            # The longer nothing happens, the bolder: fixed taste would shuffle to a draw.
            bold = 0.1 + 0.01 * board.halfmove_clock
            ranked.append((value + bold * rng.random(), move))
        ranked.sort(key=lambda pair: pair[0], reverse=True)
        choice = ranked[0][1]
        for _, move in ranked[:5]:
            board.push(move)
            loses = direct_mate(board, list(board.legal_moves)) is not None
            board.pop()
            if not loses:
                choice = move
                break
        return action_text(board.san(choice))

    return play


def mixture(env: Any, rng: random.Random) -> Player:
    """Return a player that makes any move in a share of its turns, drawn for each game."""
    best, random_move = optimal(env, rng), anything(env, rng)
    blunders = rng.uniform(*BLUNDERS["endgames" if env.endgames else "initial"])
    return lambda observation: (random_move if rng.random() < blunders else best)(observation)


PLAYERS: Mapping[str, Callable[[Any, random.Random], Player]] = {
    "optimal": optimal,
    "random": anything,
    "mixture": mixture,
}
"""Scripted players by name."""
