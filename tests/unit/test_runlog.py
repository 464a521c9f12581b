"""The run directory: what is the run's, what is replaced and when, and what a resume forgets."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from lmrl.cli.training.train import _how_to_go_on
from lmrl.episode import play
from lmrl.errors import RunError, Terminated, UsageError
from lmrl.interrupt import signals_raise, terminated
from lmrl.runs.checkpoints import write_state
from lmrl.runs.log import RunLog
from lmrl.runs.names import MARKER, START
from lmrl.schema import to_table
from lmrl.tasks import make

ROOT = Path(__file__).resolve().parents[2]
TABLE = to_table([play(make("maze-fo", max_steps=1), "optimal", 0, "maze-fo")])


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file and link of a folder but the marker, which changes with each use."""
    return {
        str(path.relative_to(folder)): os.readlink(path).encode()
        if path.is_symlink()
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if (path.is_symlink() or path.is_file()) and path.name != MARKER
    }


def run(folder: Path, name: str, saves: int = 1, ends: BaseException | None = None) -> None:
    """Write into a run directory what a run does; `ends` is raised behind the last save."""
    log = RunLog(folder)
    with log.locked():
        log.prepare({"name": name}, overwrite=True)
        with log.ending():
            (folder / "start").mkdir()
            (folder / "start" / "model").write_text(name)
            log.started()
            for update in range(1, saves + 1):
                log.line("metrics.jsonl", {"update": update, "name": name})
                log.trajectories("training", f"update-{update:05d}-0", TABLE)
                log.quantities("training", f"update-{update:05d}-0", TABLE)
                with log.checkpoint(update) as checkpoint:
                    (checkpoint / "weights").write_text(f"{name} {update}")
            if ends is not None:
                raise ends
        log.status(phase="finished")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex": "years of work"},
        {"config.json": '{"model_type": "gpt2"}', "model.safetensors": "x", "thesis.tex": "y"},
        {".hidden": ""},
    ],
)
def test_what_is_not_a_run_is_refused(
    tmp_path: Path, overwrite: bool, files: dict[str, str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    before = contents(folder)
    log = RunLog(folder)
    with pytest.raises(UsageError, match="not empty and not a run directory"), log.locked():
        log.prepare({}, overwrite)
    assert contents(folder) == before and [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_foreign_files_in_a_run_directory_survive(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, "old", saves=2)
    foreign = {
        "thesis.tex": "a",
        "notes/config.json": "b",
        "checkpoints/notes.txt": "c",
        "trajectories/mine.parquet": "d",
        "trajectories/training/notes.txt": "e",
    }
    for name, text in foreign.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    run(folder, "new")
    found = contents(folder)
    assert {name: found[name].decode() for name in foreign} == foreign
    assert "checkpoints/step-2/weights" not in found
    assert "trajectories/learner/update-00002.parquet" not in found
    assert found["checkpoints/step-1/weights"] == b"new 1"
    assert not any(name.startswith(".") for name in found)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), Terminated(), RunError("a sampler died"), MemoryError()]
)
def test_the_old_run_stays_until_the_new_one_has_saved(
    tmp_path: Path, error: BaseException
) -> None:
    folder = tmp_path / "run"
    run(folder, "old", saves=2)
    before = contents(folder)
    with pytest.raises(type(error)):
        run(folder, "new", saves=0, ends=error)
    after = contents(folder)
    aborted = {name for name in after if name.startswith(".aborted/")}
    assert {name: after[name] for name in set(after) - aborted} == before
    assert ".aborted/start/model" in aborted and ".aborted/status.json" in aborted
    with pytest.raises(type(error)):
        run(folder, "new", ends=error)
    assert contents(folder)["checkpoints/step-1/weights"] == b"new 1"
    assert not (folder / "checkpoints" / "step-2").exists() and not (folder / ".aborted").exists()


def test_bad_input_leaves_everything_as_it_was(tmp_path: Path) -> None:
    folder, fresh = tmp_path / "run", tmp_path / "fresh"
    run(folder, "old")
    before = contents(folder)
    for place in (folder, fresh):
        log = RunLog(place)
        with pytest.raises(UsageError), log.locked():
            log.prepare({}, overwrite=True)
            with log.ending():
                raise UsageError("the placement does not fit")
    assert contents(folder) == before and not fresh.exists()


