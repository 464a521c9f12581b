"""Stored episodes replay exactly, and what was changed in them is found and named."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmrl.cli import main
from lmrl.data.generate import episodes
from lmrl.data.replay import replay, replay_all
from lmrl.data.store import load, write
from lmrl.episode import Episode, play
from lmrl.errors import DataError
from lmrl.tasks import known, make
from lmrl.tasks.oracle_protocol import CallableOracle
from lmrl.trajectory import TERMINATED, TRUNCATED, Trajectory


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["replay", *map(str, arguments)])
    out = capsys.readouterr()
    return code, out.out, out.err


def maze(count: int = 4) -> list[Trajectory]:
    return list(episodes(make("maze-po"), "maze-po", count, 0, "mixture", {}))


def with_turn(trajectory: Trajectory, number: int, **changes: Any) -> Trajectory:
    """Return an episode with fields of its turn `number`, from 1, changed."""
    turns = list(trajectory.turns)
    turns[number - 1] = replace(turns[number - 1], **changes)
    return replace(trajectory, turns=tuple(turns))


@pytest.mark.parametrize("name", sorted(known()))
def test_every_task_replays_exactly(name: str, tmp_path: Path) -> None:
    write(episodes(make(name), name, 3, 0, "mixture", {}), tmp_path)
    report = replay_all(load(tmp_path))
    assert report.episodes == 3 and report.differences == ()


def test_equal_data_exit_with_0(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write(maze(), tmp_path, shard=3)
    assert run(capsys, tmp_path) == (0, "4 episodes: 4 equal, 0 differ\n", "")
    code, out, _ = run(capsys, tmp_path / "part-00001.parquet", "--json")
    assert code == 0 and json.loads(out) == {"episodes": 1, "equal": 1, "differences": []}


def test_a_changed_reward_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = maze()
    data[2] = with_turn(data[2], 5, reward=-0.5)
    write(data, tmp_path)
    code, out, _ = run(capsys, tmp_path)
    assert code == 1
    assert out == (
        "episode 2, maze-po, seed 2, turn 5, reward: stored -0.5, replayed -1.0\n"
        "4 episodes: 3 equal, 1 differ\n"
    )
    code, out, _ = run(capsys, tmp_path, "--json")
    assert code == 1 and json.loads(out)["differences"] == [
        {
            "episode": 2,
            "task": "maze-po",
            "seed": 2,
            "turn": 5,
            "field": "reward",
            "stored": -0.5,
            "replayed": -1.0,
        }
    ]


def test_a_changed_observation_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = maze()
    seen = data[2].turns[2].observation
    data[2] = with_turn(data[2], 3, observation="\x1b[2J\u202e" + seen)
    write(data, tmp_path)
    code, out, _ = run(capsys, tmp_path)
    line = out.splitlines()[0]
    assert code == 1 and line.isprintable()
    assert line.startswith(
        r"episode 2, maze-po, seed 2, turn 3, observation: stored '\x1b[2J\u202e"
    )
    assert line.endswith(f"replayed {seen!r}")


def test_a_lost_newline_can_be_seen() -> None:
    (data,) = maze(1)
    difference = replay(with_turn(data, 1, observation=data.turns[0].observation.rstrip("\n")))
    assert difference is not None
    assert difference.sentence().count("\\n'") == 1


def test_of_long_texts_the_place_is_shown() -> None:
    trajectory = play(make("wordle"), "random", 0, "wordle")
    difference = replay(replace(trajectory, final=trajectory.final + "x" * 10_000))
    assert difference is not None
    assert difference.field == "final" and difference.turn == len(trajectory.turns)
    assert "xxx" in difference.sentence() and len(difference.sentence()) < 500


def cut_short(t: Trajectory) -> Trajectory:
    return replace(t, turns=t.turns[:2])


def gone_on(t: Trajectory) -> Trajectory:
    return replace(t, turns=(*t.turns, t.turns[-1]))


def renamed(t: Trajectory) -> Trajectory:
    return replace(t, ending=TRUNCATED)


def emptied(t: Trajectory) -> Trajectory:
    return replace(t, turns=())


@pytest.mark.parametrize(
    ("change", "stored", "replayed"),
    [
        (cut_short, TERMINATED, "going on"),
        (gone_on, "going on", TERMINATED),
        (renamed, TRUNCATED, TERMINATED),
        (emptied, TERMINATED, "going on"),
    ],
)
def test_another_ending_is_found(
    change: Callable[[Trajectory], Trajectory], stored: str, replayed: str
) -> None:
    trajectory = play(make("maze-fo"), "optimal", 1, "maze-fo")
    difference = replay(change(trajectory))
    assert difference is not None
    assert (difference.field, difference.stored, difference.replayed) == (
        "ending",
        stored,
        replayed,
    )


def test_another_final_observation_is_found() -> None:
    trajectory = play(make("maze-fo"), "optimal", 1, "maze-fo")
    difference = replay(replace(trajectory, final="Failure\n"))
    assert difference is not None
    assert (difference.field, difference.replayed) == ("final", "Success\n")


def test_another_seed_or_option_is_noticed() -> None:
    trajectory = play(make("wordle"), "random", 0, "wordle")
    assert replay(trajectory) is None
    assert replay(replace(trajectory, seed=1)) is not None
    trajectory = play(make("maze-po"), "random", 0, "maze-po")
    assert replay(replace(trajectory, options={"observation": "goal"})) is not None


def test_a_cut_maze_replays_with_its_options(tmp_path: Path) -> None:
    options = {"max_steps": 3}
    env = make("maze-fo", **options)
    episode = Episode(env, 0, name="maze-fo", options=options, start={"init_position": (1, 1)})
    while not episode.done:
        episode.act("move up\n")
    trajectory = episode.trajectory()
    assert trajectory.ending == TRUNCATED and trajectory.final != "Failure\n"
    write([trajectory, *episodes(env, "maze-fo", 3, 0, "random", options)], tmp_path)
    assert replay_all(load(tmp_path)).differences == ()
    # Without the start it would have begun elsewhere.
    found = replay(replace(trajectory, options=options))
    assert found is not None and (found.turn, found.field) == (1, "observation")


def test_actions_without_a_stop_or_with_more_replay_as_they_were_given() -> None:
    episode = Episode(make("maze-fo"), 0, name="maze-fo")
    for action in ("move up", "move up\nmove down\n", "", "\x00\n"):
        episode.act(action)
    while not episode.done:
        episode.act("move left\n")
    assert replay(episode.trajectory()) is None


def test_what_cannot_be_replayed_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refused(path: Path) -> str:
        code, out, err = run(capsys, path)
        assert (code, out) == (2, "") and err.startswith("lmrl: ") and err.count("\n") == 1
        return err

    (data,) = maze(1)
    cut, foreign = tmp_path / "cut.parquet", tmp_path / "foreign.parquet"
    write([data], tmp_path / "data")
    cut.write_bytes((tmp_path / "data" / "part-00000.parquet").read_bytes()[:300])
    pq.write_table(pa.table({"text": ["a"]}), foreign)
    assert "cut.parquet is cut off" in refused(cut)
    assert "does not hold trajectories" in refused(foreign)
    assert "no data set at" in refused(tmp_path / "nothing")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"task": "maze-p"}, "did you mean 'maze-po'"),
        ({"options": {"last_q": 1}}, "last_k"),
        ({"options": {"start": {"cell": 1}}}, "maze start option"),
        ({"options": {"start": "here"}}, "not a JSON object"),
    ]
    for number, (changes, message) in enumerate(cases):
        write([replace(data, **changes)], tmp_path / str(number))
        assert message in refused(tmp_path / str(number))


def test_episodes_that_somebody_else_answered_are_refused_in_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from lmrl.human.person import Person
    from lmrl.tasks.twenty_questions import HumanAnswerer

    model = CallableOracle(lambda prompt: "yes", "parrot-7b", "2")
    person = HumanAnswerer(Person(lambda prompt: "y", lambda line: None))
    for name, oracle in (("parrot-7b (version 2)", model), ("human (version 1)", person)):
        env = make("twenty-questions", oracle=oracle)
        folder = tmp_path / name.partition(" ")[0]
        write([play(env, "random", 0, "twenty-questions")], folder)
        code, out, err = run(capsys, folder)
        assert (code, out) == (2, "") and err.count("\n") == 1
        assert f"was answered by {name}: such episodes cannot be replayed without it" in err


@pytest.mark.parametrize("task", ["twenty-questions", "car-dealer"])
def test_an_episode_of_the_scripted_oracle_of_another_version_is_refused_too(task: str) -> None:
    trajectory = play(make(task), "optimal", 0, task)
    assert replay(trajectory) is None
    older = {**trajectory.info, "oracle_version": "0"}
    with pytest.raises(DataError, match=r"answered by scripted \(version 0\)"):
        replay(replace(trajectory, info=older))
    del older["oracle"]  # of a time when the record did not say who answered
    assert replay(replace(trajectory, info=older)) is None
