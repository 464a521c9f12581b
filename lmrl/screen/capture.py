"""The output of libraries, sent to a file while a screen shows the run.

Ray, vLLM, DeepSpeed and their C++ parts write to the file descriptors of standard output and error,
past Python's streams. So the descriptors themselves are redirected.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


@contextmanager
def terminal_copy(stream: TextIO) -> Iterator[TextIO]:
    """Yield a text file that writes to where a stream writes now.

    Args:
        stream: standard output or error. A stream without a descriptor, as in tests, is yielded
            itself.
    """
    try:
        descriptor = os.dup(stream.fileno())
    except (OSError, ValueError, AttributeError):
        yield stream
        return
    with os.fdopen(descriptor, "w", encoding=stream.encoding, errors="replace") as copy:
        yield copy


@contextmanager
def captured(path: Path) -> Iterator[None]:
    """Append what the process writes to standard output and error to a file, within the block.

    Args:
        path: file, which is made if it is missing.
    """
    with path.open("ab", buffering=0) as log:
        _flush()
        saved = [(number, os.dup(number)) for number in (1, 2)]
        try:
            for number, _ in saved:
                os.dup2(log.fileno(), number)
            yield
        finally:
            _flush()
            for number, copy in saved:
                os.dup2(copy, number)
                os.close(copy)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed, or a full disk
            stream.flush()
