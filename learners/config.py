"""Configuration of the learner group."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from lmrl.limits import COUNT, NOT_NEGATIVE, POSITIVE, Range, Used

HeadKind = Literal["mlp", "linear"]
"""Kinds of value heads: one hidden layer, or none."""

CriticKind = Literal["none", "head", "trunk"]
"""Kinds of critics: none, a head on the policy's trunk, or a trunk of its own."""

_LORA = Used("learner.lora.rank")
_SHARDED = Used("learner.optimiser.sharded", "with learner.optimiser.zero 3")


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW, its schedule, and how DeepSpeed runs it.

    Attributes:
        lr: peak learning rate.
        head_lr: peak learning rate of value heads; None is `lr`.
        betas: decay rates of Adam's two moments; the benchmark's scripts use (0.9, 0.95).
        eps: term that Adam adds to the denominator.
        weight_decay: weight decay of matrices; biases and norms are never decayed.
        warmup: number of optimiser steps of linear warm-up.
        decay: schedule of the learning rate after the warm-up: `none`, or `linear` to 0 over the
            `updates` of the run.
        clip: largest global gradient norm; 0 does not clip.
        zero: DeepSpeed ZeRO stage, 0 to 3.
        zero_whole: largest number of elements of a parameter that ZeRO 3 does not shard. Each rank
            keeps all of such a parameter, and no pass gathers it.
        dtype: type of matrix products in the language models, and of their frozen weights. Trained
            weights, gradients, the optimiser's state, value heads and losses are float32.
    """

    lr: Annotated[float, POSITIVE] = 1e-4
    head_lr: Annotated[
        float | None, NOT_NEGATIVE, Used("has_heads", "by algorithms with value heads")
    ] = None
    betas: Annotated[tuple[float, float], Range(low=0.0, below=1.0)] = (0.9, 0.95)
    eps: Annotated[float, POSITIVE] = 1e-8
    weight_decay: Annotated[float, NOT_NEGATIVE] = 0.0
    warmup: Annotated[int, NOT_NEGATIVE] = 0
    decay: Literal["none", "linear"] = "none"
    clip: Annotated[float, NOT_NEGATIVE] = 1.0
    zero: Literal[0, 1, 2, 3] = 0
    zero_whole: Annotated[int, NOT_NEGATIVE, _SHARDED] = 100_000
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def sharded(self) -> bool:
        """Whether parameters themselves are sharded."""
        return self.zero == 3


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters of the language models (arXiv:2106.09685); value heads are trained whole.

    Attributes:
        rank: rank of the adapters; 0 trains every weight instead.
        alpha: strength of the adapters: their product is multiplied by alpha / rank.
        targets: names of the layers that get adapters, like `q_proj`; `all-linear` is every linear
            layer but the output embedding.
    """

    rank: Annotated[int, NOT_NEGATIVE] = 0
    alpha: Annotated[float, POSITIVE, _LORA] = 16.0
    targets: Annotated[tuple[str, ...], _LORA] = ("all-linear",)


@dataclass(frozen=True)
class LearnerConfig:
    """The learner group.

    Attributes:
        ranks: number of DeepSpeed processes.
        threads: number of CPU threads of each process; 0 divides the cores among the processes.
        optimiser: settings of AdamW and ZeRO.
        lora: settings of low-rank adapters.
        frozen_trunk: whether value losses train the value heads only, and not the language model
            below them.
        recompute: whether the backward pass computes the activations of each layer again instead of
            keeping them (gradient checkpointing). A step takes about a third longer.
        packed: whether a forward pass has no padding, on a GPU in bfloat16. Its rows lie one after
            another, and flash attention looks at each row by itself.
        micro_tokens: largest number of tokens of one forward pass, padding included.
        windows: rule that makes rows of histories longer than the task's window, see
            `learners.collate.collate`; `strided` is for learning from data sets.
        malformed_penalty: reward that a reply without an action loses in training, in reward units;
            scores do not have it.
        max_skips: number of optimiser steps in a row without a finite gradient that ends the run.
        inspected: number of episodes of each round and of each score whose log-probabilities,
            entropies, values and advantages the run records for reports; 0 records none.
        timeout: time until an unfinished collective is an error, in seconds.
    """

    ranks: Annotated[int, COUNT] = 1
    threads: Annotated[int, NOT_NEGATIVE] = 0
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    frozen_trunk: Annotated[bool, Used("has_heads", "by algorithms with value heads")] = False
    recompute: bool = False
    packed: Annotated[bool, Used("may_use_gpu", "on a GPU")] = True
    micro_tokens: Annotated[int, COUNT] = 16384
    windows: Literal["exact", "strided"] = "exact"
    malformed_penalty: Annotated[
        float, NOT_NEGATIVE, Used("model.may_chat", "by models with a chat template")
    ] = 0.0
    max_skips: Annotated[int, COUNT] = 3
    inspected: Annotated[int, NOT_NEGATIVE] = 4
    timeout: Annotated[float, POSITIVE] = 600.0
