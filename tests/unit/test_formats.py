"""The published data files: what is read, what is refused, and that nothing is left half-written.

No published file is part of the tests. Rows are written here in the forms that `lmrl.data.formats`
describes, by hand and from episodes that our tasks played as published.
"""

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lmrl
from lmrl.cli import main
from lmrl.data import json_rows as rows
from lmrl.data.formats import READERS
from lmrl.data.formats.chess import START, board_text
from lmrl.data.importing import imported
from lmrl.data.json_rows import Field
from lmrl.data.published import PUBLISHED
from lmrl.data.store import load
from lmrl.env import TextEnv
from lmrl.episode import play
from lmrl.errors import DataError, UsageError
from lmrl.tasks.car_dealer import CarDealer
from lmrl.tasks.chess.notation import action_text, fen_of, san_of, state_text
from lmrl.tokens.codec import Codec
from lmrl.tokens.tokenizer import train_tokenizer
from lmrl.trajectory import Trajectory

Row = Any
E4 = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"
E4_E5 = "rnbqkbnr/pppp1ppp/8/4p3/4P3/8/PPPP1PPP/RNBQKBNR w KQkq - 0 2"


# -- files ----------------------------------------------------------------------------------------


def as_lines(found: list[Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in found)


def as_groups(found: list[Row]) -> str:
    return json.dumps({"polite": found[:1], "rude": found[1:], "angry": []}, indent=1)


def save(folder: Path, found: list[Row], dump: Callable[[list[Row]], str] = as_lines) -> Path:
    file = folder / "train.json"
    file.write_text(dump(found))
    return file


def texts(trajectory: Trajectory) -> list[str]:
    found = [text for turn in trajectory.turns for text in (turn.observation, turn.action)]
    return [*found, trajectory.final]


def rewards(trajectory: Trajectory) -> list[float]:
    return [turn.reward for turn in trajectory.turns]


def spans(trajectory: Trajectory) -> list[int]:
    return [*(turn.span for turn in trajectory.turns), trajectory.final_span]


# -- a played episode in each published form ------------------------------------------------------


def state_list(t: Trajectory, env: TextEnv) -> Row:
    last = len(t.turns) - 1
    return [
        {"state": turn.observation, "action": turn.action, "reward": turn.reward, "done": i == last}
        for i, turn in enumerate(t.turns)
    ]


def plain_chess(t: Trajectory, env: TextEnv) -> Row:
    return [
        {**step, "state": fen_of(step["state"]), "action": san_of(step["action"])}
        for step in state_list(t, env)
    ]


def per_text(t: Trajectory, env: TextEnv) -> Row:
    earned = [value for reward in rewards(t) for value in (0.0, reward)]
    flags = [False] * (len(earned) - 1) + [True]
    return {"text_history": texts(t), "rewards": [*earned, 0], "dones": [*flags, True]}


def per_command(t: Trajectory, env: TextEnv) -> Row:
    flags = [False] * (len(t.turns) - 1) + [True]
    return {"text_history": texts(t), "rewards": rewards(t), "dones": flags}


def flagged(t: Trajectory, env: TextEnv) -> Row:
    pairs = [[text, float(i % 2)] for i, text in enumerate(texts(t))]
    earned = [value for reward in rewards(t) for value in (reward, 0.0)]
    return {"sequence": pairs, "reward": earned, "done": True}


def questions(t: Trajectory, env: TextEnv) -> Row:
    said = texts(t)[1:]
    lines = [f"{q.strip()} {a.strip()}" for q, a in zip(said[::2], said[1::2], strict=True)]
    return {"lines": lines, "correct": rewards(t)[-1] == 0, "word": ["any"]}


def talk(t: Trajectory, env: TextEnv) -> Row:
    assert isinstance(env, CarDealer) and env.state is not None and env.state.deal is not None
    who, deal = env.state.profile, env.state.deal
    info = {
        "personality": who.personality,
        "preferred_brands": who.preferred_brands,
        "preferred_features": list(who.preferred_features),
        "preferred_type": who.preferred_type,
        "budget": who.budget,
    }
    lines = [
        {"role": role, "text": text.removesuffix("\n")}
        for text, role in zip(texts(t)[1:], ["Seller", "Buyer"] * len(t.turns), strict=False)
    ]
    output = {"car_bought": deal.bought, "msrp": deal.msrp, "buy_price": deal.price}
    return {"buyer_info": info, "lines": lines, "output": output, "original_conversation": "..."}


FORMS: list[tuple[str, Callable[[Trajectory, TextEnv], Row], Callable[[list[Row]], str]]] = [
    ("car-dealer", talk, as_groups),
    ("car-dealer", talk, json.dumps),
    ("chess", state_list, as_lines),
    ("chess", plain_chess, as_lines),
    ("endgames", state_list, as_lines),
    ("guess-my-city", questions, json.dumps),
    ("guess-my-city", flagged, as_lines),
    ("maze-fo", state_list, as_lines),
    ("maze-po", per_text, as_lines),
    ("text-nav-fo", per_command, json.dumps),
    ("text-nav-po", per_command, as_lines),
    ("twenty-questions", questions, json.dumps),
    ("twenty-questions", flagged, as_lines),
    ("wordle", flagged, as_lines),
]
IDS = [f"{task}-{form.__name__}-{dump.__name__}" for task, form, dump in FORMS]


def episodes(task: str, count: int = 4) -> Iterator[tuple[Trajectory, TextEnv]]:
    options: dict[str, Any] = {} if task == "guess-my-city" else {"faithful": True}
    if task == "chess":
        options["max_moves"] = 12
    env = lmrl.make(task, **options)
    for seed in range(count):
        yield play(env, "mixture", seed, name=task, options=options), env


@pytest.mark.parametrize(("task", "form", "dump"), FORMS, ids=IDS)
def test_a_played_episode_is_read_as_it_was(
    task: str, form: Any, dump: Any, tmp_path: Path
) -> None:
    pairs = [(t, form(t, env)) for t, env in episodes(task)]
    file = save(tmp_path, [row for _, row in pairs], dump)
    for (played, _), read in zip(pairs, imported(task, [file]), strict=True):
        single = task in ("chess", "endgames", "maze-fo")
        # Forms that hold states and actions do not hold the last state.
        assert texts(read) == [*texts(played)[:-1], "" if single else played.final]
        assert rewards(read) == rewards(played)
        assert spans(read)[:-1] == spans(played)[:-1]
        # Maze forgets everything at the goal.
        assert single or task == "maze-po" or spans(read)[-1] == spans(played)[-1]
        assert (read.ending, read.task, read.seed) == (played.ending, task, -1)
        assert (read.player, read.tokenizer) == ("published", "")
        assert read.info["imported"] == "train.json"
        if "success" in read.info:
            assert read.info["success"] is bool(played.info.get("success", False))
        assert {**read.options, "max_moves": 12} == {**played.options, "max_moves": 12}


@pytest.mark.parametrize(("task", "form", "dump"), FORMS, ids=IDS)
def test_a_cut_file_is_refused(
    task: str, form: Any, dump: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save(tmp_path, [form(t, env) for t, env in episodes(task, 3)], dump)
    file.write_text(file.read_text()[:-30])
    sentence = refused(capsys, tmp_path, task, file)
    assert f"{file}: row 3" in sentence and "cut off or no JSON" in sentence


def refused(capsys: pytest.CaptureFixture[str], folder: Path, task: str, *given: str | Path) -> str:
    """Return the sentence of a refused import that has left nothing behind."""
    before = sorted(folder.iterdir())
    code = main(["data", "import", task, *map(str, given), "--out", str(folder / "out")])
    out = capsys.readouterr()
    assert (code, out.out) == (2, "")
    assert out.err.startswith("lmrl: ") and out.err.count("\n") == 1, out.err
    assert sorted(folder.iterdir()) == before
    return out.err


# -- rows by hand ---------------------------------------------------------------------------------


def step(action: Any = "move up\n", done: Any = False, **changed: Any) -> Row:
    return {"state": "Here.\n", "action": action, "reward": -1, "done": done, **changed}


def move(action: Any = "e4", state: Any = START, **changed: Any) -> Row:
    return {"state": state, "action": action, "reward": 0, "done": False, **changed}


def walk(**changed: Any) -> Row:
    row = {
        "text_history": ["Here.\n", "move up\n", "There.\n", "move down\n", "Here.\n"],
        "rewards": [0, -1, 0, -1, 0],
        "dones": [False] * 5,
    }
    return {**row, **changed}


def tour(**changed: Any) -> Row:
    row = {
        "text_history": ["A kitchen.", "open fridge\n", "You open it.", "go west", "A garden."],
        "rewards": [0, 1],
        "dones": [False, True],
    }
    return {**row, **changed}


def game(**changed: Any) -> Row:
    row = {
        "sequence": [
            ["Wordle:\n", 0.0],
            ["p a n i c\n", 1.0],
            ["b b y b b\n", 0.0],
            ["n y m p h\n", 1.0],
            ["y b b b b\n", 0.0],
        ],
        "reward": [-1, 0.0, -1, 0.0],
        "done": False,
    }
    return {**row, **changed}


def asked(**changed: Any) -> Row:
    row = {"lines": ["Is it big? No.", "Is it a cat? Yes."], "correct": True, "word": ["Cat"]}
    return {**row, **changed}


def of_city(**changed: Any) -> Row:
    return asked(**{"word": "oslo,norway", **changed})


def deal(**changed: Any) -> Row:
    info = {
        "personality": "polite",
        "preferred_brands": "a Toyota",
        "preferred_features": ["sunroof"],
        "budget": 50000,
        "preferred_type": "SUV",
    }
    row = {
        "buyer_info": {**info, **changed.pop("buyer_info", {})},
        "lines": [
            {"role": "Buyer", "text": "Hello."},
            {"role": "Seller", "text": "Good day."},
            {"role": "Seller", "text": "Buy this."},
            {"role": "Buyer", "text": "Hm."},
            {"role": "Buyer", "text": "How much?"},
            {"role": "Seller", "text": "30,000.\n"},
        ],
        "output": {"car_bought": True, "msrp": 30000, "buy_price": 20000},
    }
    return {**row, **changed}


def without(row: Row, key: str) -> Row:
    return {name: value for name, value in row.items() if name != key}


def read_one(task: str, folder: Path, row: Row, dump: Any = as_lines) -> Trajectory:
    (read,) = imported(task, [save(folder, [row], dump)])
    return read


def test_an_unfinished_maze_goes_on_from_its_last_state(tmp_path: Path) -> None:
    read = read_one("maze-fo", tmp_path, [step(), step("move down", state="There.\n")])
    assert texts(read) == ["Here.\n", "move up\n", "There.\n", "move down\n", "There.\n"]
    assert (read.ending, spans(read), rewards(read)) == ("truncated", [1, 1, 1], [-1, -1])
    assert read.options == {"faithful": True}


def test_a_maze_history_is_cut_to_forty_texts(tmp_path: Path) -> None:
    row = {
        "text_history": ["Here.\n", "move up\n"] * 30,
        "rewards": [0, -1] * 29 + [0, 0],
        "dones": [0] * 59 + [1],
    }
    read = read_one("maze-po", tmp_path, row)
    assert spans(read) == [*range(1, 40, 2), *[40] * 11]
    assert (read.ending, read.final, sum(rewards(read))) == ("terminated", "", -29)
    assert read_one("maze-po", tmp_path, walk()).ending == "truncated"
    flag_on_observation = walk(dones=[False] * 4 + [True])
    assert read_one("maze-po", tmp_path, flag_on_observation).ending == "terminated"


def test_commands_get_the_stop_text(tmp_path: Path) -> None:
    for dump in (as_lines, json.dumps):
        read = read_one("text-nav-po", tmp_path, tour(), dump)
        assert [turn.action for turn in read.turns] == ["open fridge\n", "go west\n"]
        assert (rewards(read), spans(read), read.final) == ([0, 1], [1, 3, 5], "A garden.")


def test_rewards_of_a_game_begin_after_the_header(tmp_path: Path) -> None:
    for reward in ([-1, 0.0, -1, 0.0], [0, -1, 0.0, -1, 0.0]):
        read = read_one("wordle", tmp_path, game(reward=reward))
        assert (rewards(read), read.ending, spans(read)) == ([-1, -1], "truncated", [1, 3, 5])


def test_observations_in_a_row_are_one(tmp_path: Path) -> None:
    sequence = [["Wordle:\n", 0], ["By the way.\n", 0], ["p a n i c\n", 1]]
    read = read_one("wordle", tmp_path, game(sequence=sequence, reward=[0, -1], done=True))
    assert texts(read) == ["Wordle:\nBy the way.\n", "p a n i c\n", ""]


def test_states_of_chess_are_read_spaced_or_not(tmp_path: Path) -> None:
    spaced = [
        move(),
        move("N f 3\n", state_text(E4_E5)),
        move("Bc4", state_text(E4_E5, newline=True)),
    ]
    read = read_one("chess", tmp_path, spaced)
    assert [turn.action for turn in read.turns] == ["e 4\n", "N f 3\n", "B c 4\n"]
    assert read.turns[0].observation == state_text(START)
    assert read.turns[1].observation == read.turns[2].observation == state_text(E4_E5)
    assert (read.ending, read.final, spans(read)) == ("truncated", state_text(E4_E5), [1] * 4)


def test_pairs_are_episodes_unless_their_file_is_in_order(tmp_path: Path) -> None:
    found = [
        {"from_state": START, "action": "e4", "reward": 0, "done": False},
        {"from_state": E4_E5, "action": "Qh5", "reward": 1, "done": True},
        {"from_state": START, "action": "d4", "reward": 0, "done": False},
    ]
    file = save(tmp_path, found)
    single = list(imported("endgames", [file]))
    assert [len(t.turns) for t in single] == [1, 1, 1]
    assert [t.ending for t in single] == ["truncated", "terminated", "truncated"]
    bare = read_one("chess", tmp_path, {"from_state": START, "action": "e4"})
    assert (rewards(bare), bare.ending) == ([0.0], "truncated")
    ordered = tmp_path / "train_unshuffled.jsonl"
    ordered.write_text(as_lines(found + found[2:] * 200))
    games = list(imported("chess", [ordered]))
    assert [len(t.turns) for t in games] == [2, 200, 1]
    assert [t.ending for t in games] == ["terminated", "truncated", "truncated"]
    assert rewards(games[0]) == [0, 1]


def npy(folder: Path, **changed: Any) -> Path:
    arrays: dict[str, Any] = {
        "actions": np.array([["e4", "Qh5"], ["d4", ""]]),
        "states": np.array([[E4_E5, E4], [E4_E5, ""]]),
        "done": np.array([[False, True], [False, False]]),
        "reward": np.array([[0.0, 1.0], [0.0, 0.0]]),
        **changed,
    }
    for name, array in arrays.items():
        if array is not None:
            np.save(folder / f"{name}.npy", array)
    return folder / "actions.npy"


def test_arrays_hold_games_from_the_usual_position(tmp_path: Path) -> None:
    file = npy(tmp_path)
    games = list(imported("chess", [file, file.with_name("reward.npy")]))
    assert texts(games[0]) == [
        state_text(START),
        "e 4\n",
        state_text(E4_E5),
        "Q h 5\n",
        state_text(E4),
    ]
    assert [t.ending for t in games] == ["terminated", "truncated"]
    assert [rewards(t) for t in games] == [[0, 1], [0]]
    assert spans(games[0]) == [1, 1, 1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"done": None}, "done.npy is missing"),
        ({"actions": np.array([["e4", None], ["d4", ""]], dtype=object)}, "pickled and so never"),
        ({"reward": np.zeros((2, 3))}, "in the shape (2, 2) of actions.npy"),
        ({"states": np.zeros((2, 2))}, "it has to hold text"),
        ({"states": np.array([[E4_E5, E4], ["no", ""]])}, "row 2, field states[0]: is no FEN"),
        ({"reward": np.full((2, 2), np.nan)}, "row 1, field reward[0]: is no finite number"),
        ({"actions": np.array([["e4", "Qh5"], ["", ""]])}, "row 2, field actions: has no move"),
    ],
)
def test_bad_arrays_are_refused(
    changed: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, tmp_path, "chess", npy(tmp_path, **changed))


