"""Chess and Chess Endgames: play White against an opponent of limited strength.

Rules (arXiv 2311.18232, section 4 and appendices A, C.5 and E; code of the published benchmark):
- A state is a FEN with a space between every two characters, so that the FEN's own spaces are three
  (`r n b q k b n r / ...   w   K Q k q   -   0   1`). The policy sees the newest state alone.
- An action is a move in SAN, spaced the same way, and a newline: `N f 3`. Spaces are dropped before
  it is read, so `Nf3` is the same move. The reader is python-chess: check signs are not verified,
  more than is needed may be said (`Ng1f3`), and so may coordinates (`g1f3`) unless `strict_san`.
- A move that is illegal, ambiguous, unreadable or null (`--`, `0000`) earns -1 and changes nothing.
- Reward of a legal move: 1 if it mates, -1 if the opponent's reply mates, 0 otherwise.
- A game ends by mate, stalemate, insufficient material, the 75-move rule and the fifth repetition;
  draws that a player would have to claim do not exist, and every draw returns 0.
- Limit: the game is cut with the first action beyond `max_moves`, which is executed and earns what
  it would have earned. With 400, a game has at most 401 actions; the least return is -401.
- `chess` starts from the usual position. `endgames` draws one of four piece sets (`kQK`, `kRK`,
  `kQRK`, `kRRK`: a bare black king against a white king and what is named between), then a uniform
  legal position of it with White to move and not in check. The published return has -1 as its worst
  there, although illegal moves can return less.
- Variants: `openings` starts from one of 24 positions after two to six half-moves of well-known
  openings (`assets/openings.txt`), `unseen-endgames` from one of four other piece sets (`kQQK`,
  `kQBK`, `kQNK`, `kRBK`), drawn the same way.

The published opponent is Stockfish 15.1 asked for Elo 1200 at 100 ms a move. That cannot be
rebuilt: 1200 is below what the engine accepts, its limited strength draws from a generator of its
own, and a time limit depends on the machine. So we offer opponents that repeat, and claim no Elo:
- `builtin` (the default, because it plays the same on every machine and needs no binary): one ply.
  It draws a move with softmax weights over material won, takes mate in one by a direct check, and
  walks a lone king to the centre. A beginner beats it.
- `random`: uniform over the legal moves, by numpy's legacy generator, as published.
- `stockfish`: several lines at a fixed number of nodes and a softmax of our own over their scores.
  It follows from seed and position for one version of the binary, and from no clock.
- `auto`: `stockfish` where a binary is found and `builtin` elsewhere, so its results do not carry
  over to another machine; `info["opponent"]` says which one plays.

Repaired by default, as published with `faithful=True`:
- The limit is a truncation, so that learners bootstrap; published, it ends the game like a mate.
- A state ends with a newline; published, state and action are glued together
  (`0   1N f 3`), and only behaviour cloning trained on states with one (`state_newline`).
Repaired always: seeds and start positions count, and an engine that fails is an error; published,
its failure is swallowed as an illegal move.
"""

import math
import os
import random
import re
import select
import shutil
import subprocess
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lmrl.env import Player, ScoreRange, Step, TextEnv, Wording, fresh_seed
from lmrl.errors import RunError, UsageError, unknown

if TYPE_CHECKING:
    import chess

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
OPENINGS = Path(__file__).parent / "assets" / "openings.txt"

OPPONENTS = ("builtin", "random", "stockfish", "auto")
START_OPTIONS = ("init_position", "replies")

MATE = 100.0
"""What a mate is worth in pawns: more than all pieces."""
ENGINE_FOLDER = "/usr/games"
"""Where Debian puts the binary; root's PATH does not have it."""
ENGINE_LINES = 8
ENGINE_PATIENCE = 60.0
"""Seconds after which an engine that says nothing counts as dead."""

BLUNDERS = {"initial": (0.22, 1.0), "endgames": (0.0, 0.72)}
"""Range of the share of random moves of the `mixture` player, which draws a share for each game.

Against the built-in opponent 900 games of chess return 0.20 on average (published: 0.21; won 46 %,
published 60 %) and 1500 endgames 0.58 (published: 0.586).
"""

