"""Which fields of a run may change when it goes on."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

from cluster.experiment import Experiment
from cluster.presets import preset
from cluster.startup.continuing import MAY_CHANGE, OF_CHECKPOINT, check_changes, fork
from lmrl.errors import UsageError
from lmrl.files import write_json
from lmrl.runs.checkpoints import read_state, write_state
from lmrl.runs.log import RunLog
from lmrl.runs.names import CONFIG


def run(folder: Path, exp: Experiment) -> RunLog:
    log = RunLog(folder)
    with log.locked():
        write_json(log.folder / CONFIG, exp.to_json())
        with log.checkpoint(4) as checkpoint:
            write_json(checkpoint / "experiment.json", exp.to_json())
            position = {"next_seed": 64, "pending": [[7, 0]]}
            write_state(
                checkpoint,
                {"update": 4, "position": position, "ledger": {"started": 64}, "best": [-9.0, 2]},
            )
    return log


def ranks(exp: Experiment, count: int, zero: Any) -> Experiment:
    optimiser = replace(exp.learner.optimiser, zero=zero)
    return replace(exp, learner=replace(exp.learner, ranks=count, optimiser=optimiser))


Change = Callable[[Experiment], Experiment]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda e: replace(e, updates=99, keep=1, time_limit=5.0), ""),
        (lambda e: replace(e, sampler=replace(e.sampler, count=3)), ""),
        (lambda e: replace(e, updates=3), "updates 3 is below the 4 updates"),
        (lambda e: replace(e, seed=3), r"--seed is 0 in .* --from"),
        (lambda e: replace(e, options={"max_steps": 9}), "--options is"),
        (lambda e: replace(e, start=None), "--start is"),
        (lambda e: replace(e, algorithm=replace(e.algorithm, clip=0.3)), "--algorithm.clip is 0.2"),
    ],
)
def test_what_may_change(tmp_path: Path, change: Change, sentence: str) -> None:
    exp = preset("maze-fo-ppo")
    log = run(tmp_path / "run", exp)
    if not sentence:
        check_changes(log, change(exp))
        return
    with pytest.raises(UsageError, match=sentence):
        check_changes(log, change(exp))


@pytest.mark.parametrize(
    ("zero", "old", "new", "fits"),
    [(0, 1, 2, True), (0, 2, 1, True), (2, 2, 1, True), (2, 1, 2, False), (3, 2, 1, False)],
)
def test_ranks_change_as_far_as_the_checkpoint_can_be_divided(
    tmp_path: Path, zero: int, old: int, new: int, fits: bool
) -> None:
    exp = preset("maze-fo-ppo")
    log = run(tmp_path / "run", ranks(exp, old, zero))
    if fits:
        check_changes(log, ranks(exp, new, zero))
    else:
        with pytest.raises(UsageError, match=f"learner.ranks {new}: a checkpoint of {old} ranks"):
            check_changes(log, ranks(exp, new, zero))


def test_a_fork_has_the_weights_and_counts_anew(tmp_path: Path) -> None:
    exp = preset("maze-fo-ppo")
    source = run(tmp_path / "run", exp)
    other = RunLog(tmp_path / "other")
    changed = replace(exp, algorithm=replace(exp.algorithm, clip=0.1), seed=5)
    with other.locked():
        fork(source.folder, changed, other)
        assert other.holds_run
        with pytest.raises(UsageError, match="holds a run already"):
            fork(source.folder, changed, other)
    state: Any = read_state(other.folder / "checkpoints" / "step-4")
    assert state["update"] == 4 and state["position"] == {"next_seed": 64, "pending": []}
    assert state["ledger"]["started"] == 0 and state["best"] is None
    kept = read_state(source.folder / "checkpoints" / "step-4")
    assert kept["ledger"] == {"started": 64}
    text = (source.folder / "checkpoints" / "step-4" / "experiment.json").read_text()
    assert '"seed": 0' in text  # the file was not shared with the one that has another seed
    lora = replace(exp, learner=replace(exp.learner, lora=replace(exp.learner.lora, rank=4)))
    third = RunLog(tmp_path / "third")
    with third.locked(), pytest.raises(UsageError, match=r"--model.path .*run/checkpoints/last"):
        fork(source.folder, lora, third)


def test_a_run_that_lost_its_configuration_is_not_begun_again(tmp_path: Path) -> None:
    exp = preset("maze-fo-ppo")
    log = run(tmp_path / "run", exp)
    (log.folder / CONFIG).unlink()
    with log.locked(), pytest.raises(UsageError, match=r"copy .*experiment.json to .*config.json"):
        check_changes(log, exp)
    with log.locked(), pytest.raises(UsageError, match=r"has checkpoints and no config.json"):
        log.prepare(exp.to_json())
    assert (log.folder / "checkpoints" / "last").exists()


def test_a_fork_that_cannot_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where no node has space for it: the same command has to work once there is."""
    exp = preset("maze-fo-ppo")
    source = run(tmp_path / "run", exp)
    log = RunLog(tmp_path / "other")
    with pytest.raises(UsageError, match="no space"), log.locked():
        fork(source.folder, exp, log)
        with log.ending():
            raise UsageError("no space")
    assert not log.folder.exists()
    monkeypatch.setattr("shutil.copytree", lost)
    with log.locked(), pytest.raises(UsageError, match="give the command again"):
        fork(source.folder, exp, log)


def lost(*paths: Any, **how: Any) -> None:
    raise shutil.Error([("step-4/model.safetensors", "new", "No such file or directory")])


def test_every_name_is_a_field() -> None:
    from cluster.fields import flat

    names = {"algorithm.name", *(name for name, _ in flat(preset("maze-fo-ppo")))}
    for beginning in (*MAY_CHANGE, *OF_CHECKPOINT):
        assert any(name.startswith(beginning) for name in names), beginning
