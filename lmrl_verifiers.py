"""The tasks as one environment package of verifiers, whose identifiers are names of modules.

vf-eval lmrl-verifiers --env.taskset.task-name maze-fo
"""

from lmrl.adapters.verifiers import TaskSeeds, TextEnvironment, TextHarness

__all__ = ["TaskSeeds", "TextEnvironment", "TextHarness"]
