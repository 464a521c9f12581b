"""Score a checkpoint or a scripted player without training: what `lmrl evaluate` runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from cluster.evaluate import evaluate
from cluster.experiment import EvaluationConfig, Experiment, RolloutConfig
from cluster.launch import launch, ray_session
from learners.bc import BC
from learners.start import ModelConfig, context_of
from lmrl.rollout import play
from lmrl.schema import to_table
from lmrl.score import Score, score
from lmrl.tasks import make


def score_checkpoint(
    checkpoint: Path,
    task: str,
    options: dict[str, Any],
    sizes: EvaluationConfig,
    max_tokens: int = 16,
    context: int = 1024,
) -> tuple[Score, pa.Table]:
    """Return the score of a checkpoint and its episodes.

    Args:
        checkpoint: a Hugging Face checkpoint directory.
        task: name.
        options: of the task.
        sizes: episodes, first seed and temperature.
        max_tokens: longest action.
        context: most tokens of context and action; less if the model has fewer positions.

    Raises:
        UsageError: for a checkpoint that is none, or what `Experiment.check` refuses.
    """
    exp = Experiment(
        task=task,
        algorithm=BC(),
        options=options,
        model=ModelConfig(path=str(checkpoint), context=min(context_of(checkpoint), context)),
        rollouts=RolloutConfig(max_tokens=max_tokens),
        evaluation=sizes,
    )
    exp.check()
    exp = replace(exp, placement=replace(exp.placement, learner_cpus=0.0))
    with ray_session(), launch(exp, checkpoint.resolve(), learners=False) as house:
        return evaluate(house, sizes.episodes, str(checkpoint))


def score_player(
    player: str, task: str, options: dict[str, Any], sizes: EvaluationConfig
) -> tuple[Score, pa.Table]:
    """Return the score of a scripted player on the same seeds, without Ray.

    Raises:
        UsageError: if the task or the player is unknown.
    """
    env = make(task, **options)
    seeds = range(sizes.first_seed, sizes.first_seed + sizes.episodes)
    played = [play(env, player, seed, task, options) for seed in seeds]
    return score(played, env.score_range), to_table(played)
