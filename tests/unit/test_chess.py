"""Facts of `chess` and `endgames`: rules, rewards, opponents, start positions."""

import math
import os
import pickle
import random
import signal
from pathlib import Path
from statistics import fmean
from typing import Any

import chess
import chess.engine
import pytest

from lmrl.env import Step
from lmrl.episode import Episode, play
from lmrl.errors import UsageError
from lmrl.tasks import make
from lmrl.tasks.chess import Chess
from lmrl.tasks.chess.heuristics import MATE, gain, king_region
from lmrl.tasks.chess.notation import action_text, fen_of, san_of, state_text
from lmrl.tasks.chess.opponents import OPPONENTS
from lmrl.tasks.chess.positions import PIECE_SETS, random_endgame
from lmrl.tasks.chess.stockfish import ENGINE_LINES, EngineDied, Stockfish, find_engine

START = "r n b q k b n r / p p p p p p p p / 8 / 8 / 8 / 8 / P P P P P P P P / R N B Q K B N R"
NULL_MOVES = ["--", "0000", "Z0", "@@@@"]

with_engine = pytest.mark.skipif(find_engine() is None, reason="no Stockfish on this machine")


def started(fen: str | None = None, replies: tuple[str, ...] = (), **options: Any) -> Chess:
    """Return a game from a position, in which the opponent gives these replies first."""
    env = make("chess", **options)
    assert isinstance(env, Chess)
    start: dict[str, Any] = {"replies": list(replies)}
    env.reset(seed=0, options=start if fen is None else {**start, "init_position": fen})
    return env


def fen(env: Chess) -> str:
    """Return the position."""
    assert env.state is not None
    return env.state.board.fen()


def played(env: Chess, *moves: str) -> list[Step]:
    """Return the steps of moves in SAN."""
    return [env.step(action_text(move)) for move in moves]


# -- texts ----------------------------------------------------------------------------------------


def test_state_is_a_spaced_fen_and_ends_with_a_newline_unless_faithful() -> None:
    text = f"{START}   w   K Q k q   -   0   1"
    assert len(text) == 111
    assert make("chess").reset(seed=0)[0] == text + "\n"
    assert make("chess", faithful=True).reset(seed=0)[0] == text
    assert make("chess", faithful=True, state_newline=True).reset(seed=0)[0] == text + "\n"


def test_texts_are_read_back() -> None:
    rng = random.Random(0)
    board = chess.Board()
    while not board.is_game_over():
        move = rng.choice(list(board.legal_moves))
        assert san_of(action_text(board.san(move))) == board.san(move)
        board.push(move)
        for newline in (False, True):
            assert fen_of(state_text(board.fen(), newline)) == board.fen()


def test_policy_sees_the_newest_state_alone() -> None:
    episode = Episode(make("chess"), 0)
    for action in ("e 4\n", "no move\n", "d 4\n"):
        episode.act(action)
        assert episode.span == 1


# -- moves ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["N f 3\n", "Nf3", "  N  f3 \n\n", "N g 1 f 3\n", "N f 3 +\n"])
def test_moves_are_read_as_python_chess_does(action: str) -> None:
    env = started(replies=("e5",))
    step = env.step(action)
    assert step.reward == 0.0
    assert step.info == {"legal": True, "reply": "e7e5"}
    assert fen(env).startswith("rnbqkbnr/pppp1ppp/8/4p3/8/5N2/PPPPPPPP/RNBQKB1R w")


def test_strict_san_takes_the_one_usual_name_of_a_move() -> None:
    for action, strict in (("g 1 f 3\n", -1.0), ("N g 1 f 3\n", -1.0), ("N f 3\n", 0.0)):
        assert started(strict_san=True).step(action).reward == strict
        assert started().step(action).reward == 0.0


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize(
    "move", ["", "hello", "Nc4", "nf3", "e5", "O-O", "Ke2", "e1e2", "e9", *NULL_MOVES]
)
def test_illegal_moves_cost_one_and_change_nothing(move: str, faithful: bool) -> None:
    env = started(faithful=faithful)
    before = fen(env)
    step = env.step(action_text(move))
    assert (step.reward, step.terminated, step.truncated) == (-1.0, False, False)
    assert fen(env) == before == fen_of(step.text)
    assert step.info == {"legal": False}
    assert env.step("e 4\n").reward == 0.0  # the game goes on, White to move


def test_ambiguous_moves_are_illegal() -> None:
    env = started("4k3/8/8/8/8/8/4K3/R6R w - - 0 1")
    assert played(env, "Rd1")[0].reward == -1.0
    assert played(env, "Rad1")[0].reward == 0.0


