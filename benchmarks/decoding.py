"""Value-guided sampling against plain sampling, in the same run.

    python -m benchmarks.decoding

A guided policy runs two trunks per token: the start policy's and the critic's. It is compared with
two plain models of that size that run on the same contexts, one after the other: tokens divided by
the sum of their times. Each engine is measured in its own process, in turn and several times.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.learner import make_checkpoint
from benchmarks.record import save

SEQUENCES, PROMPT, REPLY = 64, 64, 16


def measure(folder: Path, threads: int, rounds: int) -> list[float]:
    """Return the time of each round of `SEQUENCES` replies of `REPLY` tokens, in seconds.

    Args:
        folder: checkpoint directory.
        threads: number of CPU threads; 0 is every core.
        rounds: number of rounds.
    """
    from actors.config import SamplerConfig
    from actors.engine import VLLMEngine
    from actors.messages import Decoding, Request

    engine = VLLMEngine(str(folder), SamplerConfig(threads=threads), PROMPT + REPLY, [], "cpu")
    engine.serve(0)
    rng = np.random.default_rng(0)
    seconds = []
    for index in range(rounds + 1):
        requests = [
            Request(key, rng.integers(1, 50_000, PROMPT).astype(np.int32), key)
            for key in range(SEQUENCES)
        ]
        began = time.perf_counter()
        engine.submit(str(index), requests, Decoding(max_tokens=REPLY))
        left = SEQUENCES
        while left:
            left -= len(engine.step())
        seconds.append(time.perf_counter() - began)
    return seconds[1:]  # without the first round, which allocates memory


def guided_checkpoint(start: Path, folder: Path) -> None:
    """Write an ILQL policy of the same size, with two Q heads."""
    from learners.algorithms.offline.ilql import ILQL
    from learners.checkpoints.guided import make_guided

    make_guided(ILQL(), start, folder)


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--threads", type=int, default=0, help="number of CPU threads; 0 is every core"
    )
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds of each process")
    parser.add_argument(
        "--repeats", type=int, default=2, help="number of processes of each engine, in turn"
    )
    parser.add_argument(
        "--name", default="decoding", help="name of the result; empty writes no result"
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    shape = ["--threads", str(options.threads), "--rounds", str(options.rounds)]
    if options.inside:
        print(json.dumps(measure(Path(options.inside), options.threads, options.rounds)))
        return
    seconds: dict[str, list[float]] = {"plain": [], "guided": []}
    with tempfile.TemporaryDirectory() as home:
        folders = {"plain": Path(home) / "plain", "guided": Path(home) / "guided"}
        folders["plain"].mkdir()
        make_checkpoint(folders["plain"])
        guided_checkpoint(folders["plain"], folders["guided"])
        for _ in range(options.repeats):
            for name, folder in folders.items():
                command = [sys.executable, "-m", "benchmarks.decoding", "--inside", str(folder)]
                out = subprocess.run(
                    [*command, *shape], check=True, capture_output=True, text=True
                ).stdout
                seconds[name] += json.loads(out.strip().splitlines()[-1])
    tokens = SEQUENCES * REPLY
    mean = {name: fmean(times) for name, times in seconds.items()}
    ratio = round(2.0 * mean["plain"] / mean["guided"], 3)
    figures: dict[str, Any] = {
        "ratios": {"value-guided decoding / mean of two plain models": ratio},
        "tokens_per_s": {name: round(tokens / value, 1) for name, value in mean.items()},
        "two_plain_together": round(tokens / (2.0 * mean["plain"]), 1),
        "seconds": {name: [round(s, 4) for s in times] for name, times in seconds.items()},
    }
    print(json.dumps(figures, indent=2))
    if options.name:
        save(options.name, f"python -m benchmarks.decoding {' '.join(shape)}", figures)


if __name__ == "__main__":
    main()
