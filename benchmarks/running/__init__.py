"""Benchmarks that end cleanly on Ctrl-C and SIGTERM, and the processes that they start."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

from benchmarks.record import save
from lmrl.errors import RunError, Terminated, UsageError
from lmrl.interrupt import signals_raise

END = 60.0
"""Time limit for the end of a process after SIGTERM, in seconds. After it the process is killed."""


_output = 1  # descriptor of the real standard output


def run(main: Callable[[], int | None]) -> int:
    """Call a benchmark and return the exit status of the process.

    Ctrl-C, SIGTERM and SIGUSR1 raise an exception in the benchmark, so that its blocks end. The
    status is then 128 and the number of the signal, as a shell reports it.

    Args:
        main: benchmark, which returns its exit status or None for 0.
    """
    try:
        with signals_raise(), _only_results():
            return main() or 0
    except (UsageError, RunError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt as error:
        return 143 if isinstance(error, Terminated) else 130


@contextmanager
def _only_results() -> Iterator[None]:
    """Send what libraries print to the error output; `emit` writes to the real output."""
    global _output
    sys.stdout.flush()
    _output = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(_output, 1)
        os.close(_output)
        _output = 1


def emit(text: str) -> None:
    """Print a line of the result."""
    with os.fdopen(os.dup(_output), "w") as output:
        print(text, file=output)


@contextmanager
def child(command: Sequence[str], **settings: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a process; at the end of the block it gets SIGTERM and the time to end its own ones.

    Args:
        command: program and arguments.
        settings: further arguments of `subprocess.Popen`.
    """
    started = subprocess.Popen(command, text=True, **settings)
    try:
        yield started
    finally:
        if started.poll() is None:
            started.terminate()
            try:
                started.wait(END)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def process(command: Sequence[str], **settings: Any) -> str:
    """Run a command to its end and return its standard output.

    Args:
        command: program and arguments.
        settings: further arguments of `subprocess.Popen`.

    Raises:
        RunError: if the command fails.
    """
    with child(command, stdout=subprocess.PIPE, **settings) as started:
        output, _ = started.communicate()
    if started.returncode:
        raise RunError(f"'{' '.join(command)}' ended with {started.returncode}")
    return str(output)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, smallest and largest of repeated measurements."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has.

    Args:
        description: text of the help.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes; no result is written")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--seed", type=int, default=0, help="seed of the measurement")
    return parser


def finish(name: str, command: str, figures: dict[str, Any], options: argparse.Namespace) -> None:
    """Print a result, and write it unless it is a quick one.

    Args:
        name: name of the result.
        command: command that makes the result.
        figures: numbers of the result; `ratios` has those of docs/performance.md by row.
        options: options of `arguments`.
    """
    figures = {"seed": options.seed, **figures}
    if not options.quick:
        save(name, command, figures)
    if options.json:
        emit(json.dumps(figures, indent=2))
    else:
        for row, value in figures["ratios"].items():
            emit(f"{row}: {value:.4g}")
