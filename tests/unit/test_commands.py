"""The commands that describe tasks, look into runs, begin something new, and go on."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmrl import __version__
from lmrl.cli import main, reference
from lmrl.data.generate import episodes
from lmrl.data.store import load, write
from lmrl.data.unfinished import partial_folder
from lmrl.tasks import known, make
from lmrl.tasks.contract import CHECKS, check
from lmrl.tasks.maze import Maze

ROOT = Path(__file__).resolve().parents[2]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the output of a command that succeeds."""
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def cpu_seconds(*arguments: str) -> float:
    """Return the CPU time of a command in a process of its own, the best of three, in seconds."""
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "lmrl", *arguments], check=True, capture_output=True, cwd=ROOT
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def test_help_and_the_list_of_presets_answer_at_once() -> None:
    assert cpu_seconds("--help") < 0.3
    assert cpu_seconds("train", "--list") < 0.5


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"lmrl {__version__}\n"


def test_presets_are_a_table_with_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    from cluster.presets import PRESETS

    measured = PRESETS["maze-fo-ppo"].measured
    assert measured is not None
    rows = {line.split()[0]: line for line in run(capsys, "train", "--list").splitlines() if line}
    mean = f"{sum(measured.returns) / len(measured.returns):.2f}"
    figures = rf"{re.escape(mean)} +{measured.minutes:.0f} +{measured.result}"
    assert re.search(rf"maze-fo +ppo +2 x 64 +{figures}", rows["maze-fo-ppo"])
    assert "not measured" in rows["maze-fo-bc"] and "12 x 768" in rows["maze-fo-bc-gpt2"]
    records = json.loads(run(capsys, "train", "--list", "--json"))
    assert {row["preset"] for row in records} <= set(rows)


def test_every_field_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    from cluster.presets import PRESETS

    one_each = {exp.algorithm.name: name for name, (exp, _) in PRESETS.items()}
    for name in one_each.values():
        for row in json.loads(run(capsys, "train", name, "--fields", "--json")):
            assert row["text"], row["field"]
            assert row["takes"], row["field"]
    text = run(capsys, "train", "maze-fo-ppo", "--fields")
    assert "--learner.optimiser.lr 0.0005" in text and "a number above 0" in text


# -- tasks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [*sorted(known()), "examples.own_task:GuessNumber"])
def test_a_task_is_described(capsys: pytest.CaptureFixture[str], task: str) -> None:
    text = run(capsys, "tasks", task)
    for part in ("rules", "players", "variants", "options", "example", "normalised"):
        assert part in text
    record = json.loads(run(capsys, "tasks", task, "--json"))
    assert record["rules"] == make(task).instructions
    assert record["example"].count("\n") >= 2
    for option in record["options"]:
        assert option["text"] and option["takes"] != "a JSON value", option


def test_registered_tasks_keep_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    for task in ("maze-fo", "wordle", "examples.own_task:GuessNumber"):
        out = run(capsys, "check", task, "--episodes", 3)
        assert f"{len(CHECKS)} of {len(CHECKS)} checks passed" in out


class Forgetful(Maze):
    """A maze whose start does not follow from the seed, and whose actions fail."""

    rng_calls = 0
    reward_range = (-1.0, 0.0)

    def reset(self, **given: Any) -> Any:
        """Start anywhere."""
        Forgetful.rng_calls += 1
        return super().reset(seed=Forgetful.rng_calls)

    def step(self, action: str) -> Any:
        """Fail at an empty action."""
        assert action.strip()
        return super().step(action)


def test_a_task_that_breaks_the_contract_is_told_how(capsys: pytest.CaptureFixture[str]) -> None:
    found = {finding.check: finding for finding in check("test_commands:Forgetful", {}, 3)}
    assert not found["same seed same episode"].ok
    assert "random.Random(seed)" in found["same seed same episode"].text
    assert not found["any text is an action"].ok
    assert "AssertionError" in found["any text is an action"].text
    assert main(["check", "test_commands:Forgetful"]) == 1
    assert "NO  same seed" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["task", "algorithm"])
