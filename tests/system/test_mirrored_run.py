"""A run that is copied to a server of S3 goes on from the copy in another directory."""

import json
from pathlib import Path

import pytest
from s3_server import BUCKET, s3_server

from lmrl.cli import main

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def metrics(folder: Path) -> list[dict[str, float]]:
    """Return metrics that show other weights, data or random numbers."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: row[f"train/{name}"] for name in ("loss", "approx_kl", "grad_norm")} for row in rows
    ]


def test_a_run_goes_on_from_its_copy(local_ray: None, checkpoint: Path, tmp_path: Path) -> None:
    """In the new directory it goes on after update 1, and copies itself to the same URI."""
    run, again = tmp_path / "run", tmp_path / "again"
    with s3_server() as query:
        uri = f"s3://{BUCKET}/maze{query}"
        fields = {
            "--run-dir": run, "--mirror": uri, "--model.path": checkpoint, "--updates": 2,
            "--save-every": 1, "--options": '{"max_steps": 8}', "--rollouts.min-episodes": 8,
            "--rollouts.turns": 64, "--evaluation.episodes": 4, "--evaluation.start-episodes": 0,
            "--evaluation.random": "false",
        }  # fmt: skip
        words = [str(word) for pair in fields.items() for word in pair]
        assert main(["train", "maze-fo-ppo", *words]) == 0
        other = ["--run-dir", str(tmp_path / "other"), *words[2:]]
        assert main(["train", "maze-fo-ppo", *other]) == 2  # the URI has another run
        assert not (tmp_path / "other").exists()
        assert main(["mirror", uri, str(again)]) == 0
        (again / "summary.json").unlink()
        (again / "checkpoints" / "last").unlink()
        (again / "checkpoints" / "last").symlink_to("step-1")
        assert main(["train", "--resume", str(again)]) == 0
        assert metrics(again) == metrics(run) and len(metrics(run)) == 2
        third = tmp_path / "third"
        assert main(["mirror", uri, str(third)]) == 0
    for name in ("summary.json", "metrics.jsonl", "checkpoints/last/model.safetensors"):
        assert (third / name).read_bytes() == (again / name).read_bytes()
