"""The files of the published benchmark's data sets, a reader for each: file in, trajectories out.

Every reader is strict: what does not have the described form is refused with the file, the row and
the field. A trajectory that was read

- has the texts of the file; an action ends with the stop text, which is added where it lacks;
- has rewards on actions only;
- has the spans of its task: 1 where the policy sees the newest state alone, everything so far where
  it sees the episode, 40 items at most in the partially observed maze;
- has the task's options under which the published texts, rewards and endings hold;
- has no seed (`NO_SEED`), no tokens, and the file's name in `info["imported"]`.

An episode whose end the file does not tell is truncated. Where the policy sees single states and
the file stops with an action, the state that followed is unknown; the state before the action
stands in for it, as it does in the published training scripts.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lmrl.data.json_rows import Field, entries, lines, rows
from lmrl.errors import DataError
from lmrl.tasks.car_dealer.recorded import negotiation_texts
from lmrl.tasks.chess.notation import action_text, fen_of, san_of, state_text
from lmrl.tasks.questions.recorded import conversation_is_over, conversation_texts, split_line
from lmrl.tasks.questions.replies import HEADER, TURNS
from lmrl.tasks.wordle.environment import HEADER as WORDLE_HEADER
from lmrl.trajectory import (
    IMPORTED,
    NO_FLOATS,
    NO_IDS,
    NO_SEED,
    TERMINATED,
    TRUNCATED,
    Trajectory,
    Turn,
)

Reader = Callable[[Path], Iterator[Trajectory]]

STOP = "\n"
PLAYER = "published"
MAZE_WINDOW = 40
LONGEST_GAME = 200
"""Actions of a game of chess in the files of states and actions."""
ARRAYS = ("actions", "states", "done", "reward")
"""Names of the NumPy files that hold games of chess together."""
START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"

OPTIONS: dict[str, dict[str, Any]] = {
    # Recorded answers are free text, as ours are; the published environment answers yes or no.
    "guess-my-city": {},
}
"""Options of a task's published data; those not named here are `faithful`."""

_FEN = re.compile(
    r"[pnbrqkPNBRQK1-8]+(/[pnbrqkPNBRQK1-8]+){7} [wb] (-|[A-Ha-hKQkq]+) (-|[a-h][36]) \d+ \d+"
)


class Item(NamedTuple):
    """A text of an episode."""

    text: str
    is_action: bool
    reward: float = 0.0


class Played(NamedTuple):
    """A turn: what the policy saw last, what it said, and what that earned."""

    observation: str
    action: str
    reward: float


# -- what all formats share -----------------------------------------------------------------------


def trajectory(
    task: str, file: Path, turns: Iterable[Played], final: str, done: bool, window: int | None
) -> Trajectory:
    """Return an episode.

    Args:
        task: name.
        file: it was read from.
        turns: in order.
        final: the observation after the last action; empty if it is unknown.
        done: whether the episode ended by the rules.
        window: how many of the newest items the policy sees; None is all.
    """
    turns = list(turns)

    def span(number: int) -> int:
        return 2 * number + 1 if window is None else min(2 * number + 1, window)

    return Trajectory(
        task=task,
        options=OPTIONS.get(task, {"faithful": True}),
        seed=NO_SEED,
        turns=tuple(
            Turn(said, NO_IDS, span(number), action, NO_IDS, NO_FLOATS, NO_IDS, reward)
            for number, (said, action, reward) in enumerate(turns)
        ),
        ending=TERMINATED if done else TRUNCATED,
        final=final,
        final_ids=NO_IDS,
        final_span=span(len(turns)),
        player=PLAYER,
        info={IMPORTED: file.name},
    )


def action(field: Field) -> str:
    """Return a text as an action: with the stop text at its end, and nowhere else.

    Raises:
        DataError: if there is one inside, where a policy would have stopped.
    """
    text = field.text().removesuffix(STOP)
    if STOP in text:
        raise field.wrong("has a line break inside an action")
    return text + STOP


def alternating(items: Iterable[Item], row: Field) -> tuple[list[Played], str]:
    """Return the turns of a list of texts, and the observation after the last action.

    Observations in a row are one observation.

    Raises:
        DataError: if the first text is an action, if one action follows another, or if there is
            none.
    """
    turns: list[Played] = []
    seen: list[str] = []
    for number, item in enumerate(items):
        if not item.is_action:
            seen.append(item.text)
            continue
        if not seen:
            before = "nothing" if number == 0 else "another action"
            raise row.wrong(f"text {number + 1} is an action after {before}")
        turns.append(Played("".join(seen), item.text, item.reward))
        seen = []
    if not turns:
        raise row.wrong("has no action")
    if not turns[0].observation:
        raise row.wrong("begins with an empty observation")
    return turns, "".join(seen)


def only_last(flags: list[Field]) -> bool:
    """Return the last of some flags, none of which before it may be set.

    Raises:
        DataError: if one is.
    """
    for flag in flags[:-1]:
        if flag.flag():
            raise flag.wrong("is true, but the episode goes on")
    return flags[-1].flag()


