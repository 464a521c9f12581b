"""Whole runs through `lmrl train`: the summary adds up, and a resumed run is the unbroken one."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import ray

import lmrl
from benchmarks.resume.curve import curve, lines
from benchmarks.terminal import on_terminal
from cluster.reporting.prometheus import RayGauges
from lmrl.cli import main
from lmrl.errors import UsageError
from lmrl.runs.log import RunLog
from lmrl.runs.names import MARKER
from lmrl.schema import from_table
from lmrl.tokens.codec import Codec

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]

SMALL = [
    "--options", '{"max_steps": 12}', "--evaluation.episodes", "16",
    "--rollouts.min-episodes", "16", "--rollouts.turns", "160", "--updates", "4",
    "--save-every", "2", "--keep", "4",
    "--learner.optimiser.decay", "none", "--evaluation.random", "false",
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(local_ray: None, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    arguments = ["train", "maze-fo-ppo", "--run-dir", str(folder)]
    assert main([*arguments, "--model.path", str(checkpoint), *SMALL]) == 0
    return folder


def cut(finished: Path, folder: Path) -> Path:
    """Copy a run as it would be if its machine had died while it wrote the checkpoint of update 4:
    the run goes on from that of update 2."""
    shutil.copytree(finished, folder, symlinks=True)
    (folder / "summary.json").unlink()
    os.truncate(folder / "checkpoints" / "last" / "model.safetensors", 1000)
    return folder


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
    from lmrl.data.store import load

    played = list(load(finished / "trajectories" / "training"))
    assert {path.name for path in (finished / "trajectories").iterdir()} == {
        "training",
        "evaluation",
        "learner",
    }
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


def test_the_metrics_of_a_run_are_explained_and_complete(finished: Path) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    row = lines(finished)[-1]
    assert not [key for key in row if key not in ("update", "time") and f"`{key}`" not in page]
    assert {"rollout/success", "rollout/empty_actions", "rollout/illegal_actions"} <= set(row)
    assert 0.0 <= row["rollout/empty_actions"] <= row["rollout/illegal_actions"] <= 1.0
    log = (finished / "log.txt").read_text()
    assert "Traceback" not in log and "has constructor arguments" not in log


def test_what_the_learner_knew_lies_beside_the_episodes(finished: Path) -> None:
    home = finished / "trajectories"
    stems = {path.stem for path in (home / "learner").iterdir()}
    assert {"training-update-00001-0", "training-update-00004-0", "evaluation-ppo-00004"} <= stems
    assert not [stem for stem in stems if "random" in stem]
    for stem in stems:
        kind, _, name = stem.partition("-")
        found = pq.read_table(home / "learner" / f"{stem}.parquet")
        episodes = from_table(pq.read_table(home / kind / f"{name}.parquet"))
        for record in found.to_pylist():
            episode = episodes[record["row"]].executed()
            tokens = sum(len(turn.action_ids) for turn in episode.turns)
            assert len(record["log_prob"]) == len(record["advantage"]) == tokens > 0
            sampled = np.concatenate([turn.logprobs for turn in episode.turns])
            # The weights are those that sampled.
            assert np.abs(sampled - np.array(record["log_prob"])).max() < 1e-3


def test_an_exported_model_is_the_policy(
    finished: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other libraries load it with the same weights, and it has the run's score."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    out = tmp_path / "my model"
    assert main(["export", str(finished), "--out", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["update"] == 4 and not (out / "deepspeed").exists()
    model = AutoModelForCausalLM.from_pretrained(out)
    trained = AutoModelForCausalLM.from_pretrained(finished / "checkpoints" / "last")
    for ours, theirs in zip(model.parameters(), trained.parameters(), strict=True):
        assert ours.equal(theirs)
    codec = Codec.load(checkpoint)
    text = "move up\n"
    assert AutoTokenizer.from_pretrained(out)(text)["input_ids"] == codec.encode(text).tolist()
    settings = GenerationConfig.from_pretrained(out)
    assert settings.eos_token_id == codec.format.stop_ids("\n")
    assert (settings.top_k, settings.temperature, settings.max_new_tokens) == (0, 1.0, 8)
    scores = json.loads((finished / "summary.json").read_text())["scores"]
    card = (out / "README.md").read_text()
    assert f"| ppo | {scores['ppo']['return_mean']:.2f} |" in card and "`maze-fo`" in card
    assert lmrl.evaluate(out).to_json() == scores["ppo"]
    with pytest.raises(UsageError, match="was trained on maze-fo, and the task given is wordle"):
        lmrl.evaluate(finished, "wordle")


def test_what_cannot_be_exported_is_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run, name, sentence in (
        (tmp_path, "last", "is not a run directory"),
        (finished, "best", "has no checkpoint 'best'; it has last, step-2, step-4"),
        (finished, "..", "has no checkpoint '..'"),
    ):
        command = ["export", str(run), "--out", str(tmp_path / "out"), "--checkpoint", name]
        assert main(command) == 2
        shown = capsys.readouterr().err
        assert sentence in shown and shown.count("\n") == 1
        assert not (tmp_path / "out").exists()
    assert main(["export", str(finished), "--out", str(tmp_path)]) == 2
    assert "exists; choose another directory" in capsys.readouterr().err


def test_ray_exports_the_metrics(local_ray: None) -> None:
    gauges = RayGauges("a run")
    gauges.scalars(3, {"rollout/return_mean": -7.5, "train/loss": float("nan")})
    node = ray.nodes()[0]
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    for _ in range(60):
        with suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
            exported = answer.read().decode()
            found = re.findall(r'^ray_lmrl_(\w+){.*run="a run".*} (\S+)$', exported, re.M)
            if found:
                break
        time.sleep(1.0)
    assert dict(found) == {"update": "3.0", "rollout_return_mean": "-7.5"}


def test_a_resumed_run_is_the_unbroken_one(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a crash behind update 4: the same episodes, the same losses, the same weights, and
    nothing is recorded twice."""
    from safetensors.torch import load_file

    broken = cut(finished, tmp_path / "broken")
    assert main(["train", "--resume", str(broken)]) == 0
    assert "model.safetensors of step-4 has 1000 of its" in capsys.readouterr().err
    assert curve(broken) == curve(finished)
    scored = [json.loads(row) for row in (broken / "scores.jsonl").read_text().splitlines()]
    assert [(row["policy"], row["update"]) for row in scored] == [("start", 0), ("ppo", 4)]
    ours = load_file(broken / "checkpoints" / "step-4" / "model.safetensors")
    theirs = load_file(finished / "checkpoints" / "step-4" / "model.safetensors")
    assert all(ours[name].equal(theirs[name]) for name in theirs)
    summary = json.loads((broken / "summary.json").read_text())
    assert summary["ledger"] == json.loads((finished / "summary.json").read_text())["ledger"]


