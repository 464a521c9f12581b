"""What moves and positions are worth: for the built-in opponent and the scripted players."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import chess

MATE = 100.0
"""What a mate is worth in pawns: more than all pieces."""
_VALUES = (0.0, 1.0, 3.0, 3.0, 5.0, 9.0, 0.0)
"""Pawns by python-chess's piece type; 0 is none, 6 the king."""
CENTRE = tuple(3.5 - max(abs(square % 8 - 3.5), abs(square // 8 - 3.5)) for square in range(64))
"""How far a square is from the edge, 0 to 3."""


def gain(board: "chess.Board", move: "chess.Move") -> float:
    """Return the pawns that a capture or promotion wins, less the piece if it can be retaken."""
    won = _VALUES[board.piece_type_at(move.to_square) or 0]
    if move.promotion:
        won += _VALUES[move.promotion] - _VALUES[1]
    if won and board.attackers_mask(not board.turn, move.to_square):
        won -= _VALUES[move.promotion or board.piece_type_at(move.from_square) or 0]
    return won


def mates(board: "chess.Board", move: "chess.Move") -> bool:
    """Return whether a legal move mates."""
    board.push(move)
    mate = board.is_checkmate()
    board.pop()
    return mate


def direct_mate(board: "chess.Board", moves: "list[chess.Move]") -> "chess.Move | None":
    """Return the first of `moves` that mates by a check of the piece that moved."""
    import chess

    king = board.king(not board.turn)
    if king is None:
        return None
    # Few moves give check, and to ask this of bits is far cheaper than to play each of them.
    occupied = board.occupied
    diagonal = chess.BB_DIAG_ATTACKS[king][chess.BB_DIAG_MASKS[king] & occupied]
    straight = (
        chess.BB_FILE_ATTACKS[king][chess.BB_FILE_MASKS[king] & occupied]
        | chess.BB_RANK_ATTACKS[king][chess.BB_RANK_MASKS[king] & occupied]
    )
    checks = (
        0,
        chess.BB_PAWN_ATTACKS[not board.turn][king],
        chess.BB_KNIGHT_ATTACKS[king],
        diagonal,
        straight,
        diagonal | straight,
        0,
    )
    for move in moves:
        kind = move.promotion or board.piece_type_at(move.from_square) or 0
        if checks[kind] >> move.to_square & 1 and mates(board, move):
            return move
    return None


def king_region(board: "chess.Board") -> int:
    """Return how many squares the black king can ever reach while White's pieces stay."""
    import chess

    barred = 0
    for square in chess.scan_forward(board.occupied_co[chess.WHITE]):
        barred |= board.attacks_mask(square)
    region = edge = board.kings & board.occupied_co[chess.BLACK]
    while edge:
        reached = 0
        for square in chess.scan_forward(edge):
            reached |= chess.BB_KING_ATTACKS[square]
        edge = reached & ~region & ~barred
        region |= edge
    return region.bit_count()


def material(board: "chess.Board") -> float:
    """Return White's pieces less Black's, in pawns."""
    import chess

    white, black = board.occupied_co[chess.WHITE], board.occupied_co[chess.BLACK]
    kinds = (board.pawns, board.knights, board.bishops, board.rooks, board.queens)
    return sum(
        value * ((kind & white).bit_count() - (kind & black).bit_count())
        for value, kind in zip(_VALUES[1:6], kinds, strict=True)
    )


def bare(board: "chess.Board", colour: bool) -> bool:
    """Return whether one side has only its king and pawns."""
    return not board.occupied_co[colour] & ~(board.kings | board.pawns)


def worth(board: "chess.Board") -> float:
    """Return what a position with Black to move is worth to White, looking at Black's captures."""
    import chess

    if not any(board.generate_legal_moves()):
        return MATE if board.is_check() else -MATE / 2  # a stalemate wastes a won game
    if board.is_insufficient_material():
        return -MATE / 2
    lost = max((gain(board, reply) for reply in board.generate_legal_captures()), default=0.0)
    value = material(board) - max(lost, 0.0)
    ranks = sum(square >> 3 for square in chess.scan_forward(board.pawns & board.occupied_co[True]))
    value += 0.03 * ranks
    if bare(board, chess.BLACK):
        white, black = board.king(chess.WHITE), board.king(chess.BLACK)
        if white is not None and black is not None:
            apart = chess.square_distance(white, black) + chess.square_manhattan_distance(
                white, black
            )
            value -= 0.1 * king_region(board) + 0.05 * apart
            value -= 0.2 * CENTRE[black] + 0.05 * board.legal_moves.count()
    return value
