"""Our tasks with `faithful=True` against recorded transitions of the published benchmark.

`tests/traces` holds a sample. `LMRL_TRACES` names another folder of the same format, and
`LMRL_SPEC_DATA` one with the published word lists, with which more is compared. Every record is
replayed; a file that no runner knows is an error.
"""

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import lmrl
from lmrl.env import TextEnv
from lmrl.episode import Episode
from lmrl.tasks.car_dealer import CarDealer, deals, profiles
from lmrl.tasks.car_dealer.recorded import negotiation_texts, recorded_deal
from lmrl.tasks.chess import Chess
from lmrl.tasks.chess.notation import action_text, fen_of, san_of, state_text
from lmrl.tasks.guess_my_city import GuessMyCity
from lmrl.tasks.maze import Maze
from lmrl.tasks.maze.environment import REWARDS
from lmrl.tasks.maze.grid import MOVES, grid
from lmrl.tasks.questions import published_rules, recorded, replies
from lmrl.tasks.text_nav import TextNav
from lmrl.tasks.text_nav.floor_plan import HANDS
from lmrl.tasks.twenty_questions import TwentyQuestions
from lmrl.tasks.wordle import Wordle
from lmrl.tasks.wordle.vocabulary import published_feedback, vocabulary

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("LMRL_TRACES", ROOT / "tests" / "traces"))
DATA = Path(os.environ.get("LMRL_SPEC_DATA", ROOT / "tests" / "data"))
"""Folder with the published word lists, which are not part of this repository."""

Record = dict[str, Any]

OBSERVATIONS = {
    "describe_observation_give_position": "position",
    "describe_observation_only_walls": "walls",
    "describe_observation": "goal",
}
"""Published description functions -> our option `observation`."""

REWARD_NAMES = {
    "standard_reward": "standard",
    "illegal_penalty_reward": "illegal_penalty",
    "illegal_penalty_diff_scale": "illegal_penalty_diff_scale",
}
"""Published reward functions -> our option `reward`."""


# -- one step -------------------------------------------------------------------------------------


def history(episode: Episode) -> list[list[Any]]:
    """Return the texts that the policy sees now, as `[text, is_action]`."""
    texts: list[list[Any]] = []
    for turn in episode.turns:
        texts += [[turn.observation, False], [turn.action, True]]
    return [*texts, [episode.observation, False]][-episode.span :]


def act(episode: Episode, number: int, step: Record, action: str | None = None) -> str:
    """Say an action, that of the record or another, and compare what every record holds.

    Returns:
        The place, for messages.
    """
    at = f"step {number}, action {step['action']!r}"
    assert not episode.done, f"ended before {at}"
    episode.act(step["action"] if action is None else action)
    assert episode.turns[-1].reward == step["reward"], at
    assert episode.done == step["done"], at
    # Published episodes never say "truncated": a limit looks like a terminal state there.
    assert episode.ending in (None, "terminated"), at
    return at


# -- maze -----------------------------------------------------------------------------------------


def maze_env(record: Record) -> Maze:
    """Return the environment that a trace was recorded in."""
    limit = record["max_steps"]
    env = lmrl.make(
        "maze-po" if record["variant"] == "PO" else "maze-fo",
        faithful=True,
        observation=OBSERVATIONS[record["describe_function"]],
        last_k=record["last_k"],
        # The published environment may have no limit at all.
        max_steps=len(record["steps"]) + 1 if limit is None else limit,
        layout=record["maze"],
        reward=REWARD_NAMES[record["reward_function"] or "standard_reward"],
    )
    assert isinstance(env, Maze)
    return env


def start(record: Record) -> Mapping[str, Any]:
    """Return reset options: those of the record, and its start where nothing else gives it."""
    options = dict(record["options"] or {})
    if record["seed"] is None:
        options.setdefault("init_position", record["start_position"])
        options.setdefault("goal", record["goal"])
    return options