def test_arrays_that_are_cut_or_of_endgames_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = npy(tmp_path)
    assert "where games of endgames began" in refused(capsys, tmp_path, "endgames", file)
    file.write_bytes(file.read_bytes()[:-8])
    assert "actions.npy is missing, cut off" in refused(capsys, tmp_path, "chess", file)


def test_answers_are_split_from_questions(tmp_path: Path) -> None:
    read = read_one("twenty-questions", tmp_path, asked(), json.dumps)
    assert texts(read) == ["Questions:\n", "Is it big?\n", "No.\n", "Is it a cat?\n", "Yes.\n"]
    assert (rewards(read), read.ending, spans(read)) == ([-1, 0], "terminated", [1, 3, 5])
    assert read.options == {"faithful": True}
    assert read_one("twenty-questions", tmp_path, asked(correct=False)).ending == "truncated"
    lost = read_one("twenty-questions", tmp_path, asked(correct=False, lines=["Is it? No."] * 20))
    assert (lost.ending, sum(rewards(lost))) == ("terminated", -20)
    line = "What do they eat? Guess what? Rice."
    city = read_one("guess-my-city", tmp_path, asked(lines=[line], word="oslo,norway"))
    assert texts(city) == ["Questions:\n", "What do they eat?\n", "Guess what? Rice.\n"]
    assert city.options == {}
    other = read_one("twenty-questions", tmp_path, asked(lines=[line]))
    assert other.turns[0].action == "What do they eat? Guess what?\n"


