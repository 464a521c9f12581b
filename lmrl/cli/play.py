"""`lmrl play`: play a task, or take the other side against policies; and results of studies."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lmrl.cli.arguments import Commands, add_command, add_json, add_task_options
from lmrl.cli.output import print_json
from lmrl.errors import UsageError, unknown

EXAMPLE = """lmrl play maze-po --seed 7
  lmrl play twenty-questions --as oracle --policy optimal mixture --blind --episodes 10 --out study
  lmrl play --summary study"""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    play = add_command(
        commands, "play", "play a task yourself, or be the other side for policies", EXAMPLE, run
    )
    play.add_argument("task", nargs="?")
    play.add_argument(
        "--as",
        dest="side",
        choices=("agent", "oracle"),
        default="agent",
        help="play the task (agent), or answer and negotiate (oracle)",
    )
    play.add_argument(
        "--policy",
        nargs="+",
        default=[],
        help="policies that play the agent: checkpoint directories or scripted players",
    )
    play.add_argument("--blind", action="store_true", help="hide the policies' names until the end")
    play.add_argument("--episodes", type=int, default=1, help="episodes with each policy (1)")
    play.add_argument("--seed", type=int, help="seed of the first episode; drawn if not given")
    play.add_argument(
        "--temperature", type=float, default=1.0, help="sampling temperature of checkpoints (1)"
    )
    play.add_argument(
        "--max-tokens", type=int, default=64, help="maximum tokens of a checkpoint's action (64)"
    )
    add_task_options(play, default={}, help="options of the task, as JSON")
    play.add_argument(
        "--out", type=Path, help="folder of the study; a study begun there is continued"
    )
    play.add_argument(
        "--summary", type=Path, metavar="DIR", help="print the results of a study and stop"
    )
    add_json(play)


def run(options: argparse.Namespace) -> int:
    """Play the episodes of a study, or print the results of one."""
    from lmrl.files import writable
    from lmrl.human.person import Person
    from lmrl.human.results import summary, table
    from lmrl.human.session import conduct
    from lmrl.human.study import AGENT, open_study

    if options.summary:
        results = summary(options.summary)
        if options.json:
            print_json([result.to_json() for result in results])
        else:
            print(table(results))
        return 0
    study = _study(options)
    study.check()
    checkpoints = _checkpoints(study) if study.side != AGENT else []
    if options.out:
        writable(options.out.parent, "the folder of")
        study = open_study(study, options.out, options.seed is not None)
    with _policies(study, checkpoints) as policies:
        complete = conduct(study, policies, Person(input, print), options.out)
    if complete and options.out:
        print("\n" + table(summary(options.out)))
    return 0


def _study(options: argparse.Namespace) -> Any:
    """Return the `Study` that the options ask for.

    Raises:
        UsageError: for options that do not go together.
    """
    from lmrl.human.person import HUMAN
    from lmrl.human.study import ORACLE, Study
    from lmrl.seeds import fresh_seed

    if options.task is None:
        raise UsageError("give a task to play, or a study with --summary; see 'lmrl play --help'")
    oracle = options.side == ORACLE
    if oracle != bool(options.policy):
        raise UsageError(
            "--as oracle needs --policy, the policies to answer"
            if oracle
            else "--policy is for --as oracle; as the agent you play yourself"
        )
    if oracle and not options.out:
        raise UsageError("--as oracle needs --out, the folder of the study")
    return Study(
        options.task,
        options.options,
        options.side,
        tuple(options.policy) or (HUMAN,),
        options.episodes,
        fresh_seed() if options.seed is None else options.seed,
        options.blind,
        {"temperature": options.temperature, "max_tokens": options.max_tokens} if oracle else None,
    )


def _checkpoints(study: Any) -> list[str]:
    """Return the policies of a study that are checkpoints.

    Raises:
        UsageError: for a policy that is neither a scripted player nor a directory.
    """
    from lmrl.tasks import make

    players = make(study.task, **study.options).players
    found = [name for name in study.policies if name not in players]
    for name in found:
        if not Path(name).is_dir():
            raise unknown("policy", name, [*players, "a checkpoint directory"])
    return found


@contextmanager
def _policies(study: Any, checkpoints: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the policies of a study by name; start Ray if a checkpoint is among them."""
    from lmrl.human.policies import Scripted
    from lmrl.human.study import AGENT

    names = [] if study.side == AGENT else study.policies
    scripted = {name: Scripted(name) for name in names if name not in checkpoints}
    if not checkpoints:
        yield scripted
        return
    from cluster.evaluation.human_partners import serving_partners

    print("starting ...", file=sys.stderr)
    with serving_partners(checkpoints, study.task, study.options, **study.decoding) as served:
        yield {**scripted, **served}
