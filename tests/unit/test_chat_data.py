"""Logged dialogues in, episodes out for other programs, and rows that cannot be read."""

import codecs
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import lmrl
from lmrl.cli import main
from lmrl.data.bad_rows import BadRows
from lmrl.data.exporting import exported
from lmrl.data.generate import episodes
from lmrl.data.importing import imported
from lmrl.data.store import load
from lmrl.errors import DataError, UsageError
from lmrl.trajectory import Trajectory

TASK = "examples.own_task:GuessNumber"


def talk(**changes: Any) -> dict[str, Any]:
    row = {
        "messages": [
            {"role": "system", "content": "Guess a number."},
            {"role": "user", "content": "guess:"},
            {"role": "assistant", "content": "70", "reward": -1},
            {"role": "user", "content": "lower"},
            {"role": "tool", "content": "1 guess so far"},
            {"role": "assistant", "content": "50", "reward": 0},
        ]
    }
    return row | changes


def saved(folder: Path, *rows: Any, name: str = "talks.jsonl") -> Path:
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def read(file: Path, bad: BadRows | None = None) -> list[Trajectory]:
    return list(imported("chat", [file], bad, TASK))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_logged_dialogues_become_episodes(tmp_path: Path) -> None:
    (episode,) = read(saved(tmp_path, talk()))
    assert [(t.observation, t.action, t.reward) for t in episode.turns] == [
        ("guess:\n", "70\n", -1.0),
        ("lower\n1 guess so far\n", "50\n", 0.0),
    ]
    assert (episode.task, episode.ending, episode.final) == (TASK, "terminated", "")
    assert (episode.seed, episode.player) == (-1, "logged")
    assert episode.info == {"system": "Guess a number.", "imported": "talks.jsonl"}


@pytest.mark.parametrize(
    ("changes", "rewards"),
    [({"rewards": [2, 3]}, [2.0, 3.0]), ({"reward": 5}, [0.0, 5.0]), ({}, [0.0, 0.0])],
)
def test_rewards_may_stand_beside_the_messages(
    changes: dict[str, Any], rewards: list[float], tmp_path: Path
) -> None:
    plain = [{k: v for k, v in m.items() if k != "reward"} for m in talk()["messages"]]
    (episode,) = read(saved(tmp_path, talk(messages=plain, ending="truncated", **changes)))
    assert [turn.reward for turn in episode.turns] == rewards
    assert episode.ending == "truncated"


def message(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"messages": []}, "has no action"),
        ({"messages": [message("assistant", "x")]}, "is an action after nothing"),
        ({"messages": [message("robot", "x")]}, r"messages\[0\].role: is 'robot', not assistant"),
        ({"messages": [message("user", "a"), message("assistant", "b\nc")]}, "has '.n' inside"),
        ({"messages": [message("user", "a", reward=1)]}, "belongs to a message of 'user'"),
        ({"reward": 1}, "has rewards at several places"),
        ({"ending": "over"}, "is 'over', not 'terminated'"),
        ({"info": 3}, "is no object"),
        ({"options": []}, "is no object"),
    ],
)
def test_bad_dialogues_are_refused(changes: dict[str, Any], wrong: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=wrong):
        read(saved(tmp_path, talk(**changes)))


def test_dialogues_need_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = saved(tmp_path, talk()), tmp_path / "out"
    assert "give --task TASK" in run(capsys, "data", "import", "chat", file, "--out", out)[2]
    asked = ("data", "import", "wordle", file, "--task", "chess", "--out", out)
    assert "--task belongs to chat" in run(capsys, *asked)[2]


@pytest.mark.parametrize("task", sorted(lmrl.TASKS))
def test_what_is_exported_as_chat_is_imported_as_it_was(task: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"max_moves": 6} if task == "chess" else {}
    made = list(episodes(lmrl.make(task, **options), task, 3, 0, "mixture", options))
    file = tmp_path / "talks.jsonl"
    file.write_text("".join(line + "\n" for line in exported(made, "chat")), encoding="utf-8")
    again = list(imported("chat", [file], task=task))
    for old, new in zip(made, again, strict=True):
        assert [(t.observation, t.action, t.reward) for t in old.turns] == [
            (t.observation, t.action, t.reward) for t in new.turns
        ]
        assert (old.final, old.ending, old.total_reward) == (
            new.final,
            new.ending,
            new.total_reward,
        )
        assert new.info["success"] == old.info["success"] if "success" in old.info else True
    row = json.loads(file.read_text(encoding="utf-8").splitlines()[0])
    roles = [m["role"] for m in row["messages"]]
    assert roles[:3] == ["system", "user", "assistant"]
    assert len(row["rewards"]) == roles.count("assistant")
    assert not any(m["content"].endswith("\n") for m in row["messages"] if m["role"] == "assistant")


