"""The options of `lmrl evaluate`: their definition, which go together, and their defaults."""

import argparse
from typing import Any

from lmrl.cli.arguments import (
    Commands,
    Parser,
    Run,
    add_command,
    add_group,
    add_json,
    add_oracle,
    add_task_options,
    count,
    index,
    lasting,
    path,
    real,
    task_options,
)
from lmrl.errors import UsageError, option

CHECKPOINT, PLAYER, PROMPT = "checkpoint", "player", "prompt"
"""What is evaluated: the three sub-commands."""

UNUSED: dict[str, Any] = {
    "checkpoint": None,
    "player": None,
    "model": None,
    "temperature": None,
    "beta": None,
    "rerank": None,
    "max_tokens": None,
    "context": None,
}
"""Options that not every sub-command has, as they are where one has them not."""


def add_commands(commands: Commands, run: Run) -> None:
    """Add `lmrl evaluate` with its sub-commands.

    Args:
        commands: set of commands to add to.
        run: function of all three.
    """
    evaluate = add_group(
        commands,
        "evaluate",
        "score a checkpoint, a scripted player or a prompted model on fixed seeds",
        "lmrl evaluate checkpoint runs/demo/checkpoints/last\n"
        "  lmrl evaluate player optimal --task maze-fo\n"
        "  lmrl evaluate prompt smollm2 --task maze-fo --shots 2",
    )
    _add_checkpoint(evaluate, run)
    _add_player(evaluate, run)
    _add_prompt(evaluate, run)


def _add(evaluate: Commands, mode: str, text: str, example: str, run: Run) -> Parser:
    parser = add_command(evaluate, mode, text, example, run)
    parser.set_defaults(**{**UNUSED, "mode": mode})
    return parser


def _add_checkpoint(evaluate: Commands, run: Run) -> None:
    parser = _add(
        evaluate,
        CHECKPOINT,
        "score a checkpoint, by default as the run did that made it",
        "lmrl evaluate checkpoint runs/demo                       its last checkpoint\n"
        "  lmrl evaluate checkpoint runs/demo/checkpoints/best --suite robustness\n"
        "  lmrl evaluate checkpoint runs/ilql --temperature 0 1 --beta 1 4 16",
        run,
    )
    parser.add_argument(
        "checkpoint",
        type=path,
        metavar="CHECKPOINT",
        help="checkpoint directory, or a run directory for its last checkpoint",
    )
    parser.add_argument("--task", help="name of the task (the run's)")
    _add_common(parser, "the run's, or ", "the run's")
    _add_temperature(parser, "the run's, or 1")
    parser.add_argument(
        "--beta",
        type=real,
        nargs="+",
        metavar="B",
        help="weight of the values in a value-guided policy (its own); several values make a sweep",
    )
    parser.add_argument(
        "--rerank",
        choices=("last", "sum"),
        help="choose among the task's actions by the checkpoint's score of each, without sampling: "
        "its log-probability, or its Q value at the last token or summed over its tokens; "
        "--temperature 0 takes the best one",
    )
    _add_sizes(parser, "the run's, or 16", "the run's, or 1024")


def _add_player(evaluate: Commands, run: Run) -> None:
    parser = _add(
        evaluate,
        PLAYER,
        "score a scripted player of a task",
        "lmrl evaluate player optimal --task wordle\n"
        "  lmrl evaluate player optimal --task twenty-questions --oracle smollm2",
        run,
    )
    parser.add_argument("player", metavar="PLAYER", help="scripted player, see 'lmrl tasks TASK'")
    parser.add_argument("--task", required=True, help="name of the task, or module:Class")
    _add_common(parser, "", "")


def _add_prompt(evaluate: Commands, run: Run) -> None:
    parser = _add(
        evaluate,
        PROMPT,
        "score an instruct model that is prompted with the rules of a task",
        "lmrl evaluate prompt smollm2 --task wordle --shots 2\n"
        "  lmrl evaluate prompt qwen3 --task chess --endpoint http://localhost:8000/v1",
        run,
    )
    parser.add_argument(
        "model", metavar="MODEL", help="smollm2, a checkpoint directory, or a .gguf file"
    )
    parser.add_argument("--task", required=True, help="name of the task, or module:Class")
    parser.add_argument(
        "--endpoint",
        metavar="URL",
        help="address of a server with OpenAI's API; MODEL is the model's name there",
    )
    parser.add_argument(
        "--shots", type=index, default=2, metavar="N", help="example episodes in the prompt (2)"
    )
    parser.add_argument(
        "--data",
        type=path,
        metavar="DATA",
        help="data set of the examples; without it the optimal player makes them",
    )
    _add_common(parser, "", "")
    _add_temperature(parser, "0")
    _add_sizes(parser, "32", "2048")


