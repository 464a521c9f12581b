"""Memory of this process."""

import resource
import sys


def peak_memory() -> float:
    """Return the largest resident memory of this process so far, in GB (2**30 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)
