"""The critic of a checkpoint, as files that another run can take over.

The folder `critic/` of a checkpoint has `critic.json`, the parts of the critic (`CriticForm`), and
`model.safetensors` with its weights:

    critic.*   its own trunk under Hugging Face names, if it has one
    q1.*, q2.* its Q heads
    v.*        its V head

A value-guided checkpoint has the trunk and the Q heads already, under the same names, so that the
folder has the V head only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from learners.algorithms.base import CriticForm
from learners.checkpoints.guided import read_guidance
from lmrl.errors import UsageError
from lmrl.runs.names import CRITIC

if TYPE_CHECKING:
    from torch import Tensor

    from learners.networks.actor_critic import Network
    from learners.networks.values import ValueNetwork

FORM, WEIGHTS = "critic.json", "model.safetensors"

TRUNK = "critic."
"""Prefix of the names of a critic's trunk."""

OUTPUT = re.compile(r"(?:q\d+|v)\.(?:weight|bias)")
"""Names of a head's last layer, whose outputs are in units of the critic's scale."""


def write_critic(folder: Path, form: CriticForm, weights: Mapping[str, Tensor]) -> None:
    """Write a critic into the existing folder of its checkpoint.

    Args:
        folder: folder of the checkpoint, in which the policy is already.
        form: parts of the critic.
        weights: weights by the names of `critic_weights`, in float32.
    """
    from safetensors.torch import save_file

    target = folder / CRITIC
    target.mkdir()
    guided = read_guidance(folder) is not None
    own = {name: tensor for name, tensor in weights.items() if not guided or name.startswith("v.")}
    save_file(own, str(target / WEIGHTS), metadata={"format": "pt"})
    (target / FORM).write_text(json.dumps(asdict(form), indent=2) + "\n")


def read_form(folder: Path) -> CriticForm:
    """Return the parts of the critic of a checkpoint.

    Raises:
        UsageError: if the checkpoint has no critic, or its description cannot be read.
    """
    file = folder / CRITIC / FORM
    if not file.exists():
        raise UsageError(
            f"{folder} has no critic ({CRITIC}/{FORM}); give a checkpoint of a run whose algorithm "
            "has one, or leave start_critic out"
        )
    try:
        found = json.loads(file.read_text())
        bounds = found["bounds"]
        return CriticForm(**{**found, "bounds": None if bounds is None else tuple(bounds)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file} cannot be read ({error!r}); copy the checkpoint again") from error


def check_takes(wanted: CriticForm, given: CriticForm, source: str) -> None:
    """Refuse a critic whose heads are not those that an algorithm needs.

    Args:
        wanted: parts of the algorithm's critic.
        given: parts of the critic to take over.
        source: where that critic comes from, for the message.

    Raises:
        UsageError: if it does not fit; the message has both sides and the remedy.
    """

    def refuse(theirs: str, ours: str, remedy: str) -> None:
        raise UsageError(
            f"start_critic: the critic of {source} has {theirs}, and this algorithm needs {ours}; "
            f"{remedy}"
        )

    another = "take a critic of another algorithm"
    if wanted.q_heads and given.q_heads != wanted.q_heads:
        refuse(f"{given.q_heads} Q heads", f"{wanted.q_heads}", another)
    if wanted.v and not given.v:
        refuse("no V head", "one", another)
    if wanted.v and (wanted.bins, wanted.bounds) != (given.bins, given.bounds):
        theirs, ours = (f"value_bins {f.bins}, value_bounds {f.bounds}" for f in (given, wanted))
        refuse(theirs, ours, "set algorithm.value_bins and algorithm.value_bounds to the critic's")
    kinds = bool(wanted.q_heads) or not wanted.bins
    if kinds and given.head != wanted.head:
        refuse(f"{given.head} heads", wanted.head, f"set algorithm.head {given.head}")
    if given.trunk and not wanted.trunk:
        refuse("a trunk of its own", "a head on the policy's", "set algorithm.critic trunk")


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the weights of the critic of a checkpoint, by name.

    Raises:
        UsageError: if a file is missing or cut off.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    files = [folder / CRITIC / WEIGHTS]
    if read_guidance(folder) is not None:
        files.append(folder / WEIGHTS)
    found: dict[str, Tensor] = {}
    for file in files:
        try:
            found |= load_file(str(file))
        except (OSError, SafetensorError) as error:
            raise UsageError(
                f"{file} cannot be read ({error}); copy the checkpoint again"
            ) from error
    return found


def take_critic(network: Network | ValueNetwork, wanted: CriticForm | None, folder: Path) -> None:
    """Give a network the critic of a checkpoint, in place.

    Values stay the same where the units of the heads' outputs differ. A head that reads the
    policy's trunk can go to a critic with a trunk of its own, since that begins as a copy.

    Args:
        network: network to train, before DeepSpeed wraps it.
        wanted: parts of its critic; None if it has none.
        folder: checkpoint directory.

    Raises:
        UsageError: if the critic does not fit the network.
    """
    import torch

    given = read_form(folder)
    assert wanted is not None
    check_takes(wanted, given, str(folder))
    found = read_weights(folder)
    for name, parameters, layer in network.critic_weights():
        in_trunk = name.startswith(TRUNK)
        if in_trunk and not given.trunk:
            continue
        if in_trunk and layer is not None:
            raise UsageError(
                f"start_critic {folder} has a trunk of its own, and adapters cannot take over one; "
                "set learner.lora.rank 0"
            )
        mine = parameters[0]
        theirs = found.get(name)
        if theirs is None or theirs.shape != mine.shape:
            have = "no such weight" if theirs is None else f"shape {tuple(theirs.shape)}"
            raise UsageError(
                f"start_critic {folder} has {have} for {name}, and this model's is "
                f"{tuple(mine.shape)}; start from the policy that its run started from"
            )
        unit = given.scale / wanted.scale if OUTPUT.fullmatch(name) else 1.0
        with torch.no_grad():
            mine.copy_(theirs * unit)
