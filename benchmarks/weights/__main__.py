"""Seconds of a weight push by model size and number of samplers, against `memcpy`.

    python -m benchmarks.weights
    python -m benchmarks.weights --sizes 1M 10M 100M 500M --samplers 1 2

A learner rank and samplers of real size run as in a training, and the weights are pushed several
times. The copy of the same number of bytes in this process is the limit. The parts are measured
alone, one after another: in a push some of them overlap, so their sum may be larger.

- `gather`: the learner makes the buckets.
- `put`: the same bytes go into the object store.
- `get`: they are mapped from it.
- `load`: a sampler loads them, with its update opened and closed.
- `gate`: the parity gate.

It writes `results/weights.json`. A size of 500M needs some 16 GB of memory.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import ray

from benchmarks.running import arguments, finish, run, spread
from benchmarks.running.models import make_gpt2
from cluster.fleet import Fleet
from cluster.presets import preset
from cluster.source import sample_texts
from cluster.startup.launch import launch
from cluster.startup.ray_session import ray_session
from cluster.weights.push import push

PRESET = "maze-fo-bc"

SHAPES = {"1M": (4, 128, 1024), "10M": (8, 320, 4096), "100M": (12, 768, 20480)} | {
    "500M": (24, 1280, 20480)
}
"""Layers, units and tokens of each model."""

LARGE = 100e6
"""Number of parameters from which a model counts for the ratio."""


def seconds(action: Callable[[], Any]) -> float:
    """Return the time of a call, in seconds."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def copies(size: int, repeats: int) -> list[float]:
    """Return the times of copies between two arrays of `size` bytes, in seconds."""
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    return [seconds(lambda: np.copyto(target, source)) for _ in range(repeats)]


def parts(fleet: Fleet, version: int) -> dict[str, float]:
    """Return the seconds of each part of a push, measured alone.

    Args:
        fleet: actors of a run.
        version: version of the weights, which the samplers serve again.
    """
    assert fleet.learners is not None
    most = int(fleet.experiment.push.bucket_megabytes * 2**20)
    began = time.perf_counter()
    refs = list(fleet.learners.buckets(most))
    ray.wait(refs, num_returns=len(refs))
    made = time.perf_counter() - began
    buckets: list[Any] = []
    got = seconds(lambda: buckets.extend(ray.get(refs)))
    copied = [np.array(bucket.data) for bucket in buckets]
    put = seconds(lambda: [ray.put(data) for data in copied])
    sampler = fleet.samplers[0]

    def load() -> None:
        ray.get(sampler.begin_load.remote())
        ray.get([sampler.load.remote(ref) for ref in refs])
        ray.get(sampler.finish_load.remote(version))

    return {"gather": max(0.0, made - put), "put": put, "get": got, "load": seconds(load)}


def measure(name: str, samplers: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Return the figures of one size.

    Args:
        name: name of the model's size.
        samplers: number of samplers.
        repeats: number of pushes.
        folder: folder for the checkpoint.
    """
    exp = preset(PRESET)
    exp = replace(exp, sampler=replace(exp.sampler, count=samplers, threads=1))
    layers, width, vocabulary = SHAPES[name]
    count = make_gpt2(folder, sample_texts(exp), vocabulary, exp.model.context, layers, width)
    with ray_session(), launch(exp, folder) as fleet:
        push(fleet, 0)  # the first one also allocates
        reports = [push(fleet, version) for version in range(1, repeats + 1)]
        alone = [parts(fleet, repeats) for _ in range(repeats)]
    size = round(reports[0].megabytes * 2**20)
    pushed = [report.push_ms / 1e3 for report in reports]
    copied = copies(size, repeats)
    return {
        "size": name,
        "parameters": count,
        "samplers": samplers,
        "megabytes": reports[0].megabytes,
        "push_seconds": spread(pushed),
        "bytes_per_s": size / median(pushed),
        "memcpy_seconds": spread(copied),
        "over_memcpy": median(pushed) / median(copied),
        "parts": {
            part: median(row[part] for row in alone) for part in ("gather", "put", "get", "load")
        }
        | {"gate": median(report.gate_ms for report in reports) / 1e3},
    }


def main(options: argparse.Namespace) -> None:
    """Measure all sizes, and write the result."""
    rows = []
    with tempfile.TemporaryDirectory() as home:
        for name in options.sizes:
            for samplers in options.samplers:
                folder = Path(home) / f"{name}-{samplers}"
                rows.append(measure(name, samplers, options.repeats, folder))
                print(rows[-1], file=sys.stderr, flush=True)
    large = [row["over_memcpy"] for row in rows if row["parameters"] >= LARGE]
    ratios = {"weight push time / memcpy time, >= 100 M parameters": max(large)} if large else {}
    command = (
        f"python -m benchmarks.weights --sizes {' '.join(options.sizes)} --samplers "
        f"{' '.join(map(str, options.samplers))} --repeats {options.repeats}"
    )
    finish("weights", command, {"ratios": ratios, "rows": rows}, options)


def read_options() -> argparse.Namespace:
    """Return the options."""
    parser = arguments(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=["1M", "10M", "100M"])
    parser.add_argument("--samplers", type=int, nargs="+", default=[1, 2], help="numbers")
    parser.add_argument("--repeats", type=int, default=5, help="number of pushes")
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.samplers, options.repeats = ["1M"], [1], 2
    return options


if __name__ == "__main__":
    sys.exit(run(partial(main, read_options())))
