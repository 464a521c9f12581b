"""Choose among a finite set of actions by the scores that a checkpoint gives them.

The code of arXiv 2311.18232 evaluates the maze in this way. A plain policy (BC, PPO) scores an
action by its log-probability. A value-guided policy (MC, ILQL, Q-SFT) scores it by Q, computed as
in its sampler: Q of the last token, or, as published, the sum over the tokens, which favours short
actions where values are negative.
"""

from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from learners.checkpoints.guided import read_guidance
from learners.networks.causal_lm import CausalLM, attention_of, load_causal_lm
from learners.networks.guidance import action_values
from learners.networks.heads import Head
from lmrl.episode import Reply
from lmrl.errors import UsageError
from lmrl.tokens.codec import Codec
from lmrl.tokens.format import FormatConfig
from lmrl.trajectory import Ids

Score = Literal["last", "sum"]

REMEMBERED = 65536
"""Number of contexts whose scores are cached. Small tasks show the same contexts many times."""


class Reranker:
    """A checkpoint that scores actions.

    Args:
        folder: checkpoint directory of a plain or value-guided policy.
        actions: texts of the actions to choose from.
        score: rule that makes one number of the Q values of several tokens: the `last` one, or
            their `sum`. Log-probabilities are always summed.
        greedy: whether to take the best action; if not, one is drawn from the softmax of the
            scores.
        seed: seed of the draws.
        form: format of the checkpoint's contexts; None is plain text.
        instructions: rules of the task, for a chat.

    Raises:
        UsageError: if there are no actions, or the checkpoint cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        actions: Sequence[str],
        score: Score = "last",
        greedy: bool = True,
        seed: int = 0,
        form: FormatConfig | None = None,
        instructions: str = "",
    ) -> None:
        if not actions:
            raise UsageError("a reranker needs a finite set of actions, and the task has none")
        self.codec = Codec.load(folder, form)
        self.instructions = instructions
        self.texts = tuple(actions)
        self.actions = [self.codec.format.action(action) for action in actions]
        self.score, self.greedy = score, greedy
        self.rng = np.random.default_rng(seed)
        self.guidance = read_guidance(folder)
        self.heads: list[Head] = []
        self.known: dict[bytes, NDArray[np.float64]] = {}
        self.policy: CausalLM | None = None
        self.trunk = load_causal_lm(folder) if self.guidance is None else self._critic(folder)

    def _critic(self, folder: Path) -> CausalLM:
        from safetensors.torch import load_file
        from transformers import AutoConfig, AutoModelForCausalLM

        guidance = self.guidance
        assert guidance is not None
        config: Any = AutoConfig.from_pretrained(str(folder))
        weights = load_file(str(folder / "model.safetensors"))

        def part(name: str) -> dict[str, torch.Tensor]:
            return {k.removeprefix(name): v for k, v in weights.items() if k.startswith(name)}

        def inner(name: str) -> CausalLM:
            model = AutoModelForCausalLM.from_config(
                config, attn_implementation=attention_of(config)
            )
            # Not stored: an output embedding that is tied, and the critic's, which is not used.
            found = model.load_state_dict(part(name), strict=False)
            output = model.get_output_embeddings().weight
            unread = {key for key, p in model.named_parameters() if p is not output}
            if missing := unread.intersection(found.missing_keys):
                raise UsageError(f"{folder} lacks {name}{min(missing)}; copy the checkpoint again")
            return CausalLM(model.eval(), tokens=guidance.tokens(len(weights["q1.weight"])))

        if guidance.q_from != "value":
            self.policy = inner("policy.")
        for number in range(1, guidance.heads + 1):
            state = part(f"q{number}.")
            outputs, width = state["weight"].shape
            head = Head(width, outputs, 0.0, guidance.kind, guidance.scale)
            head.load_state_dict(state)
            self.heads.append(head)
        return inner("critic.")

    def scores(self, context: Ids) -> NDArray[np.float64]:
        """Return the score of each action `[actions]` in a context, in nats or reward units."""
        key = context.tobytes()
        if key not in self.known:
            if len(self.known) >= REMEMBERED:
                self.known.clear()
            self.known[key] = self._scores(context)
        return self.known[key]

    @torch.no_grad()
    def _scores(self, context: Ids) -> NDArray[np.float64]:
        width = len(context) + max(len(action) for action in self.actions)
        rows = np.zeros((len(self.actions), width), np.int64)
        for index, action in enumerate(self.actions):
            rows[index, : len(context) + len(action)] = np.concatenate([context, action])
        tokens = torch.as_tensor(rows)
        states = self.trunk.trunk(tokens)
        starts = states if self.policy is None else self.policy.trunk(tokens)
        found = []
        for row, action in enumerate(self.actions):
            first = len(context) - 1
            here = states[row, first : first + len(action)]
            taken = torch.as_tensor(action.astype(np.int64))
            if self.guidance is None:
                logp = self.trunk.head(here).float().log_softmax(-1)
                found.append(float(logp.gather(-1, taken[:, None]).sum()))
                continue
            if self.policy is None:
                q = reduce(torch.minimum, [head(here, taken)[0] for head in self.heads])
            else:
                base = self.policy.head(starts[row, first : first + len(action)]).float()
                whole = action_values(base, [head(here)[0] for head in self.heads], self.guidance)
                q = whole.gather(-1, taken[:, None]).squeeze(-1)
            found.append(float(q.sum() if self.score == "sum" else q[-1]))
        return np.array(found)

    def best(self, observation: str) -> str:
        """Return the best-scored action in a context that is one observation."""
        form = self.codec.format
        opening, _ = form.beginning(self.instructions)
        seen, _ = form.observation(observation, None)
        return self.texts[int(self.scores(np.concatenate([opening, seen])).argmax())]

    def __call__(self, context: Ids) -> Reply:
        """Return an action for a context; this makes a `Reranker` a policy of `lmrl.episode`."""
        scores = self.scores(context)
        if self.greedy:
            chosen = int(scores.argmax())
        else:
            weights = np.exp(scores - scores.max())  # no overflow, whatever the scores
            chosen = int(self.rng.choice(len(scores), p=weights / weights.sum()))
        ids = self.actions[chosen]
        return Reply(ids, np.zeros(len(ids), np.float32), np.full(len(ids), -1, np.int32))