_VALUES = (0.0, 1.0, 3.0, 3.0, 5.0, 9.0, 0.0)
"""Pawns by python-chess's piece type; 0 is none, 6 the king."""
_CENTRE = tuple(3.5 - max(abs(square % 8 - 3.5), abs(square // 8 - 3.5)) for square in range(64))
"""How far a square is from the edge, 0 to 3."""
_SCORE = re.compile(r" multipv (\d+) score (cp|mate) (-?\d+).* pv (\S+)")


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


# -- what a move is worth -------------------------------------------------------------------------


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


def room(board: "chess.Board") -> int:
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
            value -= 0.1 * room(board) + 0.05 * apart
            value -= 0.2 * _CENTRE[black] + 0.05 * board.legal_moves.count()
    return value


# -- opponents ------------------------------------------------------------------------------------


def draw(
    rng: random.Random, moves: "list[chess.Move]", scores: list[float], temperature: float
) -> "chess.Move":
    """Return a move with softmax weights over scores in pawns."""
    best = max(scores)
    weights = [math.exp((score - best) / temperature) for score in scores]
    return rng.choices(moves, weights)[0]


def builtin_reply(board: "chess.Board", rng: random.Random, temperature: float) -> "chess.Move":
    """Return the reply of the built-in opponent; the module's docstring describes it."""
    moves = list(board.legal_moves)
    mate = direct_mate(board, moves)
    if mate is not None:
        return mate
    # With pieces on the board a king is safest at home.
    lone = bare(board, board.turn)
    kings = board.kings
    scores = []
    for move in moves:
        step = _CENTRE[move.to_square] - _CENTRE[move.from_square]
        if kings >> move.from_square & 1:
            step *= 5.0 if lone else -1.0
        scores.append(gain(board, move) + 0.2 * step)
    return draw(rng, moves, scores, temperature)


@cache
def find_engine(path: str | None = None) -> str | None:
    """Return the Stockfish binary: `path`, or the first on PATH, or Debian's; None if none."""
    if path is not None:
        return shutil.which(Path(path).expanduser())
    return shutil.which("stockfish") or shutil.which("stockfish", path=ENGINE_FOLDER)


class EngineDied(RunError):
    """The engine's process is gone or does not answer."""


class Engine:
    """A Stockfish process, asked for the best lines of one position after another.

    It takes about 130 MB and 0.1 s to start, and each environment has one of its own.

    Args:
        path: of the binary.
        nodes: of a search.

    Raises:
        EngineDied: from here or from `lines`, if the process is gone or says nothing.
    """

    def __init__(self, path: str, nodes: int) -> None:
        self.nodes = nodes
        try:
            self.process = subprocess.Popen(
                [path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
        except OSError as error:
            raise EngineDied(f"chess engine {path} does not start: {error}") from error
        self._rest = b""
        # A forgotten environment must not leave a process behind.
        self._stop = weakref.finalize(self, _stop, self.process)
        for option, value in (("Threads", 1), ("Hash", 1), ("MultiPV", ENGINE_LINES)):
            self._send(f"setoption name {option} value {value}")
        self._send("isready")
        self._until("readyok")

    def close(self) -> None:
        """End the process."""
        self._stop()

    def lines(self, fen: str) -> list[tuple[str, float]]:
        """Return the best moves in coordinates with their scores in pawns, the best first."""
        # A new game clears the hash table: a search must not depend on the searches before.
        self._send(f"ucinewgame\nposition fen {fen}\ngo nodes {self.nodes}")
        found: dict[int, tuple[str, float]] = {}
        for line in self._until("bestmove"):
            if match := _SCORE.search(line):
                rank, unit, value, move = match.groups()
                number = float(value)
                mate = math.copysign(MATE, number) - number
                found[int(rank)] = (move, number / 100.0 if unit == "cp" else mate)
        # The budget may run out between two depths, so ranks can be stale and name a move twice.
        return sorted(dict(found.values()).items(), key=lambda line: line[1], reverse=True)

    def _send(self, text: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{text}\n".encode())
        except OSError as error:
            raise EngineDied(f"the chess engine is gone: {error}") from error

    def _until(self, last: str) -> list[str]:
        """Return the lines that the engine says before the one that begins with `last`."""
        assert self.process.stdout is not None
        pipe = self.process.stdout.fileno()
        waiting = select.poll()  # unlike select.select, good for more than 1024 open files
        waiting.register(pipe, select.POLLIN)
        deadline = monotonic() + ENGINE_PATIENCE
        said: list[str] = []
        while True:
            *lines, self._rest = self._rest.split(b"\n")
            for line in lines:
                said.append(line.decode("utf-8", "replace"))
                if said[-1].startswith(last):
                    return said[:-1]
            if not waiting.poll(1000 * max(0.0, deadline - monotonic())):
                raise EngineDied(f"the chess engine said nothing for {ENGINE_PATIENCE:.0f} s")
            if not (more := os.read(pipe, 65536)):
                raise EngineDied(f"the chess engine ended with code {self.process.wait()}")
            self._rest += more


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


# -- the task -------------------------------------------------------------------------------------


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


_EVERYWHERE: dict[str, dict[str, Any]] = {
    "reworded": {"wording": "reworded"},
    "random-opponent": {"opponent": "random"},
    "sharper-opponent": {"temperature": 0.3},
}
VARIANTS = {**_EVERYWHERE, "unseen-openings": {"positions": "openings"}}
ENDGAME_VARIANTS = {**_EVERYWHERE, "unseen-pieces": {"positions": "unseen-endgames"}}
"""The robustness suite's variants of the two tasks."""


@dataclass
class ChessState:
    """What changes during a game.

    Attributes:
        board: the position with all moves that led to it, which repetitions need.
        opponent: who replies: `builtin`, `random` or `stockfish`.
        rng: where the replies come from.
        legacy: the same for `random`, which numpy's legacy generator draws.
        replies: given replies that are still to come, the next one first.
        moves: actions so far, illegal ones too.
        running: whether the game goes on.
    """

    board: "chess.Board"
    opponent: str
    rng: random.Random
    legacy: np.random.RandomState | None
    replies: list[str] = field(default_factory=list)
    moves: int = 0
    running: bool = True


class Chess(TextEnv):
    """Chess of LMRL-Gym; the module's docstring has the rules.

    Args:
        positions: where games start: a name in `POSITIONS`, or a file with one FEN a line of which
            the seed, counted around, is the line.
        opponent: one of `OPPONENTS`.
        max_moves: the action after so many cuts the game.
        temperature: of the opponent's softmax, in pawns; weaker the higher. Not for `random`.
        engine: the Stockfish binary; None looks on PATH, then in Debian's folder.
        nodes: of a Stockfish search.
        strict_san: whether coordinates and moves said at more length than needed are illegal.
        state_newline: whether a state ends with a newline; None is the opposite of `faithful`.
        faithful: behave as the published code does, quirks included.

    Raises:
        UsageError: for a bad option, an engine that is not there, or no python-chess.
    """

    reward_range = (-1.0, 1.0)
    window = 1
    instructions = (
        "You play chess as White and have to mate Black. Each message is the position in "
        "Forsyth-Edwards notation with a space between every two characters. An action is one "
        "legal move for White in standard algebraic notation, spaced in the same way, for example: "
        "N f 3. An illegal move costs a point and changes nothing."
    )

    def __init__(
        self,
        positions: str = "initial",
        opponent: str = "builtin",
        max_moves: int = 400,
        temperature: float = 1.0,
        engine: str | None = None,
        nodes: int = 2000,
        strict_san: bool = False,
        state_newline: bool | None = None,
        faithful: bool = False,
    ) -> None:
        try:
            import chess  # noqa: F401
        except ImportError as error:
            raise UsageError("the chess tasks need python-chess: pip install chess") from error
        if opponent not in OPPONENTS:
            raise unknown("chess opponent", opponent, OPPONENTS)
        for name, value, least in (("max_moves", max_moves, 0), ("nodes", nodes, 1)):
            if type(value) is not int or value < least:
                raise UsageError(
                    f"chess option {name} is {value!r}; give an integer of {least} or more"
                )
        if (
            isinstance(temperature, bool)
            or not isinstance(temperature, int | float)
            or not 0 < temperature < math.inf
        ):
            raise UsageError(f"chess option temperature is {temperature!r}; give a number above 0")
        self.piece_sets = POSITIONS.get(positions, ())
        self.listed: tuple[str, ...] = ()
        if positions == "openings":
            self.listed = listed_positions(str(OPENINGS))
        elif Path(positions).suffix or os.sep in positions:
            self.listed = listed_positions(positions)
        elif positions not in POSITIONS:
            raise unknown("chess positions", positions, POSITIONS)
        self.engine_path = find_engine(engine)
        if engine is not None and self.engine_path is None:
            raise UsageError(f"chess option engine: {engine!r} is no program")
        if opponent == "auto":
            opponent = "builtin" if self.engine_path is None else "stockfish"
        if opponent == "stockfish" and self.engine_path is None:
            raise UsageError(
                "chess opponent 'stockfish' needs the binary: apt-get install stockfish, or name "
                "it with engine="
            )
        self.opponent = opponent
        self.max_moves = max_moves
        self.max_turns = max_moves + 1
        self.temperature = float(temperature)
        self.nodes = nodes
        self.strict_san = strict_san
        self.newline = not faithful if state_newline is None else state_newline
        self.faithful = faithful
        self.endgames = positions not in ("initial", "openings")
        self.variants = ENDGAME_VARIANTS if self.endgames else VARIANTS
        # The data sets' mean returns (paper, table 1 and appendix E).
        self.score_range = (
            ScoreRange(worst=-1.0, data=0.586, best=1.0)
            if self.endgames
            else ScoreRange(worst=-401.0, data=0.21, best=1.0)
        )
        self.state: ChessState | None = None
        self._engine: Engine | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the process: a copy starts one of its own when it needs it."""
        return {**self.__dict__, "_engine": None}

    def close(self) -> None:
        """End the engine's process, if there is one; a later move starts another."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Set the pieces up, or take the FEN `options["init_position"]`, White to move.

        `options["replies"]` gives the opponent's first replies, in SAN or coordinates; after them
        it plays on by itself.

        Raises:
            UsageError: for an unknown option, or a start from which White cannot play.
        """
        import chess

        options = options or {}
        for option in options:
            if option not in START_OPTIONS:
                raise unknown("chess start option", option, START_OPTIONS)
        seed = fresh_seed() if seed is None else seed
        rng = random.Random(seed)
        if "init_position" in options:
            fen = options["init_position"]
        elif self.listed:
            fen = self.listed[seed % len(self.listed)]
        elif self.piece_sets:
            fen = random_endgame(rng.choice(self.piece_sets), rng)
        else:
            fen = chess.STARTING_FEN
        board = self._board(fen)
        replies = options.get("replies", ())
        if isinstance(replies, str) or not all(isinstance(reply, str) for reply in replies):
            raise UsageError(f"replies {replies!r} is no list of moves")
        # numpy's legacy generator knows seeds of 32 bits only.
        legacy = np.random.RandomState(seed % 2**32) if self.opponent == "random" else None
        self.state = ChessState(board, self.opponent, rng, legacy, list(replies))
        info = {"seed": seed, "opponent": self.opponent, "position": board.fen()}
        return self._text(board), info

    def _board(self, fen: Any) -> "chess.Board":
        import chess

        try:
            board = chess.Board(fen)
        except (ValueError, AttributeError) as error:
            raise UsageError(f"position {fen!r} is no FEN: {error}") from error
        kings = board.king(chess.WHITE) is not None and board.king(chess.BLACK) is not None
        if not kings or board.turn is not chess.WHITE:
            raise UsageError(f"position {fen!r} needs two kings and White to move")
        if not any(board.legal_moves):
            raise UsageError(f"position {fen!r} has no move for White")
        return board

    def _text(self, board: "chess.Board") -> str:
        return state_text(board.fen(), self.newline)

    def _read(self, board: "chess.Board", action: str) -> "chess.Move | None":
        """Return the legal move that an action says, if it says one."""
        san = san_of(action)
        try:
            move = board.parse_san(san)
        except ValueError:
            return None
        # A null move parses and is meant to be an ordinary illegal one.
        if not move:
            return None
        if self.strict_san and board.san(move).rstrip("+#") != san.rstrip("+#"):
            return None
        return move

    def step(self, action: str) -> Step:
        """Play a move and have the opponent reply, or lose a point for what is no legal move."""
        state = self.state
        if state is None or not state.running:
            raise RuntimeError("the chess game is over; call reset first")
        board = state.board
        move = self._read(board, action)
        state.moves += 1
        reward, over = -1.0, False
        facts: dict[str, Any] = {"legal": move is not None}
        if move is not None:
            reward = 0.0
            board.push(move)
            over = board.is_game_over()
            if over:
                reward = 1.0 if board.is_checkmate() else 0.0
            else:
                reply = self._reply(state)
                board.push(reply)
                facts["reply"] = reply.uci()
                over = board.is_game_over()
                reward = -1.0 if over and board.is_checkmate() else 0.0
        text = self._text(board)
        if not over and state.moves <= self.max_moves:
            return Step.going(text, reward, **facts)
        state.running = False
        facts |= {"success": reward == 1.0, "opponent": state.opponent}
        if over or self.faithful:
            return Step.ended(text, reward, **facts)
        return Step.cut(text, reward, **facts)

    def _reply(self, state: ChessState) -> "chess.Move":
        board = state.board
        if state.replies:
            given = state.replies.pop(0)
            try:
                return board.parse_san(given)
            except ValueError as error:
                raise UsageError(f"reply {given!r} is not legal in {board.fen()}") from error
        if state.legacy is not None:
            moves = list(board.legal_moves)
            return moves[int(state.legacy.randint(len(moves)))]
        if state.opponent == "stockfish":
            import chess

            found = self._lines(board.fen())
            moves = [chess.Move.from_uci(move) for move, _ in found]
            return draw(state.rng, moves, [score for _, score in found], self.temperature)
        return builtin_reply(board, state.rng, self.temperature)

    def _lines(self, fen: str) -> list[tuple[str, float]]:
        """Return the engine's lines; a process that died is replaced once a move."""
        if self._engine is not None:
            try:
                return self._engine.lines(fen)
            except EngineDied:
                self.close()
        assert self.engine_path is not None
        self._engine = Engine(self.engine_path, self.nodes)
        return self._engine.lines(fen)

    def _random(self, rng: random.Random) -> Player:
        def play(observation: str) -> str:
            assert self.state is not None
            board = self.state.board
            return action_text(board.san(rng.choice(list(board.legal_moves))))

        return play

    def _optimal(self, rng: random.Random) -> Player:
        """Return a player that looks one move and one capture ahead: cheap, and not optimal.

        It takes a mate in one, gives none away, wins material, and drives a lone king into ever
        less room.
        """

        def play(observation: str) -> str:
            assert self.state is not None
            board = self.state.board
            ranked = []
            for move in board.legal_moves:
                board.push(move)
                # Positions that come back make a draw of a won game.
                value = worth(board) - (1.0 if board.is_repetition(2) else 0.0)
                board.pop()
                value += 0.1 * (_CENTRE[move.to_square] - _CENTRE[move.from_square])
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

    def _mixture(self, rng: random.Random) -> Player:
        best, anything = self._optimal(rng), self._random(rng)
        blunders = rng.uniform(*BLUNDERS["endgames" if self.endgames else "initial"])
        return lambda observation: (anything if rng.random() < blunders else best)(observation)

    players: ClassVar[Mapping[str, Callable[[Any, random.Random], Player]]] = {
        "optimal": _optimal,
        "random": _random,
        "mixture": _mixture,
    }
    wordings: ClassVar[Mapping[str, Wording]] = {"reworded": reworded}
