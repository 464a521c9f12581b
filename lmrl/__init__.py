"""The language world: tasks, trajectories, players, data and scores, without torch or Ray."""

from lmrl.env import ScoreRange, Step, TextEnv
from lmrl.tasks import TASKS, make
from lmrl.trajectory import Trajectory, Turn

__version__ = "0.1.0"

__all__ = ["TASKS", "ScoreRange", "Step", "TextEnv", "Trajectory", "Turn", "make"]
