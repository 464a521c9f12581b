"""How positions and moves are written: FEN and SAN with a space between every two characters."""

import random


def spaced(text: str) -> str:
    """Return `text` with a space between every two characters."""
    return " ".join(text)


def state_text(fen: str, newline: bool = False) -> str:
    """Return a FEN as the policy sees it."""
    return spaced(fen) + ("\n" if newline else "")


def fen_of(text: str) -> str:
    """Return the FEN of a state text: the opposite of `state_text`."""
    return text.replace("  ", "_").replace(" ", "").replace("_", " ").strip()


def action_text(san: str) -> str:
    """Return a move as an action."""
    return spaced(san) + "\n"


def san_of(action: str) -> str:
    """Return the move in an action: the opposite of `action_text`."""
    return action.replace(" ", "").strip()


def reworded(text: str, rng: random.Random) -> str:
    """Return a state as a diagram, a dot for an empty square, with the rest of the FEN named."""
    board, turn, castling, passant, halfmoves, move = fen_of(text).split()
    rows = []
    for rank, row in zip(range(8, 0, -1), board.split("/"), strict=True):
        squares = "".join("." * int(c) if c.isdigit() else c for c in row)
        rows.append(f"{rank} {spaced(squares)}")
    side = "White" if turn == "w" else "Black"
    facts = (
        f"{side} to move, castling {castling}, en passant {passant}, "
        f"{halfmoves} half-moves without progress, move {move}."
    )
    return "\n".join(["  a b c d e f g h", *rows, facts]) + ("\n" if text.endswith("\n") else "")
