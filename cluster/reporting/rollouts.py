"""Metrics of fresh episodes."""

import json
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.evaluation.fixed_seeds import mean_return
from cluster.source import UpdateBatch
from lmrl.schema import table_returns


def rollout_metrics(batch: UpdateBatch, actions: Collection[str] = ()) -> dict[str, float]:
    """Return the metrics of an update's fresh episodes by their names.

    Args:
        batch: episodes of the update, at least one of them fresh.
        actions: every legal action of the task; empty if they are not always the same few.
    """
    mean, length = mean_return(batch.tables)
    turns = pa.concat_tables(batch.tables)["turns"].combine_chunks().flatten()
    said = turns.field("action")
    returns = np.concatenate([table_returns(table) for table in batch.tables])
    seconds = max(batch.seconds, 1e-9)
    found = {
        "rollout/return_mean": mean,
        "rollout/return_std": float(returns.std()),
        "rollout/length_mean": length,
        "rollout/episodes": float(batch.trained),
        "rollout/turns_per_s": length * batch.trained / seconds,
        "rollout/tokens_per_s": batch.tokens / seconds,
        "rollout/staleness": float(batch.staleness),
        "rollout/token_age_mean": float(np.average(range(len(batch.ages)), weights=batch.ages)),
        "rollout/wait_seconds": batch.waited,
        "rollout/empty_actions": _share(pc.equal(pc.utf8_trim_whitespace(said), "")),
        "rollout/cut_actions": _share(turns.field("cut")),
        "rollout/malformed_actions": _share(turns.field("malformed")),
    }
    if actions:
        known = pa.array(sorted(actions), said.type)
        found["rollout/illegal_actions"] = _share(pc.invert(pc.is_in(said, value_set=known)))
    successes = _successes(batch.tables)
    return found if successes is None else {**found, "rollout/success": successes}


def _share(found: pa.Array) -> float:
    """Return the share of true values."""
    return float(np.mean(found.to_numpy(zero_copy_only=False))) if len(found) else 0.0


def _successes(tables: list[pa.Table]) -> float | None:
    """Return the share of episodes that the task called a success; None if one says nothing."""
    infos = [json.loads(text) for table in tables for text in table["info"].to_pylist()]
    if not all("success" in info for info in infos):
        return None
    return float(np.mean([bool(info["success"]) for info in infos]))
