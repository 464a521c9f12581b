"""The metrics of a run as gauges of Ray, which every node of the cluster exports to Prometheus.

`docs/grafana.json` is a dashboard for them.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.util.metrics import Gauge


class RayGauges:
    """A tracker that sets a gauge of Ray for each metric.

    Ray adds the prefix `ray_`: the mean return is `ray_lmrl_rollout_return_mean`. The tag `run` is
    the name of the run.

    Args:
        run: name of the run.
    """

    def __init__(self, run: str) -> None:
        self.run = run.encode("ascii", "backslashreplace").decode()  # Ray's tags are ASCII
        self.gauges: dict[str, Any] = {}

    def scalars(self, update: int, metrics: Mapping[str, float]) -> None:
        """Set the gauges of an update's metrics; numbers that are not finite are left out."""
        for name, value in {**metrics, "update": float(update)}.items():
            if math.isfinite(value):
                self._gauge(name).set(value, tags={"run": self.run})

    def _gauge(self, name: str) -> Any:
        if name not in self.gauges:
            label = re.sub(r"\W", "_", f"lmrl_{name}")
            self.gauges[name] = Gauge(label, description=f"{name} of a run", tag_keys=("run",))
        return self.gauges[name]

    def histogram(self, update: int, name: str, values: NDArray[np.floating]) -> None:
        """Nothing to do: a gauge holds one number."""

    def text(self, update: int, name: str, text: str) -> None:
        """Nothing to do: a gauge holds one number."""

    def flush(self) -> None:
        """Nothing to do: Ray reports its gauges by itself."""

    def close(self) -> None:
        """Nothing to do: the gauges end with this process's connection to Ray."""