def maze(record: Record) -> None:
    env = maze_env(record)
    episode = Episode(env, seed=record["seed"], start=start(record))
    assert env.state is not None
    assert list(env.state.position) == record["start_position"]
    assert list(env.state.goal) == record["goal"]
    assert history(episode) == record["reset_obs"]
    for number, step in enumerate(record["steps"]):
        at = act(episode, number, step)
        assert history(episode) == step["obs"], at
        assert list(env.state.position) == step["position"], at


def update_position(record: Record) -> None:
    cell, layout = tuple(record["position"]), grid(record["maze"])
    if record["action"] in MOVES:
        assert list(layout.move[cell, record["action"]]) == record["out"]
    else:
        assert record["position"] == record["out"]


def describe(record: Record) -> None:
    cell, goal = tuple(record["position"]), tuple(record["goal"])
    shown = [name for name in OBSERVATIONS if name in record]
    assert shown, f"no known description in {sorted(record)}"
    for name in shown:
        observation: Any = OBSERVATIONS[name]
        env = Maze(observation=observation, layout=record["maze"])
        assert env.describe(cell, goal) == record[name], name


def reward(record: Record) -> None:
    function, (low, high) = REWARDS[REWARD_NAMES[record["fn"]]]
    given = function(record["action"] in MOVES, record["position"] == record["goal"])
    assert given == record["out"]
    assert low <= given <= high


def optimal_directions(record: Record) -> None:
    layout = grid(record.get("maze", "double_t_maze"))
    out = record["out"]
    table = {str(record["position"]): out} if "position" in record else out
    for place, move in table.items() if isinstance(table, dict) else table:
        row, col = map(int, re.findall(r"\d+", str(place)))
        if (row, col) != layout.goal:
            assert move in layout.best_moves((row, col), layout.goal), place


def maze_functions(record: Record) -> None:
    runners: dict[str, Callable[[Record], None]] = {
        "update_position": update_position,
        "describe": describe,
        **dict.fromkeys(REWARD_NAMES, reward),
    }
    name = record["fn"]
    if "optimal" in name or "solver" in name:
        optimal_directions(record)
        return
    assert name in runners, f"no runner for maze function {name!r}"
    runners[name](record)


# -- wordle ---------------------------------------------------------------------------------------


def wordle(record: Record) -> None:
    path = DATA / record["vocab_file"]
    if path.exists():
        replay_wordle(record, path, record["fixed_word"], counted=True)
    # The word drawn last fits all that was answered before, so an episode with that word hidden
    # from the start has the same answers. This needs no more words than the record itself has.
    drawn = [step["sampled_word"] for step in record["steps"] if step["sampled_word"] is not None]
    guessed = [
        step["action"].strip().replace(" ", "")
        for step in record["steps"]
        if step["sampled_word"] is not None and step["reward"] in (0, -1)
    ]
    if drawn:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "words.txt")
            path.write_text("\n".join([*drawn, *guessed]))
            replay_wordle(record, path, drawn[-1], counted=False)


def replay_wordle(record: Record, path: Path, answer: str | None, counted: bool) -> None:
    env = lmrl.make(
        "wordle",
        faithful=True,
        vocab=str(path),
        require_words_in_vocab=record["require_words_in_vocab"],
        bad_word_reward=record["bad_word_reward"],
    )
    assert isinstance(env, Wordle)
    raw = record["format"] == "raw"
    start = {} if answer is None else {"answer": answer}
    episode = Episode(env, seed=record["seed"], start=start)
    if not raw:
        assert [[episode.observation, False]] == record["reset_obs"]
    for number, step in enumerate(record["steps"]):
        before = len(env.words_left())
        # The raw protocol knows no spaces or newlines: with one in it, a text is no word.
        at = act(episode, number, step, re.sub(r"\s", "_", step["action"]) if raw else None)
        said = episode.observation
        if raw:
            said = "".join(f"<{mark}>" for mark in said.split())
        assert said == step["transition"], at
        assert env.state is not None
        if counted:
            assert len(env.words_left()) == step["n_consistent_after"], at
            if step["sampled_word"] is not None:
                assert before == step["n_consistent_before"], at
                assert env.state.answer == step["sampled_word"], at
        if not raw:
            # Published, an action in the history has its spaces put right; ours is what was said.
            seen = [text for text, is_action in history(episode) if not is_action]
            assert seen == [text for text, is_action in step["obs"] if not is_action], at
            assert len(history(episode)) == len(step["obs"]), at