def test_a_new_file_works_and_so_does_its_test(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"fresh_{kind}"
    out = run(capsys, "new", kind, name, "--out", tmp_path)
    assert f"Fresh{kind.capitalize()}" in out
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    for command in (
        ["pytest", "-q", "-p", "no:cacheprovider", f"test_{name}.py"],
        [
            "ruff",
            "check",
            "--isolated",
            "--select",
            "E,F,B,D10",
            "--ignore",
            "D105,D107",
            "--line-length",
            "100",
            ".",
        ],
        ["ruff", "format", "--isolated", "--line-length", "100", "--check", "."],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, env=environment, capture_output=True
        )
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    own = f"{name}:Fresh{kind.capitalize()}"
    call = ["ppo", "--task", own] if kind == "task" else [own, "--task", "maze-fo"]
    planned = subprocess.run(
        [sys.executable, "-m", "lmrl", "train", *call, "--dry-run"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert planned.returncode == 0 and "memory" in planned.stdout, planned.stderr
    assert main(["new", kind, name, "--out", str(tmp_path)]) == 2
    assert "choose another NAME" in capsys.readouterr().err


# -- playing --------------------------------------------------------------------------------------


def test_policies_are_watched_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "watch", "maze-fo", "--policy", "random", "optimal", "--seed", 3)
    assert "random: return" in out and "optimal: return" in out and "> move" in out


# -- runs -----------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with an ended run, whose name is not plain, and with a damaged one."""
    run = tmp_path / "runs" / "a run: ü"
    scored = list(episodes(make("maze-fo"), "maze-fo", 9, 50, "mixture", {}))
    write(scored, run / "trajectories" / "evaluation")
    stored = run / "trajectories" / "evaluation"
    (stored / "part-00000.parquet").rename(stored / "ppo-00004.parquet")
    write(scored[:2], stored)
    (stored / "part-00000.parquet").rename(stored / "bc-00000.parquet")
    (run / ".lmrl-run").write_text("{}")
    config = {"task": "maze-fo", "algorithm": {"name": "ppo"}, "updates": 4, "seed": 0}
    (run / "config.json").write_text(json.dumps(config))
    (run / "status.json").write_text(json.dumps({"time": 1.0, "phase": "finished", "update": 4}))
    score = {"policy": "ppo", "update": 4, "return_mean": -12.5}
    (run / "scores.jsonl").write_text(json.dumps(score) + "\n" + '{"policy": ')
    (run / "summary.json").write_text("{}")
    broken = tmp_path / "runs" / "broken"
    broken.mkdir()
    (broken / ".lmrl-run").write_bytes(b"\xff")
    hostile = {"task": "\x1b[2J[bold]<script>", "algorithm": 7, "updates": "many", "seed": None}
    (broken / "config.json").write_text(json.dumps(hostile))
    (broken / "status.json").write_bytes(b"\xff\x00{")
    (broken / "metrics.jsonl").write_text("[1]\nnull\n{")
    return tmp_path


def test_runs_are_listed_whatever_they_hold(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    out = run(capsys, "runs", home / "runs")
    assert "a run: ü" in out and "-12.50" in out and "4/4" in out
    assert "\x1b" not in out and "[bold]<script>" in out
    rows = {Path(row["run"]).name: row for row in json.loads(run(capsys, "runs", home, "--json"))}
    assert rows["a run: ü"]["state"] == "ended" and rows["broken"]["updates"] is None
    assert "\x1b" not in run(capsys, "status", home / "runs" / "broken")


def test_a_run_is_described_with_the_next_commands(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    moved = home / "moved"
    shutil.move(home / "runs" / "a run: ü", moved)
    out = run(capsys, "status", moved)
    assert "ended" in out and "ppo after update 4: -12.50" in out
    assert f"next       lmrl evaluate checkpoint {moved}" in out
    (moved / "summary.json").unlink()
    out = run(capsys, "status", moved)
    assert "stopped" in out and f"lmrl train --resume {moved}" in out


def test_transcripts_are_chosen_by_return_and_seed(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    folder = home / "runs" / "a run: ü"
    returns = sorted(t.total_reward for t in load(folder / "trajectories" / "evaluation"))

    def shown(*options: object) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            run(capsys, "transcripts", folder, *options, "--json")
        )
        return found

    best, median, worst = shown()
    assert best["return"] >= median["return"] >= worst["return"] == returns[0]
    assert [row["return"] for row in shown("--best", 2, "--worst", 1)][-1] == worst["return"]
    assert [row["seed"] for row in shown("--seed", 52, 50)] == [52, 50]
    assert {row["seed"] for row in shown("--policy", "bc", "--best", 9)} == {50, 51}
    assert len(shown("--best", 0, "--worst", 2)) == 2
    text = run(capsys, "transcripts", folder, "--best", 1)
    assert "[end]" in text and "> move" in text


# -- going on -------------------------------------------------------------------------------------


class Stops(Exception):
    """Ends a command in the middle."""


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function after which the scripted players stop at a seed."""
    from lmrl.episode import play

    def at(module: str, limit: int) -> None:
        def stopping(env: Any, player: str, seed: int, *given: Any, **named: Any) -> Any:
            if seed >= limit:
                raise Stops
            return play(env, player, seed, *given, **named)

        monkeypatch.setattr(f"{module}.play", stopping)

    yield at


def test_a_data_set_goes_on_where_it_was(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stopped: Any
) -> None:
    out = tmp_path / "my data: ä"
    call = ["data", "generate", "maze-fo", "--episodes", "30", "--out", str(out)]
    with pytest.MonkeyPatch.context():
        stopped("lmrl.data.generate", 20)
        with pytest.raises(Stops):
            main(call)
    assert not out.exists() and len(list(load(partial_folder(out)))) == 20
    capsys.readouterr()
    assert main(call) == 2 and "go on with --resume" in capsys.readouterr().err
    assert main([*call[:-3], "31", "--out", str(out), "--resume"]) == 2
    assert "goes on with episodes 30" in capsys.readouterr().err
    stopped("lmrl.data.generate", 10**9)
    assert "30 episodes" in run(capsys, *call, "--resume")
    assert [t.seed for t in load(out)] == list(range(30))
    assert not partial_folder(out).exists()
    assert main([*call, "--resume"]) == 2 and "it is complete" in capsys.readouterr().err


def test_an_evaluation_goes_on_where_it_was(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stopped: Any
) -> None:
    out = tmp_path / "scores"
    call = ["evaluate", "player", "optimal", "--task", "maze-fo", "--first-seed", "0"]
    call += ["--episodes", "250", "--json"]
    whole = json.loads(run(capsys, *call))
    stopped("cluster.evaluation.scripted", 150)
    with pytest.raises(Stops):
        main([*call, "--out", str(out)])
    parts = list((out / ".parts").glob("*.parquet"))
    assert [path.name for path in parts] == ["evaluation-00000.parquet"]
    capsys.readouterr()
    assert main([*call, "--out", str(out)]) == 2
    assert "go on with --resume" in capsys.readouterr().err
    assert main([*call, "--out", str(out), "--resume", "--options.max-steps", "3"]) == 2
    assert "goes on with options {}" in capsys.readouterr().err
    stopped("cluster.evaluation.scripted", 10**9)
    parts[0].touch()
    assert json.loads(run(capsys, *call, "--out", out, "--resume")) == whole
    assert [t.seed for t in load(out)] == list(range(250)) and not (out / ".parts").exists()
    assert json.loads(run(capsys, *call, "--out", out, "--resume")) == whole


# -- the page and the shell -----------------------------------------------------------------------


def test_the_page_lists_every_command_as_the_parser_does() -> None:
    text = reference.PAGE.read_text(encoding="utf-8")
    assert text == reference.updated(text), "run python -m lmrl.cli.reference"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shell_completes_commands_options_and_names(
    capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    script = run(capsys, "completion", shell)
    for word in ("transcripts", "--run-dir", "maze-fo-ppo", "twenty-questions", "--first-seed"):
        assert word in script
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
