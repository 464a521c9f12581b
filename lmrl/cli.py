"""`lmrl`: the command line. The one door that looks up into the other packages, lazily, so that
`lmrl --help` answers at once and the light commands need neither torch nor Ray.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn

from lmrl.errors import RunError, Terminated, UsageError, disk_full, unknown
from lmrl.interrupt import sigterm_raises

USAGE = 2
INTERRUPTED = 130
TERMINATED = 143
DIFFERENCES = 20
"""How many differing episodes `lmrl replay` prints."""

EXAMPLES = """examples:
  lmrl play maze-fo                                  play a task yourself
  lmrl data generate maze-fo --episodes 1500 --out data/maze
  lmrl data import wordle train_data.jsonl --out data/wordle
  lmrl train maze-fo-ppo --run-dir runs/demo         BC, then PPO from it, scores at the end
  lmrl evaluate --checkpoint runs/demo/checkpoints/last
  lmrl evaluate --policy prompt --model smollm2 --shots 2 --task maze-fo --episodes 20
  lmrl compare runs/ppo-0 runs/ppo-1 runs/ilql-0     groups of runs, with intervals
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

    0, 1 for a run that failed or data that do not replay, 2 for bad input, 130 after Ctrl-C, 143
    after SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        options, rest = _parser().parse_known_args(arguments)
        if rest and options.command is not _train:
            raise UsageError(f"unrecognized arguments: {' '.join(rest)}; see 'lmrl --help'")
        options.fields_given = rest  # of the experiment; `_train` knows them
        command: Callable[[argparse.Namespace], int] = options.command
        with sigterm_raises():
            return command(options)
    except UsageError as error:
        print(f"lmrl: {error}", file=sys.stderr)
        return USAGE
    except RunError as error:
        print(f"lmrl: the run stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        ended, code = ("interrupted", INTERRUPTED)
        if isinstance(error, Terminated):
            ended, code = ("terminated", TERMINATED)
        print(f"lmrl: {ended}; a training run goes on with --resume", file=sys.stderr)
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not disk_full(error):
            raise
        print(f"lmrl: {disk_full(error)}", file=sys.stderr)
        return 1


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

    play = add(
        "play",
        "play a task yourself, or be the other side for policies",
        "lmrl play maze-po --seed 7\n"
        "  lmrl play twenty-questions --as oracle --policy optimal mixture --blind --episodes 10 "
        "--out study\n"
        "  lmrl play --summary study",
        _play,
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
        help="who plays the agent: checkpoint directories or scripted players",
    )
    play.add_argument("--blind", action="store_true", help="show no policy's name before the end")
    play.add_argument("--episodes", type=int, default=1, help="with each policy (1)")
    play.add_argument("--seed", type=int, help="of the first episode; drawn if not given")
    play.add_argument("--temperature", type=float, default=1.0, help="of checkpoints (1)")
    play.add_argument("--max-tokens", type=int, default=64, help="of a checkpoint's action (64)")
    play.add_argument("--options", type=_options, default={}, help="of the task, as JSON")
    play.add_argument("--out", type=Path, help="folder of the study; one begun there goes on")
    play.add_argument("--summary", type=Path, metavar="DIR", help="results of a study")
    _json(play)

    data = commands.add_parser(
        "data",
        help="make and import data sets, and look into them",
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
    _oracle(generate)
    _json(generate)
    bring = add(
        "import",
        "make a data set of the published files of a task",
        "lmrl data import wordle train_data.jsonl --out data/wordle",
        _data_import,
        data,
    )
    bring.add_argument("task")
    bring.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="see docs/trajectories.md"
    )
    bring.add_argument("--out", type=Path, required=True, help="a new folder")
    _json(bring)
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

    _evaluate_arguments(
        add(
            "evaluate",
            "score a checkpoint, a scripted player or a prompted model on fixed seeds",
            "lmrl evaluate --checkpoint runs/demo/checkpoints/last\n"
            "  lmrl evaluate --checkpoint runs/ilql/checkpoints/last --temperature 0 1 "
            "--beta 1 4 16\n"
            "  lmrl evaluate --policy prompt --model smollm2 --shots 2 --task maze-fo\n"
            "  lmrl evaluate --player optimal --task twenty-questions --oracle smollm2",
            _evaluate,
        )
    )

    compare = add(
        "compare",
        "compare finished runs of one task, grouped by everything but their seeds",
        "lmrl compare runs/ppo-0 runs/ppo-1 runs/ppo-2 runs/ilql-0 runs/ilql-1 runs/ilql-2",
        _compare,
    )
    compare.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a run directory")
    compare.add_argument(
        "--policy",
        action="append",
        default=[],
        help="a policy in scores.jsonl instead of the learned one; may be given several times",
    )
    compare.add_argument(
        "--at", choices=("best", "last"), default="last", help="which checkpoint of a run (last)"
    )
    _json(compare)

    doctor = add("doctor", "check the installation", "lmrl doctor", _doctor)
    _json(doctor)
    return parser


def _json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print figures as JSON")


def _oracle(parser: Parser) -> None:
    parser.add_argument(
        "--oracle",
        metavar="MODEL",
        help="who answers for the task instead of its scripted oracle or buyer: smollm2, a "
        "checkpoint directory, or a .gguf file",
    )
    parser.add_argument(
        "--oracle-endpoint",
        metavar="URL",
        help="of a server with OpenAI's API; --oracle is the model's name there",
    )
    parser.add_argument(
        "--oracle-max-tokens", type=int, default=32, metavar="N", help="of an answer (32)"
    )


def _evaluate_arguments(evaluate: Parser) -> None:
    who = evaluate.add_mutually_exclusive_group(required=True)
    who.add_argument("--checkpoint", type=Path, help="a Hugging Face checkpoint directory")
    who.add_argument("--player", help="a scripted player of the task")
    who.add_argument(
        "--policy", choices=("prompt",), help="an instruct model that is told the rules: --model"
    )
    evaluate.add_argument("--task", help="needed unless the checkpoint records it")
    evaluate.add_argument(
        "--suite",
        choices=("robustness",),
        help="score the task and all its variants (lmrl tasks --json lists them)",
    )
    evaluate.add_argument("--episodes", type=int, help="(the run's, or 200)")
    evaluate.add_argument("--first-seed", type=int, help="(the run's, or 1000000000)")
    evaluate.add_argument(
        "--temperature",
        type=float,
        nargs="+",
        metavar="T",
        help="0 is greedy (the run's, or 1; of prompted models 0); several make a sweep",
    )
    evaluate.add_argument(
        "--beta",
        type=float,
        nargs="+",
        metavar="B",
        help="weight of the values in a value-guided policy (its own); several make a sweep",
    )
    evaluate.add_argument(
        "--max-tokens", type=int, help="of an action (the run's, or 16; of prompted models 32)"
    )
    evaluate.add_argument(
        "--rerank",
        choices=("last", "sum"),
        help="choose among the task's actions by the checkpoint's score of each, without sampling: "
        "its log-probability, or its Q value at the last token or summed over its tokens; "
        "the best one at --temperature 0",
    )
    evaluate.add_argument("--options", type=_options, help="of the task, as JSON (the run's)")
    evaluate.add_argument("--out", type=Path, help="folder for the episodes")
    _oracle(evaluate)
    prompt = evaluate.add_argument_group("with --policy prompt")
    prompt.add_argument("--model", help="smollm2, a checkpoint directory, or a .gguf file")
    prompt.add_argument(
        "--endpoint",
        metavar="URL",
        help="of a server with OpenAI's API; --model is the model's name there",
    )
    prompt.add_argument("--shots", type=int, default=2, help="example episodes in the prompt (2)")
    prompt.add_argument(
        "--data", type=Path, help="data set of the examples; without, the optimal player makes them"
    )
    prompt.add_argument("--context", type=int, default=2048, help="most tokens of a prompt (2048)")
    _json(evaluate)


def _options(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"'{text}' is not a JSON object, like '{{\"last_k\": 7}}'")
    return value


def _tasks(options: argparse.Namespace) -> int:
    from lmrl.scoring.tables import tasks_table
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
                "variants": {name: dict(options) for name, options in env.variants.items()},
            }
        )
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    print(tasks_table(rows))
    return 0


