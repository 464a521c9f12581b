"""A training run whose processes are killed, frozen and removed at random moments.

    python -m benchmarks.chaos --kills 100 --seed 0
    python -m benchmarks.chaos --kills 10 --json

A private Ray cluster of three nodes runs one small training. Again and again a fault of a random
kind (`faults.KINDS`) is injected at a random moment, and the next one follows when everything
serves again. At the end the run is stopped by SIGTERM, and goes on for three more updates to its
end. It writes `results/chaos.json` after each fault:

- `lost`: episodes that were started and are not counted as trained, evaluated, stale or failed,
  and training seeds that are neither in the run's files nor counted;
- `doubled`: training episodes that are in the run's files twice;
- `recovery_s`: seconds from the fault until what was lost serves again, by kind: median and
  largest;
- `parity_max_abs`: largest difference of log-probabilities between learner and samplers, in nats.

It exits with 1 if an episode was lost or doubled, or the run did not come to its end.
"""

import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.chaos.faults import KINDS, Training
from benchmarks.record import save
from benchmarks.running import arguments, emit, run


def figures(faults: list[dict[str, Any]], counts: dict[str, Any]) -> dict[str, Any]:
    """Return the result.

    Args:
        faults: kind and seconds of each fault.
        counts: counts of the run; empty before its end.
    """
    seconds = {
        kind: [fault["seconds"] for fault in faults if fault["kind"] == kind]
        for kind in KINDS
        if any(fault["kind"] == kind for fault in faults)
    }
    return {
        "kills": len(faults),
        **counts,
        "recovery_s": {kind: round(median(values), 1) for kind, values in seconds.items()},
        "slowest_s": {kind: round(max(values), 1) for kind, values in seconds.items()},
        "faults": faults,
    }


def main() -> int:
    """Inject the faults, end the run, and write the result."""
    parser = arguments(__doc__)
    parser.add_argument("--kills", type=int, default=100, help="number of faults; 3 with --quick")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="kinds to inject")
    options = parser.parse_args()
    kills = 3 if options.quick else options.kills
    command = f"python -m benchmarks.chaos --kills {kills} --seed {options.seed}"
    rng = np.random.default_rng(options.seed)
    # Every kind comes equally often, in random order.
    order = [kind for _ in range(-(-kills // len(options.kinds))) for kind in options.kinds]
    faults: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as home, Training(Path(home)) as training:
        for kind in rng.permutation(order[:kills]).tolist():
            training.wait_for_update()
            faults.append(training.inject(kind, rng))
            if not options.json:
                emit(json.dumps(faults[-1]))
            if not options.quick:
                save("chaos", command, figures(faults, {}))
        counts = training.finish()
        found = figures(faults, counts)
    if not options.quick:
        save("chaos", command, found)
    if options.json:
        emit(json.dumps({key: value for key, value in found.items() if key != "faults"}))
    return int(bool(counts["lost"] or counts["doubled"]))


if __name__ == "__main__":
    sys.exit(run(main))
