"""`lmrl evaluate`: score a checkpoint, a scripted player or a prompted model on fixed seeds."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lmrl.cli.arguments import Commands, oracle_config
from lmrl.cli.evaluation.options import CHECKPOINT, PLAYER, add_commands, check
from lmrl.cli.output import print_json, progress, resumable


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    add_commands(commands, run)


def run(options: argparse.Namespace) -> int:
    """Score a policy once, in a sweep, on a suite of variants, or as a reranker."""
    from cluster.evaluation.suite import score_suite, settings
    from lmrl.schema import from_table
    from lmrl.scoring.robustness import BASE, rows, variants
    from lmrl.scoring.tables import asked_lines, score_lines
    from lmrl.tasks import make

    check(options)
    # A wrong name is reported before anything heavy is started.
    make(options.task, **options.options)
    if options.rerank:
        return _reranked(options)
    suite = {BASE: options.options}
    if options.suite:
        suite = variants(options.task, options.options)
    swept = settings(options.temperature, options.beta or [None])
    if len(swept) > 1:
        return _sweep(options, swept)
    names = {name: name if options.suite else "evaluation" for name in suite}
    with _target(options) as target:
        found = score_suite(target, suite, swept[0], _store(options), names)
        asked = target.asked.to_json()
    played = {name: given for name, given in found.items() if not isinstance(given, str)}
    if options.suite:
        scored = {name: (score, from_table(episodes)) for name, (score, episodes) in played.items()}
        return _print_suite(options, rows(suite, {**found, **scored}, options.episodes), asked)
    score = played[BASE][0]
    if options.json:
        print_json({"task": options.task, **score.to_json(), **asked})
    else:
        print("\n".join([*score_lines(options.task, score), *asked_lines(asked)]))
    return 0


def _reranked(options: argparse.Namespace) -> int:
    """Score a checkpoint that chooses among the task's actions, and print the score."""
    from cluster.evaluation.reranked import score_reranked
    from lmrl.scoring.tables import score_lines
    from lmrl.seeds import evaluation_seeds

    store = _store(options)
    (score, episodes), diagnostics = score_reranked(
        options.checkpoint,
        options.task,
        options.options,
        options.rerank,
        evaluation_seeds(options.first_seed, options.episodes),
        options.temperature[0] == 0,
    )
    if store is not None:
        store.finish("evaluation", episodes)
    if options.json:
        measures = {measure.name: measure.value for measure in diagnostics}
        print_json({"task": options.task, **score.to_json(), **measures})
        return 0
    print("\n".join(score_lines(options.task, score)))
    for measure in diagnostics:
        print(measure.sentence)
    return 0


@contextmanager
def _target(options: argparse.Namespace) -> Iterator[Any]:
    """Yield the policy to be evaluated; the actors that it needs run within the block."""
    from cluster.config import EvaluationConfig
    from cluster.evaluation.checkpoint import checkpoint_target
    from cluster.evaluation.prompted import prompted_target
    from cluster.evaluation.scripted import scripted_target

    oracle = oracle_config(options)
    sizes = EvaluationConfig(
        options.episodes, first_seed=options.first_seed, temperature=options.temperature[0]
    )
    task = (options.task, options.options, sizes)
    if options.mode == CHECKPOINT:
        starting: Any = checkpoint_target(
            options.checkpoint,
            *task,
            options.max_tokens,
            options.context,
            oracle=oracle,
            guided=options.beta is not None,
        )
    elif options.mode == PLAYER:
        starting = scripted_target(options.player, *task, oracle)
    else:
        from actors.chat.config import ChatConfig

        config = ChatConfig(
            options.model,
            options.endpoint,
            max_tokens=options.max_tokens,
            context=options.context,
        )
        starting = prompted_target(config, *task, options.shots, options.data, oracle)
    with resumable(stored=options.out is not None), starting as target:
        yield target


def _store(options: argparse.Namespace) -> Any:
    """Return the `EpisodeStore` of `--out`; None without one.

    Raises:
        UsageError: if the folder holds something else than the evaluation to go on with.
    """
    from cluster.evaluation.episode_store import EpisodeStore

    if not options.out:
        return None
    policy = options.checkpoint.resolve() if options.checkpoint else options.player
    settings = {
        "task": options.task,
        "options": options.options,
        options.mode: str(policy or options.model),
        "episodes": options.episodes,
        "first_seed": options.first_seed,
        "temperature": options.temperature,
        "beta": options.beta,
        "max_tokens": options.max_tokens,
        "suite": options.suite,
        "rerank": options.rerank,
        "oracle": options.oracle,
    }
    return EpisodeStore.open(options.out, settings, options.resume)


def _sweep(options: argparse.Namespace, swept: Sequence[Any]) -> int:
    """Score every setting on the same seeds, and print them as one table."""
    from cluster.evaluation.suite import score_target
    from lmrl.scoring.tables import SweepRow, asked_lines, best_row, sweep_table

    rows = []
    store = _store(options)
    with _target(options) as target:
        for setting in progress(swept, len(swept), "settings"):
            beta = "" if setting.beta is None else f"-beta-{setting.beta:g}"
            name = f"temperature-{setting.temperature:g}{beta}"
            score, _ = score_target(target, options.options, setting, store, name)
            rows.append(SweepRow(setting.temperature, setting.beta, score))
        asked = target.asked.to_json()
    if options.json:
        best = best_row(rows)
        plain = [{"task": options.task, **row.to_json(), "best": row is best} for row in rows]
        print_json(plain)
    else:
        print("\n".join([sweep_table(options.task, rows), *asked_lines(asked)]))
    return 0


def _print_suite(options: argparse.Namespace, found: Any, asked: dict[str, Any]) -> int:
    """Print the scores of a task and its variants.

    Args:
        options: options of the command.
        found: rows of `lmrl.scoring.robustness.rows`.
        asked: counts of what models were asked, by their use.
    """
    from lmrl.scoring.robustness import table
    from lmrl.scoring.tables import asked_lines

    if options.json:
        record = {"task": options.task, "suite": options.suite, "variants": found, **asked}
        print_json(record, default=lambda row: row.to_json())
    else:
        print(f"{options.task}, {options.episodes} episodes on the same seeds\n{table(found)}")
        print("\n".join(asked_lines(asked)), end="\n" if asked else "")
    return 0
