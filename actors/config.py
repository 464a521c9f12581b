"""What of samplers and simulators can be configured."""

from dataclasses import dataclass
from typing import Annotated, Literal

from lmrl.limits import COUNT, NOT_NEGATIVE, POSITIVE, Range, Used

CPU_HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
"""Attention head sizes of vLLM's CPU kernels. A copy, since vLLM takes seconds to import."""


@dataclass(frozen=True)
class SamplerConfig:
    """A vLLM engine.

    Attributes:
        count: sampler actors, each with an engine of its own.
        threads: CPU threads of each engine; 0 is every core it may use.
        max_sequences: sequences that the engine works on at one time.
        batched_tokens: tokens of one engine step.
        kv_gigabytes: key-value cache of an engine on CPU.
        gpu_memory: share of a GPU's memory that an engine may take.
        block_size: tokens of a prefix-cache block. On CPU 32 is the smallest that vLLM takes, and
            short games need it: nothing below one block is ever reused.
        dtype: of weights and cache.
        eager: no graph capture; always so on CPU.
        seed: of the engine.
    """

    count: Annotated[int, COUNT] = 1
    threads: Annotated[int, NOT_NEGATIVE] = 0
    max_sequences: Annotated[int, COUNT] = 256
    batched_tokens: Annotated[int, COUNT] = 8192
    kv_gigabytes: Annotated[float, POSITIVE, Used("may_use_cpu", "on CPU")] = 0.5
    gpu_memory: Annotated[float, Range(above=0.0, high=1.0), Used("may_use_gpu", "on a GPU")] = 0.4
    block_size: Annotated[int, COUNT, Used("may_use_cpu", "on CPU")] = 32
    dtype: Literal["float32", "bfloat16"] = "float32"
    eager: Annotated[bool, Used("may_use_gpu", "on a GPU")] = True
    seed: Annotated[int, NOT_NEGATIVE] = 0


@dataclass(frozen=True)
class SimulatorConfig:
    """Simulator actors.

    Attributes:
        count: actors.
        flush: finished episodes that travel together.
        patience: seconds to wait for a sampler that restarts or is being loaded.
        reply_timeout: seconds for a sampler's next reply; past it another sampler is asked.
    """

    count: Annotated[int, COUNT] = 1
    flush: Annotated[int, COUNT] = 64
    patience: Annotated[float, POSITIVE] = 300.0
    reply_timeout: Annotated[float, POSITIVE] = 600.0
