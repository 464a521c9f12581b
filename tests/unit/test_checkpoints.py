"""Which checkpoints of a run are whole."""

import os
from pathlib import Path

import pytest

from lmrl.runs.checkpoints import newest_first, read_state, write_state
from lmrl.runs.log import RunLog
from lmrl.runs.names import CHECKPOINTS, LAST, STATE


def run(folder: Path) -> Path:
    log = RunLog(folder)
    for update in (2, 10, 9, 11):
        with log.checkpoint(update) as checkpoint:
            (checkpoint / "deepspeed").mkdir()
            (checkpoint / "deepspeed" / "state.pt").write_bytes(b"0" * update)
            (checkpoint / "model.safetensors").write_bytes(b"weights")
            write_state(checkpoint, {"update": update})
    return folder


def test_the_last_checkpoint_and_those_before_it(tmp_path: Path) -> None:
    home = run(tmp_path) / CHECKPOINTS
    (home / "step-notes").mkdir()
    assert [folder.name for folder in newest_first(tmp_path)] == [
        "step-11",
        "step-10",
        "step-9",
        "step-2",
    ]
    assert read_state(home / "step-10") == {"update": 10}
    RunLog(tmp_path).link(LAST, home / "step-9")
    assert [folder.name for folder in newest_first(tmp_path)] == ["step-9", "step-2"]
    (home / LAST).unlink()
    assert next(newest_first(tmp_path)).name == "step-11"
    assert not list(newest_first(tmp_path / "nowhere"))


def test_a_file_that_is_cut_or_missing_is_named(tmp_path: Path) -> None:
    folder = run(tmp_path) / CHECKPOINTS / "step-10"
    (folder / "notes.txt").write_text("of the user")
    assert read_state(folder) == {"update": 10}
    os.truncate(folder / "deepspeed" / "state.pt", 4)
    with pytest.raises(ValueError, match=r"deepspeed/state.pt of step-10 has 4 of its 10 bytes"):
        read_state(folder)
    (folder / "deepspeed" / "state.pt").unlink()
    with pytest.raises(ValueError, match=r"deepspeed/state.pt of step-10 is missing"):
        read_state(folder)
    for text in ('{"upd', "{}", "[]", "null"):
        (folder / STATE).write_text(text)
        with pytest.raises(ValueError, match=r"step-10 has no readable state.json"):
            read_state(folder)
