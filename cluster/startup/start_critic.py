"""The critic that a run begins with: its own new one, or that of an earlier, often offline, run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from learners.checkpoints.critic import check_takes, read_form
from lmrl.errors import UsageError, option
from lmrl.tokens.codec import Codec

if TYPE_CHECKING:
    from cluster.experiment import Experiment

OF_START = "start"
"""Value of `start_critic` that means the run that made the start policy."""


def check_start_critic(exp: Experiment) -> None:
    """Refuse a critic that the run's algorithm cannot take over.

    Args:
        exp: experiment of the run.

    Raises:
        UsageError: if so; the message has the remedy.
    """
    source, wanted = exp.start_critic, exp.algorithm.critic_form
    if source is None:
        if exp.algorithm.needs_critic:
            raise UsageError(
                f"{exp.algorithm.name} chooses by the critic of another run; name it with "
                f"{option('start_critic')}, which takes a checkpoint directory or {OF_START}"
            )
        return
    if wanted is None:
        raise UsageError(
            f"start_critic is {source}, and {exp.algorithm.name} has no critic; leave it out, or "
            "choose an algorithm with one (ppo, turn_ppo, archer, online_ilql)"
        )
    if exp.trains_start and source == OF_START:
        from cluster.startup.start_policy import start_experiment

        first = start_experiment(exp).algorithm
        if first.critic_form is None:
            raise UsageError(
                f"start_critic is {source}, and start is {exp.start}, which has no critic; give "
                f"{option('start')} weighted_iql or ilql, or leave {option('start_critic')} out"
            )
        given, name = first.critic_form, f"start {exp.start}"
    elif exp.model.path is None:
        raise UsageError(
            f"start_critic is {source}, and there is no policy that belongs to it; give that "
            f"policy with {option('model.path')}"
        )
    else:
        folder = Path(exp.model.path if source == OF_START else source)
        given, name = read_form(folder), str(folder)
        _check_policy(exp.model.path, folder, given.trunk)
    check_takes(wanted, given, name)
    if given.trunk and exp.learner.lora.rank:
        raise UsageError(
            f"start_critic: the critic of {name} has a trunk of its own, and adapters cannot take "
            f"over one; set learner.lora.rank 0 instead of {exp.learner.lora.rank}"
        )


def _check_policy(policy: str, folder: Path, trunk: bool) -> None:
    """Refuse a critic that does not belong to a policy.

    Args:
        policy: checkpoint directory of the start policy.
        folder: checkpoint directory of the critic.
        trunk: whether the critic has a trunk of its own.
    """
    if not trunk and Path(policy).resolve() != folder.resolve():
        raise UsageError(
            f"start_critic: the value head of {folder} reads the trunk of its own policy; give "
            f"{option('model.path')} {folder}"
        )
    if Codec.load(policy).fingerprint != Codec.load(folder).fingerprint:
        raise UsageError(
            f"start_critic: {folder} has another tokenizer than {policy}; give the policy that its "
            f"run started from with {option('model.path')}"
        )
