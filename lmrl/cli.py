"""`lmrl`: the command line. The one door that looks up into the other packages, lazily, so that
`lmrl --help` answers at once and the light commands need neither torch nor Ray.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from lmrl.errors import RunError, UsageError, unknown

USAGE = 2
INTERRUPTED = 130
DIFFERENCES = 20
"""How many differing episodes `lmrl replay` prints."""

EXAMPLES = """examples:
  lmrl play maze-fo                                  play a task yourself
  lmrl data generate maze-fo --episodes 1500 --out data/maze
  lmrl train maze-fo-ppo --run-dir runs/demo         BC, then PPO from it, scores at the end
  lmrl evaluate --checkpoint runs/demo/checkpoints/last --task maze-fo --episodes 200
  lmrl doctor                                        is everything installed as it should be?
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are sentences with the nearest known name."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # Abbreviations would swallow fields of an experiment.
        super().__init__(*arguments, **{**options, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise UsageError(f"{message}; see '{self.prog} --help'")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0, 1 for a run that failed or data that do not replay, 2 for bad input.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        options, rest = _parser().parse_known_args(arguments)
        if rest and options.command is not _train:
            raise UsageError(f"unrecognized arguments: {' '.join(rest)}; see 'lmrl --help'")
        options.fields_given = rest  # of the experiment; `_train` knows them
        command: Callable[[argparse.Namespace], int] = options.command
        return command(options)
    except UsageError as error:
        print(f"lmrl: {error}", file=sys.stderr)
        return USAGE
    except RunError as error:
        print(f"lmrl: the run stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lmrl: interrupted; a training run goes on with --resume", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> Parser:
    form = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="lmrl",
        description="Train language models by reinforcement learning over many turns.",
        epilog=EXAMPLES,
        formatter_class=form,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)

    def add(name: str, text: str, example: str, command: Any, within: Any = commands) -> Parser:
        sub: Parser = within.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=f"example:\n  {example}\n",
            formatter_class=form,
        )
        sub.set_defaults(command=command)
        return sub

    tasks = add("tasks", "list the tasks", "lmrl tasks --json", _tasks)
    _json(tasks)

    play = add("play", "play a task yourself", "lmrl play maze-po --seed 7", _play)
    play.add_argument("task")
    play.add_argument("--seed", type=int, help="of the episode; drawn if not given")
    play.add_argument("--options", type=_options, default={}, help="of the task, as JSON")
    play.add_argument("--out", type=Path, help="folder for the played episodes")

    data = commands.add_parser(
        "data",
        help="make data sets, and look into them",
        epilog="example:\n  lmrl data show data/maze\n",
        formatter_class=form,
    ).add_subparsers(metavar="ACTION", required=True, parser_class=Parser)
    generate = add(
        "generate",
        "make a data set with a scripted player",
        "lmrl data generate maze-fo --episodes 1500 --out data/maze",
        _data_generate,
        data,
    )
    generate.add_argument("task")
    generate.add_argument("--episodes", type=int, default=1000)
    generate.add_argument("--out", type=Path, required=True, help="a new folder")
    generate.add_argument("--player", default="mixture", help="scripted player (mixture)")
    generate.add_argument("--seed", type=int, default=0, help="of the first episode (0)")
    generate.add_argument("--options", type=_options, default={}, help="of the task, as JSON")
    _json(generate)
    show = add("show", "say what is in a data set", "lmrl data show data/maze", _data_show, data)
    show.add_argument("path", type=Path, help="a folder of .parquet files, or one file")
    _json(show)

    replay = add(
        "replay",
        "play stored episodes again and say where they differ",
        "lmrl replay data/maze",
        _replay,
    )
    replay.add_argument("path", type=Path, help="a folder of .parquet files, or one file")
    _json(replay)

    train = add(
        "train",
        "train a preset",
        "lmrl train maze-fo-ppo --run-dir runs/demo --learner.optimiser.lr 3e-4\n"
        "  lmrl train maze-fo-ppo --fields          every field with its value\n"
        "  lmrl train --resume runs/demo",
        _train,
    )
    train.add_argument("preset", nargs="?", help="see 'lmrl train --list'")
    train.add_argument("--list", action="store_true", help="list the presets and stop")
    train.add_argument("--fields", action="store_true", help="print every field of the preset")
    train.add_argument("--run-dir", type=Path, help="where the run is kept (runs/PRESET)")
    train.add_argument("--resume", type=Path, metavar="RUN", help="go on with a run directory")
    train.add_argument("--overwrite", action="store_true", help="replace a run that is there")
    train.add_argument("--config", type=Path, help="JSON file with fields, as config.json has them")
    train.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    train.add_argument("--verbose", action="store_true", help="show the actors' logs too")
    _json(train)

    evaluate = add(
        "evaluate",
        "score a checkpoint or a scripted player on fixed seeds",
        "lmrl evaluate --checkpoint runs/demo/checkpoints/last --task maze-fo --episodes 200",
        _evaluate,
    )
    who = evaluate.add_mutually_exclusive_group(required=True)
    who.add_argument("--checkpoint", type=Path, help="a Hugging Face checkpoint directory")
    who.add_argument("--player", help="a scripted player of the task")
    evaluate.add_argument("--task", required=True)
    evaluate.add_argument("--episodes", type=int, default=200)
    evaluate.add_argument("--first-seed", type=int, default=1_000_000_000)
    evaluate.add_argument("--temperature", type=float, default=1.0, help="0 is greedy (1)")
    evaluate.add_argument("--max-tokens", type=int, default=16, help="of an action (16)")
    evaluate.add_argument("--options", type=_options, default={}, help="of the task, as JSON")
    evaluate.add_argument("--out", type=Path, help="folder for the episodes")
    _json(evaluate)

    doctor = add("doctor", "check the installation", "lmrl doctor", _doctor)
    _json(doctor)
    return parser


def _json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print figures as JSON")


def _options(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"'{text}' is not a JSON object, like '{{\"last_k\": 7}}'")
    return value


def _tasks(options: argparse.Namespace) -> int:
    from lmrl.tasks import known, make

    rows: list[dict[str, Any]] = []
    for name in sorted(known()):
        env = make(name)
        rows.append(
            {
                "task": name,
                "max_turns": env.max_turns,
                "score_range": list(env.score_range),
                "players": sorted(env.players),
            }
        )
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    print(f"{'task':<20} {'turns':>6}  {'worst':>8} {'data':>8} {'best':>8}  players")
    for row in rows:
        worst, mean, best = row["score_range"]
        print(
            f"{row['task']:<20} {row['max_turns']:>6}  {worst:>8g} {mean:>8g} {best:>8g}  "
            f"{', '.join(row['players'])}"
        )
    return 0


def _play(options: argparse.Namespace) -> int:
    from lmrl.data import write
    from lmrl.env import fresh_seed
    from lmrl.rollout import Episode
    from lmrl.tasks import make
    from lmrl.trajectory import printable

    env = make(options.task, **options.options)
    seed = fresh_seed() if options.seed is None else options.seed
    episode = Episode(env, seed, name=options.task, options=options.options)
    print(f"{options.task}, seed {seed}. Type an action and press Enter; Ctrl-D gives up.")
    while not episode.done:
        print(printable(episode.observation))
        try:
            action = input("> ")
        except EOFError:
            print("\ngiven up")
            return 0
        episode.act(action + env.stop)
    trajectory = episode.trajectory("human")
    print(printable(str(trajectory.info.get("last_text", trajectory.final))))
    print(f"return {trajectory.total_reward:g} in {len(trajectory.turns)} turns")
    if options.out:
        write([trajectory], options.out)
    return 0


def _data_generate(options: argparse.Namespace) -> int:
    import shutil
    import time

    from lmrl.data import writable, write
    from lmrl.data.generate import episodes
    from lmrl.tasks import make

    if options.episodes < 1:
        raise UsageError(f"--episodes is {options.episodes}; give 1 or more")
    env = make(options.task, **options.options)
    if options.player not in env.players:
        raise unknown("player", options.player, env.players)
    out: Path = options.out
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty; choose a new folder with --out")
    writable(out.parent, "the folder of")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    began = time.perf_counter()
    try:
        made = episodes(
            env, options.task, options.episodes, options.seed, options.player, options.options
        )
        write(_ticking(made, options.episodes), temporary)
        if out.exists():
            out.rmdir()
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    seconds = time.perf_counter() - began
    record = {"episodes": options.episodes, "path": str(out), "seconds": round(seconds, 3)}
    print(json.dumps(record) if options.json else f"{options.episodes} episodes in {out}")
    return 0


def _ticking(stream: Any, total: int) -> Any:
    """Yield from `stream` with a bar and the time that is left, on a terminal."""
    from rich.console import Console
    from rich.progress import track

    return track(
        stream,
        "episodes",
        total=total,
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def _data_show(options: argparse.Namespace) -> int:
    from lmrl.data.generate import describe

    facts = describe(options.path)
    if options.json:
        print(json.dumps(facts, indent=2))
        return 0
    print(f"{facts['episodes']} episodes, {facts['turns']} turns")
    for name in ("tasks", "players", "endings"):
        print(f"{name:<8}", ", ".join(f"{k or '-'} {v}" for k, v in sorted(facts[name].items())))
    for name in ("return", "length"):
        row = facts[name]
        print(
            f"{name:<8} mean {row['mean']:.3g}  std {row['std']:.3g}  min {row['min']:g}  "
            f"max {row['max']:g}"
        )
    counts, edges = facts["histogram"]["counts"], facts["histogram"]["edges"]
    for count, low, high in zip(counts, edges, edges[1:], strict=False):
        bar = "#" * round(40 * count / max(counts))
        print(f"  {low:>8.4g} .. {high:<8.4g} {count:>7}  {bar}")
    print("\nthe shortest episode of the first ones:\n" + facts["transcript"])
    return 0


def _replay(options: argparse.Namespace) -> int:
    from lmrl.data import load
    from lmrl.replay import replay_all

    report = replay_all(load(options.path))
    if options.json:
        print(json.dumps(report.to_json(), indent=2))
        return int(bool(report.differences))
    differing = len(report.differences)
    for difference in report.differences[:DIFFERENCES]:
        print(difference.sentence())
    if differing > DIFFERENCES:
        print(f"and {differing - DIFFERENCES} more, which --json lists")
    print(f"{report.episodes} episodes: {report.episodes - differing} equal, {differing} differ")
    return int(differing > 0)


def _train(options: argparse.Namespace) -> int:
    from cluster.fields import change, describe_fields, read_config
    from cluster.presets import PRESETS, preset
    from cluster.train import train
    from lmrl.runlog import RunLog

    if options.list:
        for name, value in PRESETS.items():
            print(f"{name:<20} {value.algorithm.name} on {value.task}, {value.updates} updates")
        return 0
    resume = options.resume is not None
    if resume:
        if options.preset or options.fields_given:
            raise UsageError("--resume takes a run directory alone; its fields are in config.json")
        exp = read_config(options.resume / "config.json")
        log = RunLog(options.resume)
        if log.finished:
            raise UsageError(f"{options.resume} has ended; its figures are in summary.json")
    else:
        if options.preset is None:
            raise UsageError(f"give a preset: {', '.join(PRESETS)}")
        exp = preset(options.preset)
        if options.config is not None:
            exp = read_config(options.config, exp)
        exp = change(exp, options.fields_given)
        log = RunLog(options.run_dir or Path("runs") / options.preset)
    if options.fields:
        print(describe_fields(exp))
        return 0
    exp.check()
    if options.dry_run:
        print(json.dumps(exp.to_json(), indent=2) if options.json else _plan(exp, log.folder))
        return 0
    summary = train(exp, log, resume, options.overwrite, options.verbose)
    print(json.dumps(summary, indent=2) if options.json else summary_table(summary, log.folder))
    return 0


def _plan(exp: Any, folder: Path) -> str:
    from cluster.launch import bundles

    source = (
        f"{exp.rollouts.turns} fresh turns an update"
        if exp.algorithm.on_policy
        else f"{exp.data.batch} episodes an update from {exp.data.path or 'data to be made'}"
    )
    start = exp.model.path or exp.start or "random weights"
    place = bundles(exp, "cuda" if exp.placement.device == "cuda" else "cpu")
    needed = sum(bundle["CPU"] for bundle in place)
    return "\n".join(
        [
            f"{exp.algorithm.name} on {exp.task} {exp.options or ''}",
            f"start      {start}",
            f"updates    {exp.updates}, {source}",
            f"actors     {exp.learner.ranks} learner rank(s) (ZeRO {exp.learner.optimiser.zero}), "
            f"{exp.sampler.count} sampler(s), {exp.simulator.count} simulator(s): {needed:g} CPUs",
            f"model      context {exp.model.context}, at most {exp.rollouts.max_tokens} tokens an "
            "action",
            f"scores     {exp.evaluation.episodes} episodes from seed {exp.evaluation.first_seed}",
            f"run        {folder}",
        ]
    )


def summary_table(summary: dict[str, Any], folder: Path) -> str:
    """Return the scores of a finished run as a table."""
    lines = [
        f"{'policy':<10} {'return':>9} {'95 % interval':>20} {'normalised':>11} {'episodes':>9}"
    ]
    for name, row in summary["scores"].items():
        low, high = row["ci95"]
        interval = f"[{low:.2f}, {high:.2f}]"
        lines.append(
            f"{name:<10} {row['return_mean']:>9.2f} {interval:>20} {row['normalised']:>11.1f} "
            f"{row['episodes']:>9}"
        )
    ledger, parity = summary["ledger"], summary["parity"]
    lines.append(
        f"\nepisodes: {ledger['started']} started = {ledger['trained']} trained + "
        f"{ledger['evaluated']} evaluated + {ledger['stale']} stale + {ledger['failed']} failed"
    )
    lines.append(
        f"parity: {parity['max_abs']:.1e} nats at most, over {parity['pushes']} pushes; "
        f"{summary['seconds']['total']:.0f} s; everything is in {folder}"
    )
    return "\n".join(lines)


def _evaluate(options: argparse.Namespace) -> int:
    from cluster.experiment import EvaluationConfig
    from cluster.score import score_checkpoint, score_player
    from lmrl.data import write_table
    from lmrl.tasks import make

    if options.episodes < 1:
        raise UsageError(f"--episodes is {options.episodes}; give 1 or more")
    if options.temperature < 0:
        raise UsageError(f"--temperature is {options.temperature}; give 0 or more")
    make(options.task, **options.options)  # a wrong name is told before anything heavy is imported
    sizes = EvaluationConfig(
        options.episodes, first_seed=options.first_seed, temperature=options.temperature
    )
    if options.checkpoint:
        score, table = score_checkpoint(
            options.checkpoint, options.task, options.options, sizes, options.max_tokens
        )
    else:
        score, table = score_player(options.player, options.task, options.options, sizes)
    if options.out:
        write_table(table, options.out / "evaluation.parquet")
    record = {"task": options.task, **score.to_json()}
    if options.json:
        print(json.dumps(record, indent=2))
        return 0
    low, high = score.ci95
    print(
        f"{options.task}: return {score.return_mean:.2f} [{low:.2f}, {high:.2f}], normalised "
        f"{score.normalised:.1f}, {score.length_mean:.1f} turns, {score.episodes} episodes"
    )
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from lmrl.doctor import check, report

    findings = check()
    print(json.dumps(findings, indent=2) if options.json else report(findings))
    return 0 if all(row["ok"] for row in findings if row["needed"]) else 1
