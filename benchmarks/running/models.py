"""Models of a wanted size with random weights, for measurements."""

import json
from collections.abc import Iterable
from pathlib import Path

from lmrl.tokens.tokenizer import train_tokenizer

VOCABULARY = 50_257
"""Number of tokens of GPT-2."""


def make_gpt2(
    folder: Path,
    texts: Iterable[str],
    vocabulary: int = VOCABULARY,
    context: int = 256,
    layers: int = 4,
    width: int = 256,
) -> int:
    """Write a GPT-2 with random weights and a tokenizer, and return its number of parameters.

    Args:
        folder: folder to make.
        texts: texts of the task, from which the tokenizer is made.
        vocabulary: number of tokens. Those that the texts do not fill occur in no text.
        context: largest number of tokens of a context.
        layers, width: number of layers and of units; a head has 64 units.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder.mkdir(parents=True)
    train_tokenizer(texts, 512, folder)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    known = tokenizer["model"]["vocab"]
    # A space is no letter of the byte alphabet, so no text is encoded to these.
    for number in range(len(known), vocabulary):
        known[f"unused {number}"] = number
    path.write_text(json.dumps(tokenizer))
    shape = GPT2Config(
        vocab_size=vocabulary,
        n_positions=context,
        n_embd=width,
        n_layer=layers,
        n_head=max(1, width // 64),
        activation_function="gelu_pytorch_tanh",
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(shape)
    model.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())