def wordle_functions(record: Record) -> None:
    name = record["fn"]
    if name == "feedback_from_initial_state":
        assert published_feedback(record["guess"], record["word"]) == record["out"]
        return
    assert name == "consistent_words", f"no runner for wordle function {name!r}"
    path = DATA / record["vocab_file"]
    if path.exists():
        assert fitting(path, record) == record["out"]
    # Without the published list: every word that the records of this list name. Of these, the ones
    # that fit are the ones that fitted in the whole list.
    named = {word for other in wordle_lists(record["vocab_file"]) for word in other["out"]}
    named |= {record["word"], *record["guesses"]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "words.txt")
        path.write_text("\n".join(sorted(named)))
        assert set(fitting(path, record)) == set(record["out"])


def fitting(path: Path, record: Record) -> list[str]:
    words = vocabulary(str(path), "published")
    left = words.everything
    for guess in record["guesses"]:
        left = words.fitting(left, guess, published_feedback(guess, record["word"]))
    return [words.words[index] for index in left]


def wordle_lists(vocab_file: str) -> list[Record]:
    """Return the records about one word list."""
    records = map(json.loads, (FOLDER / "wordle_functions.jsonl").read_text().splitlines())
    return [record for record in records if record.get("vocab_file") == vocab_file]


# -- text-nav -------------------------------------------------------------------------------------


def text_nav(record: Record) -> None:
    env = lmrl.make(
        "text-nav-fo" if record["variant"] == "FO" else "text-nav-po",
        faithful=True,
        # The published environment has no limit.
        max_steps=len(record["steps"]) + 1,
    )
    assert isinstance(env, TextNav)
    text, _ = env.reset(seed=0, options={"room": record["start_room"]})
    check_commands(env, text, record["reset"])
    for number, step in enumerate(record["steps"]):
        at = f"step {number}, command {step['command']!r}"
        ours = env.step(step["command"] + "\n")
        check_commands(env, ours.text, step)
        assert ours.reward == step["score"], at
        assert (ours.terminated, ours.truncated) == (step["done"], False), at
        assert (ours.terminated and ours.info["success"]) == step["won"], at
        assert (ours.terminated and not ours.info["success"]) == step["lost"], at
        assert env.state is not None
        header = re.match(r"\s*-= (.*) =-", step["description"] or "")
        assert header is None or header[1].lower() == env.state.room, at
        if (step["inventory"] or "").startswith("You are carrying"):
            # Wording is not compared, things are.
            carried = re.findall(r"\ban? (.*?)(?=,| and an? |\.)", step["inventory"])
            assert sorted(carried) == sorted(env.state.things[HANDS]), at


def check_commands(env: TextNav, text: str, record: Record) -> None:
    assert env.admissible() == record["admissible_commands"]
    shown = text.rpartition("Admissible commands: ")[2].removesuffix("\n").split(", ")
    assert shown == record["admissible_commands"]


# -- dialogue -------------------------------------------------------------------------------------


def dialogue(name: str, record: Record) -> TextEnv:
    """Replay a conversation whose oracle says what it said in the record."""
    script = iter([step["oracle_answer"] for step in record["steps"]])
    env = lmrl.make(
        name,
        faithful=True,
        oracle=lambda prompt: next(script),
        max_turns=record["max_conversation_length"],
    )
    episode = Episode(env, seed=record["seed"], start=record["options"])
    assert history(episode) == record["reset_obs"]
    for number, step in enumerate(record["steps"]):
        at = act(episode, number, step)
        seen = history(episode)
        assert seen[-2:] == step["obs_tail"], at
        assert len(seen) == step["history_len"], at
    return env


