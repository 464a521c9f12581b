"""Tiny random models of the architectures that people train, made from configurations in code."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

WIDTH, LAYERS, HEADS, HEAD_SIZE, POSITIONS = 64, 2, 2, 32, 128

LLAMA_LIKE = {
    "hidden_size": WIDTH,
    "intermediate_size": 96,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": POSITIONS,
}
"""Fields of most configurations."""

GROUPED = LLAMA_LIKE | {"num_key_value_heads": 1}
"""The same with one key-value head for two heads."""

GEMMA = GROUPED | {"head_dim": HEAD_SIZE, "query_pre_attn_scalar": HEAD_SIZE, "sliding_window": 32}

ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": (
        "GPT2Config",
        {"n_positions": POSITIONS, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS},
    ),
    "llama-tied": ("LlamaConfig", GROUPED | {"tie_word_embeddings": True}),
    "llama-untied": ("LlamaConfig", LLAMA_LIKE | {"tie_word_embeddings": False}),
    "qwen2": ("Qwen2Config", GROUPED | {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3Config", GROUPED | {"head_dim": HEAD_SIZE, "tie_word_embeddings": True}),
    "gemma2": (
        "Gemma2Config",
        # Caps that bind: the logits of such a small model are below the usual 30.
        GEMMA | {"final_logit_softcapping": 4.0, "attn_logit_softcapping": 2.0},
    ),
    "gemma3": ("Gemma3TextConfig", GEMMA),
    "opt": (
        "OPTConfig",
        {
            "hidden_size": WIDTH,
            "word_embed_proj_dim": WIDTH,
            "ffn_dim": 96,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "max_position_embeddings": POSITIONS,
        },
    ),
    "gpt-neox": ("GPTNeoXConfig", LLAMA_LIKE),
    "phi": ("PhiConfig", LLAMA_LIKE),
    "mistral": ("MistralConfig", GROUPED | {"head_dim": HEAD_SIZE, "sliding_window": 32}),
    "cohere": ("CohereConfig", GROUPED | {"logit_scale": 0.5}),
    "granite": ("GraniteConfig", GROUPED | {"logits_scaling": 2.0}),
    # vLLM knows none of these heads on a CPU, and none of this architecture.
    "llama-head-size-16": ("LlamaConfig", LLAMA_LIKE | {"num_attention_heads": 4}),
    "gpt-neo": (
        "GPTNeoConfig",
        {
            "hidden_size": WIDTH,
            "num_layers": LAYERS,
            "num_heads": HEADS,
            "attention_types": [[["global"], LAYERS]],
            "max_position_embeddings": POSITIONS,
        },
    ),
}
"""Class of the configuration and its fields, by the name of the architecture."""

REFUSED = ("llama-head-size-16", "gpt-neo")
"""Architectures that are refused on a CPU before anything starts."""


def make_model(
    name: str, folder: Path, write_tokenizer: Callable[[Path], None], padding: int = 64
) -> None:
    """Write a random model and its tokenizer to an existing folder.

    Args:
        name: name of the architecture.
        folder: folder of the checkpoint.
        write_tokenizer: function that writes a tokenizer to a folder.
        padding: number of which the embedding's number of rows is a multiple; so most models have
            more rows than tokens, as pretrained ones do.
    """
    import torch
    import transformers

    from lmrl.tokens.codec import Codec

    write_tokenizer(folder)
    codec = Codec.load(folder)
    kind, fields = ARCHITECTURES[name]
    special = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), codec.end_id)
    rows = -(-codec.vocab_size // padding) * padding
    config = getattr(transformers, kind)(vocab_size=rows, **special, **fields)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                torch.nn.init.normal_(parameter, std=WIDTH**-0.5)
            else:
                parameter.data += 0.1 * torch.randn(parameter.shape)
    model.save_pretrained(str(folder))
    # Greedy, and with a penalty: a policy that took it up would not sample as it is trained.
    (folder / "generation_config.json").write_text(
        json.dumps({"do_sample": False, "temperature": 0.1, "repetition_penalty": 2.0, "top_k": 1})
    )


def texts_tokenizer(texts: Iterable[str]) -> Callable[[Path], None]:
    """Return a function that writes a small tokenizer of some texts to a folder."""
    from lmrl.tokens.tokenizer import train_tokenizer

    known = list(texts)
    return lambda folder: train_tokenizer(known, 384, folder)
