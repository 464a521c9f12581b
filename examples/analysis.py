"""Questions to a data set or to a run's episodes, with pyarrow.

    lmrl data generate maze-fo --episodes 500 --out data/maze
    python examples/analysis.py data/maze

Every folder of trajectories is Parquet with one row an episode; `docs/trajectories.md` describes
the columns.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq


def main(folder: Path) -> None:
    """Print the number of episodes, returns by quantile, and the most frequent actions."""
    table = pq.read_table(folder)
    turns = pc.list_flatten(table["turns"])
    rewards = pc.struct_field(turns, "reward")
    lengths = pc.list_value_length(table["turns"]).to_numpy()
    episode = np.repeat(np.arange(len(lengths)), lengths)
    returns = np.bincount(episode, rewards.to_numpy(), len(lengths))
    print(f"{len(returns)} episodes, {lengths.mean():.1f} turns on average")
    for share in (0, 25, 50, 75, 100):
        print(f"return at {share:>3} %: {np.percentile(returns, share):8.2f}")
    counts = pc.value_counts(pc.struct_field(turns, "action")).to_pylist()
    for row in sorted(counts, key=lambda row: -row["counts"])[:5]:
        print(f"{row['counts']:>8} x {row['values']!r}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
