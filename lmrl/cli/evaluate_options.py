"""The options of `lmrl evaluate`: their definition, which go together, and their defaults."""

import argparse
from pathlib import Path
from typing import Any

from lmrl.cli.arguments import Parser, add_json, add_oracle, add_task_options, lasting
from lmrl.errors import UsageError
from lmrl.seeds import FIRST_EVALUATION_SEED


def add_options(evaluate: Parser) -> None:
    """Add the options to the parser of the command."""
    who = evaluate.add_mutually_exclusive_group(required=True)
    who.add_argument("--checkpoint", type=Path, help="a Hugging Face checkpoint directory")
    who.add_argument("--player", help="a scripted player of the task")
    who.add_argument(
        "--policy",
        choices=("prompt",),
        help="prompt an instruct model with the rules: --model",
    )
    evaluate.add_argument("--task", help="needed unless the checkpoint records it")
    evaluate.add_argument(
        "--suite",
        choices=("robustness",),
        help="score the task and all its variants (lmrl tasks --json lists them)",
    )
    evaluate.add_argument("--episodes", type=int, help="number of episodes (the run's, or 200)")
    evaluate.add_argument(
        "--first-seed", type=int, help="seed of the first episode (the run's, or 1000000000)"
    )
    evaluate.add_argument(
        "--temperature",
        type=float,
        nargs="+",
        metavar="T",
        help="sampling temperature, 0 for greedy (the run's, or 1; for prompted models 0); several "
        "values make a sweep",
    )
    evaluate.add_argument(
        "--beta",
        type=float,
        nargs="+",
        metavar="B",
        help="weight of the values in a value-guided policy (its own); several values make a sweep",
    )
    evaluate.add_argument(
        "--max-tokens",
        type=int,
        help="maximum tokens of an action (the run's, or 16; for prompted models 32)",
    )
    evaluate.add_argument(
        "--rerank",
        choices=("last", "sum"),
        help="choose among the task's actions by the checkpoint's score of each, without sampling: "
        "its log-probability, or its Q value at the last token or summed over its tokens; "
        "--temperature 0 takes the best one",
    )
    add_task_options(evaluate, help="options of the task, as JSON (the run's)")
    evaluate.add_argument("--out", type=Path, help="folder for the episodes")
    add_oracle(evaluate)
    prompt = evaluate.add_argument_group("with --policy prompt")
    prompt.add_argument("--model", help="smollm2, a checkpoint directory, or a .gguf file")
    prompt.add_argument(
        "--endpoint",
        metavar="URL",
        help="address of a server with OpenAI's API; --model is the model's name there",
    )
    prompt.add_argument("--shots", type=int, default=2, help="example episodes in the prompt (2)")
    prompt.add_argument(
        "--data",
        type=Path,
        help="data set of the examples; without it the optimal player makes them",
    )
    prompt.add_argument(
        "--context", type=int, default=2048, help="maximum tokens of a prompt (2048)"
    )
    add_json(evaluate)


def check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together, and fill in those that were not given.

    Raises:
        UsageError: with the option and the remedy.
    """
    for temperature in options.temperature or ():
        if temperature < 0:
            raise UsageError(f"--temperature is {temperature:g}; give 0 or more")
    if options.rerank and (not options.checkpoint or options.suite or options.beta):
        raise UsageError(
            "--rerank goes with --checkpoint, and with neither --suite nor --beta: it reads scores"
        )
    if options.beta and not options.checkpoint:
        raise UsageError("--beta is for value-guided checkpoints; give one with --checkpoint")
    if options.player and len(options.temperature or ()) > 1:
        raise UsageError("a scripted player has no temperature; --temperature is for policies")
    if options.suite and len(options.temperature or (1,)) * len(options.beta or (1,)) > 1:
        raise UsageError("--suite takes one --temperature and one --beta; sweep without it")
    prompted = options.policy == "prompt"
    if prompted != (options.model is not None):
        raise UsageError(
            "--policy prompt needs --model, the model to prompt"
            if prompted
            else "--model is for --policy prompt"
        )
    for name in ("endpoint", "data"):
        if not prompted and getattr(options, name) is not None:
            raise UsageError(f"--{name} is for --policy prompt")
    fill_in(options)
    if options.episodes < 1:
        raise UsageError(f"--episodes is {options.episodes}; give 1 or more")
    if options.out:
        lasting(options.out, "--out")
    if options.out and any(options.out.glob("*.parquet")):
        raise UsageError(f"{options.out} holds episodes already; choose another folder with --out")


def fill_in(options: argparse.Namespace) -> None:
    """Fill in the options that were not given; a checkpoint is scored as in its own run.

    Raises:
        UsageError: if the task is unknown, or is not the one that the checkpoint was trained on.
    """
    prompted = options.policy == "prompt"
    values: dict[str, Any] = {
        "options": {},
        "episodes": 200,
        "first_seed": FIRST_EVALUATION_SEED,
        "temperature": [0.0 if prompted else 1.0],
        "max_tokens": 32 if prompted else 16,
    }
    if options.checkpoint:
        from cluster.fields import recorded

        made = recorded(options.checkpoint)
        if made is not None:
            if options.task not in (None, made.task):
                raise UsageError(
                    f"{options.checkpoint} was trained on {made.task}, and --task is "
                    f"{options.task}; leave --task out, or give a checkpoint of that task"
                )
            if options.options is not None:
                # The options given change those of the run.
                options.options = {**made.options, **options.options}
            values = {
                "task": made.task,
                "options": made.options,
                "episodes": made.evaluation.episodes,
                "first_seed": made.evaluation.first_seed,
                "temperature": [made.evaluation.temperature],
                "max_tokens": made.rollouts.max_tokens,
            }
    for name, value in values.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.task is None:
        raise UsageError("give a task with --task; nothing records which one this policy plays")
