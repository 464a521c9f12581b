"""Peak memory and speed of PPO on SmolLM2-135M, by the kind of training.

    python -m benchmarks.models.memory

Each kind is a run of one update on the maze in its own processes (`make smollm2` first). The
memory is the peak of the learner and of the sampler, libraries included, from the run's summary.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import save, train

BF16 = ("--learner.optimiser.dtype", "bfloat16", "--sampler.dtype", "bfloat16")
KINDS: dict[str, tuple[str, ...]] = {
    "float32": (),
    "bfloat16": BF16,
    "lora": (*BF16, "--learner.lora.rank", "16"),
}
"""Fields of each kind of training."""

LOAD = (
    *("--model.format", "plain", "--model.context", "128"),
    *("--updates", "1", "--options.max-steps", "6"),
    *("--rollouts.turns", "24", "--rollouts.min-episodes", "4", "--rollouts.max-episodes", "4"),
    *("--rollouts.in-flight", "32", "--evaluation.episodes", "2"),
    *("--evaluation.start-episodes", "0", "--evaluation.random", "false"),
    *("--learner.micro-tokens", "2048", "--learner.threads", "0", "--sampler.threads", "0"),
    *("--algorithm.epochs", "1"),
)
"""A small round: the memory depends on the model and on the tokens of a pass."""


def main() -> None:
    """Measure, print, and write the result."""
    from learners.checkpoints.gguf import resolve

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument(
        "--name", default="memory", help="name of the result; empty writes no result"
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as home:
        for kind in options.kinds:
            model = ("--model.path", str(resolve("smollm2")))
            summary, wall = train("maze-fo-ppo", 0, Path(home) / kind, *model, *LOAD, *KINDS[kind])
            learner = summary["learner"]
            found[kind] = {
                "learner_gb": learner["peak_memory_gb"],
                "sampler_gb": summary["sampler"]["peak_memory_gb"],
                "trainable": learner["trainable"],
                "optimiser_state": learner["optimiser_state"],
                "parity": summary["parity"]["max_abs"],
                "learn_seconds": round(summary["seconds"]["learn"], 1),
                "sample_seconds": round(summary["seconds"]["sample"], 1),
                "wall_seconds": round(wall, 1),
            }
            if not options.json:
                print(f"{kind:<15} {found[kind]}", flush=True)
    if options.json:
        print(json.dumps(found, indent=2))
    if options.name:
        save(
            options.name,
            f"python -m benchmarks.models.memory --kinds {' '.join(options.kinds)}",
            found,
        )


if __name__ == "__main__":
    main()
