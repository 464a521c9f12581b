"""A learner's step for each algorithm: tokens per second, CPU seconds, and peak memory.

    python -m benchmarks.learner
    python -m benchmarks.learner --algorithms ilql plain --dtype float32 --json

The load is that of a published measurement: GPT-2 with 4 layers of width 256 and 50,257 tokens,
batches of 8 rows with 256 tokens. Observations and actions of 16 tokens alternate. Each algorithm
runs in its own process, whose peak memory includes the libraries. `plain` is the comparison: an
ILQL step in simple PyTorch, with heads at action positions only, no chunks, and no DeepSpeed.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import save

ALGORITHMS = ("bc", "ppo", "mc", "ilql", "plain")
ROWS, LENGTH, TURN = 8, 256, 16
VOCABULARY, WIDTH, LAYERS, HEADS = 50_257, 256, 4, 4
PUBLISHED = 220
"""Speed of the published implementation's ILQL step on two such cores, in tokens/s."""


def make_checkpoint(folder: Path) -> None:
    """Write a random model of the load's size; only the size of its tokenizer is used."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from lmrl.tokens.tokenizer import train_tokenizer

    train_tokenizer(["a b c"], 260, folder)
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    known = tokenizer["model"]["vocab"]
    known |= {f"<unused {number}>": number for number in range(len(known), VOCABULARY)}
    file.write_text(json.dumps(tokenizer))
    torch.manual_seed(0)
    shape = GPT2Config(
        vocab_size=VOCABULARY, n_positions=LENGTH, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS
    )
    GPT2LMHeadModel(shape).save_pretrained(folder)


def episodes(count: int, seed: int, fingerprint: str) -> Any:
    """Return episodes of `LENGTH` random tokens as an Arrow table.

    Args:
        count: number of episodes.
        seed: seed of the tokens.
        fingerprint: fingerprint of the tokenizer.
    """
    from lmrl.schema import to_table
    from lmrl.trajectory import TERMINATED, Trajectory, Turn

    rng = np.random.default_rng(seed)

    def ids() -> Any:
        return rng.integers(0, VOCABULARY, TURN).astype(np.int32)

    def turn(index: int) -> Turn:
        versions = np.zeros(TURN, np.int32)
        logprobs = np.full(TURN, -9.0, np.float32)
        return Turn("", ids(), 2 * index + 1, "", ids(), logprobs, versions, -1.0)

    turns = LENGTH // (2 * TURN)
    made = [
        Trajectory(
            "load",
            {},
            number,
            tuple(turn(i) for i in range(turns)),
            TERMINATED,
            "",
            np.empty(0, np.int32),
            1,
            tokenizer=fingerprint,
        )
        for number in range(count)
    ]
    return to_table(made)


def learner_step(name: str, checkpoint: Path, dtype: str, threads: int) -> Callable[[int], None]:
    """Return a function from a seed that takes the learner's step on a new batch.

    Args:
        name: name of the algorithm.
        checkpoint: checkpoint directory.
        dtype: type of matrix products.
        threads: number of CPU threads; 0 is every core.
    """
    from learners.algorithms.registry import algorithm_class
    from learners.config import LearnerConfig, OptimiserConfig
    from learners.learner import Learner

    changes: dict[str, dict[str, Any]] = {
        "ppo": {"epochs": 1, "minibatch": 0},
        "mc": {"cql_weight": 0.01},
        "ilql": {"cql_weight": 0.01},
    }
    algorithm = algorithm_class(name)(**changes.get(name, {}))
    optimiser = OptimiserConfig(lr=1e-4, dtype=dtype)  # type: ignore[arg-type]
    config = LearnerConfig(threads=threads, optimiser=optimiser)
    learner = Learner(algorithm, config, str(checkpoint), LENGTH, port=_port())

    def step(seed: int) -> None:
        learner.update([episodes(ROWS, seed, learner.codec.fingerprint)])

    return step


def plain_step(checkpoint: Path, threads: int) -> Callable[[int], None]:
    """Return a function from a seed that takes an ILQL step in simple PyTorch."""
    import copy

    import torch
    import torch.nn.functional as F
    from torch import nn
    from transformers import GPT2LMHeadModel

    torch.set_num_threads(threads or torch.get_num_threads())
    trunk = GPT2LMHeadModel.from_pretrained(checkpoint).transformer

    def head(outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, outputs))

    net = nn.ModuleDict(
        {"trunk": trunk, "q1": head(VOCABULARY), "q2": head(VOCABULARY), "v": head(1)}
    )
    slow = copy.deepcopy(net).requires_grad_(False)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4)
    acts = torch.tensor([(i // TURN) % 2 == 1 for i in range(1, LENGTH)])

    def step(seed: int) -> None:
        ids = torch.randint(
            VOCABULARY, (ROWS, LENGTH), generator=torch.Generator().manual_seed(seed)
        )
        token = ids[:, 1:][:, acts]
        states = net["trunk"](input_ids=ids)[0][:, :-1][:, acts]
        q1, q2, v = net["q1"](states), net["q2"](states), net["v"](states).squeeze(-1)
        with torch.no_grad():
            old = slow["trunk"](input_ids=ids)[0][:, :-1][:, acts]
            target = torch.minimum(
                *(slow[n](old).gather(-1, token[..., None]).squeeze(-1) for n in ("q1", "q2"))
            )
            y = -1.0 + 0.99 * F.pad(v.detach()[:, 1:], (0, 1))
        loss = torch.where(target >= v, 0.7, 0.3).mul(0.5 * (v - target).square()).mean()
        for q in (q1, q2):
            taken = q.gather(-1, token[..., None]).squeeze(-1)
            loss = loss + 0.5 * (taken - y).square().mean()
            loss = loss + 0.01 * F.cross_entropy(q.flatten(0, 1), token.flatten())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            for mine, theirs in zip(slow.parameters(), net.parameters(), strict=True):
                mine.lerp_(theirs, 0.005)

    return step


def measure(name: str, checkpoint: Path, dtype: str, threads: int, steps: int) -> dict[str, float]:
    """Measure an algorithm in this process; return its speed, its times, and its peak memory.

    Args:
        name: name of the algorithm, or `plain`.
        checkpoint: checkpoint directory.
        dtype: type of matrix products.
        threads: number of CPU threads; 0 is every core.
        steps: number of measured steps.
    """
    step = (
        plain_step(checkpoint, threads)
        if name == "plain"
        else learner_step(name, checkpoint, dtype, threads)
    )
    step(0)  # allocates memory, and DeepSpeed compiles its extensions
    began, cpu = time.perf_counter(), time.process_time()
    for index in range(steps):
        step(index + 1)
    wall, used = time.perf_counter() - began, time.process_time() - cpu
    return {
        "tokens_per_s": round(ROWS * LENGTH * steps / wall, 1),
        "cpu_s_per_step": round(used / steps, 3),
        "wall_s_per_step": round(wall / steps, 3),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
    }


def _port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--algorithms", nargs="+", choices=ALGORITHMS, default=list(ALGORITHMS))
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument(
        "--threads", type=int, default=0, help="number of CPU threads; 0 is every core"
    )
    parser.add_argument("--steps", type=int, default=5, help="number of measured steps")
    parser.add_argument(
        "--name", default="learner", help="name of the result; empty writes no result"
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        (name,) = options.algorithms
        figures = measure(name, Path(options.inside), options.dtype, options.threads, options.steps)
        print(json.dumps(figures))
        return
    found: dict[str, dict[str, float]] = {}
    shape = ["--dtype", options.dtype, "--threads", str(options.threads)]
    shape += ["--steps", str(options.steps)]
    with tempfile.TemporaryDirectory() as folder:
        make_checkpoint(Path(folder))
        for name in options.algorithms:
            command = [sys.executable, "-m", "benchmarks.learner", "--inside", folder, *shape]
            out = subprocess.run(
                [*command, "--algorithms", name], check=True, capture_output=True, text=True
            ).stdout
            found[name] = json.loads(out.strip().splitlines()[-1])
            if not options.json:
                print(name, found[name], flush=True)
    if options.name:
        command_line = (
            f"python -m benchmarks.learner --algorithms {' '.join(options.algorithms)} "
            f"{' '.join(shape)}"
        )
        save(
            options.name,
            command_line,
            {"published_ilql_tokens_per_s": PUBLISHED, "algorithms": found},
        )
    if options.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
