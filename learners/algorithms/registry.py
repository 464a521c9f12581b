"""The registry of algorithms.

A new algorithm is one file and one line here, or an entry point of the group `lmrl.algorithms` in
another distribution (`name = "module:Class"`), or any class, which is then named as `module:Class`.
"""

import importlib
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from learners.algorithms.base import Algorithm
from lmrl.errors import UsageError, unknown

ALGORITHMS: Mapping[str, str] = {
    "archer": "learners.algorithms.online.archer:ArCHer",
    "bc": "learners.algorithms.offline.bc:BC",
    "best_of_n": "learners.algorithms.offline.best_of_n:BestOfN",
    "dr_grpo": "learners.algorithms.online.grpo:DrGRPO",
    "filtered_bc": "learners.algorithms.offline.filtered_bc:FilteredBC",
    "gigpo": "learners.algorithms.online.gigpo:GiGPO",
    "grpo": "learners.algorithms.online.grpo:GRPO",
    "gspo": "learners.algorithms.online.gspo:GSPO",
    "ilql": "learners.algorithms.offline.ilql:ILQL",
    "mc": "learners.algorithms.offline.mc:MC",
    "online_filtered_bc": "learners.algorithms.offline.filtered_bc:OnlineFilteredBC",
    "online_ilql": "learners.algorithms.offline.ilql:OnlineILQL",
    "ppo": "learners.algorithms.online.ppo:PPO",
    "qsft": "learners.algorithms.offline.qsft:QSFT",
    "reinforce": "learners.algorithms.online.reinforce:Reinforce",
    "rloo": "learners.algorithms.online.rloo:RLOO",
    "rwr": "learners.algorithms.offline.rwr:RWR",
    "sarsa": "learners.algorithms.offline.sarsa:ConservativeSARSA",
    "turn_ppo": "learners.algorithms.online.turn_ppo:TurnPPO",
    "weighted_iql": "learners.algorithms.offline.weighted_iql:WeightedIQL",
}
"""Names of algorithms -> their classes, as `module:Class`."""


@cache
def known() -> Mapping[str, str]:
    """Return all algorithms: those of this package and those of installed distributions."""
    others = {e.name: e.value for e in entry_points(group="lmrl.algorithms")}
    return {**others, **ALGORITHMS}


def algorithm_class(name: str) -> type[Algorithm]:
    """Return the class of an algorithm.

    Args:
        name: name of a registered algorithm, or `module:Class` of any other one.

    Raises:
        UsageError: if the name is unknown, or the class is missing or not an `Algorithm`.
    """
    if ":" not in name and name not in known():
        raise unknown("algorithm", name, known())
    path = name if ":" in name else known()[name]
    module, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"algorithm '{name}' cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Algorithm)):
        raise UsageError(
            f"algorithm '{name}' is not a subclass of learners.algorithms.base.Algorithm"
        )
    return found


def as_json(algorithm: Algorithm) -> dict[str, Any]:
    """Return the hyper-parameters, with a name by which `algorithm_class` finds the class."""
    kind = type(algorithm)
    path = f"{kind.__module__}:{kind.__qualname__}"
    name = algorithm.name if known().get(algorithm.name) == path else path
    return {"name": name, **asdict(algorithm)}  # type: ignore[call-overload]
