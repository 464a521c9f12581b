"""A language model whose probabilities are read as values: the network of Q-SFT."""

import torch
from torch import Tensor

from learners.networks.causal_lm import CausalLM
from learners.networks.guidance import likelihoods, ratios
from learners.networks.outputs import Inputs, LanguageModel
from learners.networks.per_token import PerToken
from learners.networks.values import TargetValues, ValueNetwork, ValueOutputs
from lmrl.errors import UsageError

LEAST_MASS = 0.01
"""Smallest mass of all tokens together before training; 1 minus this is the largest mass."""


def _likelihoods(outputs: Tensor, which: Tensor, token: Tensor) -> Tensor:
    """Return the log-probabilities of each entry's token and of the rest symbol `[2, E]`."""
    logp, rest = likelihoods(outputs)
    return torch.stack([logp[which, token], rest[which]])


class LikelihoodNetwork(ValueNetwork):
    """A language model whose probabilities are read as values.

    Its one Q head begins as the output embedding of the start policy, with one more output for the
    rest symbol. `q` of its outputs has two rows: log p of the entry's token and of the rest symbol.

    Args:
        trunk: start policy.
        support: smallest probability of a token that the maximum considers, as a share of the most
            probable token's.
        mass: probability of all tokens together before training; the rest symbol has what is left.
        chunk: number of states whose logits exist at one time.
    """

    def __init__(self, trunk: CausalLM, support: float, mass: float, chunk: int = 256) -> None:
        trunk.freeze_output()
        outputs, output, change = trunk.tokens, trunk.output, trunk.logit_map
        if change.cap is not None:
            raise UsageError(
                f"{type(trunk.model).__name__} bounds its logits by {change.cap:g}, and the head "
                "of Q-SFT is a linear map; choose another architecture or another algorithm"
            )
        width = output.in_features
        super().__init__(trunk, 1, width, outputs + 1, 0.0, "linear", 1.0, False, False, chunk)
        self.support = support
        self.per_token = PerToken(self._logits, _likelihoods, chunk, self.q_heads[0])
        mass = min(max(mass, LEAST_MASS), 1.0 - LEAST_MASS)
        with torch.no_grad():
            self.q_heads[0].weight[:-1].copy_(change.scale * output.weight[:outputs])
            if output.bias is not None:
                self.q_heads[0].bias[:-1].copy_(change.scale * output.bias[:outputs])
            self.q_heads[0].bias[-1] = torch.logit(torch.tensor(1.0 - mass))

    def values(self, states: Tensor, inputs: Inputs) -> ValueOutputs:
        """Return `q` `[2, E]`, given hidden states `[S, H]`."""
        q = self.per_token(states, inputs.entry_state, inputs.entry_token)
        return ValueOutputs(q, q.new_zeros(1), q.new_zeros(q.shape[1]))

    def _logits(self, states: Tensor) -> Tensor:
        # Without the module's hooks: under ZeRO 3 `PerToken` gathers its parameters.
        logits: Tensor = self.q_heads[0].forward(states)[0]
        return logits

    def target_values(
        self, inputs: Inputs, states: Tensor, reference: LanguageModel | None
    ) -> TargetValues:
        """Return max p / π over the tokens that π supports, at the entries' states `[1, E]`."""
        assert reference is not None
        hidden = reference.trunk(inputs.tokens, inputs.lengths)
        base = hidden[inputs.state_row, inputs.state_position]
        best = [
            ratios(
                likelihoods(self.q_heads[0](states[start : start + self.chunk])[0])[0],
                reference.head(base[start : start + self.chunk]),
                self.support,
            ).amax(-1)
            for start in range(0, max(len(states), 1), self.chunk)  # a pass may be empty
        ]
        q = torch.cat(best)[inputs.entry_state][None]
        return TargetValues(q, torch.zeros_like(q[0]))
