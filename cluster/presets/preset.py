"""`Preset`: a named experiment, and its measured results."""

from typing import NamedTuple

from cluster.experiment import Experiment


class Measured(NamedTuple):
    """Results of the runs of a preset.

    Attributes:
        result: name of the committed file in `benchmarks/results` that holds the runs.
        returns: mean return of the last policy, one number for each seed.
        minutes: wall time of one run, median over seeds, in minutes. Other work may have run on the
            machine at the same time.
        commit: commit of the measured code.
    """

    result: str
    returns: tuple[float, ...]
    minutes: float
    commit: str


class Preset(NamedTuple):
    """A named experiment.

    Attributes:
        experiment: definition of the run; each field can be changed on the command line.
        measured: measured results; None if the preset has not been measured.
    """

    experiment: Experiment
    measured: Measured | None
