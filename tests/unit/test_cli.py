"""The command line: figures as JSON, and one clear sentence with exit code 2 for bad input."""

import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from learners.algorithms.offline.mc import MC
from lmrl.cli import main
from lmrl.data.store import write
from lmrl.episode import play
from lmrl.tasks import make


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    out = capsys.readouterr()
    return code, out.out, out.err


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the one sentence of a refused command."""
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("lmrl: ") and err.count("\n") == 1, err
    return err


def test_tasks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "tasks", "--json")
    names = [row["task"] for row in json.loads(out)]
    assert code == 0 and {"maze-fo", "maze-po"} <= set(names)


def test_data_are_generated_and_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "maze"
    code, text, _ = run(
        capsys, "data", "generate", "maze-fo", "--episodes", 30, "--out", out, "--json"
    )
    assert code == 0 and json.loads(text)["episodes"] == 30
    code, text, _ = run(capsys, "data", "show", out, "--json")
    facts = json.loads(text)
    assert code == 0 and facts["episodes"] == 30 == sum(facts["histogram"]["counts"])
    assert facts["tasks"] == {"maze-fo": 30} and "move" in facts["transcript"]
    assert [p.name for p in tmp_path.iterdir()] == ["maze"]
    assert "not empty" in refused(
        capsys, "data", "generate", "maze-fo", "--episodes", 3, "--out", out
    )


def test_unknown_names_get_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'maze-fo'" in refused(capsys, "play", "mze-fo")
    assert "did you mean 'maze-fo-ppo'" in refused(capsys, "train", "maze-fo-pppo")
    assert "did you mean '--algorithm.clip'" in refused(
        capsys, "train", "maze-fo-ppo", "--algorithm.clipp", 1
    )
    assert "did you mean '--learner.optimiser.lr'" in refused(
        capsys, "train", "maze-fo-ppo", "--learner.lr", 1
    )
    assert "did you mean 'optimal'" in refused(
        capsys, "evaluate", "player", "optimum", "--task", "maze-fo"
    )
    assert "last_k" in refused(capsys, "play", "maze-fo", "--options", '{"last_q": 1}')


def test_fields_are_checked_by_type_and_value(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    there = ["--run-dir", tmp_path / "run"]
    assert "updates" in refused(capsys, "train", "maze-fo-bc", "--updates", "many", *there)
    assert "above 0" in refused(capsys, "train", "maze-fo-bc", "--updates", 0, *there)
    assert "zero" in refused(capsys, "train", "maze-fo-bc", "--learner.optimiser.zero", 7, *there)
    assert "max_staleness" in refused(capsys, "train", "maze-fo-ppo", "--max-staleness", 2, *there)
    assert "leaves no space" in refused(capsys, "train", "maze-fo-bc", "--model.context", 8, *there)
    assert not (tmp_path / "run").exists()


def test_what_cannot_start_is_refused_before_ray_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import ray

    before = ray.is_initialized()  # by another test of the session
    file = tmp_path / "file"
    file.write_text("")
    assert "cannot be written" in refused(capsys, "train", "maze-fo-bc", "--run-dir", file / "run")
    assert "is not a checkpoint directory" in refused(
        capsys, "evaluate", "checkpoint", tmp_path / "nothing", "--task", "maze-fo"
    )
    assert "cut off" in refused(
        capsys, "train", "maze-fo-bc", "--data.path", file, "--run-dir", tmp_path / "run"
    )
    assert "no data set" in refused(
        capsys, "train", "maze-fo-bc", "--data.path", tmp_path / "none", "--run-dir", tmp_path / "r"
    )
    assert not (tmp_path / "run").exists() and not (tmp_path / "r").exists()
    (tmp_path / "config.json").write_text('{"updatez": 1}')
    assert "updatez" in refused(capsys, "train", "maze-fo-bc", "--config", tmp_path / "config.json")
    assert ray.is_initialized() == before


def test_data_that_cannot_be_learned_from_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    env = make("maze-fo", max_steps=3)
    episodes = [play(env, "random", seed, "maze-fo") for seed in range(3)]
    write(episodes, tmp_path / "maze")
    silent = [
        replace(e, turns=tuple(replace(turn, action="") for turn in e.turns)) for e in episodes
    ]
    write(silent, tmp_path / "silent")

    def said(preset: str, *fields: object) -> str:
        return refused(capsys, "train", preset, "--run-dir", tmp_path / "run", *fields)

    maze = ("--data.path", tmp_path / "maze")
    assert "has episodes of maze-fo, and the task is wordle" in said("wordle-mc", *maze)
    mixed = f"{tmp_path / 'maze'}:0.5 {tmp_path / 'silent'}:0.5"
    assert "no episode with an action" in said("maze-fo-ilql", "--data.path", mixed)
    threshold = ("--algorithm.threshold", 1)
    assert "none of the 3 episodes" in said("maze-fo-filtered-bc", *maze, *threshold)
    assert "beta" in said("maze-fo-mc", *maze, "--algorithm.beta", "nan")
    assert "model.lines is -1" in said("maze-fo-bc", "--model.lines", -1)
    guided = {"n_positions": 512, "lmrl_value_guidance": asdict(MC().guidance)}
    (tmp_path / "guided").mkdir()
    (tmp_path / "guided" / "config.json").write_text(json.dumps(guided))
    assert "value-guided policy" in said("maze-fo-bc", "--model.path", tmp_path / "guided")
    assert not (tmp_path / "run").exists()


def test_a_plan_is_printed_without_a_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, _ = run(
        capsys, "train", "maze-po-ppo", "--dry-run", "--run-dir", tmp_path / "run", "--seed", 3
    )
    assert code == 0 and "ppo on maze-po" in out
    assert not (tmp_path / "run").exists()


def test_every_preset_is_sound(capsys: pytest.CaptureFixture[str], chat_checkpoint: Path) -> None:
    from cluster.presets import PRESETS

    for name, (exp, _) in PRESETS.items():
        # Those for pretrained weights have none here.
        model = ["--model.pretrained", "false"] if exp.model.pretrained else []
        if exp.model.path:
            model = ["--model.path", str(chat_checkpoint)]
        code, out, _ = run(capsys, "train", name, "--dry-run", "--json", *model)
        assert code == 0 and json.loads(out)["task"] == exp.task


def test_fields_and_files_change_a_preset(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "fields.json"
    file.write_text(json.dumps({"updates": 3, "algorithm": {"clip": 0.5}}))
    code, out, _ = run(
        capsys,
        "train",
        "maze-fo-ppo",
        "--config",
        file,
        "--algorithm.gamma",
        0.5,
        "--dry-run",
        "--json",
    )
    fields = json.loads(out)
    assert code == 0 and fields["updates"] == 3
    assert (fields["algorithm"]["clip"], fields["algorithm"]["gamma"]) == (0.5, 0.5)


def test_fields_are_printed_as_they_are_given(capsys: pytest.CaptureFixture[str]) -> None:
    from cluster.presets import preset

    code, out, _ = run(capsys, "train", "maze-fo-bc", "--fields")
    names = re.findall(r"^--(\S+)", out, re.MULTILINE)
    assert code == 0 and "save-every" in names and not any("_" in name for name in names)
    # A field is recognised as printed, and with the underscores of a file.
    for spelled in ("--data.batch", "--save-every", "--save_every"):
        code, out, _ = run(capsys, "train", "maze-fo-bc", spelled, "3", "--dry-run", "--json")
        fields = json.loads(out)
        assert code == 0 and 3 in (fields["save_every"], fields["data"]["batch"])
    assert preset("maze-fo-bc").save_every != 3 != preset("maze-fo-bc").data.batch


def test_a_config_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    from cluster.fields import read_config
    from cluster.presets import PRESETS

    one_each = {exp.algorithm.name: exp for exp, _ in PRESETS.values()}
    for exp in one_each.values():
        (tmp_path / "config.json").write_text(json.dumps(exp.to_json()))
        assert read_config(tmp_path / "config.json") == exp


def test_scripted_players_are_scored_without_ray(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capsys, "evaluate", "player", "optimal", "--task", "maze-fo", "--episodes", 50, "--json"
    )
    record = json.loads(out)
    assert code == 0 and record["episodes"] == 50
    low, high = record["ci95"]
    assert low <= record["return_mean"] <= high and record["normalised"] > 95


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    """A limit on the size of files stands in for it: the same call fails with a like error."""
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
        "from lmrl.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    out = tmp_path / "data"
    arguments = ["data", "generate", "maze-fo", "--episodes", "900", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "the disk is full, or a limit" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(out.glob("*.parquet"))


def test_a_file_with_an_algorithm_of_its_own_is_a_whole_experiment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.json"
    algorithm = {"name": "examples.own_algorithm:RewardWeighted", "temperature": 5.0}
    file.write_text(json.dumps({"task": "maze-fo", "updates": 3, "algorithm": algorithm}))
    code, out, _ = run(capsys, "train", "--config", file, "--dry-run", "--json")
    fields = json.loads(out)
    assert code == 0 and fields["updates"] == 3
    assert fields["algorithm"] == {**algorithm, "gamma": 1.0, "best": 0.0}
    file.write_text(json.dumps({"task": "maze-fo", "algorithm": {"name": "no.such:Thing"}}))
    assert "cannot be imported" in refused(capsys, "train", "--config", file, "--dry-run")
