"""Score a policy, or a scripted player, on fixed seeds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.fleet import Fleet
from cluster.stream import episodes, evaluation_job
from lmrl.errors import OutOfTime, RunError
from lmrl.schema import from_table, table_returns
from lmrl.scoring.score import Score, score_of
from lmrl.seeds import evaluation_seeds
from lmrl.tasks import make


def evaluate(
    fleet: Fleet, count: int, label: str, player: str = "", selecting: bool = False
) -> tuple[Score, pa.Table]:
    """Return the score of some episodes, and the episodes in order of their seeds.

    Args:
        fleet: actors of the run.
        count: number of episodes; the first seed is the experiment's, the others follow it.
        label: name of the policy, for the record.
        player: name of a scripted player; empty is the policy that the samplers serve.
        selecting: whether to play other seeds, on which a checkpoint may be selected by its return.

    Raises:
        RunError: if every episode failed, or more than the allowed share.
    """
    exp = fleet.experiment
    seeds = evaluation_seeds(exp.evaluation.first_seed, count, selecting)
    before = fleet.ledger.copy()
    try:
        table = play_seeds(fleet, seeds, label, player)
    except (KeyboardInterrupt, OutOfTime):
        fleet.ledger = before  # a resumed run plays all of them again
        raise
    return score_table(table, exp.task, exp.options), table


def score_table(table: pa.Table, task: str, options: Mapping[str, Any]) -> Score:
    """Return the score of episodes.

    Args:
        table: episodes in Arrow form.
        task: name of the task.
        options: options of the task.
    """
    return score_of(from_table(table), make(task, **options))


def play_seeds(fleet: Fleet, seeds: range, label: str, player: str = "") -> pa.Table:
    """Return episodes with the given seeds, in their order.

    Args:
        fleet: actors of the run.
        seeds: seeds of the episodes.
        label: name of the policy, for the record.
        player: name of a scripted player; empty is the policy that the samplers serve.

    Raises:
        RunError: if every episode failed, or more than the allowed share.
    """
    job = evaluation_job(fleet, list(seeds), label, player)
    tables = []
    for finished in episodes(fleet, job):
        fleet.ledger.evaluated += finished.table.num_rows
        tables.append(finished.table)
    if not tables:
        raise RunError(f"every one of the {len(seeds)} evaluation episodes of {label} failed")
    table = pa.concat_tables(tables)
    return table.take(pc.sort_indices(table, [("seed", "ascending")]))


def mean_return(tables: list[pa.Table]) -> tuple[float, float]:
    """Return the mean return and the mean number of turns of episodes in Arrow tables."""
    returns = np.concatenate([table_returns(table) for table in tables])
    lengths = np.concatenate([pc.list_value_length(table["turns"]).to_numpy() for table in tables])
    return float(returns.mean()), float(lengths.mean())
