"""What an architecture does to its logits after the output embedding."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class LogitMap:
    """The map cap · tanh(z / cap) · scale of logits z, as Gemma-2, Cohere and Granite use it.

    Attributes:
        cap: bound of the absolute logits, in nats; None does not bound them.
        scale: factor of the logits.
    """

    cap: float | None = None
    scale: float = 1.0

    @classmethod
    def of(cls, config: Any) -> "LogitMap":
        """Return the map of a Hugging Face configuration; the identity if it has none.

        Args:
            config: configuration with or without `final_logit_softcapping`, and with one of
                `logit_scale` (a factor), `lm_head_multiplier` (a factor) and `logits_scaling` (a
                divisor), or none of them.
        """
        scale = 1.0
        for name in ("logit_scale", "lm_head_multiplier"):
            scale *= getattr(config, name, None) or 1.0
        scale /= getattr(config, "logits_scaling", None) or 1.0
        return cls(getattr(config, "final_logit_softcapping", None), scale)

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the mapped logits, of the same shape and type."""
        if self.cap is not None:
            logits = torch.tanh(logits / self.cap) * self.cap
        return logits if self.scale == 1.0 else logits * self.scale
