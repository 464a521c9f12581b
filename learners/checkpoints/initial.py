"""Make a start checkpoint: a small random language model with a tokenizer of the task's own texts.

For real language models nothing is made: give `model.path` a checkpoint directory.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from lmrl.codec import Codec, train_tokenizer
from lmrl.errors import UsageError
from lmrl.files import atomic_folder
from lmrl.limits import COUNT, NOT_NEGATIVE, Range, Used


@dataclass(frozen=True)
class ModelConfig:
    """The policy's network.

    Attributes:
        path: a checkpoint directory in Hugging Face form to start from. Without one a random
            GPT-2 of the size below is made, with a byte-level BPE tokenizer of the task's texts.
        pretrained: whether a run without `path` is refused, instead of training random weights.
        context: most tokens of context and action together.
        layers, width, heads: of the random model.
        init_std: of its weights; output projections get half of it. None is 1/sqrt(width).
        vocabulary: most tokens of its tokenizer.
        lines: how many lines of the task's texts get a token of their own besides, the most
            frequent ones. Where a task has few actions and answers, a turn is then two tokens
            instead of a dozen, and a tiny model need not learn to spell.
        line_std: of the embeddings of these tokens, which begin as sums of their words' vectors.
    """

    path: str | None = None
    pretrained: bool = False
    context: Annotated[int, COUNT] = 512
    layers: Annotated[int, COUNT, Used("not model.path")] = 2
    width: Annotated[int, COUNT, Used("not model.path")] = 64
    heads: Annotated[int, COUNT, Used("not model.path")] = 2
    init_std: Annotated[float | None, NOT_NEGATIVE, Used("not model.path")] = None
    vocabulary: Annotated[int, Range(low=257), Used("not model.path")] = 384
    lines: Annotated[int, NOT_NEGATIVE, Used("not model.path")] = 0
    line_std: Annotated[float, NOT_NEGATIVE, Used("model.lines")] = 0.1


def make_start(config: ModelConfig, texts: Iterable[str], folder: Path, seed: int) -> None:
    """Write a random model and its tokenizer to `folder` in Hugging Face form.

    Args:
        config: of the model.
        texts: of the task, for the tokenizer.
        folder: appears only when complete.
        seed: of the weights.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()

    with atomic_folder(folder) as temporary:
        train_tokenizer(texts, config.vocabulary, temporary, config.lines)
        codec = Codec.load(temporary)
        shape = GPT2Config(
            vocab_size=codec.vocab_size,
            n_positions=config.context,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            # The same function as GPT-2's own `gelu_new`, as one operation instead of seven.
            activation_function="gelu_pytorch_tanh",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=codec.end_id,
            eos_token_id=codec.end_id,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = GPT2LMHeadModel(shape)
            std = config.width**-0.5 if config.init_std is None else config.init_std
            for name, parameter in model.named_parameters():
                if parameter.dim() >= 2:
                    factor = 0.5 if name.endswith("c_proj.weight") else 1.0
                    torch.nn.init.normal_(parameter, std=std * factor)
            embedding = model.get_input_embeddings().weight
            _spell(embedding, codec.lines(), config.line_std, seed)
        model.save_pretrained(str(temporary))
        (temporary / "generation_config.json").unlink(missing_ok=True)


def _spell(embedding: Any, lines: Mapping[int, str], std: float, seed: int) -> None:
    """Let the embedding of a token that is a line begin as the sum of its words' vectors.

    Each word has a random vector, and one more for each place that it stands at. So lines of equal
    words begin alike, and what is learned of one holds for the other: a guess in Wordle is five
    letters at five places to the model, not one of hundreds of unrelated signs.

    Args:
        embedding: `[V, H]`, of which the lines' rows are set.
        lines: text of each token that is a line.
        std: of the result's entries.
        seed: of the vectors.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    vectors: dict[object, Any] = {}

    def vector(key: object) -> Any:
        if key not in vectors:
            vectors[key] = torch.randn(embedding.shape[1], generator=generator)
        return vectors[key]

    with torch.no_grad():
        for token, line in sorted(lines.items()):
            words = line.split() or [line]
            total = sum(vector(word) + vector((at, word)) for at, word in enumerate(words))
            embedding[token] = total * (std / math.sqrt(2 * len(words)))


def shape_of(path: Path) -> dict[str, Any]:
    """Return the model configuration of a checkpoint directory.

    Raises:
        UsageError: if `path` is not a checkpoint directory.
    """
    file = path / "config.json"
    try:
        shape = json.loads(file.read_text())
        if not isinstance(shape, dict):
            raise ValueError("config.json does not hold an object")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} is no checkpoint directory ({error}); give one with config.json, "
            "model.safetensors and tokenizer.json"
        ) from error
    return shape


def head_size_of(path: Path) -> int | None:
    """Return the size of a checkpoint's attention heads; None if its configuration does not tell.

    Raises:
        UsageError: if `path` is not a checkpoint directory.
    """
    shape = shape_of(path)
    if shape.get("head_dim"):
        return int(shape["head_dim"])
    width = shape.get("n_embd", shape.get("hidden_size"))
    heads = shape.get("n_head", shape.get("num_attention_heads"))
    return int(width) // int(heads) if width and heads else None


POST_PROCESSING = ("final_logit_softcapping", "logit_scale", "logits_scaling")
"""Fields of configurations with which models change their logits (Gemma-2, Cohere, Granite)."""


def check_checkpoint(path: Path) -> None:
    """Refuse a checkpoint directory that is not whole, before anything expensive starts.

    Raises:
        UsageError: if its configuration, its weights or its tokenizer are missing or cut off, or if
            the model changes its logits after the output embedding.
    """
    from safetensors import SafetensorError, safe_open

    shape = shape_of(path)
    for name in POST_PROCESSING:
        if shape.get(name) not in (None, 1, 1.0):
            raise UsageError(
                f"{path} changes its logits after the output embedding ({name} is {shape[name]}), "
                "which the learner does not model; choose another architecture"
            )
    weights = sorted(path.glob("*.safetensors"))
    index = path / "model.safetensors.index.json"
    if index.exists():
        try:
            named = set(json.loads(index.read_text())["weight_map"].values())
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise UsageError(
                f"{index} cannot be read ({error!r}); copy the checkpoint again"
            ) from error
        missing = sorted(named - {file.name for file in weights})
        if missing:
            raise UsageError(f"{path} lacks {', '.join(missing)}; copy the checkpoint again")
    if not weights and not any(path.glob("*.bin")):
        raise UsageError(f"{path} has no weights (model.safetensors); copy the checkpoint again")
    for file in weights:
        try:
            with safe_open(str(file), "numpy"):
                pass
        except (OSError, SafetensorError) as error:
            raise UsageError(
                f"{file} is cut off or not a weights file ({error}); copy the checkpoint again"
            ) from error
    Codec.load(path)


def context_of(path: Path) -> int:
    """Return the most positions that a checkpoint's model has.

    Raises:
        UsageError: if `path` is not a checkpoint directory.
    """
    shape = shape_of(path)
    return int(shape.get("n_positions") or shape.get("max_position_embeddings") or 2**31)
