"""End what a private Ray leaves behind when the process that started it is killed.

Ray's server processes end with that process. Two of its agents first try to reach the server for a
minute, and a killed process cannot end them. So another process waits for its end.

This file is run as that process. It imports nothing of the package, so that it is small.
"""

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

EVERY = 2.0
"""Time between two looks at the processes, in seconds."""

GRACE = 3.0
"""Time in which the processes may end by themselves, in seconds."""


@contextmanager
def ended_with_this_process() -> Iterator[None]:
    """End all processes that this one starts within the block, if it is killed within the block."""
    own = psutil.Process()
    known = [child.pid for child in own.children(recursive=True)]
    watcher = subprocess.Popen(
        [sys.executable, __file__, json.dumps([own.pid, *known])],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a signal to the process group is for this process
    )
    assert watcher.stdin is not None
    try:
        yield
    finally:
        with suppress(OSError):  # the watcher was killed
            watcher.stdin.write(b"done\n")
            watcher.stdin.close()
        watcher.wait()


@contextmanager
def ended_if_raised() -> Iterator[None]:
    """Kill all processes that this one starts within the block, if the block raises.

    Ray ends its servers with the process that started them, but not their agents.
    """
    own = psutil.Process()
    known = {child.pid for child in own.children(recursive=True)}
    try:
        yield
    except BaseException:
        for child in own.children(recursive=True):
            if child.pid not in known:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        raise


def watch(root: int, known: list[int]) -> None:
    """Wait for a line or the end of standard input; after the end, kill what was started.

    Args:
        root: process whose descendants are watched.
        known: processes that are not its new ones.
    """
    seen: dict[int, psutil.Process] = {}
    ours = {*known, psutil.Process().pid}
    while not select.select([sys.stdin], [], [], EVERY)[0]:
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(root).children(recursive=True)
            seen = {child.pid: child for child in found if child.pid not in ours}
    if sys.stdin.readline():
        return
    time.sleep(GRACE)
    for process in seen.values():
        with suppress(psutil.NoSuchProcess):  # psutil compares the time of the start too
            process.kill()


if __name__ == "__main__":
    root_, *known_ = json.loads(sys.argv[1])
    watch(root_, known_)
