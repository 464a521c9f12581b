"""The environment of Chess and Chess Endgames: White's moves, Black's replies, and the limit."""

import math
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np

from lmrl.drawing import Drawing
from lmrl.env import Player, ScoreRange, Step, TextEnv, Wording
from lmrl.errors import UsageError, unknown
from lmrl.limits import COUNT, NOT_NEGATIVE, POSITIVE
from lmrl.seeds import fresh_seed
from lmrl.tasks.chess.drawing import draw as draw_boards
from lmrl.tasks.chess.notation import reworded, san_of, state_text
from lmrl.tasks.chess.opponents import OPPONENTS, builtin_reply, draw
from lmrl.tasks.chess.players import PLAYERS
from lmrl.tasks.chess.positions import OPENINGS, POSITIONS, listed_positions, random_endgame
from lmrl.tasks.chess.stockfish import EngineDied, Stockfish, find_engine
from lmrl.trajectory import Trajectory

if TYPE_CHECKING:
    import chess

START_OPTIONS = ("init_position", "replies")
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
        opponent: name of the opponent: `builtin`, `random` or `stockfish`.
        rng: generator of the replies.
        legacy: generator of the replies of `random`; None for the others.
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
    """Chess of LMRL-Gym; the package's docstring has the rules.

    Args:
        positions: start positions: a name in `POSITIONS`, or a file with one FEN a line. The seed,
            modulo the number of lines, is the line.
        opponent: one of `OPPONENTS`.
        max_moves: the action after so many cuts the game.
        temperature: temperature of the opponent's softmax, in pawns; the higher, the weaker it
            plays. Without effect on `random`.
        engine: the Stockfish binary; None looks on PATH, then in Debian's folder.
        nodes: number of nodes of a Stockfish search.
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
        opponent: Literal["builtin", "random", "stockfish", "auto"] = "builtin",
        max_moves: Annotated[int, NOT_NEGATIVE] = 400,
        temperature: Annotated[float, POSITIVE] = 1.0,
        engine: str | None = None,
        nodes: Annotated[int, COUNT] = 2000,
        strict_san: bool = False,
        state_newline: bool | None = None,
        faithful: bool = False,
    ) -> None:
        try:
            import chess  # noqa: F401
        except ImportError as error:
            raise UsageError(
                "the chess tasks need python-chess: pip install 'lmrl[chess]'"
            ) from error
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
            raise UsageError(f"chess option engine: {engine!r} is not a program")
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
        self._engine: Stockfish | None = None

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
            raise UsageError(f"replies {replies!r} is not a list of moves")
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
            raise UsageError(f"position {fen!r} is not a FEN: {error}") from error
        kings = board.king(chess.WHITE) is not None and board.king(chess.BLACK) is not None
        if not kings or board.turn is not chess.WHITE:
            raise UsageError(f"position {fen!r} needs two kings and White to move")
        if not any(board.legal_moves):
            raise UsageError(f"position {fen!r} has no move for White")
        return board

    def _text(self, board: "chess.Board") -> str:
        return state_text(board.fen(), self.newline)

    def _read(self, board: "chess.Board", action: str) -> "chess.Move | None":
        """Return the legal move that an action means; None if it means none."""
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
        """Play a move and have the opponent reply; what is not a legal move loses a point."""
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
        self._engine = Stockfish(self.engine_path, self.nodes)
        return self._engine.lines(fen)

    def draw(self, episode: Trajectory) -> Drawing | None:
        """Return the boards of the game."""
        return draw_boards(episode)

    players: Mapping[str, Callable[[Any, random.Random], Player]] = PLAYERS
    wordings: ClassVar[Mapping[str, Wording]] = {"reworded": reworded}