def killed_within(name: str, calls: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the process fail at a call of `Path.NAME`, as if it was killed there."""
    real, count = getattr(Path, name), 0

    def stops(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count > calls:
            raise SystemExit("killed")
        return real(*arguments)

    monkeypatch.setattr(Path, name, stops)
    return lambda: monkeypatch.setattr(Path, name, real)


def test_a_process_that_is_killed_while_it_replaces_a_run_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at every single renaming in turn, while it sets aside and while it puts back."""
    run(tmp_path / "old", "old", saves=2)
    before = contents(tmp_path / "old")
    for calls in range(40):
        folder = tmp_path / str(calls)
        shutil.copytree(tmp_path / "old", folder, symlinks=True)
        mend = killed_within("rename", calls, monkeypatch)
        with pytest.raises((SystemExit, KeyboardInterrupt)) as error:
            run(folder, "new", saves=0, ends=KeyboardInterrupt())
        mend()
        with RunLog(folder).locked():
            found = contents(folder)
        assert {k: v for k, v in found.items() if not k.startswith(".aborted/")} == before, calls
        if error.type is KeyboardInterrupt:
            return
    pytest.fail("it never came to its end")


HOLD = """
import sys, time
from pathlib import Path
from lmrl.runs.log import RunLog
with RunLog(Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_with_the_first_ones_id(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, "old")
    before = contents(folder)
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None and first.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match=rf"process {first.pid} on \S+ works on"):
        run(folder, "new")
    assert contents(folder) == before
    first.send_signal(signal.SIGKILL)
    first.wait()
    run(folder, "new")  # nothing of the lock outlives the process
    assert contents(folder)["checkpoints/step-1/weights"] == b"new 1"


def test_a_resume_forgets_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for update in range(1, 5):
        log.metrics(update, {"loss": float(update)})
        log.line("scores.jsonl", {"update": update})
        for kind, name in (
            ("training", f"update-{update:05d}-0"),
            ("evaluation", f"ppo-{update:05d}"),
            ("selection", f"ppo-{update:05d}"),
        ):
            log.trajectories(kind, name, TABLE)  # type: ignore[arg-type]
        log.quantities("training", f"update-{update:05d}-0", TABLE)
        log.quantities("evaluation", f"ppo-{update:05d}", TABLE)
        if update == 2:
            lengths, before = log.lengths(), contents(tmp_path)
    log.line("failures.jsonl", {"seed": 7})
    log.close()
    time.sleep(1.1)  # TensorBoard names its files by the second
    RunLog(tmp_path).rewind(2, lengths)
    assert contents(tmp_path) == before

    again = RunLog(tmp_path)
    again.metrics(3, {"loss": 30.0})
    again.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 1), (2, 2), (3, 30)]

    RunLog(tmp_path).rewind(0, {})
    assert contents(tmp_path) == {}


def test_pruning_deletes_checkpoints_only(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for update in (1, 2, 10):
        with log.checkpoint(update) as folder:
            (folder / "weights").write_text("")
    (tmp_path / "checkpoints" / "step-notes").mkdir()
    log.link("best", tmp_path / "checkpoints" / "step-1")
    log.prune(keep=1)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["best", "last", "step-1", "step-10", "step-notes"]


def test_an_interrupted_start_stage_goes_on(tmp_path: Path) -> None:
    """The start policy is trained by a run of its own, which is resumed and not begun again."""
    pytest.importorskip("ray")
    from cluster.presets import preset
    from cluster.startup.start_policy import starting_point

    asked: list[dict[str, bool]] = []

    def train(exp: object, log: RunLog, **how: bool) -> None:
        asked.append({name: value for name, value in how.items() if value})
        with log.locked():
            if not how["resume"]:
                log.prepare({})
            log.started()
            if len(asked) == 3:
                log.trajectories("evaluation", "bc-00200", TABLE)
                (tmp_path / "start" / "summary.json").write_text("{}")
                return
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            starting_point(preset("maze-fo-ppo"), tmp_path, train)
    for _ in range(2):
        assert starting_point(preset("maze-fo-ppo"), tmp_path, train).label == "bc"
    assert asked == [{}, {"resume": True}, {"resume": True}]


def test_a_run_without_a_checkpoint_begins_again(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from cluster.presets import preset
    from cluster.reporting.progress import Progress

    log = RunLog(tmp_path)
    log.line("scores.jsonl", {"policy": "random"})
    progress = Progress(preset("maze-fo-ppo"), log, "bc")
    nothing: object = None  # neither learners nor source are asked for anything
    assert progress.restore(nothing, nothing) == 0  # type: ignore[arg-type]
    assert not (tmp_path / "scores.jsonl").exists()

    log.line("scores.jsonl", {"policy": "random"})
    (tmp_path / "checkpoints").mkdir()
    log.link("last", tmp_path / "checkpoints" / "step-7")  # which somebody has deleted
    with pytest.raises(UsageError, match=r"no checkpoint of .* is whole \(all are missing\)"):
        progress.restore(nothing, nothing)  # type: ignore[arg-type]
    assert (tmp_path / "scores.jsonl").exists()


def test_an_error_names_the_file_with_its_traceback(tmp_path: Path) -> None:
    """Also of a start policy, a run within a run: the innermost file is named, once."""
    outer, inner = RunLog(tmp_path), RunLog(tmp_path / "start")
    with (
        pytest.raises(RunError, match="sampler 0 raised") as caught,
        outer.locked(),
    ):
        outer.prepare({"name": "outer"})
        with outer.ending(), inner.locked():
            inner.prepare({"name": "inner"})
            with inner.ending():
                try:
                    raise ValueError("x \ud800")
                except ValueError as error:
                    raise RunError("sampler 0 raised ValueError: x") from error
    assert str(caught.value) == "sampler 0 raised ValueError: x"
    assert caught.value.__notes__ == [f"the traceback is in {tmp_path / 'start' / 'log.txt'}"]
    for log in (outer, inner):
        text = (log.folder / "log.txt").read_text()
        assert text.count("ValueError: x") >= 2 and "in test_an_error_names" in text
        assert json.loads((log.folder / "status.json").read_text()) | {"time": 0, "pid": 0} == {
            "phase": "stopped",
            "error": "RunError: sampler 0 raised ValueError: x",
            "time": 0,
            "pid": 0,
        }


def test_a_long_run_saves_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    from cluster.presets import preset
    from cluster.reporting.progress import Progress

    now = 1000.0
    monkeypatch.setattr("cluster.reporting.progress.time.monotonic", lambda: now)
    exp = preset("maze-po-bc")
    assert exp.save_every == 0 and exp.save_minutes > 0
    progress = Progress(exp, RunLog(tmp_path), "start")
    progress.saved = now
    assert not progress.save_due(1, 2**28) and progress.save_due(1, 2**28 + 1)
    now += 60 * exp.save_minutes + 1
    assert progress.save_due(2)


def test_an_interrupted_run_says_what_it_has_saved(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run")
    with log.locked():
        log.prepare({})
        assert _how_to_go_on(log).startswith("no checkpoint is saved yet; go on with: lmrl train")
        with RunLog(log.folder / START).checkpoint(7):
            pass
        assert _how_to_go_on(log).startswith("step-7 of the start policy is saved; go on with:")
        with log.checkpoint(2):
            pass
        assert _how_to_go_on(log).startswith("step-2 is saved; go on with:")


def test_a_damaged_best_checkpoint_does_not_keep_a_run_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    from cluster.presets import preset
    from cluster.reporting.progress import Progress

    progress = Progress(preset("maze-fo-ppo"), RunLog(tmp_path), "bc")
    notes: list[str] = []
    monkeypatch.setattr(progress.screen, "note", notes.append)
    progress.best = (-3.0, 2)
    assert progress.best_checkpoint() is None
    with progress.log.checkpoint(2) as folder:
        (folder / "model.safetensors").write_text("weights")
        write_state(folder, {"update": 2})
    assert progress.best_checkpoint() == (2, tmp_path / "checkpoints" / "step-2")
    (tmp_path / "checkpoints" / "step-2" / "model.safetensors").write_text("wei")
    assert progress.best_checkpoint() is None
    assert "model.safetensors of step-2 has 3 of its 7 bytes" in notes[0]


def test_sigterm_is_told_from_ctrl_c_whatever_a_library_makes_of_it() -> None:
    """Ray raises a plain KeyboardInterrupt where a signal arrives within one of its calls."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), signals_raise():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            assert terminated()
            os.kill(os.getpid(), signal.SIGTERM)  # a second one is ignored
            raise KeyboardInterrupt from None
    assert signal.getsignal(signal.SIGTERM) == before and not terminated()
    with pytest.raises(Terminated), signals_raise():
        with suppress(Terminated):  # as Ray does in a callback
            os.kill(os.getpid(), signal.SIGTERM)
        raise RunError("the process of learner rank 0 ended")
    with pytest.raises(KeyboardInterrupt) as error, signals_raise():
        raise KeyboardInterrupt
    assert error.type is KeyboardInterrupt
