"""`lmrl`: the command line, one module a command.

The command line may import every other package, but only inside the functions of its commands:
`lmrl --help` answers at once, and the light commands load neither torch nor Ray.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence

from lmrl import __version__
from lmrl.cli import compare, completion, data, doctor, export, replay
from lmrl.cli.arguments import Parser
from lmrl.cli.authoring import check, new, tasks
from lmrl.cli.evaluation import evaluate
from lmrl.cli.playing import openenv, play, study, watch
from lmrl.cli.runs import listing, mirror, report, serve, transcripts, view
from lmrl.cli.training import train
from lmrl.errors import OutOfTime, RunError, Terminated, UsageError, disk_full
from lmrl.interrupt import signals_raise

USAGE = 2
INTERRUPTED = 130
TERMINATED = 143

COMMANDS = (
    tasks,
    play,
    watch,
    study,
    openenv,
    data,
    replay,
    train,
    evaluate,
    export,
    compare,
    listing,
    transcripts,
    report,
    serve,
    view,
    mirror,
    new,
    check,
    completion,
    doctor,
)
"""Modules of the commands, in the order of `lmrl --help`."""

EXAMPLES = """examples:
  lmrl play maze-fo                                  play a task yourself
  lmrl data generate maze-fo --episodes 1500 --out data/maze
  lmrl data import wordle train_data.jsonl --out data/wordle
  lmrl train maze-fo-ppo --run-dir runs/demo         BC, then PPO from it, scores at the end
  lmrl train ppo --task my_module:MyTask             a task of your own
  lmrl evaluate checkpoint runs/demo/checkpoints/last
  lmrl evaluate prompt smollm2 --shots 2 --task maze-fo --episodes 20
  lmrl compare runs/ppo-0 runs/ppo-1 runs/ilql-0     groups of runs, with intervals
  lmrl doctor                                        check the installation
"""


SYSTEM = ("deepspeed", "ray", "torch", "transformers", "vllm")
"""Libraries of the system that trains; the rest of the commands does without them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        arguments: words after `lmrl`; those of the process if None.

    Returns:
        0, also after a time limit; 1 for a run that failed or data that do not replay, 2 for bad
        input, 130 after Ctrl-C, 143 after SIGTERM or SIGUSR1.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # `module:Class` may name a file in the working directory. Ray's workers take over this path.
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())  # last: a file there must not hide a library
    try:
        options = parser().parse_args(arguments)
        command: Callable[[argparse.Namespace], int] = options.command
        with signals_raise():
            return command(options)
    except UsageError as error:
        _say(str(error))
        return USAGE
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in SYSTEM:
            raise
        _say(
            f"{missing} is not installed, and this command needs it: pip install 'lmrl[gpu]', or "
            "on a machine without a GPU see 'make setup'"
        )
        return USAGE
    except RunError as error:
        _say("; ".join([f"the run stopped: {error}", *_notes(error)]))
        return 1
    except OutOfTime as error:
        _say("; ".join(["the time limit is over", *_notes(error)]))
        return 0
    except KeyboardInterrupt as error:
        ended, code = ("interrupted", INTERRUPTED)
        if isinstance(error, Terminated):
            ended, code = ("terminated", TERMINATED)
        _say("; ".join([ended, *_notes(error)]))
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not disk_full(error):
            raise
        _say(disk_full(error))
        return 1


def _say(text: str) -> None:
    """Print a message; names of files and data may be in it, so nothing in it drives a terminal."""
    from lmrl.trajectory import printable

    lines = f"lmrl: {text}".split("\n")
    print("\n".join(map(printable, lines)), file=sys.stderr)


def _notes(error: BaseException) -> list[str]:
    """Return what was added to an error on its way: what was saved, and what to do."""
    return list(getattr(error, "__notes__", []))


def parser(with_names: bool = False) -> Parser:
    """Return the parser of the whole command line.

    Args:
        with_names: whether arguments that name a task or a preset list the known names, for the
            completion of a shell.
    """
    whole = Parser(
        prog="lmrl",
        description="Train language models by reinforcement learning over many turns.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"lmrl {__version__}")
    commands = whole.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for module in COMMANDS:
        module.add(commands)
    if with_names:
        _name_choices(whole)
    return whole


def _name_choices(whole: argparse.ArgumentParser) -> None:
    """Give the arguments that name a task or a preset the known names as choices."""
    from cluster.presets import known as presets
    from learners.algorithms.registry import known as algorithms
    from lmrl.tasks import known as tasks

    choices = {"TASK": sorted(tasks()), "PRESET|ALGORITHM": [*presets(), *algorithms()]}
    for action in whole._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _name_choices(inner)
        elif action.dest == "task" or action.metavar in choices:
            action.choices = choices.get(str(action.metavar), choices["TASK"])