def _play(options: argparse.Namespace) -> int:
    from lmrl.data.store import writable
    from lmrl.env import fresh_seed
    from lmrl.human import AGENT, HUMAN, ORACLE, Person, Study, conduct, open_study, summary, table

    if options.summary:
        results = summary(options.summary)
        plain = [result.to_json() for result in results]
        print(json.dumps(plain, indent=2) if options.json else table(results))
        return 0
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
    study = Study(
        options.task,
        options.options,
        options.side,
        tuple(options.policy) or (HUMAN,),
        options.episodes,
        fresh_seed() if options.seed is None else options.seed,
        options.blind,
        {"temperature": options.temperature, "max_tokens": options.max_tokens} if oracle else None,
    )
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


def _checkpoints(study: Any) -> list[str]:
    """Return those of a study's policies that are checkpoints, and refuse what is none."""
    from lmrl.tasks import make

    players = make(study.task, **study.options).players
    found = [name for name in study.policies if name not in players]
    for name in found:
        if not Path(name).is_dir():
            raise unknown("policy", name, [*players, "a checkpoint directory"])
    return found


@contextmanager
def _policies(study: Any, checkpoints: list[str]) -> Iterator[dict[str, Any]]:
    """Give the policies of a study; Ray starts if there is a checkpoint among them."""
    from lmrl.human import AGENT, Scripted

    names = [] if study.side == AGENT else study.policies
    scripted = {name: Scripted(name) for name in names if name not in checkpoints}
    if not checkpoints:
        yield scripted
        return
    from cluster.evaluation.human_partners import serving_partners

    print("starting ...", file=sys.stderr)
    with serving_partners(checkpoints, study.task, study.options, **study.decoding) as served:
        yield {**scripted, **served}