def twenty_questions(record: Record) -> None:
    env = dialogue("twenty-questions", record)
    assert isinstance(env, TwentyQuestions)
    assert list(env.word) == record["word"]


POSTPROCESSORS = {
    "asker_postproc": published_rules.published_strict_question,
    "asker_postproc_simple": published_rules.published_simple_question,
    "asker_postproc_filter_repeats": published_rules.published_short_question,
}
"""Published function -> ours, from what a model said to a question."""


def recorded_conversation(record: Record, texts: list[tuple[str, bool, float]], done: bool) -> None:
    """Compare a recorded conversation that was made into texts and rewards."""
    assert record["fn"] == "create_trajectory_from_conversation", f"no runner for {record['fn']!r}"
    assert [[text, is_action] for text, is_action, _ in texts] == record["text_history"]
    assert [reward for *_, reward in texts] == record["reward"]
    assert done == record["done"]


def dialogue_functions(record: Record) -> None:
    name = record["fn"]
    if name in POSTPROCESSORS:
        assert POSTPROCESSORS[name](record["in"]) == record["out"]
    elif name == "oracle_answer":
        given = published_rules.published_yes_or_no(record["model_output"], record["question"])
        assert given == record["out"]
    elif name == "split_question_answer":
        assert list(recorded.split_line(record["in"])) == list(record["out"])
    else:
        texts = recorded.conversation_texts(record["in"])
        recorded_conversation(record, texts, recorded.conversation_is_over(record["in"]))


def twenty_questions_functions(record: Record) -> None:
    if record["fn"] == "is_done":
        assert (
            published_rules.published_is_done(record["word"], record["question"]) == record["out"]
        )
    elif record["fn"] == "get_t5_oracle_prompt":
        assert replies.object_prompt(record["word"], record["question"]) == record["out"]
    else:
        dialogue_functions(record)


# -- chess ----------------------------------------------------------------------------------------


def chess_game(record: Record) -> None:
    given = [step["opponent_reply"]["uci"] for step in record["steps"] if step["opponent_reply"]]
    drawn = record["opponent"] == "random"
    # Only the random opponent can be drawn again; what the others replied is given.
    start: dict[str, Any] = {} if drawn else {"replies": given}
    if record["from_position"] is not None:
        start["init_position"] = record["from_position"]
    env = lmrl.make(
        "chess",
        faithful=True,
        max_moves=record["max_moves"],
        opponent="random" if drawn else "builtin",
    )
    assert isinstance(env, Chess)
    episode = Episode(env, seed=record["np_seed"], start=start)
    assert env.state is not None
    assert env.state.board.fen() == record["start_fen"]
    assert history(episode) == record["reset_obs"]
    for number, step in enumerate(record["steps"]):
        at = act(episode, number, step)
        assert history(episode) == step["obs"], at
        assert env.state.board.fen() == step["fen_after"], at


def chess_functions(record: Record) -> None:
    runners: dict[str, Callable[[str], str]] = {
        "preprocess_state_og": state_text,
        "preprocess_state": lambda fen: state_text(fen, newline=True),
        "postprocess_state": fen_of,
        "preprocess_move": action_text,
        "postprocess_move": san_of,
    }
    name = record["fn"]
    assert name in runners, f"no runner for chess function {name!r}"
    assert runners[name](record["in"]) == record["out"]


def guess_city(record: Record) -> None:
    env = dialogue("guess-my-city", record)
    assert isinstance(env, GuessMyCity)
    assert env.city.published == record["word"]


