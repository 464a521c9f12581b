"""The source of a run's episodes: fresh ones, or a data set."""

from pathlib import Path

from cluster.experiment import Experiment
from cluster.online import OnlineSource
from cluster.source import BestActionSource, OfflineSource, Source, data_set
from lmrl.data.store import mixture
from lmrl.runs.names import DATA
from lmrl.screen import Screen


def batches(exp: Experiment, folder: Path, screen: Screen | None = None) -> Source:
    """Return the source of an experiment. If it needs a data set and none is given, one is made.

    Args:
        exp: experiment of the run.
        folder: run directory.
        screen: screen that shows that a data set is made; None shows nothing.

    Raises:
        DataError: if a given data set is missing, cut off, or in another format.
    """
    if exp.algorithm.on_policy:
        return OnlineSource(exp, folder, screen)
    path = exp.data.path
    parts = {data_set(exp, folder / DATA, screen): 1.0} if path is None else mixture(path)
    if exp.algorithm.candidates:
        return BestActionSource(exp, parts, folder)
    return OfflineSource(exp, parts)
