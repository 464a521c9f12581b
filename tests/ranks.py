"""Learner programs in processes of their own, where DeepSpeed can make its process group."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_ranks(program: str, *arguments: Any, world: int = 1, timeout: float = 240) -> str:
    """Run a program once for each rank, and return what the first rank printed.

    Args:
        program: Python code. Its arguments are `arguments`, port, rank and number of ranks. It may
            import `ranks`.
        arguments: first arguments of the program.
        world: number of ranks.
        timeout: time limit for each rank, in seconds.
    """
    port = free_port()
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    built = tempfile.mkdtemp(prefix="lmrl-")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, *map(str, (*arguments, port, rank, world))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": path,
                "OMP_NUM_THREADS": "1",
                "TORCH_EXTENSIONS_DIR": built,
            },
            cwd=ROOT,
        )
        for rank in range(world)
    ]
    try:
        outputs = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()  # does nothing to one that has ended
            process.wait()
    for process, (_, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors[-3000:]
    # No operator was built: its build would need a compiler, and wait without end for the lock of a
    # process that was killed.
    Path(built).rmdir()
    return outputs[0][0].strip()