def guess_city_functions(record: Record) -> None:
    if record["fn"] == "is_done" and "word" in record:
        given = published_rules.published_city_is_done(record["word"], record["question"])
        assert given == record["out"]
    elif record["fn"] == "is_done":
        given = published_rules.published_is_done(record["word_variants"], record["question"])
        assert given == record["out"]
    elif record["fn"] == "get_t5_oracle_prompt":
        city = record["word"]
        assert replies.city_prompt(city, record["question"], faithful=True) == record["out"]
    else:
        dialogue_functions(record)


# -- car dealer -----------------------------------------------------------------------------------


def car_dealer(record: Record) -> None:
    prompts: list[str] = []
    script = iter(record["buyer_script"])

    def buyer(prompt: str) -> str:
        prompts.append(prompt)
        return str(next(script))

    env = lmrl.make(
        "car-dealer",
        faithful=True,
        buyer=buyer,
        reward_mode=record["reward_mode"],
        max_utterances=record["max_conversation_length"],
    )
    assert isinstance(env, CarDealer)
    episode = Episode(env, seed=record["seed"])
    assert history(episode) == record["reset_obs"]
    assert env.state is not None
    assert env.state.profile == car_profile(record["buyer_info"])
    for number, step in enumerate(record["steps"]):
        prompts.clear()
        at = act(episode, number, step)
        wanted = ["".join(text for text, _ in texts) for texts in step["buyer_prompts"]]
        assert prompts == wanted, at
        assert history(episode) == step["obs"], at
        if step["done"]:
            assert env.state.deal == car_deal(step["output"]), at


def car_profile(info: Record) -> profiles.Profile:
    return profiles.Profile(**{**info, "preferred_features": tuple(info["preferred_features"])})


def car_deal(output: Record | None) -> deals.Deal | None:
    if output is None:
        return None
    return deals.Deal(output["car_bought"], output["msrp"], output["buy_price"])


def car_dealer_functions(record: Record) -> None:
    name = record["fn"]
    if name == "extract_output_from_str":
        assert deals.read_deal(record["in"]) == (car_deal(record["out"]), record["line"])
    elif name == "compute_reward":
        given = deals.REWARDS[record["reward_mode"]][0]
        assert given(record["budget"], recorded_deal(record["output"])) == record["out"]
    else:
        role = record["role"].capitalize()
        texts = negotiation_texts(record["in"], role, record["reward_mode"])
        recorded_conversation(record, texts, "output" in record["in"])


# -- all files ------------------------------------------------------------------------------------


RUNNERS: dict[str, Callable[[Record], None]] = {
    "maze": maze,
    "maze_functions": maze_functions,
    "wordle": wordle,
    "wordle_functions": wordle_functions,
    "text_nav": text_nav,
    "chess": chess_game,
    "chess_functions": chess_functions,
    "twenty_questions": twenty_questions,
    "twenty_questions_functions": twenty_questions_functions,
    "guess_city": guess_city,
    "guess_city_functions": guess_city_functions,
    "car_dealer": car_dealer,
    "car_dealer_functions": car_dealer_functions,
}
"""Trace file -> replay of one record."""


def ours() -> list[Any]:
    """Return every record that can be replayed as a pytest parameter."""
    found = []
    for name in RUNNERS:
        path = FOLDER / f"{name}.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        for number, line in enumerate(lines, 1):
            if line.strip():
                record = json.loads(line)
                kind = record.get("kind") or record.get("fn", "")
                found.append(pytest.param(name, record, id=f"{name}-{number}-{kind}"))
    return found


def others() -> list[str]:
    """Return the trace files that nothing replays."""
    return sorted(path.stem for path in FOLDER.glob("*.jsonl") if path.stem not in RUNNERS)


def test_traces_are_there() -> None:
    assert ours() or others(), f"{FOLDER} holds no traces"


@pytest.mark.parametrize(("name", "record"), ours())
def test_parity(name: str, record: Record) -> None:
    RUNNERS[name](record)


def test_every_trace_file_has_a_runner() -> None:
    assert not others(), "write the runners in tests/unit/test_parity.py"
