"""Configuration of samplers and simulators."""

from dataclasses import dataclass
from typing import Annotated, Literal

from lmrl.limits import COUNT, NOT_NEGATIVE, POSITIVE, Range, Used

CPU_HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
"""Attention head sizes of vLLM's CPU kernels. The list is copied, since importing vLLM takes
seconds."""


@dataclass(frozen=True)
class SamplerConfig:
    """A vLLM engine.

    Attributes:
        count: number of sampler actors, each with an engine of its own.
        tensor_parallel: number of processes over which each engine divides its model, on one
            node. On a GPU each of them has a GPU of its own.
        threads: number of CPU threads of each engine; 0 is every core that the process may use.
        max_sequences: largest number of sequences in the engine's batch.
        batched_tokens: largest number of tokens of one engine step.
        kv_gigabytes: largest size of an engine's key-value cache on CPU, in GB. It is smaller where
            `max_sequences` sequences of the whole context need less. Sequences that find no place
            wait.
        gpu_memory: largest share of a GPU's memory for an engine's weights and cache. The cache is
            smaller where `max_sequences` sequences of the whole context need less.
        block_size: number of tokens of a prefix-cache block. On CPU vLLM accepts 32 or more. Short
            games need 32, since a prefix shorter than one block is never reused.
        dtype: type of weights and cache.
        eager: whether graph capture is off; on CPU it always is.
        sleep: whether an engine frees its GPU memory while the learner works (vLLM's sleep mode).
            Sampler and learner may then each use most of a GPU that they share.
        seed: seed of the engine.
    """

    count: Annotated[int, COUNT] = 1
    tensor_parallel: Annotated[int, COUNT] = 1
    threads: Annotated[int, NOT_NEGATIVE] = 0
    max_sequences: Annotated[int, COUNT] = 256
    batched_tokens: Annotated[int, COUNT] = 8192
    kv_gigabytes: Annotated[float, POSITIVE, Used("may_use_cpu", "on CPU")] = 0.5
    gpu_memory: Annotated[float, Range(above=0.0, high=1.0), Used("may_use_gpu", "on a GPU")] = 0.4
    block_size: Annotated[int, COUNT, Used("may_use_cpu", "on CPU")] = 32
    dtype: Literal["float32", "bfloat16"] = "float32"
    eager: Annotated[bool, Used("may_use_gpu", "on a GPU")] = True
    sleep: Annotated[bool, Used("may_use_gpu", "on a GPU")] = False
    seed: Annotated[int, NOT_NEGATIVE] = 0


@dataclass(frozen=True)
class SimulatorConfig:
    """Simulator actors.

    Attributes:
        count: number of simulator actors.
        flush: number of finished episodes that are sent together.
        patience: time to wait for a sampler that restarts or loads weights, in seconds.
        reply_timeout: time to wait for a sampler's next reply, in seconds; after it another sampler
            is used.
    """

    count: Annotated[int, COUNT] = 1
    flush: Annotated[int, COUNT] = 64
    patience: Annotated[float, POSITIVE] = 300.0
    reply_timeout: Annotated[float, POSITIVE] = 600.0
