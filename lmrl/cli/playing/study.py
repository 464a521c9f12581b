"""`lmrl study answer` and `lmrl study show`: a person answers policies, and the results."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lmrl.cli.arguments import (
    Commands,
    add_command,
    add_group,
    add_json,
    add_task_options,
    count,
    integer,
    path,
    real,
    task_options,
)
from lmrl.cli.output import print_json
from lmrl.errors import unknown

ANSWER = """lmrl study answer twenty-questions --policy optimal mixture --blind --out study
  lmrl study answer car-dealer --policy runs/dealer/checkpoints/last --out study"""


def add(commands: Commands) -> None:
    """Add the commands to the command line."""
    study = add_group(
        commands,
        "study",
        "evaluate policies with a person who answers them",
        "lmrl study answer twenty-questions --policy optimal --out study\n  lmrl study show study",
    )
    _add_answer(study)
    show = add_command(
        study, "show", "print the results of a study", "lmrl study show study --json", run_show
    )
    show.add_argument("folder", type=path, metavar="DIR", help="folder of the study")
    add_json(show)


def _add_answer(study: Commands) -> None:
    answer = add_command(
        study, "answer", "be the oracle or the buyer for policies that play", ANSWER, run_answer
    )
    answer.add_argument("task", metavar="TASK", help="name of the task, or module:Class")
    answer.add_argument(
        "--policy",
        nargs="+",
        required=True,
        metavar="POLICY",
        help="policies that play: checkpoint directories or scripted players",
    )
    answer.add_argument(
        "--out",
        type=path,
        required=True,
        metavar="DIR",
        help="folder of the study; one begun there is continued",
    )
    answer.add_argument("--blind", action="store_true", help="hide the policies until the end")
    answer.add_argument(
        "--episodes", type=count, default=1, metavar="N", help="episodes with each policy (1)"
    )
    answer.add_argument(
        "--seed", type=integer, metavar="N", help="seed of the first episode; drawn if not given"
    )
    add_decoding(answer)
    add_task_options(answer)


def add_decoding(parser: argparse.ArgumentParser) -> None:
    """Add the sampling of checkpoints that play beside others to a parser."""
    parser.add_argument(
        "--temperature",
        type=real,
        default=1.0,
        metavar="T",
        help="sampling temperature of checkpoints (1)",
    )
    parser.add_argument(
        "--max-tokens",
        type=count,
        default=64,
        metavar="N",
        help="maximum tokens of a checkpoint's action (64)",
    )


def run_answer(options: argparse.Namespace) -> int:
    """Let a person answer the policies of a study."""
    from lmrl.human.study import ORACLE, Study
    from lmrl.seeds import fresh_seed

    study = Study(
        options.task,
        task_options(options, options.task),
        ORACLE,
        tuple(options.policy),
        options.episodes,
        fresh_seed() if options.seed is None else options.seed,
        options.blind,
        {"temperature": options.temperature, "max_tokens": options.max_tokens},
    )
    return hold(study, options.out, options.seed is not None)


def run_show(options: argparse.Namespace) -> int:
    """Print the results of a study."""
    from lmrl.human.results import summary, table

    results = summary(options.folder)
    if options.json:
        print_json([result.to_json() for result in results])
    else:
        print(table(results))
    return 0


def hold(study: Any, folder: Path | None, seed_given: bool) -> int:
    """Play the episodes that a study still lacks, and return the exit code.

    Args:
        study: the `Study`.
        folder: folder of the study; None stores nothing.
        seed_given: whether the seed was asked for.
    """
    from lmrl.files import writable
    from lmrl.human.person import Person
    from lmrl.human.results import summary, table
    from lmrl.human.session import conduct
    from lmrl.human.study import open_study

    study.check()
    if folder is not None:
        study = open_study(study, folder, seed_given)
        writable(folder.parent, "the folder of")
    with partners(study) as policies:
        complete = conduct(study, policies, Person(input, print), folder)
    if complete and folder is not None:
        print("\n" + table(summary(folder)))
    return 0


def _checkpoints(study: Any, names: Iterable[str]) -> list[str]:
    """Return the policies that are checkpoints."""
    from lmrl.tasks import make

    players = make(study.task, **study.options).players
    found = [name for name in names if name not in players]
    for name in found:
        if not Path(name).is_dir():
            raise unknown("policy", name, [*players, "a checkpoint directory"])
    return found


@contextmanager
def partners(study: Any) -> Iterator[dict[str, Any]]:
    """Yield the policies that play the agent, by name; start Ray if a checkpoint is among them.

    Args:
        study: the `Study`; if a person plays the agent, there are no policies.

    Raises:
        UsageError: for a policy that is neither a scripted player nor a checkpoint directory.
    """
    from lmrl.human.policies import Scripted
    from lmrl.human.study import AGENT

    names = [] if study.side == AGENT else study.policies
    checkpoints = _checkpoints(study, names)
    scripted = {name: Scripted(name) for name in names if name not in checkpoints}
    if not checkpoints:
        yield scripted
        return
    from cluster.evaluation.human_partners import serving_partners

    print("starting ...", file=sys.stderr)
    with serving_partners(checkpoints, study.task, study.options, **study.decoding) as served:
        yield {**scripted, **served}
