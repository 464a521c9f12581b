"""`lmrl evaluate` and `lmrl data generate` with models that answer or play, and sweeps."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

from openai_server import BROKEN, Server

from lmrl.cli import main
from lmrl.data.store import load
from lmrl.tasks import make


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    out = capsys.readouterr()
    return code, out.out, out.err


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "") and err.count("\n") == 1, err
    return err


def test_a_model_answers_a_scripted_player(
    capsys: pytest.CaptureFixture[str], server: Server, tmp_path: Path
) -> None:
    replies = iter(["Yes.", "No.", "Bananas!"] * 100)
    server.answer = lambda chat: next(replies)
    command = ["evaluate", "player", "optimal", "--task", "twenty-questions", "--episodes", 3]
    asks = ["--oracle", "parrot", "--oracle-endpoint", server.url, "--oracle-max-tokens", 5]
    code, out, _ = run(capsys, *command, *asks, "--json", "--out", tmp_path / "out")
    record = json.loads(out)
    assert code == 0 and record["episodes"] == 3
    played = list(load(tmp_path / "out"))
    assert {t.info["oracle"] for t in played} == {"parrot"}
    oracle = record["oracle"]
    assert oracle["name"] == "parrot" and oracle["retries"] == oracle["timeouts"] == 0
    assert oracle["replies"] == sum(len(t.turns) for t in played)
    assert oracle["replies"] - oracle["cached"] == len(server.requests)
    assert oracle["malformed"] == sum(t.info["oracle_malformed"] for t in played) > 0
    assert {request["max_tokens"] for request in server.requests} == {5}
    code, out, _ = run(capsys, *command, *asks)
    assert code == 0 and "oracle parrot: " in out and " malformed" in out
    assert "answered by parrot" in refused(capsys, "replay", tmp_path / "out")


def test_a_model_answers_while_data_are_made(
    capsys: pytest.CaptureFixture[str], server: Server, tmp_path: Path
) -> None:
    server.reply = "No deal. Output: Decision=Reject MSRP=$40,000"
    command = ["data", "generate", "car-dealer", "--episodes", 4, "--out", tmp_path / "data"]
    asks = ["--oracle", "parrot", "--oracle-endpoint", server.url, "--json"]
    code, out, _ = run(capsys, *command, *asks)
    record = json.loads(out)
    assert code == 0 and record["episodes"] == 4 and record["oracle"]["replies"] >= 4
    played = list(load(tmp_path / "data"))
    assert [t.seed for t in played] == [0, 1, 2, 3]
    assert {t.info["oracle"] for t in played} == {"parrot"}
    assert "not empty" in refused(capsys, *command, *asks)


def test_a_server_that_never_answers_stops_the_run_in_a_sentence(
    capsys: pytest.CaptureFixture[str], server: Server, tmp_path: Path
) -> None:
    server.plan = [BROKEN] * 100
    command = ["data", "generate", "twenty-questions", "--episodes", 2, "--out", tmp_path / "data"]
    asks = ["--oracle", "parrot", "--oracle-endpoint", server.url]
    code, out, err = run(capsys, *command, *asks)
    assert (code, out) == (1, "") and "the run stopped" in err and "did not answer" in err
    assert list(tmp_path.iterdir()) == []


def test_a_model_plays(capsys: pytest.CaptureFixture[str], server: Server, tmp_path: Path) -> None:
    server.reply = "Action: move left"
    command = ["evaluate", "prompt", "parrot", "--endpoint", server.url]
    command += ["--task", "maze-fo", "--options", '{"max_steps": 4}', "--episodes", "5"]
    code, out, _ = run(capsys, *command, "--json", "--shots", 1, "--out", tmp_path)
    record = json.loads(out)
    assert code == 0 and record["episodes"] == 5 and record["model"]["malformed"] == 0
    assert {turn.action for t in load(tmp_path) for turn in t.turns} == {"move left\n"}
    code, out, _ = run(capsys, *command)
    assert code == 0 and "normalised" in out and "model parrot: " in out
    code, out, _ = run(capsys, *command, "--temperature", 0, 0.5, "--json")
    rows: list[dict[str, Any]] = json.loads(out)
    assert code == 0 and [row["temperature"] for row in rows] == [0.0, 0.5]
    assert [row["beta"] for row in rows] == [None, None]
    assert [row["best"] for row in rows] == [True, False]  # equal: the first of them
    code, out, _ = run(capsys, *command, "--suite", "robustness", "--json")
    record = json.loads(out)
    assert code == 0 and {row["variant"] for row in record["variants"]} >= set(
        make("maze-fo").variants
    )


def test_a_model_plays_against_a_model(capsys: pytest.CaptureFixture[str], server: Server) -> None:
    server.answer = lambda chat: "Is it a lion?" if chat[0]["role"] == "system" else "No."
    there = ["--endpoint", server.url, "--oracle", "owl", "--oracle-endpoint", server.url]
    command = ["evaluate", "prompt", "parrot", *there]
    command += ["--task", "twenty-questions", "--episodes", "1", "--json"]
    code, out, _ = run(capsys, *command)
    record = json.loads(out)
    assert code == 0
    assert (record["model"]["name"], record["model"]["replies"]) == ("parrot", 20)
    assert (record["oracle"]["name"], record["oracle"]["cached"]) == ("owl", 19)


def test_what_does_not_go_together_is_refused(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, tmp_path: Path
) -> None:
    maze = ["--task", "maze-fo"]
    optimal = ["evaluate", "player", "optimal", *maze]
    trained = ["evaluate", "checkpoint", checkpoint, *maze]
    assert "nobody answers in maze-fo" in refused(capsys, *optimal, "--oracle", "smollm2")
    assert "nobody answers in maze-fo" in refused(
        capsys, "data", "generate", "maze-fo", "--oracle", "smollm2", "--out", tmp_path / "data"
    )
    assert "nobody answers in maze-fo" in refused(capsys, *trained, "--oracle", "smollm2")
    assert "needs --oracle" in refused(capsys, *optimal, "--oracle-endpoint", "http://here")
    assert "no/model is not a model" in refused(
        capsys, "evaluate", "player", "optimal", "--task", "car-dealer", "--oracle", "no/model"
    )
    assert "MODEL is missing" in refused(capsys, "evaluate", "prompt", *maze)
    for option in ("--model", "--endpoint", "--data", "--beta", "--temperature"):
        assert f"option {option} is unknown" in refused(capsys, *optimal, option, "smollm2")
    assert "no/model is not a model" in refused(capsys, "evaluate", "prompt", "no/model", *maze)
    here = ["evaluate", "prompt", "m", "--endpoint", "http://here", *maze]
    assert "no data set" in refused(capsys, *here, "--data", tmp_path / "none")
    assert "--shots is '-1'" in refused(capsys, *here, "--shots", -1)
    assert "is a plain policy" in refused(capsys, *trained, "--max-tokens", 4, "--beta", 1)
    assert "--temperature is '-1'" in refused(capsys, *trained, "--temperature", -1)
    assert "sweep without it" in refused(
        capsys, *trained, "--temperature", 0, 1, "--suite", "robustness"
    )
    assert not (tmp_path / "data").exists()


@pytest.fixture(scope="module")
def guided(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A value-guided policy with values drawn at random."""
    import torch

    from learners.algorithms.offline.ilql import ILQL
    from learners.checkpoints.guided import write_guided
    from learners.networks.causal_lm import load_causal_lm

    torch.manual_seed(0)
    algorithm = ILQL()
    assert algorithm.guidance is not None
    network = algorithm.network(lambda: load_causal_lm(checkpoint))
    weights = {
        weight.name: torch.randn_like(tensor) if weight.name.startswith("q") else tensor
        for weight in network.exported()
        for tensor in [weight.tensor()]
    }
    folder = tmp_path_factory.mktemp("guided") / "checkpoint"
    folder.mkdir()
    write_guided(folder, checkpoint, algorithm.guidance, weights)
    return folder


