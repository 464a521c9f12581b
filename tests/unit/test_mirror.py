"""Copies of run directories at URIs: whole or not there, on a server of S3 and on file systems."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from s3_server import BUCKET, s3_server

from lmrl.cli import main
from lmrl.errors import DataError, UsageError
from lmrl.runs.log import RunLog
from lmrl.runs.mirror import IDENTITY, MANIFEST, Mirror, file_system
from lmrl.runs.names import LAST, MARKER, METRICS, STATUS, checkpoint


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as query:
        yield query


@pytest.fixture(params=["s3", "file", "memory"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A URI that has nothing yet."""
    if request.param == "s3":
        return f"s3://{BUCKET}{tmp_path}{request.getfixturevalue('server')}"
    return f"{request.param}://{tmp_path}/copy"


def save(log: RunLog, update: int) -> None:
    """Record an update and write its checkpoint, as a run does."""
    log.line(METRICS, {"update": update})
    for kind in ("trajectories/training", "tensorboard"):
        (log.folder / kind).mkdir(parents=True, exist_ok=True)
        (log.folder / kind / f"update-{update:05d}-0.parquet").write_bytes(bytes(9 * update))
    with log.checkpoint(update) as folder:
        (folder / "model.safetensors").write_bytes(update.to_bytes(4) * 3_000_000)
    log.prune(1)


@contextmanager
def begun(folder: Path) -> Iterator[RunLog]:
    """A run with one checkpoint, whose process goes on."""
    log = RunLog(folder)
    with log.locked():
        log.prepare({"task": "maze-fo"})
        log.status(phase="ppo")
        save(log, 1)
        yield log
        log.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RunLog]:
    """A run with one checkpoint, whose process goes on."""
    with begun(tmp_path / "run") as log:
        yield log


def content(folder: Path) -> dict[str, bytes | str]:
    """Return the content of files, and the targets of links, that a copy has."""
    return {
        path.relative_to(folder).as_posix(): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        for path in folder.rglob("*")
        if (path.is_symlink() or path.is_file())
        and path.name not in (IDENTITY, MARKER, STATUS)
        and "tensorboard" not in path.parts
    }


def fetch(uri: str, folder: Path) -> dict[str, bytes | str]:
    assert Mirror(folder, uri).fetch()
    return content(folder)


def test_a_copy_makes_the_same_run_directory(log: RunLog, uri: str, tmp_path: Path) -> None:
    mirror = Mirror(log.folder, uri)
    mirror.check()
    assert mirror.sync()
    save(log, 2)
    assert mirror.sync()
    found = fetch(uri, tmp_path / "again")
    assert found == content(log.folder)
    assert found["checkpoints/last"] == "step-2" and "checkpoints/step-1" not in found
    assert RunLog(tmp_path / "again").holds_run
    # What was deleted in the run is deleted in the copy.
    place = mirror._place("checkpoints/step-1/model.safetensors")
    assert mirror._read(place) is None


class Cut(Mirror):
    """A copy whose process is killed, or whose connection is lost, before the manifest."""

    def _open(self, name: str) -> Any:
        if name.startswith(MANIFEST):
            raise OSError("connection lost")
        return super()._open(name)


def test_a_copy_that_was_cut_off_is_that_of_the_checkpoint_before(
    log: RunLog, uri: str, tmp_path: Path
) -> None:
    assert Mirror(log.folder, uri).sync()
    before = content(log.folder)
    save(log, 2)
    cut = Cut(log.folder, uri)
    assert not cut.sync() and not cut.sync()
    assert fetch(uri, tmp_path / "again") == before
    # The next process copies what is missing.
    assert Mirror(log.folder, uri).sync()
    assert fetch(uri, tmp_path / "later") == content(log.folder)