def unrewarded(field: Field) -> None:
    """Check a reward that belongs to an observation.

    Raises:
        DataError: if it is not 0.
    """
    if field.number() != 0:
        raise field.wrong(f"is {field.value}, but belongs to an observation; only actions earn")


def states(row: Field, task: str, file: Path, said: Callable[[Field], Played]) -> Trajectory:
    """Return an episode from a list of `{"state", "action", "reward", "done"}`.

    Raises:
        DataError: if the row has another form.
    """
    steps = row.items()
    if not steps:
        raise row.wrong("is an empty list")
    done = only_last([step["done"] for step in steps])
    turns = [said(step) for step in steps]
    return trajectory(task, file, turns, "" if done else turns[-1].observation, done, window=1)


# -- maze -----------------------------------------------------------------------------------------


def maze_fo(file: Path) -> Iterator[Trajectory]:
    """Read the fully observed maze: a line is a list of `{"state", "action", "reward", "done"}`."""

    def said(step: Field) -> Played:
        state = step["state"].text()
        if not state:
            raise step["state"].wrong("is empty")
        return Played(state, action(step["action"]), step["reward"].number())

    for row in lines(file):
        yield states(row, "maze-fo", file, said)


def maze_po(file: Path) -> Iterator[Trajectory]:
    """Read the partially observed maze: `{"text_history", "rewards", "dones"}`.

    Texts are observations and actions in turn; both other lists have an entry for every text, of
    which those of actions count.
    """
    for row in rows(file):
        texts = row["text_history"].items()
        all_texts = f"one for each of the {len(texts)} texts"
        rewards = row["rewards"].items(len(texts), all_texts)
        dones = row["dones"].items(len(texts), all_texts)
        for reward in rewards[::2]:
            unrewarded(reward)
        turns, final = alternating(_in_turn(texts, [r.number() for r in rewards[1::2]]), row)
        # A flag may sit on the last action, or on the observation that it led to.
        done = only_last(dones[1::2])
        done |= len(texts) % 2 == 1 and dones[-1].flag()
        yield trajectory("maze-po", file, turns, final, done, MAZE_WINDOW)


