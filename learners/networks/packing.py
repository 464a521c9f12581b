"""Attention over rows of different lengths that lie one after another, without padding.

Transformers looks attention up by name. `attend` is registered as `lmrl_packed`: each token attends
to earlier tokens of its own row only. On a GPU in bfloat16 it is torch's variable-length flash
attention; elsewhere it is one call of torch's attention for each row.
"""

import itertools
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

PACKED = "lmrl_packed"


class Packed(NamedTuple):
    """Rows one after another.

    Attributes:
        tokens: token ids of all rows `[1, N]`.
        positions: position of each token in its row `[1, N]`.
        real: whether each place of the padded rows is a token `[R, T]`.
        bounds: first token of each row, and N `[R + 1]`, int32.
        longest: largest number of tokens of a row.
    """

    tokens: Tensor
    positions: Tensor
    real: Tensor
    bounds: Tensor
    longest: int

    @classmethod
    def of(cls, tokens: Tensor, lengths: Tensor | None) -> "Packed":
        """Return padded rows without their padding.

        Args:
            tokens: token ids `[R, T]`, padded on the right.
            lengths: number of tokens of each row `[R]`; None is T for every row.
        """
        rows, width = tokens.shape
        if lengths is None:
            lengths = tokens.new_full((rows,), width)
        places = torch.arange(width, device=tokens.device).expand(rows, width)
        real = places < lengths[:, None]
        bounds = F.pad(lengths.cumsum(0), (1, 0)).int()
        return cls(tokens[real][None], places[real][None], real, bounds, int(lengths.max()))

    def unpack(self, hidden: Tensor) -> Tensor:
        """Return hidden states `[N, H]` as padded rows `[R, T, H]`, with zeros at the padding."""
        whole = hidden.new_zeros((*self.real.shape, hidden.shape[-1]))
        whole[self.real] = hidden
        return whole

    def attention(self) -> dict[str, Any]:
        """Return the arguments that transformers' models pass to `attend`."""
        return {"cu_seq_lens_q": self.bounds, "max_length_q": self.longest}


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    sliding_window: int | None = None,
    *,
    cu_seq_lens_q: Tensor,
    max_length_q: int,
    **_: Any,
) -> tuple[Tensor, None]:
    """Return attention's output `[1, N, heads, D]`, within each row only.

    Args:
        module: attention layer.
        query: queries `[1, heads, N, D]`.
        key, value: keys and values `[1, key heads, N, D]`.
        attention_mask: not used; tokens attend to earlier ones of their row.
        scaling: factor of the logits; None is 1 / √D.
        sliding_window: number of tokens that a token attends to, itself included; None is all.
        cu_seq_lens_q: first token of each row, and N `[R + 1]`.
        max_length_q: largest number of tokens of a row.
    """
    if sliding_window is None:
        sliding_window = getattr(module, "sliding_window", None)
    if query.is_cuda and query.shape[-1] <= 256 and key.dtype is not torch.float32:
        return _flash(query, key, value, scaling, sliding_window, cu_seq_lens_q, max_length_q), None
    cuts = cu_seq_lens_q.tolist()
    parts = []
    for first, end in itertools.pairwise(cuts):
        q, k, v = (x[:, :, first:end] for x in (query, key, value))
        mask = None
        if sliding_window is not None and end - first > sliding_window:
            places = torch.arange(end - first, device=query.device)
            distance = places[:, None] - places
            mask = (distance >= 0) & (distance < sliding_window)
        parts.append(
            F.scaled_dot_product_attention(
                *(q, k.to(q.dtype), v.to(q.dtype)),
                attn_mask=mask,
                is_causal=mask is None,
                scale=scaling,
                enable_gqa=q.shape[1] != k.shape[1],
            )
        )
    return torch.cat(parts, 2).transpose(1, 2), None


def _flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float | None,
    sliding_window: int | None,
    bounds: Tensor,
    longest: int,
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (x[0].transpose(0, 1).to(key.dtype) for x in (query, key, value))
    out: Any = varlen_attn(
        q,
        k,
        v,
        cu_seq_q=bounds,
        cu_seq_k=bounds,
        max_q=longest,
        max_k=longest,
        scale=scaling,
        window_size=(-1 if sliding_window is None else sliding_window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    whole: Tensor = out[None].to(query.dtype)
    return whole


def register() -> None:
    """Make `attend` known to transformers; a second call changes nothing."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(PACKED, attend)
    AttentionMaskInterface.register(PACKED, lambda *_, **__: None)