def test_a_talk_is_told_by_the_seller(tmp_path: Path) -> None:
    read = read_one("car-dealer", tmp_path, deal(), as_groups)
    assert texts(read) == [
        "Start\nHello.\n",
        "Good day. Buy this.\n",
        "Hm.\nHow much?\n",
        "30,000.\n",
        "",
    ]
    # 20,000 for a budget of 50,000 and a list price of 30,000
    assert (rewards(read), read.ending, spans(read)) == ([0, 0.5], "terminated", [1, 3, 5])
    rejected = {"car_bought": False, "msrp": 40000, "buy_price": None}
    assert rewards(read_one("car-dealer", tmp_path, deal(output=rejected), json.dumps))[-1] == -0.25
    unfinished = read_one("car-dealer", tmp_path, without(deal(), "output"), as_groups)
    assert (rewards(unfinished), unfinished.ending) == ([0, 0], "truncated")


# -- bad rows -------------------------------------------------------------------------------------


TEXTS = ["Here.\n", "move up\n", "There.\n"]
BAD: list[tuple[str, Row, Row, str]] = [
    # maze-fo
    ("maze-fo", [step()], [step(reward="-1")], "reward: is text ('-1'), not a number"),
    ("maze-fo", [step()], [step(), without(step(), "done")], "[1].done: is missing"),
    ("maze-fo", [step()], step(), "(the row itself): is an object, not a list"),
    ("maze-fo", [step()], [], "(the row itself): is an empty list"),
    ("maze-fo", [step()], [step(done=True), step()], "[0].done: is true, but the episode goes on"),
    ("maze-fo", [step()], [step(action="move\nup")], "[0].action: has a line break inside"),
    ("maze-fo", [step()], [step(reward=float("nan"))], "[0].reward: is no finite number"),
    ("maze-fo", [step()], [step(reward=10**400)], "[0].reward: is no finite number"),
    ("maze-fo", [step()], [step(state="\ud800")], "[0].state: has a broken character"),
    ("maze-fo", [step()], [step(state="")], "[0].state: is empty"),
    ("maze-fo", [step()], [step(done="no")], "[0].done: is text ('no'), not true or false"),
    # maze-po
    ("maze-po", walk(), walk(text_history="Here."), "text_history: is text ('Here.'), not a list"),
    ("maze-po", walk(), without(walk(), "rewards"), "rewards: is missing"),
    ("maze-po", walk(), walk(rewards=[0, -1]), "rewards: has 2 entries, not 5: one for each of"),
    ("maze-po", walk(), walk(dones=[False]), "dones: has 1 entries, not 5"),
    ("maze-po", walk(), walk(rewards=[0, -1, -1, -1, 0]), "rewards[2]: is -1, but belongs to an"),
    ("maze-po", walk(), walk(dones=[0, 1, 0, 0, 0]), "dones[1]: is true, but the episode goes on"),
    ("maze-po", walk(), walk(text_history=[], rewards=[], dones=[]), "has no action"),
    # text-nav
    ("text-nav-fo", tour(), tour(rewards=[None, 1]), "rewards[0]: is null, not a number"),
    ("text-nav-fo", tour(), without(tour(), "dones"), "dones: is missing"),
    ("text-nav-po", tour(), tour(rewards=[1]), "rewards: has 1 entries, not 2: one for each of"),
    ("text-nav-po", tour(), tour(dones=[True, True]), "dones[0]: is true"),
    ("text-nav-po", tour(), tour(text_history=["", "look", "", "look"]), "an empty observation"),
    ("text-nav-po", tour(), tour(text_history=TEXTS[:1], rewards=[], dones=[]), "has no action"),
    # wordle
    ("wordle", game(), game(sequence=7), "sequence: is a number (7), not a list"),
    ("wordle", game(), without(game(), "done"), "done: is missing"),
    ("wordle", game(), game(reward=[-1]), "reward: has 1 entries, not 4: one for each text but"),
    ("wordle", game(), game(reward=[-1, -1, 0, 0]), "reward[1]: is -1, but belongs to an obser"),
    ("wordle", game(), game(sequence=[["Questions:\n", 0]]), "does not begin with 'Wordle:\\n'"),
    (
        "wordle",
        game(),
        game(sequence=[["Wordle:\n", 0], ["a b\n", 1], ["c d\n", 1]], reward=[0, 0]),
        "sequence: text 3 is an action after another action",
    ),
    ("wordle", game(), game(sequence=[["Wordle:\n", 0], ["x"]], reward=[0]), "sequence[1]: has 1"),
    ("wordle", game(), game(sequence=[["Wordle:\n", 0], ["x", 2]], reward=[0]), "sequence[1][1]"),
    # chess and endgames
    ("chess", [move()], [move(action=None)], "[0].action: is null, not text"),
    ("chess", [move()], [move(), without(move(), "reward")], "[1].reward: is missing"),
    ("chess", [move()], [move(state="8/8 w - - 0 1")], "[0].state: is no FEN: '8/8 w - - 0 1'"),
    ("chess", [move()], [move(action=" \n")], "[0].action: is empty"),
    ("endgames", [move()], {"from_state": START}, "action: is missing"),
    ("endgames", [move()], {"from_state": 1, "action": "e4"}, "from_state: is a number (1)"),
    ("endgames", [move()], "e4", "(the row itself): is text ('e4')"),
    # 20 questions and cities
    ("twenty-questions", asked(), asked(correct="yes"), "correct: is text ('yes'), not true or"),
    ("twenty-questions", asked(), without(asked(), "lines"), "lines: is missing"),
    ("twenty-questions", asked(), asked(lines=["Is it? No."] * 21), "lines: has 21 entries, not"),
    ("twenty-questions", asked(), asked(lines=[]), "lines: has 0 entries, not 1 to 20"),
    ("twenty-questions", asked(), asked(lines=["Is it"]), "lines[0]: has no '? ' between"),
    ("twenty-questions", asked(), game(), "sequence: does not begin with 'Questions:\\n'"),
    ("guess-my-city", of_city(), of_city(lines=["a? b", 3]), "lines[1]: is a number (3), not text"),
    ("guess-my-city", of_city(), without(of_city(), "correct"), "correct: is missing"),
    ("guess-my-city", of_city(), of_city(lines=["a\nb? c"]), "lines[0]: has a line break inside"),
    # car dealer
    ("car-dealer", deal(), deal(buyer_info={"budget": "much"}), "buyer_info.budget: is text"),
    ("car-dealer", deal(), deal(buyer_info={"budget": 1.5}), "buyer_info.budget: is a number"),
    ("car-dealer", deal(), without(deal(), "lines"), "lines: is missing"),
    ("car-dealer", deal(), deal(output={"car_bought": True}), "output.msrp: is missing"),
    ("car-dealer", deal(), deal(lines=[{"role": "Cat", "text": "?"}]), "lines[0].role: is 'Cat'"),
    ("car-dealer", deal(), deal(lines=[{"role": "Buyer", "text": "?"}]), "lines: has no action"),
    ("car-dealer", deal(), deal(lines=[{"role": "Buyer"}]), "lines[0].text: is missing"),
]