def _in_turn(texts: list[Field], rewards: list[float]) -> list[Item]:
    """Return texts of which every second one is an action with the next of the rewards."""
    return [
        Item(action(text), True, rewards[i // 2]) if i % 2 else Item(text.text(), False)
        for i, text in enumerate(texts)
    ]


# -- text-nav -------------------------------------------------------------------------------------


def text_nav(task: str) -> Reader:
    """Return the reader of a Text-Nav variant; both have the same form.

    A row is `{"text_history", "rewards", "dones"}`, in one JSON array or a row a line. Texts are
    observations and commands in turn, the last one being an observation; the other lists have an
    entry for every command, and the last flag counts.
    """

    def read(file: Path) -> Iterator[Trajectory]:
        for row in rows(file):
            texts = row["text_history"].items()
            commands = len(texts) // 2
            each = f"one for each of the {commands} commands"
            rewards = row["rewards"].items(commands, each)
            dones = row["dones"].items(commands, each)
            turns, final = alternating(_in_turn(texts, [r.number() for r in rewards]), row)
            yield trajectory(task, file, turns, final, only_last(dones), None)

    return read


# -- wordle, and what was converted to its form ---------------------------------------------------


def sequence(row: Field, task: str, file: Path, header: str) -> Trajectory:
    """Return an episode from `{"sequence": [[text, is it an action], ...], "reward", "done"}`.

    The list of rewards lacks the first text's, which is 0; a list that has it is read too.

    Raises:
        DataError: if the row has another form.
    """
    pairs = row["sequence"].items()
    if not pairs or pairs[0].items(2, "a text, and whether it is an action")[0].value != header:
        raise row["sequence"].wrong(f"does not begin with {header!r}, so it is no {task} data")
    rewards = row["reward"].items()
    if len(rewards) != len(pairs):
        rewards = row["reward"].items(len(pairs) - 1, "one for each text but the first")
        rewards = [Field(0.0, row.where), *rewards]
    items = []
    for pair, reward in zip(pairs, rewards, strict=True):
        text, is_action = pair.items(2, "a text, and whether it is an action")
        if is_action.flag():
            items.append(Item(action(text), True, reward.number()))
        else:
            unrewarded(reward)
            items.append(Item(text.text(), False))
    turns, final = alternating(items, row["sequence"])
    return trajectory(task, file, turns, final, row["done"].flag(), None)


def wordle(file: Path) -> Iterator[Trajectory]:
    """Read Wordle: see `sequence`."""
    for row in rows(file):
        yield sequence(row, "wordle", file, WORDLE_HEADER)


# -- chess and endgames ---------------------------------------------------------------------------


def chess_games(task: str) -> Reader:
    """Return the reader of chess or of the endgames, which have the same files.

    - A line that is a list of `{"state", "action", "reward", "done"}` is a game.
    - A line that is `{"from_state", "action"}` is one move for behaviour cloning, without reward
      or end unless it has `reward` and `done` too. In a file with `unshuffled` in its name the
      lines are games in order, which end with `done` or after 200 moves.
    - `actions.npy`, `states.npy`, `done.npy` and `reward.npy` are games in rows; see `arrays`.

    States are FEN and actions SAN, as they are or with a space between every two characters; which
    of the two the published files have is not known. They become the task's texts.
    """

    def read(file: Path) -> Iterator[Trajectory]:
        if file.suffix == ".npy":
            yield from arrays(task, file)
            return
        ordered = "unshuffled" in file.name
        game: list[Played] = []
        for row in lines(file):
            if isinstance(row.value, list):
                yield states(row, task, file, lambda step: _move(step, "state"))
                continue
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
    """Return a state as the task says it, whether it is spaced or not.

    Raises:
        DataError: if it is no FEN.
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


# -- dialogues ------------------------------------------------------------------------------------


def questions(task: str, first: bool) -> Reader:
    """Return the reader of Twenty Questions or Guess My City.

    A row of the JSON array is `{"lines": ["Is it big? Yes.", ...], "correct", "word"}`. A line is
    split into question and answer at the last `? `, or at the first where answers are free text.
    The last question of a `correct` episode earns 0, every other one -1; one with fewer than 20
    questions that is not correct is truncated. Files converted to the form of `sequence` are read
    too.

    Args:
        task: name.
        first: whether to split at the first `? `.
    """

    def read(file: Path) -> Iterator[Trajectory]:
        for row in rows(file):
            if "sequence" in row:
                yield sequence(row, task, file, HEADER)
                continue
            found = row["lines"].items()
            if not 1 <= len(found) <= TURNS:
                raise row["lines"].wrong(f"has {len(found)} entries, not 1 to {TURNS}")
            for line in found:
                question, answer = split_line(line.text(), first)
                if not answer:
                    raise line.wrong("has no '? ' between a question and an answer")
                if STOP in question:
                    raise line.wrong("has a line break inside a question")
            conversation = {"lines": row["lines"].value, "correct": row["correct"].flag()}
            texts = conversation_texts(conversation, first)
            turns, final = alternating([Item(*text) for text in texts], row)
            done = conversation_is_over(conversation)
            yield trajectory(task, file, turns, final, done, None)

    return read


def car_dealer_talks(file: Path) -> Iterator[Trajectory]:
    """Read Car Dealer, from the seller's side.

    The file is an object of lists by personality, or one list. A row is `{"buyer_info", "lines":
    [{"role", "text"}, ...], "output": {"car_bought", "msrp", "buy_price"}}`; without `output` the
    talk is truncated. The last thing that the seller says earns the published `fancy` reward. What
    an actor says in several lines is said at once, with a space between the seller's.
    """
    for row in entries(file):
        talk = {"buyer_info": _buyer(row["buyer_info"]), "lines": _utterances(row["lines"])}
        if "output" in row:
            talk["output"] = _verdict(row["output"])
        texts = negotiation_texts(talk)
        turns, final = alternating([Item(*text) for text in texts], row["lines"])
        yield trajectory("car-dealer", file, turns, final, "output" in row, None)


def _buyer(info: Field) -> dict[str, Any]:
    plain = {
        name: info[name].text() for name in ("personality", "preferred_brands", "preferred_type")
    }
    features = [feature.text() for feature in info["preferred_features"].items()]
    return {**plain, "preferred_features": features, "budget": info["budget"].whole()}


def _utterances(said: Field) -> list[dict[str, str]]:
    found = []
    for line in said.items():
        role, text = line["role"].text(), line["text"]
        if role not in ("Seller", "Buyer"):
            raise line["role"].wrong(f"is {role[:40]!r}, not 'Seller' or 'Buyer'")
        found.append({"role": role, "text": action(text) if role == "Seller" else text.text()})
    return found


def _verdict(output: Field) -> dict[str, Any]:
    price = output["buy_price"].whole() if "buy_price" in output else None
    bought, msrp = output["car_bought"].flag(), output["msrp"].whole()
    return {"car_bought": bought, "msrp": msrp, "buy_price": price}


READERS: dict[str, Reader] = {
    "car-dealer": car_dealer_talks,
    "chess": chess_games("chess"),
    "endgames": chess_games("endgames"),
    "guess-my-city": questions("guess-my-city", first=True),
    "maze-fo": maze_fo,
    "maze-po": maze_po,
    "text-nav-fo": text_nav("text-nav-fo"),
    "text-nav-po": text_nav("text-nav-po"),
    "twenty-questions": questions("twenty-questions", first=False),
    "wordle": wordle,
}
"""Task -> the reader of its published files."""
