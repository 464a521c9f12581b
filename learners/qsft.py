"""Q-SFT: action values learned as a language model's own probabilities (Hong, Dragan and Levine
2024, arXiv:2411.05193, section 4).

A second copy of the start policy π is trained by cross-entropy towards a target that gives the
data's token the mass w and shares the rest out evenly, w being the value of the token. So p(a | s)
tends to π(a | s) Q(s, a), and no head has to be learned from nothing:

    w = clip(r + γ max_a' p'(a' | s') / π(a' | s'), 0, 1)
    L = -[w log p(a | s) + (1 - w) / (V - 1) Σ_{b ≠ a} log p(b | s)]

with the slow copy p', and values scaled to [0, 1]: `lowest` and `highest` say which returns 0 and 1
stand for. Ours, where the paper leaves it open or small data ask for it:
- The maximum looks only at tokens of some probability under π (`support`). A token that π hardly
  ever says has a ratio without meaning, as the evenly shared rest alone is more than it has.
- The sampler weighs the ratio p / π, which is the value itself (`reading="ratio"`); the paper's
  policy, π exp(β p), is `reading="probability"`.
- A step is a turn, as everywhere here (`credit="token"` is the paper's).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from learners.algorithm import Algorithm, Columns, Following, Guide, Metrics, Now, Ranks, Terms
from learners.batch import Batch
from learners.guided import ratios
from learners.model import CausalLM, Inputs, PerToken
from learners.returns import Credit
from learners.values import ValueNetwork, ValueOutputs, freeze_output
from lmrl.errors import UsageError


def qsft_terms(taken: Tensor, others: Tensor, w: Tensor) -> Tensor:
    """Return the weighted cross-entropies (arXiv:2411.05193, section 4) `[N]`.

    Args:
        taken: log p of the actions `[N]`.
        others: the mean of log p over all other tokens `[N]`.
        w: values of the actions, between 0 and 1, without gradient `[N]`.
    """
    return -(w * taken + (1.0 - w) * others)


def _likelihoods(logits: Tensor, which: Tensor, token: Tensor) -> Tensor:
    """Return the log-prob of each token, and the mean of those of all others."""
    logp = logits.log_softmax(-1)
    taken = logp[which, token]
    others = (logp.sum(-1)[which] - taken) / (logp.shape[-1] - 1)
    return torch.stack([taken, others])


class LikelihoodNetwork(ValueNetwork):
    """A language model whose probabilities are read as values.

    Its one Q head begins as the output embedding of the start policy; `q` of its outputs has two
    rows, log p of the entry's token and the mean of log p over all others.

    Args:
        trunk: the start policy.
        support: least probability of a token that the maximum looks at, as a share of the most
            probable one's.
        chunk: states whose logits exist at one time.
    """

    def __init__(self, trunk: CausalLM, support: float, chunk: int = 256) -> None:
        embedding = freeze_output(trunk)
        outputs, width = embedding.shape
        super().__init__(trunk, 1, width, outputs, 0.0, "linear", 1.0, False, False, chunk)
        self.support = support
        self.per_token = PerToken(self._logits, _likelihoods, chunk, self.q_heads[0])
        with torch.no_grad():
            self.q_heads[0].weight.copy_(embedding)

    def values(self, states: Tensor, inputs: Inputs) -> ValueOutputs:
        """Return `q` `[2, E]`, given hidden states `[S, H]`."""
        q = self.per_token(states, inputs.entry_state, inputs.entry_token)
        return ValueOutputs(q, q.new_zeros(1), q.new_zeros(q.shape[1]))

    def _logits(self, states: Tensor) -> Tensor:
        # Without the module's hooks: under ZeRO 3 `PerToken` gathers its parameters.
        logits: Tensor = self.q_heads[0].forward(states)[0]
        return logits

    def target_values(self, inputs: Inputs, states: Tensor, reference: CausalLM | None) -> Tensor:
        """Return max p / π over the tokens that π supports, at the entries' states `[1, E]`."""
        assert reference is not None
        base = reference.trunk(inputs.tokens)[inputs.state_row, inputs.state_col]
        best = [
            ratios(
                self.q_heads[0](states[start : start + self.chunk])[0],
                reference.head(base[start : start + self.chunk]),
                self.support,
            ).amax(-1)
            for start in range(0, max(len(states), 1), self.chunk)  # a pass may be empty
        ]
        return torch.cat(best)[inputs.entry_state][None]


@dataclass(frozen=True)
class QSFT(Algorithm):
    """Q-learning by supervised fine-tuning.

    Attributes:
        gamma: discount.
        credit: whether a step of the targets is an action token or a whole turn.
        lowest, highest: returns that the values 0 and 1 stand for.
        support: least share of the most probable token's probability under π that a token of the
            maximum needs.
        polyak: α of the slow copy.
        reading: what the sampler weighs by β: the `ratio` p / π, at most 1, or the `probability` p.
        beta: the weight.
        top_p: restricts the sampler to the start policy's nucleus; 1 does not.
        epochs: passes over each batch.
    """

    gamma: float = 0.99
    credit: Credit = "turn"
    lowest: float = -1.0
    highest: float = 0.0
    support: float = 0.01
    polyak: float = 0.005
    reading: Literal["ratio", "probability"] = "ratio"
    beta: float = 4.0
    top_p: float = 1.0
    epochs: int = 1

    name: ClassVar[str] = "qsft"

    def __post_init__(self) -> None:
        """Refuse a range of values that is none.

        Raises:
            UsageError: with the values.
        """
        if not self.lowest < self.highest:
            raise UsageError(
                f"algorithm.lowest {self.lowest} is not below algorithm.highest {self.highest}; "
                "give the lowest and the highest return of an episode"
            )

    @property
    def follows(self) -> Following:
        """How the slow copy follows."""
        return Following(self.polyak, turns=self.credit == "turn")

    @property
    def guide(self) -> Guide:
        """How the sampler uses the values."""
        return Guide(1, "linear", 1.0, self.beta, self.top_p, self.reading)

    def network(self, load: Callable[[], CausalLM]) -> LikelihoodNetwork:
        """Return the network that is trained."""
        return LikelihoodNetwork(load(), self.support)

    def prepare(
        self, batch: Batch, now: Now, ranks: Ranks, state: Mapping[str, float]
    ) -> tuple[Columns, Metrics, dict[str, float]]:
        """Return rewards and discounts of each token's step."""
        ends = batch.turn_last if self.credit == "turn" else np.arange(batch.actions)
        goes_on = batch.next[ends] >= 0
        return {"reward": batch.reward[ends], "discount": self.gamma * goes_on}, {}, {}

    def loss(self, out: ValueOutputs, targets: Mapping[str, Tensor], normaliser: float) -> Terms:
        """Return the weighted cross-entropy of a micro-batch."""
        span = self.highest - self.lowest
        following = self.lowest + span * targets["target_q_next"][0].clamp(0.0, 1.0)
        y = targets["reward"] + targets["discount"] * following
        w = ((y - self.lowest) / span).clamp(0.0, 1.0)
        terms = qsft_terms(out.q[0], out.q[1], w)
        return Terms(
            terms.sum() / normaliser, {"w": w.sum(), "action_nll": -out.q[0].detach().sum()}
        )
