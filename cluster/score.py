"""Score a checkpoint or a scripted player without training: what `lmrl evaluate` runs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from cluster.evaluate import evaluate
from cluster.experiment import EvaluationConfig, Experiment, RolloutConfig
from cluster.launch import check_context, launch, ray_session
from learners.bc import BC
from learners.start import ModelConfig, context_of
from lmrl.codec import Codec
from lmrl.errors import RunError, UsageError
from lmrl.rollout import play
from lmrl.schema import to_table
from lmrl.score import Score, score
from lmrl.tasks import make

Scored = tuple[Score, pa.Table]
"""A score and its episodes."""


def serving(
    checkpoint: Path,
    task: str,
    options: dict[str, Any],
    sizes: EvaluationConfig,
    max_tokens: int = 16,
    context: int = 1024,
    share: float = 1.0,
) -> Experiment:
    """Return the experiment in which a checkpoint is only served.

    Args:
        checkpoint: a Hugging Face checkpoint directory.
        task: name.
        options: of the task.
        sizes: episodes, first seed and temperature.
        max_tokens: longest action.
        context: most tokens of context and action; less if the model has fewer positions.
        share: of the resources that one such experiment takes by itself.

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
    place = exp.placement
    return replace(
        exp,
        placement=replace(
            place,
            learner_cpus=0.0,
            sampler_cpus=share * place.sampler_cpus,
            sampler_gpus=share * place.sampler_gpus,
            simulator_cpus=share * place.simulator_cpus,
        ),
    )


def score_checkpoint(
    checkpoint: Path,
    task: str,
    suite: Mapping[str, dict[str, Any]],
    sizes: EvaluationConfig,
    max_tokens: int = 16,
    context: int = 1024,
) -> dict[str, Scored | str]:
    """Return the score of a checkpoint and its episodes for each entry of a suite.

    Ray and the sampler start once for all of them. The first entry has to work; of another one that
    cannot be played, because its texts do not fit the model's context for example, the reason is
    returned instead.

    Args:
        checkpoint: a Hugging Face checkpoint directory.
        task: name.
        suite: options of the task by name.
        sizes: episodes, first seed and temperature.
        max_tokens: longest action.
        context: most tokens of context and action; less if the model has fewer positions.

    Raises:
        UsageError: for a checkpoint that is none, what `Experiment.check` refuses, or a context
            that is too short for the first entry.
        RunError: if too many episodes of the first entry fail.
    """
    (first, options), *others = suite.items()
    base = serving(checkpoint, task, options, sizes, max_tokens, context)
    codec = Codec.load(checkpoint)
    with ray_session(), launch(base, checkpoint.resolve(), learners=False) as house:
        found: dict[str, Scored | str] = {
            first: evaluate(house, sizes.episodes, str(checkpoint)),
        }
        for name, changed in others:
            # The actors serve any options of the task: what is played follows from the experiment.
            exp = replace(base, options=changed, failures=1.0)
            try:
                check_context(exp, codec)
                found[name] = evaluate(
                    replace(house, experiment=exp), sizes.episodes, str(checkpoint)
                )
            except (RunError, UsageError) as error:
                found[name] = str(error)
    return found


def score_player(
    player: str, task: str, suite: Mapping[str, dict[str, Any]], sizes: EvaluationConfig
) -> dict[str, Scored | str]:
    """Return the same of a scripted player, without Ray.

    Raises:
        UsageError: if the task or the player is unknown.
    """
    seeds = range(sizes.first_seed, sizes.first_seed + sizes.episodes)
    found: dict[str, Scored | str] = {}
    for name, options in suite.items():
        env = make(task, **options)
        played = [play(env, player, seed, task, options) for seed in seeds]
        found[name] = (score(played, env.score_range), to_table(played))
    return found
