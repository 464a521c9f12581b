"""Make a start checkpoint: a small random language model with a tokenizer of the task's own texts.

A pretrained language model needs none of this: set `model.path` to its checkpoint directory.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from lmrl.errors import UsageError
from lmrl.files import atomic_folder
from lmrl.limits import COUNT, NOT_NEGATIVE, Range, Used
from lmrl.tokens.codec import Codec
from lmrl.tokens.format import FormatKind
from lmrl.tokens.tokenizer import train_tokenizer

_CHAT = Used("model.may_chat", "by models with a chat template")


@dataclass(frozen=True)
class ModelConfig:
    """The policy's network.

    Attributes:
        path: Hugging Face checkpoint directory to start from, or a name that
            `learners.checkpoints.gguf.resolve` finds on this machine. None makes a random GPT-2 of
            the size below, with a byte-level BPE tokenizer of the task's texts.
        pretrained: whether a run without `path` is refused, instead of training random weights.
        context: largest number of tokens of context and action together.
        format: what the model reads around the texts of an episode: `plain` is nothing, `chat` is
            the messages of its own chat template, `auto` is chat if the checkpoint has a template.
        system: text that begins the system message of a chat, before the rules of the task.
        thinking: whether the model thinks before each action of a chat: `off` or `on`. Templates
            that know the switch `enable_thinking` get it.
        layers, width, heads: number of layers, hidden width, and number of attention heads of the
            random model.
        init_std: standard deviation of the random model's weights; output projections get half of
            it. None is 1/sqrt(width).
        vocabulary: largest number of tokens of its tokenizer, without those of `lines`.
        lines: number of lines of the task's texts that get a token of their own, the most frequent
            ones. In a task with few actions and answers a turn is then two tokens instead of a
            dozen, and a tiny model need not learn to spell.
        line_std: standard deviation of the embeddings of these tokens, which begin as sums of their
            words' vectors.
    """

    path: str | None = None
    pretrained: bool = False
    context: Annotated[int, COUNT] = 512
    format: Annotated[FormatKind, Used("model.path")] = "auto"
    system: Annotated[str, _CHAT] = ""
    thinking: Annotated[Literal["off", "on"], _CHAT] = "off"
    layers: Annotated[int, COUNT, Used("not model.path")] = 2
    width: Annotated[int, COUNT, Used("not model.path")] = 64
    heads: Annotated[int, COUNT, Used("not model.path")] = 2
    init_std: Annotated[float | None, NOT_NEGATIVE, Used("not model.path")] = None
    vocabulary: Annotated[int, Range(low=257), Used("not model.path")] = 384
    lines: Annotated[int, NOT_NEGATIVE, Used("not model.path")] = 0
    line_std: Annotated[float, NOT_NEGATIVE, Used("model.lines")] = 0.1

    @property
    def may_chat(self) -> bool:
        """Whether the model may read the messages of a chat."""
        return self.path is not None and self.format != "plain"


def make_start(config: ModelConfig, texts: Iterable[str], folder: Path, seed: int) -> None:
    """Write a random model and its tokenizer to `folder` in Hugging Face form.

    Args:
        config: settings of the model.
        texts: texts of the task, from which the tokenizer is made.
        folder: folder to write, which appears only when complete.
        seed: seed of the weights.
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
            # The same function as GPT-2's `gelu_new`, in one operation instead of seven.
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
    """Initialise the embedding of a token that is a line as the sum of its words' vectors.

    Each word has a random vector, and another one for each place at which it stands. So lines with
    the same words have similar embeddings, and what the model learns about one line applies to the
    other. A guess in Wordle is then five letters at five places, not one of hundreds of unrelated
    symbols.

    Args:
        embedding: embeddings `[V, H]`; the rows of lines are set.
        lines: text of each token that is a line, by token id.
        std: standard deviation of the result's entries.
        seed: seed of the vectors.
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
            f"{path} is not a checkpoint directory ({error}); give one with config.json, "
            "model.safetensors and tokenizer.json"
        ) from error
    return shape


def head_size_of(path: Path) -> int | None:
    """Return the size of a checkpoint's attention heads; None if its configuration has no size.

    Raises:
        UsageError: if `path` is not a checkpoint directory.
    """
    shape = shape_of(path)
    if shape.get("head_dim"):
        return int(shape["head_dim"])
    width = shape.get("n_embd", shape.get("hidden_size"))
    heads = shape.get("n_head", shape.get("num_attention_heads"))
    return int(width) // int(heads) if width and heads else None


def context_of(path: Path) -> int:
    """Return the number of positions of a checkpoint's model; 2**31 if it has no limit.

    Raises:
        UsageError: if `path` is not a checkpoint directory.
    """
    shape = shape_of(path)
    return int(shape.get("n_positions") or shape.get("max_position_embeddings") or 2**31)
