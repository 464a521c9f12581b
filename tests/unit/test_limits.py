"""What `--dry-run` refuses: values out of range, names, and fields that have no effect."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_cli import refused, run

from cluster.experiment import Experiment
from cluster.fields import change, read_config
from cluster.presets import PRESETS, preset
from learners.checkpoints.initial import make_start
from lmrl.cli import parser
from lmrl.cli.evaluation.options import fill_in
from lmrl.data.store import mixture
from lmrl.errors import UsageError
from lmrl.limits import leaves
from lmrl.tasks.maze import Maze

DRY = ("--run-dir", "nowhere", "--dry-run")


def test_every_preset_is_within_its_ranges(chat_checkpoint: Path) -> None:
    for name, (exp, _) in PRESETS.items():
        if exp.model.path:
            exp = replace(exp, model=replace(exp.model, path=str(chat_checkpoint)))
        if not name.endswith("-gpt2"):  # those want weights
            exp.check()


def test_every_number_has_a_range_or_may_be_any() -> None:
    """A new field without an annotation is either a mistake or belongs here."""
    free = {"value_start", "lowest", "highest", "threshold", "zero"}
    for exp, _ in PRESETS.values():
        for name, value, annotations in leaves(exp):
            if type(value) in (int, float) and not annotations:
                assert name.rpartition(".")[2] in free, name


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("maze-fo-ppo", "algorithm.gamma", 1.5),
        ("maze-fo-ppo", "algorithm.gamma", "nan"),
        ("maze-fo-ppo", "algorithm.lam", -0.1),
        ("maze-fo-ppo", "algorithm.clip", -0.2),
        ("maze-fo-ppo", "algorithm.epochs", 0),
        ("maze-fo-ppo", "algorithm.minibatch", -1),
        ("maze-fo-ppo", "algorithm.value_scale", 0),
        ("maze-fo-ppo", "algorithm.kl_coef", -1),
        ("maze-fo-ppo", "algorithm.bc_coef", -1),
        ("maze-fo-ilql", "algorithm.tau", 1.0),
        ("maze-fo-ilql", "algorithm.polyak", 0),
        ("maze-fo-ilql", "algorithm.top_p", 1.1),
        ("maze-fo-ilql", "algorithm.beta", "inf"),
        ("maze-fo-ilql", "algorithm.value_bounds", "[0, -10]"),
        ("maze-fo-qsft", "algorithm.support", 2),
        ("maze-fo-mc", "algorithm.cql_weight", -1),
        ("maze-fo-top10-bc", "algorithm.share", 0),
        ("maze-fo-bc", "algorithm.observation_weight", -1),
        ("maze-fo-bc", "learner.optimiser.lr", -1),
        ("maze-fo-bc", "learner.optimiser.betas", "[0.9, 1.0]"),
        ("maze-fo-bc", "learner.optimiser.warmup", -1),
        ("maze-fo-bc", "learner.optimiser.clip", -1),
        ("maze-fo-bc", "learner.micro_tokens", 0),
        ("maze-fo-bc", "learner.threads", -1),
        ("maze-fo-bc", "sampler.kv_gigabytes", 0),
        ("maze-fo-bc", "simulator.flush", 0),
        ("maze-fo-bc", "evaluation.temperature", -1),
        ("maze-fo-bc", "evaluation.every", -1),
        ("maze-fo-bc", "push.tolerance", 0),
        ("maze-fo-bc", "failures", 1.5),
        ("maze-fo-bc", "model.layers", 0),
        ("maze-fo-bc", "model.init_std", -1),
        ("maze-fo-bc", "model.vocabulary", 100),
        ("maze-fo-bc", "placement.timeout", 0),
        ("maze-fo-online-ilql", "algorithm.replay", 1.0),
    ],
)
def test_a_value_out_of_range_is_refused(
    capsys: pytest.CaptureFixture[str], name: str, field: str, value: Any
) -> None:
    said = refused(capsys, "train", name, f"--{field}", value, *DRY)
    assert field in said and ("has to be" in said or "lower one first" in said)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("maze-fo-bc", ["--data.player", "optimla"], "did you mean 'optimal'"),
        ("maze-fo-ppo", ["--start", "maze-fo-bcc"], "did you mean 'maze-fo-bc'"),
        ("maze-fo-ppo", ["--start", "maze-fo-ilql"], "value-guided policy"),
        ("maze-fo-bc", ["--model.width", "66", "--model.heads", "4"], "not a multiple"),
        ("maze-fo-bc", ["--model.heads", "4"], "size 16, and samplers on CPU support 32"),
        ("maze-fo-bc-gpt2", [], "is for pretrained weights; give a checkpoint directory with"),
        (
            "maze-fo-ppo",
            ["--rollouts.min-episodes", "9", "--rollouts.max-episodes", "8"],
            "exceeds",
        ),
    ],
)
def test_names_and_shapes_are_refused(
    capsys: pytest.CaptureFixture[str], name: str, arguments: list[str], words: str
) -> None:
    assert words in refused(capsys, "train", name, *arguments, *DRY)


@pytest.mark.parametrize(
    ("name", "arguments", "field"),
    [
        ("maze-fo-bc", ["--rollouts.turns", "9"], "rollouts.turns"),
        ("maze-fo-bc", ["--rollouts.min-episodes", "9"], "rollouts.min_episodes"),
        ("maze-fo-ppo", ["--algorithm.kl-horizon", "9"], "algorithm.kl_horizon"),
        ("maze-fo-ppo", ["--algorithm.value-bounds", "[-9, 0]"], "algorithm.value_bounds"),
        ("maze-fo-ppo", ["--data.batch", "9"], "data.batch"),
        ("maze-fo-bc", ["--evaluation.every-episodes", "9"], "evaluation.every_episodes"),
        ("maze-fo-bc", ["--learner.optimiser.head-lr", "1"], "learner.optimiser.head_lr"),
        ("maze-fo-bc", ["--learner.optimiser.zero-whole", "1"], "learner.optimiser.zero_whole"),
        ("maze-fo-filtered-bc", ["--algorithm.share", "0.2"], "algorithm.share"),
        ("maze-fo-bc", ["--oracle.temperature", "1"], "oracle.temperature"),
        ("maze-fo-bc", ["--oracle.sampler.count", "2"], "oracle.sampler.count"),
        (
            "maze-fo-bc",
            ["--placement.device", "cpu", "--sampler.gpu-memory", "0.1"],
            "sampler.gpu_memory",
        ),
        ("maze-fo-bc", ["--data.path", "x", "--data.episodes", "9"], "data.episodes"),
        ("maze-fo-ppo", ["--model.path", "x", "--model.layers", "9"], "model.layers"),
        ("maze-fo-ppo", ["--model.path", "x", "--data.episodes", "9"], "data.episodes"),
        ("maze-fo-bc", ["--model.line-std", "1"], "model.line_std"),
        ("maze-fo-bc", ["--model.format", "chat"], "model.format"),
        ("maze-fo-ppo", ["--learner.malformed-penalty", "1"], "learner.malformed_penalty"),
    ],
)
def test_a_field_without_effect_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, arguments: list[str], field: str
) -> None:
    said = refused(capsys, "train", name, *arguments, *DRY)
    assert said.startswith(f"lmrl: {field} was set to") and "no effect" in said


def test_a_configuration_file_is_held_to_the_same(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"rollouts": {"turns": 9}}))
    with pytest.raises(UsageError, match=r"rollouts\.turns was set to 9 and has no effect"):
        read_config(file, preset("maze-fo-bc"))
    assert read_config(file, preset("maze-fo-ppo")).rollouts.turns == 9
    # A run's own file names every field, and changes none of its preset's.
    file.write_text(json.dumps(preset("maze-fo-bc").to_json()))
    assert read_config(file, preset("maze-fo-bc")) == preset("maze-fo-bc") == read_config(file)


OPTIONS = {"a": "no", "b": "10", "c": 10, "d": "1e3", "e": "null", "f": ["yes", {"g": "1"}]}


class Loose(Maze):
    """A task whose options may be anything."""

    def __init__(self, a=0, b=0, c=0, d=0, e=0, f=0, h=0) -> None:  # type: ignore[no-untyped-def]
        super().__init__()


def test_json_values_stay_what_they_are(tmp_path: Path) -> None:
    exp = replace(preset("maze-fo-bc"), task="test_limits:Loose")
    exp = change(exp, [("options", json.dumps(OPTIONS)), ("updates", "3")])
    assert exp.options == OPTIONS and exp.updates == 3
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**exp.to_json()}))
    assert read_config(file).options == OPTIONS
    one = change(exp, [("options.a", "yes"), ("options.c", "11"), ("options.h", '"12"')])
    assert one.options == {**OPTIONS, "a": "yes", "c": 11, "h": "12"}


def test_options_have_the_types_of_the_task() -> None:
    exp = preset("maze-fo-bc")
    given = [("options.max_steps", "10"), ("options.faithful", "true"), ("options.goal", "[1, 2]")]
    assert change(exp, given).options == {"max_steps": 10, "faithful": True, "goal": [1, 2]}
    assert change(preset("wordle-bc"), [("options.vocab", "10")]).options["vocab"] == "10"
    with pytest.raises(UsageError, match=r"options\.max_steps is 'many'; give a whole number"):
        change(exp, [("options.max_steps", "many")])
    with pytest.raises(UsageError, match="did you mean 'max_steps'"):
        change(exp, [("options.max_step", "3")])


def test_options_that_are_no_object_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("[1]", "{", ""):
        assert "options is" in refused(capsys, "train", "maze-fo-bc", "--options", text, *DRY)


def test_a_relative_run_directory_is_refused_within_a_job(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")  # Ray sets it for a job's command
    for command in (
        ["train", "maze-fo-bc", *DRY],
        ["train", "maze-fo-bc", "--dry-run"],
        ["train", "--resume", "nowhere"],
        ["data", "generate", "maze-fo", "--episodes", "1", "--out", "data"],
    ):
        assert "is relative, and this Ray job" in refused(capsys, *command)
    code, _, _ = run(capsys, "train", "maze-fo-bc", "--run-dir", tmp_path / "run", "--dry-run")
    assert code == 0


def test_zero_means_zero(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    exp = preset("maze-fo-bc")
    make_start(replace(exp.model, init_std=0.0), ["move up\n"], tmp_path / "start", 0)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "start")
    assert float(model.get_input_embeddings().weight.detach().abs().max()) == 0.0


def test_a_path_that_exists_is_a_path(tmp_path: Path) -> None:
    for name in ("my data", "a:0.5", "b:1 c:2"):
        (tmp_path / name).mkdir()
        assert mixture(str(tmp_path / name)) == {tmp_path / name: 1.0}
    text = f"{tmp_path}/my data:1 {tmp_path}/a:0.5:3"
    assert mixture(text) == {tmp_path / "my data": 0.25, tmp_path / "a:0.5": 0.75}
    assert mixture("x:1 y:3") == {Path("x"): 0.25, Path("y"): 0.75}
    with pytest.raises(UsageError, match="is not PATH:WEIGHT"):
        mixture("x y")


def test_what_is_right_passes(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--algorithm.kl-target", "0.1", "--algorithm.kl-horizon", "9", "--algorithm.kl-coef", "0.1",
        "--rollouts.turns", "9", "--evaluation.every", "2", "--evaluation.every-episodes", "3",
    ]  # fmt: skip
    code, out, _ = run(capsys, "train", "maze-fo-ppo", *arguments, *DRY, "--json")
    assert code == 0 and json.loads(out)["algorithm"]["kl_horizon"] == 9.0


def test_head_sizes_are_those_of_the_installed_engine() -> None:
    cpu = pytest.importorskip("vllm.v1.attention.backends.cpu_attn")
    from actors.config import CPU_HEAD_SIZES

    assert list(CPU_HEAD_SIZES) == cpu.CPUAttentionBackend.get_supported_head_sizes()


def test_the_experiment_itself_is_checked() -> None:
    exp = preset("maze-fo-ppo")
    assert isinstance(exp, Experiment)
    with pytest.raises(UsageError, match=r"algorithm\.gamma is 2; it has to be at least 0"):
        replace(exp, algorithm=replace(exp.algorithm, gamma=2.0)).check()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: (f / "model.safetensors").write_bytes(b"\x10" * 99), "cut off or not a weights"),
        (
            lambda f: (f / "model.safetensors").write_bytes(
                (f / "model.safetensors").read_bytes()[:-1000]
            ),
            "cut off or not a weights",
        ),
        (lambda f: (f / "model.safetensors").unlink(), "has no weights"),
        (lambda f: (f / "config.json").write_text('{"n_positions": '), "config.json"),
        (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer could be read"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "no tokenizer could be read"),
        (
            lambda f: (f / "model.safetensors.index.json").write_text(
                '{"weight_map": {"a": "model-00002-of-00002.safetensors"}}'
            ),
            "lacks model-00002-of-00002.safetensors",
        ),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_refused(
    checkpoint: Path, tmp_path: Path, damage: Any, sentence: str
) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(checkpoint, copied)
    exp = preset("maze-fo-bc")
    exp = replace(exp, model=replace(exp.model, path=str(copied)))
    exp.check()
    damage(copied)
    with pytest.raises(UsageError, match=sentence):
        exp.check()


def test_an_option_that_is_given_leaves_the_others_of_the_run(
    checkpoint: Path, tmp_path: Path
) -> None:
    """A policy of a hundred words is not scored on all of them because one option was given."""
    made = replace(preset("wordle-bc"), options={"words": 100})
    (tmp_path / "experiment.json").write_text(json.dumps(made.to_json()))
    command = ["evaluate", "checkpoint", str(tmp_path), "--options.faithful", "true"]
    options = parser().parse_args(command)
    fill_in(options)
    assert options.options == {"words": 100, "faithful": True}


def test_the_gate_allows_for_values_that_the_sampler_multiplies() -> None:
    """With beta 32 a run was stopped by rounding: a 95 % quantile of 1.53e-4 nats."""
    exp = preset("maze-fo-ilql")
    assert exp.tolerance == preset("maze-fo-ppo").tolerance == 1e-3
    sharp = replace(exp, algorithm=replace(exp.algorithm, beta=32.0))
    assert sharp.tolerance == pytest.approx(4e-3)
    own = replace(sharp, push=replace(exp.push, tolerance=1e-4))
    assert own.tolerance == 1e-4