@pytest.mark.system
def test_a_sweep_scores_every_combination_with_one_sampler(
    capsys: pytest.CaptureFixture[str],
    local_ray: None,
    checkpoint: Path,
    guided: Path,
    tmp_path: Path,
) -> None:
    small = ["--task", "maze-fo", "--options", '{"max_steps": 3}', "--episodes", 4]
    small += ["--max-tokens", 4, "--json"]
    swept = [*small, "--temperature", 0, 1]
    command = ["evaluate", "checkpoint", guided, *swept, "--beta", 0, 50, "--out", tmp_path]
    code, out, _ = run(capsys, *command)
    rows = json.loads(out)
    assert code == 0
    assert [(row["temperature"], row["beta"]) for row in rows] == [(0, 0), (0, 50), (1, 0), (1, 50)]
    assert sum(row["best"] for row in rows) == 1
    said = {
        name: [
            [turn.action for turn in t.turns]
            for t in load(tmp_path / f"temperature-{name}.parquet")
        ]
        for name in ("0-beta-0", "0-beta-50", "1-beta-0", "1-beta-50")
    }
    assert len({str(value) for value in said.values()}) >= 3  # each setting says other things
    plain = tmp_path / "plain"
    code, out, _ = run(capsys, "evaluate", "checkpoint", checkpoint, *swept, "--out", plain)
    assert code == 0 and [row["beta"] for row in json.loads(out)] == [None, None]
    greedy = [[turn.action for turn in t.turns] for t in load(plain / "temperature-0.parquet")]
    assert greedy == said["0-beta-0"]  # with beta 0 the values have no say


@pytest.mark.system
def test_a_model_answers_a_checkpoint(
    capsys: pytest.CaptureFixture[str],
    local_ray: None,
    checkpoint: Path,
    server: Server,
    tmp_path: Path,
) -> None:
    server.reply = "No."
    command = ["evaluate", "checkpoint", checkpoint, "--task", "twenty-questions"]
    command += ["--options", '{"max_turns": 2}', "--episodes", 2, "--max-tokens", 4, "--json"]
    asks = ["--oracle", "parrot", "--oracle-endpoint", server.url, "--out", tmp_path]
    code, out, _ = run(capsys, *command, *asks)
    record = json.loads(out)
    assert code == 0
    assert (record["oracle"]["name"], record["oracle"]["replies"]) == ("parrot", 4)
    assert {t.info["oracle"] for t in load(tmp_path)} == {"parrot"}