def test_a_checkpoint_is_scored_as_in_its_run(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Task, options, seeds, limits and context are the run's; a moved checkpoint carries them."""
    from lmrl.data.store import load

    moved = tmp_path / "moved"
    shutil.copytree(finished / "checkpoints" / "last", moved, symlinks=False)
    assert main(["evaluate", "checkpoint", str(moved), "--task", "wordle"]) == 2
    assert "was trained on maze-fo, and the task given is wordle" in capsys.readouterr().err
    out = tmp_path / "out"
    assert main(["evaluate", "checkpoint", str(moved), "--json", "--out", str(out)]) == 0
    record = json.loads(capsys.readouterr().out)
    trained = json.loads((finished / "summary.json").read_text())["scores"]["ppo"]
    assert {name: record[name] for name in trained} == trained
    stored = load(finished / "trajectories" / "evaluation" / "ppo-00004.parquet")
    for here, there in zip(load(out), stored, strict=True):
        assert here.seed == there.seed and here.options == there.options
        assert [turn.action for turn in here.turns] == [turn.action for turn in there.turns]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (["--sampler.count", "99"], "needs 99.75 CPUs in total where Ray has 8"),
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
    with RunLog(folder).locked():
        (folder / "config.json").write_text("{}")
        (folder / "thesis.tex").write_text("years of work")
    arguments = ["train", "maze-fo-bc", "--run-dir", str(folder), "--overwrite"]
    assert main([*arguments, "--sampler.count", "99"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (folder / "config.json").read_text() == "{}"
    assert {path.name for path in folder.iterdir()} == {MARKER, "config.json", "thesis.tex"}


@pytest.mark.parametrize(
    ("number", "code", "ended"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGUSR1, 143, "terminated"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGKILL, -9, ""),
    ],
)
def test_a_signal_ends_a_run_cleanly(
    finished: Path, tmp_path: Path, number: signal.Signals, code: int, ended: str
) -> None:
    """Nothing is left running, and the run directory says what happened. The signal reaches the
    whole process group, as at a terminal and from a batch system, and the last update is saved.
    SIGTERM and SIGKILL reach the driver alone. What is learned from are an online run's training
    episodes, as docs/running.md has it."""
    run, data = tmp_path / "run", finished / "trajectories" / "training"
    command = [sys.executable, "-m", "lmrl", "train", "maze-fo-bc", "--run-dir", str(run)]
    command += ["--data.path", str(data)]
    process = subprocess.Popen(
        [*command, "--updates", "100000", "--evaluation.random", "false",
         "--evaluation.start-episodes", "0", "--options", '{"max_steps": 5}'],
        cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True,
        # A shell's background job, as these tests may be, ignores the signal and hands that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.5)
    children = psutil.Process(process.pid).children(recursive=True)
    assert any("Sampler" in " ".join(child.cmdline()) for child in children)
    if number in (signal.SIGKILL, signal.SIGTERM):
        process.send_signal(number)
    else:
        os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors[-2000:]
    if ended:
        assert ended in errors and "Traceback" not in errors and "SIG" not in errors
        assert json.loads((run / "status.json").read_text())["phase"] == ended
    if ended:
        assert lines(run)[-1]["update"] == int(re.findall(r"step-(\d+) is saved", errors)[0])
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive


def test_a_terminal_is_never_silent_for_long(checkpoint: Path, tmp_path: Path) -> None:
    """benchmarks/results/terminal.json has exact figures; other tests run beside this one."""
    import pyte

    command = [
        sys.executable,
        "-m",
        "lmrl",
        "train",
        "maze-fo-ppo",
        "--run-dir",
        str(tmp_path / "r"),
    ]
    found = on_terminal([*command, "--model.path", str(checkpoint), *SMALL], 24, 80)
    assert found["exit_code"] == 0, found["output"]
    assert found["longest_silence_seconds"] < 10.0
    shown = pyte.HistoryScreen(80, 24, history=1000)
    pyte.Stream(shown).feed(found["output"])
    rows = [*shown.history.top, *(shown.buffer[i] for i in range(24))]
    text = "\n".join("".join(row[i].data for i in range(80)).rstrip() for row in rows)
    assert "ppo after update 4: return" in text and "next:" in text
    for word in ("core_worker", "Token authentication", "real_accelerator", "Triton", "Traceback"):
        assert word not in found["output"], word


def online(kind: str, folder: Path, checkpoint: Path, *fields: str) -> dict[str, float]:
    """Run an online preset, and return its ledger once it adds up."""
    command = ["train", f"maze-fo-{kind}", "--run-dir", str(folder), *SMALL, *fields]
    command += ["--model.path", str(checkpoint)]
    assert main([*command, "--evaluation.start-episodes", "0"]) == 0
    ledger: dict[str, float] = json.loads((folder / "summary.json").read_text())["ledger"]
    ended = ledger["trained"] + ledger["evaluated"] + ledger["stale"] + ledger["failed"]
    assert ledger["started"] == ended
    return ledger


def test_online_filtered_bc_counts_its_rounds(
    local_ray: None, checkpoint: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ledger = online("online-filtered-bc", run, checkpoint, "--updates", "2", "--keep", "1")
    assert ledger["trained"] >= 2 * 16


def test_a_run_is_extended_and_forked(
    finished: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--resume auto` begins a run, extends it and then has nothing to do; two updates and two more
    are the unbroken four. `--from` goes on elsewhere with other fields."""
    run, other = tmp_path / "run", tmp_path / "other"
    command = ["train", "maze-fo-ppo", "--run-dir", str(run), "--resume", "auto"]
    command += ["--model.path", str(checkpoint), *SMALL]
    assert main([*command, "--updates", "2"]) == 0
    assert [line["update"] for line in lines(run)] == [1, 2]
    assert main(command) == 0
    assert curve(run) == curve(finished)
    capsys.readouterr()
    assert main(command) == 0 and "has ended" in capsys.readouterr().out
    assert main([*command, "--seed", "3"]) == 2
    assert "--seed is 0 in" in (shown := capsys.readouterr().err) and "--from" in shown
    assert main(["train", "--resume", str(run), "--updates", "3"]) == 2
    assert "updates 3 is below the 4 updates" in capsys.readouterr().err
    fork = ["train", "--from", str(run), "--run-dir", str(other)]
    assert main([*fork, "--updates", "5", "--learner.lora.rank", "4"]) == 2
    assert "--learner.lora.rank is 0" in capsys.readouterr().err and not other.exists()
    assert main([*fork, "--algorithm.clip", "0.1"]) == 2
    assert "updates 4 leaves none" in capsys.readouterr().err and not other.exists()
    assert main([*fork, "--updates", "5", "--algorithm.clip", "0.1"]) == 0
    assert [line["update"] for line in lines(other)] == [5]
    assert json.loads((other / "config.json").read_text())["algorithm"]["clip"] == 0.1
    assert curve(run) == curve(finished)


def test_a_time_limit_saves_and_ends_a_run(
    local_ray: None, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = tmp_path / "run", finished / "trajectories" / "training"
    command = ["train", "maze-fo-bc", "--run-dir", str(run), "--data.path", str(data)]
    command += ["--evaluation.random", "false", "--evaluation.start-episodes", "0"]
    assert main([*command, "--updates", "100000", "--time-limit", "0.01"]) == 0
    shown = capsys.readouterr().err
    last = (run / "checkpoints" / "last").readlink().name
    assert f"the time limit is over; {last} is saved; go on with: lmrl train --resume" in shown
    assert json.loads((run / "status.json").read_text())["phase"] == "out of time"


THREE = ("--updates", "3", "--data.episodes", "40")


def test_a_resumed_run_replays_what_the_unbroken_one_did(
    local_ray: None, checkpoint: Path, tmp_path: Path
) -> None:
    """Replayed rounds are not counted, and none is read that was played after the checkpoint."""
    whole = tmp_path / "whole"
    assert online("online-ilql", whole, checkpoint, *THREE)["trained"] >= 48
    broken = cut(whole, tmp_path / "broken")
    assert main(["train", "--resume", str(broken)]) == 0
    assert curve(broken) == curve(whole)