def test_only_what_changed_is_copied_again(log: RunLog, tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/copy"
    mirror = Mirror(log.folder, uri)
    assert mirror.sync()
    copied = tmp_path / "copy" / "checkpoints" / "step-1" / "model.safetensors"
    before = copied.stat()
    log.line(METRICS, {"update": 2})
    assert mirror.sync()
    assert Mirror(log.folder, uri).sync()  # a process that goes on with the run
    after = copied.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (tmp_path / "copy" / METRICS).read_text().count("\n") == 2


def test_a_copy_that_was_damaged_is_refused(log: RunLog, tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/copy"
    assert Mirror(log.folder, uri).sync()
    damaged = tmp_path / "copy" / "checkpoints" / "step-1" / "model.safetensors"
    whole = damaged.read_bytes()
    for bad in (whole[:-1], b"x" + whole[1:]):
        damaged.write_bytes(bad)
        with pytest.raises(DataError, match=r"step-1/model.safetensors in file.* is not the file"):
            Mirror(tmp_path / "again", uri).fetch()
        assert not RunLog(tmp_path / "again").holds_run
    damaged.write_bytes(whole)
    assert fetch(uri, tmp_path / "again") == content(log.folder)  # the same folder goes on


@pytest.mark.parametrize(
    "manifest",
    [
        b"{",
        b'{"format": 2, "run": "a", "files": {}, "links": {}}',
        b'{"format": 1, "files": {}, "links": {}}',
        b'{"format": 1, "run": "a", "files": {"../x": [1, "a"]}, "links": {}}',
        b'{"format": 1, "run": "a", "files": {"/x": [1, "a"]}, "links": {}}',
        b'{"format": 1, "run": "a", "files": {".lmrl-run": [1, "a"]}, "links": {}}',
        b'{"format": 1, "run": "a", "files": [], "links": {}}',
        b'{"format": 1, "run": "a", "files": {}, "links": {"checkpoints/last": "../../x"}}',
        b'{"format": 1, "run": "a", "files": {}, "links": {"x": "y"}}',
    ],
)
def test_a_manifest_that_leaves_the_run_directory_is_refused(
    manifest: bytes, tmp_path: Path
) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / MANIFEST).write_bytes(manifest)
    with pytest.raises(DataError, match="is not the manifest of a run"):
        Mirror(tmp_path / "run", f"file://{tmp_path}/copy").fetch()
    assert not (tmp_path / "run").exists()


def test_a_uri_with_another_run_is_refused(log: RunLog, uri: str, tmp_path: Path) -> None:
    Mirror(log.folder, uri).check()
    assert Mirror(log.folder, uri).sync()
    Mirror(log.folder, uri).check()  # its own run goes on
    fetch(uri, tmp_path / "again")
    Mirror(tmp_path / "again", uri).check()  # and so does the directory that was made from it
    with begun(tmp_path / "other") as other, pytest.raises(UsageError, match="has another run"):
        Mirror(other.folder, uri).check()


def test_a_uri_that_cannot_be_used_is_refused(server: str, log: RunLog) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        Mirror(log.folder, f"s3://no-such-bucket/run{server}").check()
    for wrong in ("ftpx://host/run", "runs/maze", "s3://"):
        with pytest.raises(UsageError):
            file_system(wrong)


def test_the_command_copies_there_and_back(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri, run, again = f"s3://{BUCKET}{tmp_path}{server}", tmp_path / "run", tmp_path / "again"
    with begun(run):
        assert main(["mirror", str(run), uri]) == 2  # its process works on it
    whole = content(run)
    capsys.readouterr()
    assert main(["mirror", str(run), uri, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == len(whole) - 1  # without the link
    assert main(["mirror", uri, str(again)]) == 0
    assert content(again) == whole
    assert main(["mirror", uri, str(again)]) == 2
    assert "holds a run already" in capsys.readouterr().err
    for words in ([uri, uri], [str(again), str(tmp_path)], [str(tmp_path), uri]):
        assert main(["mirror", *words]) == 2


@pytest.mark.parametrize("name", ["--run-dir", "--resume"])
def test_a_run_directory_is_no_uri(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [] if name == "--resume" else ["maze-fo-bc", "--dry-run"]
    assert main(["train", *words, name, "s3://bucket/run"]) == 2
    assert "which is a URI; give a path" in capsys.readouterr().err


def test_a_wrong_mirror_is_refused_before_ray_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "maze-fo-bc", "--mirror", "ftpx://host/run", "--dry-run"]) == 2
    assert "ftpx://host/run cannot be used" in capsys.readouterr().err


def test_links_of_a_run_are_made_again(log: RunLog, uri: str, tmp_path: Path) -> None:
    assert Mirror(log.folder, uri).sync()
    fetch(uri, tmp_path / "again")
    assert checkpoint(tmp_path / "again", LAST).resolve().name == "step-1"
