"""`Preset`: a named experiment, and what it reached when it was measured."""

from typing import NamedTuple

from cluster.experiment import Experiment


class Measured(NamedTuple):
    """What the runs of a preset reached.

    Attributes:
        result: name of the committed file in `benchmarks/results` that holds the runs.
        returns: mean return of the last policy, one number for each seed.
        minutes: wall time of one run, the median over seeds. Other work may have run beside.
        commit: of the measured code.
    """

    result: str
    returns: tuple[float, ...]
    minutes: float
    commit: str


class Preset(NamedTuple):
    """A named experiment.

    Attributes:
        experiment: the fields of the run; each can be changed on the command line.
        measured: what it reached; None for a preset that nobody has measured.
    """

    experiment: Experiment
    measured: Measured | None