def _add_common(parser: Parser, before: str, options: str) -> None:
    """Add the options that all sub-commands have.

    Args:
        parser: parser to add to.
        before: what is said before the default number of episodes and first seed.
        options: description of the default options of the task.
    """
    add_task_options(parser, options)
    parser.add_argument(
        "--suite",
        choices=("robustness",),
        help="score the task and all its variants ('lmrl tasks TASK' lists them)",
    )
    parser.add_argument(
        "--episodes", type=count, metavar="N", help=f"number of episodes ({before}200)"
    )
    parser.add_argument(
        "--first-seed",
        type=index,
        metavar="N",
        help=f"seed of the first episode ({before}1000000000)",
    )
    parser.add_argument("--out", type=path, metavar="DIR", help="new folder for the episodes")
    parser.add_argument(
        "--resume", action="store_true", help="go on with an evaluation that stopped, in --out"
    )
    add_oracle(parser)
    add_json(parser)


def _add_temperature(parser: Parser, default: str) -> None:
    parser.add_argument(
        "--temperature",
        type=real,
        nargs="+",
        metavar="T",
        help=f"sampling temperature, 0 for greedy ({default}); several values make a sweep",
    )


def _add_sizes(parser: Parser, tokens: str, context: str) -> None:
    parser.add_argument(
        "--max-tokens", type=count, metavar="N", help=f"maximum tokens of an action ({tokens})"
    )
    parser.add_argument(
        "--context", type=count, metavar="N", help=f"maximum tokens of a context ({context})"
    )


def check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together, and fill in those that were not given.

    Raises:
        UsageError: with the option and the remedy.
    """
    if options.rerank and (options.suite or options.beta):
        other = "--suite" if options.suite else "--beta"
        raise UsageError(f"--rerank and {other} exclude each other; give one")
    if options.rerank and len(options.temperature or ()) > 1:
        raise UsageError("--rerank takes one --temperature; leave the others out")
    for name in ("max_tokens", "context"):
        if options.rerank and getattr(options, name):
            given = option(name)
            raise UsageError(f"{given} has no effect with --rerank; leave it out")
    if options.suite and len(options.temperature or (1,)) * len(options.beta or (1,)) > 1:
        raise UsageError("--suite takes one --temperature and one --beta; sweep without it")
    if options.resume and not options.out:
        raise UsageError("--resume needs --out, the folder of the evaluation that stopped")
    fill_in(options)
    if options.out:
        lasting(options.out, "--out")


def fill_in(options: argparse.Namespace) -> None:
    """Fill in the options that were not given; a checkpoint is scored as in its own run.

    Raises:
        UsageError: if the task is unknown, or is not the one that the checkpoint was trained on.
    """
    from lmrl.seeds import FIRST_EVALUATION_SEED

    prompted = options.mode == PROMPT
    values: dict[str, Any] = {
        "episodes": 200,
        "first_seed": FIRST_EVALUATION_SEED,
        "temperature": [0.0 if prompted else 1.0],
        "max_tokens": 32 if prompted else 16,
    }
    if prompted:
        values["context"] = 2048
    base: dict[str, Any] = {}
    if options.checkpoint:
        from cluster.evaluation.recorded import policy_folder, recorded_settings

        options.checkpoint = policy_folder(options.checkpoint)
        made = recorded_settings(options.checkpoint, options.task)
        if made is not None:
            values = made._asdict()
            # The options given change those of the run.
            base = values.pop("options")
            values["temperature"] = [made.temperature]
    for name, value in values.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.task is None:
        raise UsageError("give a task with --task; nothing records which one this policy plays")
    options.options = {**base, **task_options(options, options.task)}
