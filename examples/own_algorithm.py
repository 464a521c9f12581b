"""An algorithm of your own: cloning weighted by the return that followed.

    python examples/own_algorithm.py --updates 200

Reward-weighted regression (Peters and Schaal 2007) in the form of a language model's loss: each
action token is weighted by exp((G - best) / temperature), where G is the return from its turn on.
`tests/system/test_algorithms.py` holds the contract that every algorithm has to satisfy.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from cluster.presets import preset
from cluster.train import train
from learners.algorithms.base import (
    Algorithm,
    Columns,
    LossOutput,
    Metrics,
    OldOutputs,
    ProcessGroup,
)
from learners.algorithms.returns import per_step, reward_to_go
from learners.batch import Batch
from learners.networks.actor_critic import Network
from learners.networks.causal_lm import CausalLM
from learners.networks.outputs import Outputs
from lmrl.limits import POSITIVE, SHARE
from lmrl.runs.log import RunLog


@dataclass(frozen=True)
class RewardWeighted(Algorithm):
    """Behaviour cloning with a weight for each action token.

    Attributes:
        gamma: discount for each turn.
        best: return from which on a token has weight 1.
        temperature: return by which a weight falls to 1/e, in reward units.
    """

    gamma: Annotated[float, SHARE] = 1.0
    best: float = 0.0
    temperature: Annotated[float, POSITIVE] = 10.0

    name: ClassVar[str] = "reward_weighted"

    def network(self, load: Callable[[], CausalLM]) -> Network:
        """Return the policy; no critic is needed."""
        return Network(load())

    def prepare(
        self, batch: Batch, old: OldOutputs, group: ProcessGroup, state: Mapping[str, float]
    ) -> tuple[Columns, Metrics, dict[str, float]]:
        """Return the discounted return from each action token on `[N]`."""
        discount = per_step(self.gamma, batch.turn_end, "turn")
        return {"returns": reward_to_go(batch.reward, batch.next, discount)}, {}, {}

    def loss(self, out: Outputs, targets: Mapping[str, Tensor], normaliser: float) -> LossOutput:
        """Return the weighted negative log-likelihood of a micro-batch's actions."""
        weight = torch.exp((targets["returns"] - self.best).clamp(max=0.0) / self.temperature)
        nll = -(weight * out.logprob).sum()
        return LossOutput(nll / normaliser, {"weight": weight.sum()})


def main() -> None:
    """Train the maze's policy with it, on the data of its cloning preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--run-dir", type=Path, default=Path("runs/reward-weighted"))
    options = parser.parse_args()
    exp = replace(preset("maze-fo-bc"), algorithm=RewardWeighted(), updates=options.updates)
    print(train(exp, RunLog(options.run_dir))["scores"])


if __name__ == "__main__":
    main()