@pytest.mark.parametrize(("task", "good", "bad", "message"), BAD)
def test_a_bad_row_is_refused_by_file_row_and_field(
    task: str,
    good: Row,
    bad: Row,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = save(tmp_path, [good, bad], as_groups if task == "car-dealer" else as_lines)
    sentence = refused(capsys, tmp_path, task, file)
    assert f"{file}: row 2, field " in sentence and message in sentence, sentence


@pytest.mark.parametrize("task", sorted(READERS))
def test_files_that_are_no_data_are_refused(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "train.jsonl"
    for content, message in (
        (b"", "cut off or no JSON" if task == "car-dealer" else "holds no rows"),
        # A line of a maze or of chess is a list.
        (b"[]", "empty list" if task in ("chess", "endgames", "maze-fo") else "holds no rows"),
        (b"\xff\xfe{}", "row 1 is cut off or no JSON"),
        (b"[" * 100_000, "row 1 is cut off or no JSON"),
        (b"hello\n", "row 1 is cut off or no JSON"),
        (pickle.dumps([1]), "train.jsonl is a pickle"),
        (b"\x1f\x8b\x08", "train.jsonl is cut off or broken"),
    ):
        file.write_bytes(content)
        sentence = refused(capsys, tmp_path, task, file)
        assert str(file) in sentence and message in sentence, sentence
    file.rename(tmp_path / "train.pkl")
    sentence = refused(capsys, tmp_path, task, tmp_path / "train.pkl")
    assert "convert it: python -c" in sentence
    assert "is no file" in refused(capsys, tmp_path, task, tmp_path / "none.jsonl")
    assert "is no file" in refused(capsys, tmp_path, task, tmp_path)


# -- streams --------------------------------------------------------------------------------------


NESTED = [
    {"a": '\\"é漢😀', "b": [1.5, -2e-3, None, True, {"c": []}]},
    {},
    {"long": "x" * 300, "\u2028": "\U0001f600" * 30},
    [[], [[]]],
]


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_read_in_pieces_as_a_whole(
    chunk: int, indent: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHUNK", chunk)
    file = tmp_path / "a.json"
    for value in (NESTED, {"first": NESTED[:2], "none": [], "é": NESTED[2:]}):
        for ascii_only in (True, False):
            text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
            file.write_text("\ufeff \n" + text + "\n ", encoding="utf-8")
            assert [row.value for row in rows.entries(file)] == NESTED


def test_rows_come_before_the_rest_of_the_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHUNK", 64)
    file = tmp_path / "a.json"
    file.write_text(json.dumps([asked()] * 50)[:-1] + ", {'a': 1}, " + "[] , " * 10_000 + "]")
    reads = 0
    chunks = rows._chunks

    def counted(file: Any) -> Iterator[bytes]:
        nonlocal reads
        for chunk in chunks(file):
            reads += 1
            yield chunk

    monkeypatch.setattr(rows, "_chunks", counted)
    found = imported("twenty-questions", [file])
    assert [len(next(found).turns) for _ in range(50)] == [2] * 50
    before = reads
    with pytest.raises(DataError, match="row 51 is cut off or no JSON"):
        next(found)
    assert reads - before < 20  # what is broken is not read to the end of the file first


def test_a_row_has_a_greatest_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LONGEST_ROW", 1000)
    monkeypatch.setattr(rows, "CHUNK", 100)
    file = tmp_path / "a.json"
    file.write_text('{"lines": "' + "x" * 100_000)
    with pytest.raises(DataError, match="row 1 is longer than"):
        next(rows.lines(file))
    file.write_text('["' + "x" * 100_000)
    with pytest.raises(DataError, match="row 1 is cut off or no JSON"):
        next(rows.entries(file))


@pytest.mark.parametrize(
    "text",
    ["[1] 2", "{'a': []}", '{"a" []}', '{"a": [1], 2: []}', '{"a": [1] "b": []}', "[1 2]", "[1,]"],
)
def test_what_is_almost_json_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(DataError, match="cut off or no JSON"):
        list(rows.entries(file))


@pytest.mark.parametrize("chunk", [1, 3, 1 << 18])
def test_half_a_surrogate_pair_is_refused(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHUNK", chunk)
    file = tmp_path / "a.json"
    whole = ["\U0001f600\\ud800", "\\", "\\\\ud83d\\ude00"]
    for half in ("\\ud800", "\\udc00", "\\ud800\\ud83d\\ude00", "\\\\\\uD800 "):
        file.write_text(f'{json.dumps(whole)[:-1]}, "{half}"]')
        found = rows.entries(file)
        assert [next(found).value for _ in whole] == whole
        with pytest.raises(DataError, match=r"row 4 is cut off or no JSON \(half a surrogate"):
            next(found)


def test_empty_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("\ufeff\n1\n\n  \n2", encoding="utf-8")
    assert [(row.value, row.where) for row in rows.lines(file)] == [
        (1, f"{file}: row 2"),
        (2, f"{file}: row 5"),
    ]


def test_an_endgame_fen_is_read() -> None:
    fen = "8/8/8/3k4/8/8/4Q3/4K3 w - - 0 1"
    assert board_text(Field(fen, "")) == board_text(Field(state_text(fen), "")) == state_text(fen)
    assert action_text("Qe4") == "Q e 4\n"


# -- the data set ---------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_imported_data_are_shown_beside_the_published_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    one.write_text(as_lines([game()] * 3))
    two.write_text(as_lines([game(done=True)] * 2))
    out = tmp_path / "wordle"
    code, text, _ = run(capsys, "data", "import", "wordle", one, two, "--out", out, "--json")
    assert code == 0 and json.loads(text)["episodes"] == 5
    stored = list(load(out))
    assert [t.info["imported"] for t in stored] == ["one.jsonl"] * 3 + ["two.jsonl"] * 2
    assert all(t.seed == -1 and t.player == "published" for t in stored)
    code, text, _ = run(capsys, "data", "show", out, "--json")
    facts = json.loads(text)
    assert code == 0 and facts["return"]["mean"] == -2
    assert facts["published"]["wordle"]["episodes"] == 1_000_000
    assert facts["published"]["wordle"]["return_mean"] == -4.12
    assert "table 1" in facts["published"]["wordle"]["source"]
    code, text, _ = run(capsys, "data", "show", out)
    assert code == 0 and "wordle: 1000000 episodes, return mean -4.12" in text
    assert "wordle  from one.jsonl  player published" in text
    assert "not empty" in run(capsys, "data", "import", "wordle", one, "--out", out)[2]
    assert "not empty" in run(capsys, "data", "import", "wordle", one, "--out", one)[2]


def test_figures_are_published_for_every_task_of_the_benchmark() -> None:
    assert set(PUBLISHED) == set(READERS) == set(lmrl.TASKS)
    for task, row in PUBLISHED.items():
        assert row.episodes > 1000 and 0 < row.success < 1, task
        if not task.startswith("maze"):  # there the scores' constant is a policy's, not the data's
            mean = lmrl.make(task).score_range.data
            assert row.return_mean == pytest.approx(mean, abs=0.01), task


def test_a_task_of_others_has_no_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "tests.faulty:Faulty"
    from dataclasses import replace

    from lmrl.data.store import write

    episode = read_one("maze-fo", tmp_path, [step()])
    write([episode, replace(episode, task=name)], tmp_path / "mixed")
    code, text, _ = run(capsys, "data", "show", tmp_path / "mixed")
    assert code == 0 and f"  {name}: -\n" in text and "  maze-fo: 1240 episodes" in text
    code, text, _ = run(capsys, "data", "show", tmp_path / "mixed", "--json")
    assert json.loads(text)["published"][name] is None


def test_imported_episodes_are_not_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save(tmp_path, [game()])
    run(capsys, "data", "import", "wordle", file, "--out", tmp_path / "data")
    code, out, err = run(capsys, "replay", tmp_path / "data")
    assert (code, out) == (2, "")
    assert "imported episodes have no seed and cannot be replayed" in err and "train.json" in err
    # The same seed, given on purpose, is a seed like any other.
    made = ["data", "generate", "maze-fo", "--seed", -1, "--episodes", 1, "--out", tmp_path / "own"]
    assert run(capsys, *made)[0] == 0
    assert run(capsys, "replay", tmp_path / "own")[0] == 0


def test_tasks_without_published_data_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save(tmp_path, [game()])
    assert "did you mean 'wordle'" in refused(capsys, tmp_path, "wordel", file)
    with pytest.raises(UsageError, match="known: car-dealer"):
        imported("tests.faulty:Faulty", [file])


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(["move left\n", "There is a wall above you.\n"], 300, folder)
    return Codec.load(folder)


@pytest.mark.parametrize(
    ("task", "row"),
    [
        ("car-dealer", [deal(), without(deal(), "output")]),
        ("chess", [[move(), move()], {"from_state": START, "action": "e4"}]),
        ("guess-my-city", [of_city(), of_city(correct=False)]),
        ("maze-fo", [[step(), step()], [step(), step(done=True)]]),
        ("maze-po", [walk(), walk(dones=[0, 0, 0, 0, 1])]),
        ("text-nav-fo", [tour(), tour(dones=[0, 0])]),
        ("wordle", [game(), game(done=True)]),
    ],
)
def test_imported_episodes_are_trained_on(
    task: str, row: list[Row], tmp_path: Path, codec: Codec
) -> None:
    from learners.collate import collate

    dump = as_groups if task == "car-dealer" else as_lines
    read = [codec.read(t) for t in imported(task, [save(tmp_path, row, dump)])]
    for strided in (False, True):
        batch = collate(read, observations=True, strided=strided)
        assert batch.actions == sum(t.action_tokens for t in read)
        assert batch.entries - batch.actions == sum(t.ending == "truncated" for t in read)
        assert batch.reward.sum() == pytest.approx(sum(t.total_reward for t in read))
        assert (batch.position >= 0).all()