def _data_generate(options: argparse.Namespace) -> int:
    from lmrl.data.generate import episodes
    from lmrl.tasks import make

    if options.episodes < 1:
        raise UsageError(f"--episodes is {options.episodes}; give 1 or more")
    env = make(options.task, **options.options)
    if options.player not in env.players:
        raise unknown("player", options.player, env.players)
    config = _oracle_config(options)
    if config is not None:
        return _generate_answered(options, config)
    made = episodes(
        env, options.task, options.episodes, options.seed, options.player, options.options
    )
    return _write_new(options, _ticking(made, options.episodes))


def _generate_answered(options: argparse.Namespace, config: Any) -> int:
    """Make a data set in which a model answers for the task."""
    from cluster.evaluation.scripted import answered_episodes
    from cluster.evaluation.suite import ChatUsageReport

    asked = ChatUsageReport()
    seeds = range(options.seed, options.seed + options.episodes)
    made = answered_episodes(config, options.task, options.options, options.player, seeds, asked)
    return _write_new(options, _ticking(made, options.episodes), asked)


def _oracle_config(options: argparse.Namespace) -> Any:
    """Return the `ChatConfig` of the model that answers for the task; None if none was given."""
    if options.oracle is None:
        if options.oracle_endpoint:
            raise UsageError("--oracle-endpoint needs --oracle, the model's name there")
        return None
    from actors.chat.config import ChatConfig

    return ChatConfig(options.oracle, options.oracle_endpoint, max_tokens=options.oracle_max_tokens)


def _data_import(options: argparse.Namespace) -> int:
    from lmrl.data.importing import imported

    return _write_new(options, _ticking(imported(options.task, options.files)))


def _write_new(options: argparse.Namespace, made: Any, asked: Any = None) -> int:
    """Write a new data set to `options.out`, and print how many episodes it has.

    Args:
        options: of the command.
        made: the episodes.
        asked: what was asked of the model that answered in them; None if none did.
    """
    import time

    from lmrl.data.store import write_new
    from lmrl.scoring.tables import asked_lines

    began = time.perf_counter()
    count = write_new(made, _kept(options.out, "--out"))
    seconds = time.perf_counter() - began
    record = {"episodes": count, "path": str(options.out), "seconds": round(seconds, 3)}
    answers = asked.to_json() if asked else {}
    if options.json:
        print(json.dumps({**record, **answers}))
        return 0
    print("\n".join([f"{count} episodes in {options.out}", *asked_lines(answers)]))
    return 0


