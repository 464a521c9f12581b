"""Time of an engine step by the number of sequences, in a process of its own.

    python -m benchmarks.scaling.steps CHECKPOINT --tokens 16

prints `step` and `step_each` as JSON: a line through the medians of some widths.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from actors.config import SamplerConfig
from actors.engine import VLLMEngine
from actors.messages import Decoding, Request
from benchmarks.running import emit, run
from learners.checkpoints.initial import context_of

WIDTHS = (1, 8, 32, 64)


def step_times(
    checkpoint: str, tokens: int, repeats: int, prompt: int = 32, threads: int = 0
) -> dict[str, list[float]]:
    """Return the seconds of a step, of all repeats, by width.

    Args:
        checkpoint: checkpoint directory.
        tokens: number of tokens of an action.
        repeats: number of batches of each width.
        prompt: number of tokens of a context.
        threads: number of threads of the engine; 0 is one for each core.
    """
    engine = VLLMEngine(
        checkpoint, SamplerConfig(threads=threads), context_of(Path(checkpoint)), [], "cpu"
    )
    engine.serve(0)
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {}
    for width in WIDTHS:
        for repeat in range(-1, repeats):  # the first batch is a warm-up
            requests = [
                Request(key, rng.integers(100, size=prompt, dtype=np.int32), key)
                for key in range(width)
            ]
            engine.submit("x", requests, Decoding(max_tokens=tokens))
            before, began = engine.usage.steps, time.perf_counter()
            while engine.busy:
                engine.step()
            seconds = (time.perf_counter() - began) / (engine.usage.steps - before)
            if repeat >= 0:
                found.setdefault(str(width), []).append(seconds)
    return found


def line(found: dict[str, list[float]]) -> tuple[float, float]:
    """Return `step` and `step_each` of a straight line through the medians, none below 0."""
    widths = [float(width) for width in found]
    slope, start = np.polyfit(widths, [median(values) for values in found.values()], 1)
    return max(0.0, float(start)), max(0.0, float(slope))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="checkpoint directory")
    parser.add_argument("--tokens", type=int, default=16, help="number of tokens of an action")
    parser.add_argument("--repeats", type=int, default=5, help="number of batches of each width")
    parser.add_argument("--threads", type=int, default=0, help="threads of the engine")
    options = parser.parse_args()
    found = step_times(options.checkpoint, options.tokens, options.repeats, threads=options.threads)
    step, each = line(found)
    emit(json.dumps({"step": step, "step_each": each, "widths": found}))


if __name__ == "__main__":
    sys.exit(run(main))