@pytest.mark.parametrize("task", sorted(lmrl.TASKS))
def test_what_is_exported_as_published_is_imported(task: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {} if task == "guess-my-city" else {"faithful": True}
    if task == "chess":
        options["max_moves"] = 6
    made = list(episodes(lmrl.make(task, **options), task, 3, 0, "optimal", options))
    file = tmp_path / "train.jsonl"
    file.write_text("".join(line + "\n" for line in exported(made, "published")), encoding="utf-8")
    if task == "car-dealer":  # its files are one list
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        file.write_text(json.dumps(rows))
    for old, new in zip(made, imported(task, [file]), strict=True):
        assert [t.action for t in old.turns] == [t.action for t in new.turns]
        assert [t.reward for t in old.turns] == pytest.approx([t.reward for t in new.turns])
        assert old.ending == new.ending
        if "word" in old.info:
            assert new.info["word"] == old.info["word"]


def test_export_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "data", tmp_path / "maze.jsonl"
    run(capsys, "data", "generate", "maze-fo", "--episodes", 3, "--out", data)
    assert run(capsys, "data", "export", data, "--out", out)[0] == 0
    assert len(out.read_text().splitlines()) == 3
    assert "choose a new file" in run(capsys, "data", "export", data, "--out", out)[2]
    other = tmp_path / "other.jsonl"
    found = run(capsys, "data", "export", data, "--form", "xml", "--out", other)
    assert found[0] == 2 and "--form is 'xml'" in found[2] and not other.exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".partial")] == []


def test_files_may_be_packed_or_utf_16(tmp_path: Path) -> None:
    plain = saved(tmp_path, talk(), talk(reward=None), talk(info={"who": "Zoë 😀"}))
    text = plain.read_text()
    packed, wide = tmp_path / "a.jsonl.gz", tmp_path / "wide.jsonl"
    packed.write_bytes(gzip.compress(text.encode()))
    wide.write_bytes(codecs.BOM_UTF16_LE + text.encode("utf-16-le"))
    both = tmp_path / "both.json.gz"
    both.write_bytes(gzip.compress(codecs.BOM_UTF16_BE + json.dumps([talk()]).encode("utf-16-be")))
    for file in (plain, packed, wide):
        assert len(read(file)) == 3
        assert read(file)[2].info["who"] == "Zoë 😀"
    assert len(read(both)) == 1
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(DataError, match="is cut off or broken"):
        read(packed)


def test_bad_rows_are_left_out_if_they_are_few(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = saved(tmp_path, *[talk()] * 18, talk(messages=[]))
    file.write_text(file.read_text() + "{broken\n")
    with pytest.raises(DataError, match="row 19"):
        read(file)
    with pytest.raises(DataError, match=r"more than 1 rows cannot be read.*row 20"):
        read(file, BadRows(1))
    bad = BadRows(2)
    assert len(read(file, bad)) == 18
    assert ["row 19" in bad.skipped[0], "row 20" in bad.skipped[1]] == [True, True]
    assert len(read(file, BadRows.parse("11%"))) == 18
    with pytest.raises(DataError, match="2 of 19 rows cannot be read, more than 5 %"):
        read(file, BadRows.parse("5%"))
    for text in ("x", "-1", "200%", "5 rows"):
        with pytest.raises(UsageError, match="--skip-bad is"):
            BadRows.parse(text)
    asked = ("data", "import", "chat", file, "--task", TASK, "--skip-bad", "2")
    code, out, err = run(capsys, *asked, "--out", tmp_path / "data")
    assert code == 0 and "18 episodes" in out and "without 2 rows" in out
    assert "skipped" in err and "row 19" in err and "row 20" in err
    assert len(list(load(tmp_path / "data"))) == 18


CITY = {"lines": ["Where is it? In Asia.", "Is it hot? Rather."], "correct": False}
OBJECT = {"lines": ["Is it big? Yes."], "correct": False, "word": ["Lion"]}
FEN = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
WALLS = "There are walls above you, below you.\n"


@pytest.mark.parametrize(
    ("task", "row", "wrong"),
    [
        ("maze-fo", [{"state": FEN, "action": "x", "reward": 0, "done": True}], "of chess"),
        ("chess", [{"state": WALLS, "action": "x", "reward": 0, "done": True}], "is no FEN"),
        (
            "maze-po",
            {"text_history": ["Questions:\n", "x"], "rewards": [0, 0], "dones": [0, 1]},
            "guessing game",
        ),
        ("text-nav-fo", {"text_history": [WALLS, "x"], "rewards": [0], "dones": [1]}, "a maze"),
        ("twenty-questions", CITY, "no answer that is yes or no"),
        ("twenty-questions", {**OBJECT, "word": "paris,france"}, "a thing of guess-my-city"),
        ("guess-my-city", OBJECT, "a thing of twenty-questions"),
        ("wordle", {"sequence": [["Questions:\n", 0]], "reward": [], "done": 1}, "no wordle data"),
        ("car-dealer", OBJECT, "buyer_info"),
    ],
)
def test_files_of_another_task_are_refused(task: str, row: Any, wrong: str, tmp_path: Path) -> None:
    file = saved(tmp_path, row)
    if task == "car-dealer":
        file.write_text(json.dumps([row]))
    with pytest.raises(DataError, match=wrong):
        list(imported(task, [file]))
