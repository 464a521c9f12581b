"""Wrong calls: exit code 2, one sentence with the remedy, no traceback, and nothing written."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmrl.cli import main, parser
from lmrl.cli.reference import commands

COMMANDS = {command.prog.removeprefix("lmrl "): command for command in commands(parser())}


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """Return the one sentence of a refused call."""
    before = written()
    code = main(arguments)
    out, err = capsys.readouterr()
    assert code == 2, (out, err)
    assert out == "" and "Traceback" not in err
    assert err.startswith("lmrl: ") and err.count("\n") == 1, err
    assert written() == before
    return err


def written() -> list[tuple[str, int]]:
    """Return the files in the working directory with their sizes."""
    here = Path()
    return sorted((str(path), path.stat().st_size) for path in here.rglob("*"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a few wrong files."""
    (tmp_path / "file").write_text("no JSON")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other.txt").write_text("not ours")
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "field.json").write_text(json.dumps({"updatez": 1}))
    (tmp_path / "range.toml").write_text("updates = 0\n")
    (tmp_path / "unused.toml").write_text("[rollouts]\nturns = 9\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(command: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the options of a command that are not about help."""
    for action in command._actions:
        if action.option_strings and not isinstance(action, argparse._HelpAction):
            yield action


EVERY_OPTION = [
    pytest.param(name, action.option_strings[0], action, id=f"{name} {action.option_strings[0]}")
    for name, command in COMMANDS.items()
    for action in options(command)
]


@pytest.mark.parametrize(("command", "option", "action"), EVERY_OPTION)
def test_every_option_with_a_value_too_few_or_too_many(
    capsys: pytest.CaptureFixture[str], command: str, option: str, action: argparse.Action
) -> None:
    words = command.split()
    if action.nargs == 0:
        err = refused(capsys, [*words, f"{option}=yes"])
        assert f"{option} takes no value" in err
    else:
        err = refused(capsys, [*words, option])
        assert f"{option} needs a" in err or f"{option} needs one or more values" in err
    assert f"see 'lmrl {command} --help'" in err


CHECKED_OPTION = [
    case for case in EVERY_OPTION if case.values[2].type is not None or case.values[2].choices
]


@pytest.mark.parametrize(("command", "option", "action"), CHECKED_OPTION)
def test_every_option_with_a_wrong_value(
    capsys: pytest.CaptureFixture[str], command: str, option: str, action: argparse.Action
) -> None:
    for wrong in ("", "none of these\0"):
        err = refused(capsys, [*command.split(), option, wrong])
        assert option in err and ("give " in err or "choices: " in err)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_with_an_unknown_option(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    err = refused(capsys, [*command.split(), *ENOUGH.get(command, ()), "--jsom", "x"])
    assert "'--jsom'" in err or "--jsom is unknown" in err
    if any("--json" in action.option_strings for action in COMMANDS[command]._actions):
        assert "--json" in err or command == "train"


ENOUGH = {
    "play": ("maze-fo",),
    "openenv": ("maze-fo",),
    "watch": ("maze-fo", "--policy", "random"),
    "study answer": ("twenty-questions", "--policy", "optimal", "--out", "study"),
    "study show": ("study",),
    "data generate": ("maze-fo", "--out", "out"),
    "data export": ("data", "--out", "file"),
    "data import": ("wordle", "file", "--out", "out"),
    "data show": ("file",),
    "replay": ("file",),
    "train": ("maze-fo-bc", "--dry-run"),
    "evaluate checkpoint": ("empty",),
    "evaluate player": ("random", "--task", "maze-fo"),
    "evaluate prompt": ("smollm2", "--task", "maze-fo"),
    "export": ("empty", "--out", "out"),
    "mirror": ("empty", "file:///copy"),
    "compare": ("empty",),
    "status": ("empty",),
    "report": ("empty",),
    "serve": ("empty",),
    "transcripts": ("empty",),
    "new task": ("mine",),
    "new algorithm": ("mine",),
    "check": ("maze-fo",),
    "completion": ("bash",),
}
"""Arguments with which a command would be complete."""


@pytest.mark.parametrize("command", ENOUGH)
def test_every_command_without_its_arguments(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert "missing" in (err := refused(capsys, command.split())) or "give a preset" in err


TRAIN = ("train", "maze-fo-bc", "--run-dir", "run")
PPO = ("train", "maze-fo-ppo", "--run-dir", "run")

CALLS: list[tuple[tuple[str, ...], str]] = [
    # commands
    ((), "COMMAND is missing"),
    (("trian",), "did you mean 'train'?"),
    (("data",), "ACTION is missing"),
    (("data", "generat"), "did you mean 'generate'?"),
    (("evaluate", "--checkpoint", "x"), "--checkpoint"),
    (("evaluate", "players"), "did you mean 'player'?"),
    (("doctor", "now"), "'now' is one argument too many"),
    (("--verson",), "--verson"),
    # tasks and their options
    (("tasks", "maze"), "did you mean 'maze-"),
    (("tasks", "no_such:Thing"), "cannot be imported"),
    (("tasks", "json:dumps"), "json:dumps"),
    (("tasks", ":"), "cannot be imported"),
    (("play", "mze-fo"), "did you mean 'maze-fo'?"),
    (("play", "maze-fo", "--options", "[1]"), "give a JSON object"),
    (("play", "maze-fo", "--options", '{"last_q": 1}'), "did you mean 'last_k'?"),
    (("play", "maze-fo", "--options.last-q", "1"), "did you mean 'last_k'?"),
    (("play", "maze-fo", "--options.max-steps", "many"), "give a whole number"),
    (("play", "maze-fo", "--options.max-steps", "0"), "0"),
    (("play", "maze-fo", "--options.faithful", "no"), "give true or false"),
    (("play", "maze-fo", "--options.goal", "[1, true]"), "options.goal"),
    (("play", "maze-fo", "--options.layout", "none"), "known: "),
    (("play", "maze-fo", "--episodes", "0"), "give a whole number above 0"),
    (("play", "maze-fo", "--seed", "1.5"), "give a whole number"),
    (("play", "maze-fo", "--out", "full"), "choose a new folder"),
    (("watch", "maze-fo", "--policy", "optimum"), "did you mean 'optimal'?"),
    (("watch", "maze-fo", "--policy", "random", "random"), "give each policy once"),
    (("watch", "maze-fo", "--policy", "random", "--delay", "-1"), "give a number at least 0"),
    (("study", "answer", "maze-fo", "--policy", "random", "--out", "s"), "nobody answers"),
    (("study", "show", "empty"), "has no study"),
    # data
    (("data", "generate", "maze-fo", "--out", "full"), "choose a new folder"),
    (("data", "generate", "maze-fo", "--out", "file"), "choose a new folder"),
    (("data", "generate", "maze-fo", "--out", "file/x"), "choose another"),
    (("data", "generate", "maze-fo", "--out", "o", "--player", "optimum"), "did you mean"),
    (("data", "generate", "maze-fo", "--out", "o", "--resume"), "leave --resume out"),
    (("data", "generate", "maze-fo", "--out", "o", "--oracle", "smollm2"), "nobody answers"),
    (("data", "generate", "maze-fo", "--out", "o", "--oracle-endpoint", "x"), "needs --oracle"),
    (("data", "generate", "maze-fo", "--out", "o", "--oracle-max-tokens", "3"), "needs --oracle"),
    (("data", "import", "maze", "file", "--out", "o"), "known: "),
    (("data", "import", "wordle", "none.jsonl", "--out", "o"), "none.jsonl"),
    (("data", "show", "none"), "'lmrl data generate TASK --out DIR' makes one"),
    (("data", "show", "file"), "delete it or make it again"),
    (("replay", "empty"), "no data set"),
    # training
    (("train",), "give a preset"),
    (("train", "maze-fo-pppo"), "did you mean 'maze-fo-ppo'?"),
    (("train", "ppo"), "needs --task"),
    (("train", "ppo", "--task", "mze-fo"), "did you mean 'maze-fo'?"),
    (("train", "pppo", "--task", "maze-fo"), "did you mean 'ppo'?"),
    (("train", "ppo", "--task", "maze-fo", "--algorithm", "bc"), "give one"),
    (("train", "no_such:Algorithm", "--task", "maze-fo"), "cannot be imported"),
    (("train", "json:dumps", "--task", "maze-fo"), "is not a subclass"),
    (("train", "maze-fo-ppo", "--algorithm", "qsfd"), "did you mean 'qsft'?"),
    (("train", "maze-fo-ppo", "bc"), "one argument too many"),
    (("train", "--list", "maze-fo-ppo"), "leave 'maze-fo-ppo' out"),
    (("train", "--list", "--resume", "x"), "leave --resume out"),
    (("train", "--resume", "empty"), "is not a run directory"),
    (("train", "--resume", "none"), "is not a run directory"),
    (("train", "--resume", "empty", "--updates", "3"), "is not a run directory"),
    (("train", "maze-fo-bc", "--resume", "empty"), "leave 'maze-fo-bc' out"),
    (("train", "--resume", "auto"), "give a preset"),
    (("train", "maze-fo-bc", "--resume", "auto", "--overwrite"), "give one"),
    (("train", "--from", "empty"), "--from needs --run-dir"),
    (("train", "--from", "empty", "--run-dir", "new"), "is not a run directory"),
    (("train", "maze-fo-bc", "--from", "empty", "--run-dir", "n"), "leave 'maze-fo-bc' out"),
    (("train", "maze-fo-bc", "--fields", "--dry-run"), "give one"),
    (("train", "maze-fo-bc", "--run-dir", "full"), "choose another --run-dir"),
    (("train", "maze-fo-bc", "--run-dir", "file"), "choose another --run-dir"),
    (("train", "maze-fo-bc", "--run-dir", "file/run"), "choose another"),
    (("train", "maze-fo-bc", "--config", "none.json"), "cannot be read"),
    (("train", "maze-fo-bc", "--config", "file"), "cannot be read"),
    (("train", "maze-fo-bc", "--config", "list.json"), "JSON object"),
    (("train", "maze-fo-bc", "--config", "field.json"), "did you mean '--updates'?"),
    ((*TRAIN, "--config", "range.toml"), "updates is 0; it has to be above 0"),
    ((*TRAIN, "--config", "unused.toml"), "has no effect here"),
    ((*TRAIN, "--updates", "many"), "give a whole number above 0"),
    ((*TRAIN, "--updates", "1.5"), "give a whole number above 0"),
    ((*TRAIN, "--updates"), "--updates needs a value"),
    ((*TRAIN, "--updates", "--seed", "3"), "--updates needs a value"),
    ((*TRAIN, "--update", "3"), "did you mean '--updates'?"),
    ((*TRAIN, "--run-dri", "x"), "did you mean '--run-dir'?"),
    ((*TRAIN, "--learner.lr", "1"), "did you mean '--learner.optimiser.lr'?"),
    ((*TRAIN, "--learner", "fast"), "give a field, like --learner.NAME"),
    ((*TRAIN, "--learner", '{"rank": 2}'), "did you mean"),
    ((*TRAIN, "--learner.optimiser.zero", "7"), "give one of 0, 1, 2, 3"),
    ((*TRAIN, "--learner.optimiser.betas", "0.9"), "give 2 values in brackets"),
    ((*TRAIN, "--learner.optimiser.betas", "[0.9]"), "give 2 values in brackets"),
    ((*TRAIN, "--evaluation.random", "no"), "give true or false"),
    ((*TRAIN, "--sampler.dtype", "float16"), "give one of float32, bfloat16"),
    ((*TRAIN, "--data.player", "optimum"), "did you mean 'optimal'?"),
    ((*TRAIN, "--data.path", "none"), "no data set at none"),
    ((*TRAIN, "--data.path", "file"), "cut off or not a Parquet file"),
    ((*TRAIN, "--model.path", "empty"), "is not a checkpoint directory"),
    ((*TRAIN, "--model.context", "8"), "raise model.context"),
    ((*TRAIN, "--model.width", "66", "--model.heads", "4"), "not a multiple"),
    ((*TRAIN, "--rollouts.turns", "9"), "Leave it out"),
    ((*TRAIN, "--start.updates", "9"), "Leave it out"),
    ((*TRAIN, "--options.last-q", "9"), "did you mean 'last_k'?"),
    ((*PPO, "--algorithm.clip", "0"), "it has to be above 0"),
    ((*PPO, "--algorithm.gamma", "1.5"), "at most 1"),
    ((*PPO, "--algorithm.gamma", "nan"), "algorithm.gamma is nan"),
    ((*PPO, "--algorithm.clipp", "1"), "did you mean '--algorithm.clip'?"),
    ((*PPO, "--algorithm.value-bins", "51"), "needs algorithm.value_bounds"),
    ((*PPO, "--start", "maze-fo-bcc"), "did you mean 'maze-fo-bc'?"),
    ((*PPO, "--start", "maze-fo-ilql"), "value-guided policy"),
    ((*PPO, "--start.updates", "many"), "in the fields of --start: updates is 'many'"),
    ((*PPO, "--start.update", "3"), "did you mean '--updates'?"),
    ((*PPO, "--start.model.width", "32"), "give --model.width, which is for both"),
    ((*PPO, "--max-staleness", "2"), "set algorithm.importance_cap"),
    # evaluation
    (("evaluate", "checkpoint", "none", "--task", "maze-fo"), "is not a checkpoint directory"),
    (("evaluate", "checkpoint", "empty"), "give a task with --task"),
    (("evaluate", "player", "optimum", "--task", "maze-fo"), "did you mean 'optimal'?"),
    (("evaluate", "player", "optimal", "--task", "mze-fo"), "did you mean 'maze-fo'?"),
    (("evaluate", "player", "optimal", "--task", "maze-fo", "--suite", "x"), "choices: robust"),
    (("evaluate", "player", "optimal", "--task", "maze-fo", "--resume"), "--resume needs --out"),
    (("evaluate", "player", "optimal", "--task", "maze-fo", "--out", "full"), "is not empty"),
    (
        ("evaluate", "player", "optimal", "--task", "maze-fo", "--out", "empty", "--resume"),
        "leave --resume out",
    ),
    (("evaluate", "player", "optimal", "--task", "maze-fo", "--beta", "1"), "--beta is unknown"),
    (("evaluate", "prompt", "no/model", "--task", "maze-fo"), "no/model is not a model"),
    # runs
    (("export", "empty", "--out", "o"), "empty"),
    (("compare", "none"), "none"),
    (("compare", "empty", "--at", "first"), "choices: best, last"),
    (("runs", "none"), "is not a folder"),
    (("serve", "none"), "give a run directory, or a folder of runs"),
    (("status", "full"), "is not a run directory"),
    (("transcripts", "empty"), "no data set"),
    (("transcripts", "empty", "--kind", "training"), "is for run directories"),
    # one's own
    (("new", "task", "My Task"), "give the name of a Python module"),
    (("new", "task", "class"), "give the name of a Python module"),
    (("new", "task", "mine", "--out", "file"), "choose another folder with --out"),
    (("check", "no_such:Thing"), "cannot be imported"),
    (("check", "maze-fo", "--options.max-steps", "0"), "above 0"),
    (("new", "task", "queue"), "choose another name, like my_queue"),
    (("new", "algorithm", "ray"), "choose another name, like my_ray"),
    (("completion", "fish"), "choices: bash, zsh, tcsh"),
]


@pytest.mark.parametrize(
    ("arguments", "words"), CALLS, ids=[" ".join(arguments) for arguments, _ in CALLS]
)
def test_a_wrong_call_is_refused_with_a_remedy(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(capsys, list(arguments))
