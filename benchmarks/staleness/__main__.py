"""Episodes played ahead of the learner against synchronous training, at equal updates.

    python -m benchmarks.staleness
    python -m benchmarks.staleness --quick

trains one preset with `max_staleness` 0, 1 and 2 from the same cloned policy, each as `lmrl train`
in its own process. It writes `results/staleness.json` with, for each run: the score with its
interval, wall time of the updates, share of it in which the learner waited for episodes, tokens by
age, and the ledger. A token that is older than allowed is a violation; there must be none.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import save, train
from lmrl.runs.log import RunLog
from lmrl.runs.names import METRICS, START

ROUNDS = (
    "--rollouts.turns",
    "512",
    "--rollouts.min-episodes",
    "16",
    "--rollouts.max-episodes",
    "64",
)
"""Small rounds, so that many updates take minutes."""


def run(preset: str, ahead: int, seed: int, folder: Path, first: Path | None, *fields: str) -> Any:
    """Train with a bound on staleness; return the figures of the run.

    Args:
        preset: name of the preset.
        ahead: largest number of versions that a token may be behind the learner.
        seed: seed of the run.
        folder: run directory.
        first: directory of a finished run with the same seed, whose start policy is copied; None
            makes it.
        fields: further arguments of `lmrl train`.
    """
    if first is not None:
        with RunLog(folder).locked():
            shutil.copytree(first / START, folder / START, symlinks=True)
    given = ["--max-staleness", str(ahead), "--algorithm.importance-cap", "2", *ROUNDS, *fields]
    summary, wall = train(preset, seed, folder, *given)
    rows = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    rows = [row for row in rows if "rollout/wait_seconds" in row]
    waited = sum(row["rollout/wait_seconds"] for row in rows)
    learned = sum(row["train/update_seconds"] for row in rows)
    label = summary["algorithm"]
    score = summary["scores"][label]
    return {
        "max_staleness": ahead,
        "seed": seed,
        "updates": len(rows),
        "episodes": sum(row["rollout/episodes"] for row in rows),
        "return_mean": score["return_mean"],
        "ci95": score["ci95"],
        "scored": score["episodes"],
        "wall_seconds": round(wall, 1),
        "wait_seconds": round(waited, 1),
        "learn_seconds": round(learned, 1),
        "push_seconds": round(summary["seconds"]["push"] + summary["seconds"]["gate"], 1),
        "wait_share": round(waited / max(waited + learned, 1e-9), 3),
        "token_ages": summary["token_ages"],
        "violations": sum(n for age, n in summary["token_ages"].items() if int(age) > ahead),
        "ledger": summary["ledger"],
    }


def main() -> None:
    """Run all settings and seeds, and write the result after every run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="maze-fo-ppo", help="preset to train")
    parser.add_argument("--updates", type=int, default=200, help="number of updates of a run")
    parser.add_argument("--ahead", type=int, nargs="+", default=[0, 1, 2], help="max_staleness")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds to run")
    parser.add_argument("--quick", action="store_true", help="8 updates, and no result is written")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    updates = 8 if options.quick else options.updates
    command = (
        f"python -m benchmarks.staleness --preset {options.preset} --updates {updates} "
        f"--ahead {' '.join(map(str, options.ahead))} --seeds {' '.join(map(str, options.seeds))}"
    )
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as home:
        for seed in options.seeds:
            first: Path | None = None
            for ahead in options.ahead:
                folder = Path(home) / f"{ahead}-{seed}"
                fields = ("--updates", str(updates))
                runs.append(run(options.preset, ahead, seed, folder, first, *fields))
                first = first or folder
                if not options.json:
                    print(json.dumps(runs[-1]), flush=True)
                if not options.quick:
                    save("staleness", command, {"preset": options.preset, "runs": runs})
    if options.json:
        print(json.dumps({"preset": options.preset, "runs": runs}, indent=2))


if __name__ == "__main__":
    main()
