"""What a run shows: time to the first output, longest silence, lines without a terminal.

    python -m benchmarks.terminal

runs the demo for some updates on terminals of two sizes and without one, and writes
`results/terminal.json`. A silence is the time between two outputs. A library's line is one that
names a library; none of them should reach the screen.
"""

import argparse
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.record import save

SIZES = ((24, 80), (50, 200))
"""Rows and columns of the terminals."""

LIBRARIES = re.compile(r"ray|vllm|deepspeed|torch|glog|core_worker|pip", re.IGNORECASE)


def on_terminal(command: Sequence[str], rows: int, columns: int) -> dict[str, Any]:
    """Run a command on a pseudo terminal, and return the times of its outputs.

    Args:
        command: program and its arguments.
        rows, columns: size of the terminal.

    Returns:
        `first_output_seconds`, `longest_silence_seconds`, `total_seconds`, `exit_code`, and
        `output`, all that the command wrote.
    """
    began = time.monotonic()
    process, terminal = pty.fork()
    if process == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execvp(command[0], list(command))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    times = [began]
    output = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        times.append(time.monotonic())
        output += part
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    gaps = [later - earlier for earlier, later in pairwise(times[1:])]
    return {
        "first_output_seconds": round(times[1] - began, 2) if len(times) > 1 else None,
        "longest_silence_seconds": round(max(gaps, default=0.0), 2),
        "total_seconds": round(time.monotonic() - began, 1),
        "exit_code": os.waitstatus_to_exitcode(status),
        "output": output.decode(errors="replace"),
    }


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=6, help="updates of the demo (6)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    train = [sys.executable, "-m", "lmrl", "train", "maze-fo-ppo", "--updates"]
    train += [str(options.updates), "--run-dir"]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            found = on_terminal([*train, str(Path(folder) / f"{size[1]}")], *size)
            del found["output"]
            rows.append({"rows": size[0], "columns": size[1], **found})
        done = subprocess.run(
            [*train, str(Path(folder) / "plain")], capture_output=True, text=True, check=True
        )
    lines = (done.stdout + done.stderr).splitlines()
    figures = {
        "updates": options.updates,
        "terminals": rows,
        "without_terminal": {
            "lines": len(lines),
            "lines_of_libraries": sum(
                bool(LIBRARIES.search(line)) and "] Ray" not in line for line in lines
            ),
        },
    }
    path = save("terminal", f"python -m benchmarks.terminal --updates {options.updates}", figures)
    print(json.dumps(figures, indent=2) if options.json else path)


if __name__ == "__main__":
    main()
