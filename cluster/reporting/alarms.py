"""Alarms about a policy that collapses: entropy, spread of returns, gradients, sampler gap.

A policy that collapses repeats itself: entropy and the spread of returns fall, then gradients grow
(the "echo trap", Wang et al. 2025, arXiv:2504.20073, section 4).
"""

from collections.abc import Mapping

from cluster.config import AlarmConfig
from lmrl.errors import RunError
from lmrl.runs.names import CHECKPOINTS, step

LOWEST = {"entropy": "train/entropy", "return_std": "rollout/return_std"}
"""Alarms with a lower limit -> their metrics."""

LARGEST = {"grad_norm": "train/grad_norm", "sampler_gap": "train/sampler_gap"}
"""Alarms with an upper limit -> their metrics."""


class Alarms:
    """Counts of updates in a row whose metrics are beyond a limit.

    Args:
        config: limits, and what follows.
    """

    def __init__(self, config: AlarmConfig) -> None:
        self.config = config
        self.counts: dict[str, int] = {}

    @property
    def withhold(self) -> bool:
        """Whether no checkpoint should be saved, since the run may be about to stop."""
        return self.config.action == "stop" and any(self.counts.values())

    def poll(self, update: int, metrics: Mapping[str, float], saved: int) -> list[str]:
        """Return a warning for each alarm that has just been raised.

        A metric that this update does not have leaves its count unchanged. One that is not a number
        is beyond every limit.

        Args:
            update: number of the update.
            metrics: metrics of the update by their names.
            saved: update of the last checkpoint; 0 if there is none.

        Raises:
            RunError: if an alarm is raised and the run has to stop.
        """
        warnings = []
        for name, metric in {**LOWEST, **LARGEST}.items():
            limit, value = getattr(self.config, name), metrics.get(metric)
            if limit is None or value is None:
                continue
            fine = value >= limit if name in LOWEST else value <= limit
            self.counts[name] = 0 if fine else self.counts.get(name, 0) + 1
            if self.counts[name] == self.config.patience:
                word = "below" if name in LOWEST else "above"
                warnings.append(
                    f"{metric} is {value:.3g} after update {update} and was {word} "
                    f"alarms.{name} {limit:g} in {self.config.patience} updates in a row"
                )
        if warnings and self.config.action == "stop":
            last = (
                f"the last checkpoint from before that is {CHECKPOINTS}/{step(saved)}: give it to "
                "another run with --model.path, and"
                if saved
                else "no checkpoint had been saved before that (save_every): start again and"
            )
            raise RunError(f"{'; '.join(warnings)}; {last} set a smaller learner.optimiser.lr")
        return warnings
