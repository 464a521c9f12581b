"""Whole runs through `lmrl train`: the summary adds up, and a resumed run is the unbroken one."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lmrl.cli import main

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parent.parent

SMALL = [
    "--options", '{"max_steps": 12}', "--evaluation.episodes", "16", "--rollouts.least", "16",
    "--rollouts.turns", "160", "--updates", "4", "--save_every", "2", "--keep", "4",
    "--learner.optimiser.decay", "none", "--evaluation.random", "false",
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(local_ray: None, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    arguments = ["train", "maze-fo-ppo", "--run-dir", str(folder)]
    assert main([*arguments, "--model.path", str(checkpoint), *SMALL]) == 0
    return folder


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_summary_adds_up(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    ledger = summary["ledger"]
    ended = ledger["trained"] + ledger["evaluated"] + ledger["stale"] + ledger["failed"]
    assert ledger["started"] == ended and ledger["evaluated"] == 2 * 16
    assert summary["parity"]["pushes"] == 5 and summary["parity"]["max_abs"] < 1e-3
    assert set(summary["scores"]) == {"start", "ppo"}
    for score in summary["scores"].values():
        low, high = score["ci95"]
        assert low <= score["return_mean"] <= high and score["episodes"] == 16
    assert {"total", "push", "gate", "sample", "learn", "evaluate"} <= set(summary["seconds"])
    config = json.loads((finished / "config.json").read_text())
    assert config["updates"] == 4 and config["provenance"]["versions"]["ray"]
    assert [line["update"] for line in lines(finished)] == [1, 2, 3, 4]


def test_every_episode_is_on_disk_with_its_version(finished: Path) -> None:
    from lmrl.data import load

    played = [t for t in load(finished / "trajectories") if t.player.startswith("v")]
    summary = json.loads((finished / "summary.json").read_text())
    assert len(played) == summary["ledger"]["trained"]
    assert len({t.seed for t in played}) == len(played)
    for trajectory in played:
        versions = {v for turn in trajectory.turns for v in turn.versions.tolist()}
        assert versions == {int(trajectory.player.removeprefix("v"))}


def test_checkpoints_load_as_they_are(finished: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = finished / "checkpoints" / "last"
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([tokenizer.encode("There is a wall above you.\n")])
    assert torch.isfinite(model(ids).logits).all()


def test_a_finished_run_is_not_overwritten(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "maze-fo-ppo", "--run-dir", str(finished)]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main(["train", "--resume", str(finished)]) == 2
    assert "has ended" in capsys.readouterr().err


def test_a_resumed_run_is_the_unbroken_one(finished: Path, tmp_path: Path) -> None:
    """As after a crash behind update 2: the same episodes, the same losses, the same weights."""
    from safetensors.torch import load_file

    broken = tmp_path / "broken"
    shutil.copytree(finished, broken, symlinks=True)
    (broken / "summary.json").unlink()
    shutil.rmtree(broken / "checkpoints" / "step-4")
    last = broken / "checkpoints" / "last"
    last.unlink()
    last.symlink_to("step-2")
    assert main(["train", "--resume", str(broken)]) == 0
    whole, resumed = lines(finished), lines(broken)[4:]
    assert [line["update"] for line in resumed] == [3, 4]
    for before, after in zip(whole[2:], resumed, strict=True):
        for name in ("rollout/return", "rollout/episodes", "learner/loss", "learner/grad_norm"):
            assert after[name] == pytest.approx(before[name], rel=1e-3, abs=1e-4), name
    ours = load_file(broken / "checkpoints" / "step-4" / "model.safetensors")
    theirs = load_file(finished / "checkpoints" / "step-4" / "model.safetensors")
    assert max((ours[name] - theirs[name]).abs().max().item() for name in theirs) < 1e-3
    summary = json.loads((broken / "summary.json").read_text())
    assert summary["ledger"] == json.loads((finished / "summary.json").read_text())["ledger"]


def test_a_checkpoint_is_evaluated_by_name(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished / "checkpoints" / "last"
    arguments = ["evaluate", "--checkpoint", str(folder), "--task", "maze-fo", "--episodes", "8"]
    options = ["--options", '{"max_steps": 6}', "--max-tokens", "8", "--json"]
    assert main([*arguments, *options]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["episodes"] == 8 and -28 <= record["return_mean"] <= 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (["--sampler.count", "99"], "needs 99.75 CPUs and Ray has 8"),
        (["--model.context", "24"], "too short for one turn of maze-fo"),
    ],
)
def test_what_cannot_run_leaves_nothing_behind(
    local_ray: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: list[str],
    sentence: str,
) -> None:
    import ray

    free = ray.available_resources()["CPU"]
    folder = tmp_path / "run"
    assert main(["train", "maze-fo-bc", "--run-dir", str(folder), *change]) == 2
    assert sentence in capsys.readouterr().err
    assert not folder.exists()
    assert ray.available_resources()["CPU"] >= free  # an earlier test may still be giving back


def test_a_run_that_cannot_start_replaces_nothing(
    local_ray: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    arguments = ["train", "maze-fo-bc", "--run-dir", str(folder), "--overwrite"]
    assert main([*arguments, "--sampler.count", "99"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (folder / "config.json").read_text() == "{}"


def test_ctrl_c_ends_cleanly(tmp_path: Path) -> None:
    """As at a terminal: the signal reaches the whole process group, and nothing is left running."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "lmrl", "train", "maze-fo-bc", "--run-dir", str(run)]
    process = subprocess.Popen(
        [*command, "--updates", "100000", "--data.episodes", "20", "--evaluation.random", "false",
         "--evaluation.start_episodes", "0", "--options", '{"max_steps": 5}'],
        cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True,
        # A shell's background job, as these tests may be, ignores the signal and hands that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.5)
    children = psutil.Process(process.pid).children(recursive=True)
    assert any("Sampler" in " ".join(child.cmdline()) for child in children)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors[-2000:]
    assert "interrupted" in errors and "Traceback" not in errors
    assert json.loads((run / "status.json").read_text())["phase"] == "stopped"
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive


@pytest.mark.parametrize("kind", ["online-filtered-bc", "online-ilql"])
def test_an_online_run_of_another_kind_goes_on_where_it_was(
    kind: str, local_ray: None, checkpoint: Path, tmp_path: Path
) -> None:
    """Its rounds are counted, replayed ones are not, and a resumed run comes to the same end."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    fields = ["--model.path", str(checkpoint), *SMALL, "--data.episodes", "40"]
    assert main(["train", f"maze-fo-{kind}", "--run-dir", str(whole), *fields]) == 0
    summary = json.loads((whole / "summary.json").read_text())
    ledger = summary["ledger"]
    ended = ledger["trained"] + ledger["evaluated"] + ledger["stale"] + ledger["failed"]
    assert ledger["started"] == ended and ledger["trained"] >= 4 * 16
    shutil.copytree(whole, cut, symlinks=True)
    (cut / "summary.json").unlink()
    shutil.rmtree(cut / "checkpoints" / "step-4")
    (cut / "checkpoints" / "last").unlink()
    (cut / "checkpoints" / "last").symlink_to("step-2")
    for update in (3, 4):
        for file in (cut / "trajectories").glob(f"update-{update:05d}-*"):
            file.unlink()
    assert main(["train", "--resume", str(cut)]) == 0
    again = lines(cut)[-2:]
    for before, after in zip(lines(whole)[2:], again, strict=True):
        assert after["learner/loss"] == pytest.approx(before["learner/loss"], rel=1e-4)
        assert after["rollout/return"] == before["rollout/return"]
