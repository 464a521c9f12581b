"""Files and folders that appear whole or not at all, and what a killed writer leaves."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from lmrl.data.store import load, write
from lmrl.episode import play
from lmrl.errors import disk_full
from lmrl.files import atomic_file, atomic_folder, atomic_link, write_json
from lmrl.runs.names import OWN
from lmrl.tasks import make


def killed_writer(path: Path, kind: str) -> Path:
    """Return what a writer leaves that kills itself within `atomic_file` or `atomic_folder`."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        f"from lmrl.files import {kind}\n"
        f"with {kind}(Path(sys.argv[1])) as path:\n"
        "    (path / 'part' if path.is_dir() else path).write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    (left,) = path.parent.glob(".*.tmp")
    return left


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "one" and list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with atomic_folder(folder) as temporary:
        (temporary / "a").write_text("one")
        assert not folder.exists()
    with pytest.raises(ValueError, match="broken"), atomic_folder(folder, replace=True):
        raise ValueError("broken")
    with pytest.raises(OSError, match="not empty"), atomic_folder(folder) as temporary:
        (temporary / "a").write_text("two")
    assert (folder / "a").read_text() == "one"
    with atomic_folder(folder, replace=True) as temporary:
        (temporary / "b").write_text("two")
    assert [p.name for p in folder.iterdir()] == ["b"] and list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("kind", ["atomic_file", "atomic_folder"])
def test_the_next_write_removes_what_a_killed_writer_left(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    left = killed_writer(path, kind)
    assert left.exists() and not path.exists() and OWN[""].fullmatch(left.name)
    write_json(tmp_path / "other.json", {})  # of another name
    assert left.exists()
    write_json(path, {"a": float("nan")})
    assert not left.exists() and path.read_text() == '{\n  "a": null\n}\n'


def test_a_writer_that_runs_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    running = tmp_path / f".a.json.{os.getppid()}.tmp"
    running.write_text("half")
    write_json(path, {})
    assert running.exists()


def test_a_data_set_with_leftovers_is_read(tmp_path: Path) -> None:
    episodes = [play(make("maze-fo", max_steps=2), "random", seed, "maze-fo") for seed in (1, 2)]
    killed_writer(tmp_path / "part-00000.parquet", "atomic_file")
    write(episodes[:1], tmp_path)
    left = tmp_path / ".part-00001.parquet.1.tmp"
    left.write_text("half")
    assert [t.seed for t in load(tmp_path)] == [1]


def test_a_link_is_replaced(tmp_path: Path) -> None:
    for target in ("one", "two"):
        atomic_link(tmp_path / "last", target)
        assert os.readlink(tmp_path / "last") == target
    assert [p.name for p in tmp_path.iterdir()] == ["last"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has this file")
@pytest.mark.parametrize("elements", [10, 3000])
def test_a_full_disk_is_told_from_what_another_process_raised(elements: int) -> None:
    """An error that comes from an actor has lost the errors that led to it."""
    import torch

    with pytest.raises(RuntimeError) as raised:
        torch.save(torch.zeros(elements), "/dev/full")
    assert "the disk is full" in disk_full(pickle.loads(pickle.dumps(raised.value)))
