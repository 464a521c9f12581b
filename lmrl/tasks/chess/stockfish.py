"""Stockfish as a process of its own, asked for the best lines of one position after another.

The UCI client is ours because `chess.engine.SimpleEngine` costs too much here. It gives the same
lines, but it checks every move of every line that the engine prints. With searches as short as
these, that halves the speed of a step and takes seven times the CPU time of our process. Its thread
for each engine also keeps the interpreter from ending until every engine is closed, and a search
that is limited by nodes has no timeout.
"""

import math
import os
import re
import select
import shutil
import subprocess
import weakref
from functools import cache
from pathlib import Path
from time import monotonic

from lmrl.errors import RunError
from lmrl.tasks.chess.heuristics import MATE

ENGINE_FOLDER = "/usr/games"
"""Where Debian puts the binary; root's PATH does not have it."""
ENGINE_LINES = 8
ENGINE_PATIENCE = 60.0
"""Seconds after which an engine that prints nothing counts as dead."""
_SCORE = re.compile(r" multipv (\d+) score (cp|mate) (-?\d+).* pv (\S+)")


@cache
def find_engine(path: str | None = None) -> str | None:
    """Return the Stockfish binary: `path`, or the first on PATH, or Debian's; None if none."""
    if path is not None:
        return shutil.which(Path(path).expanduser())
    return shutil.which("stockfish") or shutil.which("stockfish", path=ENGINE_FOLDER)


class EngineDied(RunError):
    """The engine's process is gone or does not answer."""


class Stockfish:
    """A Stockfish process, asked for the best lines of one position after another.

    It takes about 130 MB and 0.1 s to start, and each environment has one of its own.

    Args:
        path: path of the binary.
        nodes: positions that a search visits at most.

    Raises:
        EngineDied: from here or from `lines`, if the process has ended or does not answer.
    """

    def __init__(self, path: str, nodes: int) -> None:
        self.nodes = nodes
        try:
            self.process = subprocess.Popen(
                [path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
        except OSError as error:
            raise EngineDied(f"chess engine {path} does not start: {error}") from error
        self._rest = b""
        # A forgotten environment must not leave a process behind.
        self._stop = weakref.finalize(self, _stop, self.process)
        for option, value in (("Threads", 1), ("Hash", 1), ("MultiPV", ENGINE_LINES)):
            self._send(f"setoption name {option} value {value}")
        self._send("isready")
        self._until("readyok")

    def close(self) -> None:
        """End the process."""
        self._stop()

    def lines(self, fen: str) -> list[tuple[str, float]]:
        """Return the best moves in coordinates with their scores in pawns, the best first."""
        # A new game clears the hash table: a search must not depend on the searches before.
        self._send(f"ucinewgame\nposition fen {fen}\ngo nodes {self.nodes}")
        found: dict[int, tuple[str, float]] = {}
        for line in self._until("bestmove"):
            if match := _SCORE.search(line):
                rank, unit, value, move = match.groups()
                number = float(value)
                mate = math.copysign(MATE, number) - number
                found[int(rank)] = (move, number / 100.0 if unit == "cp" else mate)
        # The budget may run out between two depths, so ranks can be stale and name a move twice.
        return sorted(dict(found.values()).items(), key=lambda line: line[1], reverse=True)

    def _send(self, text: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{text}\n".encode())
        except OSError as error:
            raise EngineDied(f"the chess engine is gone: {error}") from error

    def _until(self, last: str) -> list[str]:
        """Return the lines that the engine prints before the one that begins with `last`."""
        assert self.process.stdout is not None
        pipe = self.process.stdout.fileno()
        waiting = select.poll()  # unlike select.select, good for more than 1024 open files
        waiting.register(pipe, select.POLLIN)
        deadline = monotonic() + ENGINE_PATIENCE
        said: list[str] = []
        while True:
            *lines, self._rest = self._rest.split(b"\n")
            for line in lines:
                said.append(line.decode("utf-8", "replace"))
                if said[-1].startswith(last):
                    return said[:-1]
            if not waiting.poll(1000 * max(0.0, deadline - monotonic())):
                raise EngineDied(f"the chess engine said nothing for {ENGINE_PATIENCE:.0f} s")
            if not (more := os.read(pipe, 65536)):
                raise EngineDied(f"the chess engine ended with code {self.process.wait()}")
            self._rest += more


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
