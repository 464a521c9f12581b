"""A checkpoint that ranks the actions of a task with few of them, instead of sampling tokens."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from cluster.fields import recorded
from learners.checkpoints.initial import context_of
from learners.rerank import Reranker
from learners.rerank import Score as RerankScore
from lmrl.env import Diagnostic
from lmrl.episode import Episode, rollout
from lmrl.schema import to_table
from lmrl.scoring.score import Score, score_of
from lmrl.tasks import make
from lmrl.tokens.format import FormatConfig


def score_reranked(
    checkpoint: Path,
    task: str,
    options: dict[str, Any],
    how: RerankScore,
    seeds: range,
    greedy: bool,
) -> tuple[tuple[Score, pa.Table], list[Diagnostic]]:
    """Return score and episodes of a checkpoint that chooses among the task's actions, and the
    task's own measures of it (the move accuracy of the fully observed maze).

    Args:
        checkpoint: checkpoint directory of a plain or value-guided policy.
        task: name of the task, which needs a finite set of actions.
        options: options of the task.
        how: rule that makes a score of the Q values of an action's tokens, see
            `learners.rerank.Reranker`.
        seeds: seeds of the episodes.
        greedy: whether the best action is taken; if not, one is drawn from the softmax of the
            scores.

    Raises:
        UsageError: if the task has no finite set of actions, or the checkpoint cannot be read.
    """
    env = make(task, **options)
    made = recorded(checkpoint)
    form = made.format if made else FormatConfig("auto")
    policy = Reranker(checkpoint, env.actions, how, greedy, 0, form, env.instructions)
    limit = context_of(checkpoint) - max(len(action) for action in policy.actions)
    played = [
        rollout(Episode(env, seed, policy.codec, limit, task, options), policy, f"rerank {how}")
        for seed in seeds
    ]
    return (score_of(played, env), to_table(played)), env.diagnostics(policy.best)