def _ticking(stream: Any, total: int | None = None, what: str = "episodes") -> Any:
    """Yield from `stream` with a bar and the time that is left, if it is known, on a terminal."""
    from rich.console import Console
    from rich.progress import track

    return track(
        stream,
        what,
        total=total,
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def _data_show(options: argparse.Namespace) -> int:
    from lmrl.data.generate import describe
    from lmrl.scoring.tables import data_set

    facts = describe(options.path)
    if options.json:
        print(json.dumps(facts, indent=2))
        return 0
    print(data_set(facts))
    return 0


def _replay(options: argparse.Namespace) -> int:
    from lmrl.data.replay import replay_all
    from lmrl.data.store import load

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
    from lmrl.run_log import RunLog
    from lmrl.scoring.tables import summary_table

    if options.list:
        for name, (exp, measured) in PRESETS.items():
            reached = "not measured"
            if measured is not None:
                mean = sum(measured.returns) / len(measured.returns)
                reached = f"return {mean:.2f} in {measured.minutes:.0f} min ({measured.result})"
            print(f"{name:<28} {exp.algorithm.name}, {exp.updates} updates; {reached}")
        return 0
    resume = options.resume is not None
    if resume:
        if options.preset or options.fields_given:
            raise UsageError("--resume takes a run directory alone; its fields are in config.json")
        log = RunLog(_kept(options.resume, "--resume"))
        log.check_marked()
    elif options.preset is None:
        raise UsageError(f"give a preset: {', '.join(PRESETS)}")
    else:
        log = RunLog(_kept(options.run_dir or Path("runs") / options.preset, "--run-dir"))
    with ExitStack() as stack:
        if resume:
            stack.enter_context(log.locked())
            exp = read_config(log.folder / "config.json")
            if log.finished:
                raise UsageError(f"{log.folder} has ended; its figures are in summary.json")
        else:
            exp = preset(options.preset)
            if options.config is not None:
                exp = read_config(options.config, exp)
            exp = change(exp, options.fields_given)
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


def _kept(path: Path, option: str) -> Path:
    """Return a path that a command writes to, if it outlives the command.

    Raises:
        UsageError: for a relative one within a Ray job, which runs in a copy of the working
            directory that Ray deletes.
    """
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and not path.is_absolute():
        raise UsageError(
            f"{path} is relative, and this Ray job runs in a temporary copy of the working "
            f"directory; give {option} an absolute path on a file system that every node sees"
        )
    return path


def _plan(exp: Any, folder: Path) -> str:
    from cluster.startup.launch import bundles

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


def _evaluate(options: argparse.Namespace) -> int:
    from cluster.evaluation.suite import score_suite, settings
    from lmrl.schema import from_table
    from lmrl.scoring.robustness import BASE, rows, variants
    from lmrl.scoring.tables import asked_lines, score_line
    from lmrl.tasks import make

    _check_evaluate(options)
    # A wrong name is told before anything heavy is started.
    make(options.task, **options.options)
    if options.rerank:
        return _reranked(options)
    suite = {BASE: options.options}
    if options.suite:
        suite = variants(options.task, options.options)
    swept = settings(options.temperature, options.beta or [None])
    if len(swept) > 1:
        return _sweep(options, swept)
    with _contestant(options) as contestant:
        found = score_suite(contestant, suite, swept[0])
        asked = contestant.asked.to_json()
    played = {name: given for name, given in found.items() if not isinstance(given, str)}
    for name, (_, episodes) in played.items():
        _store(options, episodes, name if options.suite else "evaluation")
    if options.suite:
        scored = {name: (score, from_table(episodes)) for name, (score, episodes) in played.items()}
        return _print_suite(options, rows(suite, {**found, **scored}, options.episodes), asked)
    score = played[BASE][0]
    if options.json:
        print(json.dumps({"task": options.task, **score.to_json(), **asked}, indent=2))
    else:
        print("\n".join([score_line(options.task, score), *asked_lines(asked)]))
    return 0


def _reranked(options: argparse.Namespace) -> int:
    from cluster.evaluation.reranked import score_reranked
    from lmrl.scoring.tables import score_line

    (score, episodes), diagnostics = score_reranked(
        options.checkpoint,
        options.task,
        options.options,
        options.rerank,
        range(options.first_seed, options.first_seed + options.episodes),
        options.temperature[0] == 0,
    )
    _store(options, episodes, "evaluation")
    if options.json:
        measures = {measure.name: measure.value for measure in diagnostics}
        record = {"task": options.task, **score.to_json(), **measures}
        print(json.dumps(record, indent=2))
        return 0
    print(score_line(options.task, score))
    for measure in diagnostics:
        print(measure.sentence)
    return 0


def _check_evaluate(options: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
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
            "--policy prompt needs --model, who is asked"
            if prompted
            else "--model is for --policy prompt"
        )
    for name in ("endpoint", "data"):
        if not prompted and getattr(options, name) is not None:
            raise UsageError(f"--{name} is for --policy prompt")
    _fill_evaluate(options)
    if options.episodes < 1:
        raise UsageError(f"--episodes is {options.episodes}; give 1 or more")
    if options.out:
        _kept(options.out, "--out")
    if options.out and any(options.out.glob("*.parquet")):
        raise UsageError(f"{options.out} holds episodes already; choose another folder with --out")


def _fill_evaluate(options: argparse.Namespace) -> None:
    """Fill in what was not given: a checkpoint is scored as in its own run."""
    prompted = options.policy == "prompt"
    values: dict[str, Any] = {
        "options": {},
        "episodes": 200,
        "first_seed": 1_000_000_000,
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
                # What is given changes an option; the others stay those of the run.
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


@contextmanager
def _contestant(options: argparse.Namespace) -> Iterator[Any]:
    """Give the `Contestant` that is asked for; what it needs is started and ended here."""
    from cluster.config import EvaluationConfig
    from cluster.evaluation.checkpoint import checkpoint_target
    from cluster.evaluation.prompted import prompted_target
    from cluster.evaluation.scripted import scripted_target

    oracle = _oracle_config(options)
    sizes = EvaluationConfig(
        options.episodes, first_seed=options.first_seed, temperature=options.temperature[0]
    )
    task = (options.task, options.options, sizes)
    if options.checkpoint:
        contest: Any = checkpoint_target(
            options.checkpoint,
            *task,
            options.max_tokens,
            oracle=oracle,
            guided=options.beta is not None,
        )
    elif options.player:
        contest = scripted_target(options.player, *task, oracle)
    else:
        from actors.chat.config import ChatConfig

        config = ChatConfig(
            options.model,
            options.endpoint,
            max_tokens=options.max_tokens,
            context=options.context,
        )
        contest = prompted_target(config, *task, options.shots, options.data, oracle)
    with contest as contestant:
        yield contestant


def _store(options: argparse.Namespace, episodes: Any, name: str) -> None:
    from lmrl.data.store import write_table

    if options.out:
        write_table(episodes, options.out / f"{name}.parquet")


def _sweep(options: argparse.Namespace, swept: Sequence[Any]) -> int:
    """Score every setting on the same seeds, and print them as one table."""
    from lmrl.scoring.tables import SweepRow, asked_lines, best_row, sweep_table

    rows = []
    with _contestant(options) as contestant:
        for setting in _ticking(swept, len(swept), "settings"):
            score, episodes = contestant.score(options.options, setting)
            beta = "" if setting.beta is None else f"-beta-{setting.beta:g}"
            _store(options, episodes, f"temperature-{setting.temperature:g}{beta}")
            rows.append(SweepRow(setting.temperature, setting.beta, score))
        asked = contestant.asked.to_json()
    if options.json:
        best = best_row(rows)
        plain = [{"task": options.task, **row.to_json(), "best": row is best} for row in rows]
        print(json.dumps(plain, indent=2))
    else:
        print("\n".join([sweep_table(options.task, rows), *asked_lines(asked)]))
    return 0


def _print_suite(options: argparse.Namespace, found: Any, asked: dict[str, Any]) -> int:
    from lmrl.scoring.robustness import table
    from lmrl.scoring.tables import asked_lines

    if options.json:
        record = {"task": options.task, "suite": options.suite, "variants": found, **asked}
        print(json.dumps(record, indent=2, default=lambda row: row.to_json()))
    else:
        print(f"{options.task}, {options.episodes} episodes on the same seeds\n{table(found)}")
        print("\n".join(asked_lines(asked)), end="\n" if asked else "")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from lmrl.scoring.compare import compare, table

    found = compare(options.runs, options.policy, options.at)
    print(json.dumps(found.to_json(), indent=2) if options.json else table(found))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from lmrl.doctor import check, report

    findings = check()
    print(json.dumps(findings, indent=2) if options.json else report(findings))
    return 0 if all(row["ok"] for row in findings if row["needed"]) else 1
