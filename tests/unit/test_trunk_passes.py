"""Hidden states do not depend on how a forward pass saves work: packed rows, shared prefixes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.models.architectures import ARCHITECTURES, make_model, texts_tokenizer
from learners.networks.causal_lm import CausalLM, load_causal_lm
from learners.networks.prefix import SHORTEST, shared_prefix

PADDED = {"gemma2", "gpt-neo"}
"""Architectures whose attention cannot be replaced: its logits are bounded, or it is its own."""

WINDOWED = {"gemma2", "gemma3", "mistral"}
"""Architectures with a sliding window, whose cache drops keys and values."""


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def model(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, CausalLM]:
    folder: Path = tmp_path_factory.mktemp("models") / request.param
    folder.mkdir()
    make_model(request.param, folder, texts_tokenizer(["move left\n", "you are at 1, 2\n"] * 50))
    return request.param, load_causal_lm(folder)


def passed(model: CausalLM, tokens: torch.Tensor, lengths: torch.Tensor) -> Any:
    """Return hidden states of the rows' tokens, and the gradient of a function of them."""
    real = torch.arange(tokens.shape[1]) < lengths[:, None]
    states = model.trunk(tokens, lengths)[real]
    model.zero_grad()
    (states * torch.linspace(-1, 1, states.numel()).view_as(states)).sum().backward()
    grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    return states.detach(), grads


def rows(model: CausalLM, common: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, model.tokens, (5, width), generator=generator)
    tokens[:, :common] = tokens[0, :common]
    lengths = torch.tensor([width, width - 1, width - 7, common + 1, common + 4])
    tokens[torch.arange(width) >= lengths[:, None]] = 0
    return tokens, lengths


def compare(one: Any, other: Any) -> None:
    torch.testing.assert_close(one[0], other[0], atol=1e-4, rtol=1e-3)
    for a, b in zip(one[1], other[1], strict=True):
        torch.testing.assert_close(a, b, atol=2e-3 * max(float(a.abs().max()), 1.0), rtol=1e-2)


def test_packed_rows_have_the_states_and_gradients_of_padded_rows(
    model: tuple[str, CausalLM],
) -> None:
    name, lm = model
    tokens, lengths = rows(lm, 3, 40)
    padded = passed(lm, tokens, lengths)
    lm.pack_rows()
    try:
        assert lm.packed == (name not in PADDED)
        compare(padded, passed(lm, tokens, lengths))
    finally:
        lm.packed = False
        if name not in PADDED:
            lm.model.set_attn_implementation("sdpa")


def test_a_shared_prefix_has_the_states_and_gradients_of_whole_rows(
    model: tuple[str, CausalLM],
) -> None:
    name, lm = model
    tokens, lengths = rows(lm, 35, 48)
    assert shared_prefix(tokens) == 35
    whole = passed(lm, tokens, lengths)
    lm.share_prefix()
    try:
        assert lm.shares_prefix == (name not in WINDOWED)
        compare(whole, passed(lm, tokens, lengths))
    finally:
        lm.shares_prefix = False


def test_a_prefix_is_shared_only_where_that_saves_a_quarter() -> None:
    tokens = torch.arange(1, 41).repeat(4, 1)
    assert shared_prefix(tokens) == 39  # each row keeps a token of its own
    tokens[:, SHORTEST - 1] += torch.arange(4)
    assert shared_prefix(tokens) == 0
    assert shared_prefix(tokens[:1]) == 0
    long = torch.cat([torch.ones(4, 40, dtype=torch.long), torch.randint(2, 9, (4, 400))], 1)
    long[:, 40] = torch.arange(4)
    assert shared_prefix(long) == 0