def test_castling_promotion_and_en_passant() -> None:
    env = started("r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1", ("O-O-O",))
    played(env, "O-O")
    assert fen(env) == "2kr3r/8/8/8/8/8/8/R4RK1 w - - 2 2"
    env = started("8/P6k/8/8/8/8/6K1/8 w - - 0 1", ("Kg6",))
    assert played(env, "a8")[0].reward == -1.0  # says not into what
    played(env, "a8=Q")
    assert fen(env) == "Q7/8/6k1/8/8/8/6K1/8 w - - 1 2"
    env = started("4k3/3p4/8/4P3/8/8/8/4K3 w - - 0 1", ("d5", "Kd8"))
    played(env, "Kd2")
    assert fen(env) == "4k3/8/8/3pP3/8/8/3K4/8 w - d6 0 2"
    played(env, "exd6")
    assert fen(env) == "3k4/8/3P4/8/8/8/3K4/8 w - - 1 3"


# -- ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize(
    ("position", "moves", "replies", "reward"),
    [
        (None, ["e4", "Bc4", "Qh5", "Qxf7"], ["e5", "Nc6", "Nf6"], 1.0),
        (None, ["f3", "g4"], ["e5", "Qh4"], -1.0),
        ("7k/8/6K1/8/8/8/8/5Q2 w - - 0 1", ["Qf7"], [], 0.0),  # stalemate
        ("1q5k/8/8/8/8/8/7K/8 w - - 0 1", ["Kh1"], ["Qg3"], 0.0),  # stalemated
        ("8/P6k/8/8/8/8/6K1/8 w - - 0 1", ["a8=N"], [], 0.0),  # no material to mate with
        ("4K3/8/8/1Q6/5k2/8/8/8 w - - 0 1", ["Qg5"], ["Kxg5"], 0.0),
        ("7k/8/8/8/8/8/R7/K7 w - - 149 90", ["Ra3"], [], 0.0),  # 75 moves
        ("7k/8/6K1/8/8/8/R7/8 w - - 149 90", ["Ra8"], [], 1.0),  # mate comes first
    ],
)
def test_ends(
    position: str | None, moves: list[str], replies: list[str], reward: float, faithful: bool
) -> None:
    steps = played(started(position, tuple(replies), faithful=faithful), *moves)
    assert [step.reward for step in steps] == [0.0] * (len(moves) - 1) + [reward]
    assert [step.terminated for step in steps] == [False] * (len(moves) - 1) + [True]
    assert not steps[-1].truncated
    assert steps[-1].info["success"] is (reward == 1.0)


def test_fifth_repetition_is_a_draw_and_the_third_is_none() -> None:
    replies = ("Nf6", "Ng8") * 4
    steps = played(started(replies=replies), *(("Nf3", "Ng1") * 4))
    assert [step.terminated for step in steps] == [False] * 7 + [True]
    assert steps[-1].reward == 0.0


@pytest.mark.parametrize("faithful", [False, True])
def test_limit_is_the_first_action_beyond_it(faithful: bool) -> None:
    env = started(faithful=faithful, max_moves=2, replies=("a6", "b6", "c6"))
    steps = [env.step(action) for action in ("e 4\n", "bad\n", "d 4\n")]
    assert len(steps) == env.max_turns == 3
    assert [step.reward for step in steps] == [0.0, -1.0, 0.0]
    assert [step.terminated or step.truncated for step in steps] == [False, False, True]
    assert steps[-1].terminated is faithful
    assert fen(env).startswith("rnbqkbnr/2pppppp/pp6/8/3PP3/")  # the last action was executed
    with pytest.raises(RuntimeError):
        env.step("e 5\n")


def test_mate_at_the_limit_is_a_mate() -> None:
    step = started("7k/8/6K1/8/8/8/R7/8 w - - 0 1", max_moves=0).step("R a 8 #\n")
    assert (step.reward, step.terminated, step.truncated) == (1.0, True, False)


def test_least_return_is_of_illegal_moves_alone() -> None:
    env = started()
    steps = [env.step("bad\n") for _ in range(env.max_turns)]
    assert sum(step.reward for step in steps) == env.score_range.worst == -401.0
    assert steps[-1].truncated


def test_score_ranges_of_the_paper() -> None:
    assert make("chess").score_range == (-401.0, 0.21, 1.0)
    assert make("endgames").score_range == (-1.0, 0.586, 1.0)


# -- starts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", PIECE_SETS)
def test_endgames_are_legal_and_of_their_pieces(pieces: str) -> None:
    rng = random.Random(1)
    seen = set()
    for _ in range(200):
        position = random_endgame(pieces, rng)
        seen.add(position)
        board = chess.Board(position)
        assert board.is_valid()
        assert not board.is_check()
        assert any(board.legal_moves)
        assert position.endswith(" w - - 0 1")
        assert sorted(piece.symbol() for piece in board.piece_map().values()) == sorted(pieces)
    assert len(seen) > 180


def test_endgames_draw_every_piece_set() -> None:
    env = make("endgames")
    seen = set()
    for seed in range(60):
        text, info = env.reset(seed=seed)
        assert fen_of(text) == info["position"]
        board = chess.Board(info["position"])
        seen.add("".join(sorted(piece.symbol() for piece in board.piece_map().values())))
    assert seen == {"".join(sorted(pieces)) for pieces in PIECE_SETS}


@pytest.mark.parametrize("pieces", ["kQK", "kRK"])
def test_cheap_player_mates_a_lone_king(pieces: str) -> None:
    env = make("endgames", positions=pieces)
    assert fmean(play(env, "optimal", seed).total_reward for seed in range(15)) > 0.9


def test_positions_of_a_file_are_counted_by_seed(tmp_path: Path) -> None:
    path = tmp_path / "test_positions.jsonl"
    listed = [random_endgame("kRK", random.Random(seed)) for seed in range(3)]
    path.write_text("".join(f'"{position}"\n' for position in listed))
    env = make("endgames", positions=str(path))
    assert [env.reset(seed=seed)[1]["position"] for seed in range(4)] == [*listed, listed[0]]
    assert env.score_range.worst == -1.0


@pytest.mark.parametrize(
    "position",
    [
        "nonsense",
        None,
        7,
        "8/8/8/8/8/8/8/8 w - - 0 1",
        "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR b KQkq - 0 1",
        "7k/8/8/8/8/6q1/8/7K w - - 0 1",  # no move
    ],
)
def test_bad_starts_are_refused(position: Any) -> None:
    with pytest.raises(UsageError):
        make("chess").reset(seed=0, options={"init_position": position})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opponent": "stockfsh"}, "did you mean 'stockfish'"),
        ({"positions": "endgame"}, "did you mean 'endgames'"),
        ({"positions": "no/such/file"}, "cannot be read"),
        ({"engine": "/no/such/binary"}, "is not a program"),
        ({"max_moves": -1}, "max_moves is -1"),
        ({"nodes": 0}, "nodes is 0"),
        ({"temperature": 0}, "temperature is 0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make("chess", **options)


def test_bad_start_options_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'init_position'"):
        make("chess").reset(seed=0, options={"init_positon": chess.STARTING_FEN})
    with pytest.raises(UsageError, match="not a list of moves"):
        make("chess").reset(seed=0, options={"replies": "e5"})
    with pytest.raises(UsageError, match="not legal"):
        started(replies=("e4",)).step("e 4\n")


# -- opponents ------------------------------------------------------------------------------------


def game(env: Chess, seed: int) -> list[str]:
    """Return the positions of a game of random moves."""
    env.reset(seed=seed)
    act = env.player("random", random.Random(0))
    texts: list[str] = []
    assert env.state is not None
    while env.state.running and len(texts) < 40:
        texts.append(env.step(act("")).text)
    return texts


@pytest.mark.parametrize(
    "opponent", ["builtin", "random", pytest.param("stockfish", marks=with_engine)]
)
def test_replies_follow_from_the_seed(opponent: Any) -> None:
    games = [game(Chess(opponent=opponent), seed) for seed in (3, 3, 4, 2**40)]
    assert games[0] == games[1]
    assert games[0] != games[2]


def test_random_opponent_is_the_published_one() -> None:
    # Recorded from the published code: seed 22, one move.
    env = make("chess", opponent="random", faithful=True)
    env.reset(seed=22)
    assert env.step("N g 1 f 3\n").info["reply"] == "h7h6"


def test_builtin_opponent_knows_mate_in_one() -> None:
    step = played(started("6k1/8/8/8/8/1r6/r7/7K w - - 0 1"), "Kg1")[0]
    assert (step.info["reply"], step.reward, step.terminated) == ("b3b1", -1.0, True)
    assert step.info["success"] is False


def test_builtin_opponent_takes_what_hangs() -> None:
    takes = 0
    for seed in range(20):
        env = make("chess")
        env.reset(seed=seed, options={"init_position": "3rk3/8/8/8/8/8/3Q4/K7 w - - 0 1"})
        takes += env.step("K b 1\n").info["reply"] == "d8d2"
    assert takes >= 19


def test_gain_counts_the_recapture() -> None:
    board = chess.Board("4k3/8/4p3/3p4/8/8/8/3RK3 w - - 0 1")
    assert gain(board, chess.Move.from_uci("d1d5")) == 1.0 - 5.0
    board.remove_piece_at(chess.E6)
    assert gain(board, chess.Move.from_uci("d1d5")) == 1.0
    promotion = chess.Board("8/P6k/8/8/8/8/6K1/8 w - - 0 1")
    assert gain(promotion, chess.Move.from_uci("a7a8q")) == 8.0


def test_region_of_a_king() -> None:
    # The a-file down to the rook.
    assert king_region(chess.Board("k7/8/8/8/8/8/1R6/2K5 b - - 0 1")) == 6
    assert king_region(chess.Board("k7/8/1QK5/8/8/8/8/8 b - - 0 1")) == 1


def test_replies_are_given_first_and_then_the_opponent_plays_on() -> None:
    env = started(replies=("e7e5",))
    first, second = played(env, "e4", "d4")
    assert first.info["reply"] == "e7e5"
    assert second.info["reply"]


def test_auto_says_who_plays() -> None:
    env = make("chess", opponent="auto")
    expected = "builtin" if find_engine() is None else "stockfish"
    assert env.reset(seed=0)[1]["opponent"] == expected
    assert make("chess").reset(seed=0)[1]["opponent"] == "builtin"
    assert "builtin" in OPPONENTS


def test_mixture_returns_about_the_published_mean() -> None:
    mean = fmean(play(make("endgames"), "mixture", seed).total_reward for seed in range(100))
    assert mean == pytest.approx(0.586, abs=0.15)


# -- Stockfish ------------------------------------------------------------------------------------


def pid(env: Chess) -> int:
    """Return the process of the engine."""
    assert env._engine is not None
    return env._engine.process.pid


@with_engine
def test_engine_starts_late_and_stays_out_of_copies() -> None:
    env = started(opponent="stockfish")
    assert env._engine is None
    env.step("e 4\n")
    snapshot = env.snapshot()
    copy = pickle.loads(pickle.dumps(env))
    assert copy._engine is None
    step = env.step("d 4\n")
    assert copy.step("d 4\n") == step
    assert pid(copy) != pid(env)
    env.restore(snapshot)
    assert env.step("d 4\n") == step
    for one in (env, copy):
        one.close()


@with_engine
def test_engine_that_dies_is_replaced() -> None:
    expected, killed = started(opponent="stockfish"), started(opponent="stockfish")
    for number, move in enumerate(("e 4\n", "d 4\n", "N f 3\n")):
        if number:
            os.kill(pid(killed), signal.SIGKILL)
        assert killed.step(move) == expected.step(move)
    for env in (expected, killed):
        env.close()


@with_engine
def test_engine_process_ends_with_its_environment() -> None:
    env = started(opponent="stockfish")
    env.step("e 4\n")
    assert env._engine is not None
    process = env._engine.process
    del env
    assert process.poll() is not None


@with_engine
def test_engine_lines_repeat_and_sort() -> None:
    path = find_engine()
    assert path is not None
    engine = Stockfish(path, nodes=2000)
    lines = engine.lines(chess.STARTING_FEN)
    engine.lines("7k/8/6K1/8/8/8/R7/8 w - - 0 1")
    assert engine.lines(chess.STARTING_FEN) == lines
    scores = [score for _, score in lines]
    assert scores == sorted(scores, reverse=True)
    assert len({move for move, _ in lines}) == len(lines) > 1
    mate = engine.lines("7k/8/6K1/8/8/8/R7/8 w - - 0 1")[0]
    assert (mate[0], mate[1] > 90) == ("a2a8", True)
    engine.close()


def pawns(score: chess.engine.PovScore) -> float:
    """Return python-chess's score as `Stockfish.lines` gives it."""
    mate, centipawns = score.relative.mate(), score.relative.score()
    if mate is not None:
        return math.copysign(MATE, mate) - mate
    assert centipawns is not None
    return centipawns / 100


@with_engine
def test_engine_lines_are_those_of_python_chess() -> None:
    path = find_engine()
    assert path is not None
    limit = chess.engine.Limit(nodes=2000)
    rng = random.Random(0)
    boards = [chess.Board(random_endgame("kQK", rng)), chess.Board()]
    for _ in range(10):
        boards.append(boards[-1].copy(stack=False))
        boards[-1].push(rng.choice(list(boards[-1].legal_moves)))
    engine = Stockfish(path, nodes=2000)
    with chess.engine.SimpleEngine.popen_uci(path) as twin:
        twin.configure({"Threads": 1, "Hash": 1})
        for board in boards:
            one = chess.Board(board.fen())  # the engine sees no moves before
            found = twin.analyse(one, limit, game=object(), multipv=ENGINE_LINES)
            expected = {info["pv"][0].uci(): pawns(info["score"]) for info in found}
            assert engine.lines(board.fen()) == sorted(expected.items(), key=lambda line: -line[1])
    engine.close()


def test_program_that_is_no_engine_is_an_error_and_no_illegal_move() -> None:
    env = started(opponent="stockfish", engine="true")
    with pytest.raises(EngineDied):
        env.step("e 4\n")
