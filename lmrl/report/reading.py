"""Files of a run directory, read so that no content of them can fail the report.

A file may be missing, cut off, huge, or hostile. What cannot be read is reported as a sentence.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_OBJECT = 8 << 20
"""Largest JSON file that is read, in bytes."""
MAX_LINE = 1 << 20
"""Longest line that is read, in bytes."""
MAX_LINES = 200_000
"""Most lines of a file that are read."""
MAX_TEXT = 20_000
"""Longest text that is kept, in characters."""
MAX_ITEMS = 2_000
"""Most entries of a list or object that are kept."""
MAX_DEPTH = 12
"""Deepest nesting that is kept."""
MAX_PROBLEMS = 50
"""Most sentences about one run that are kept."""

EXACT = 2**53
"""Integers up to here are exact in a browser."""


class Problems:
    """Sentences about what could not be read, each once.

    Attributes:
        sentences: sentences in order.
    """

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def add(self, sentence: str) -> None:
        """Add a sentence, unless it is there already or there are too many."""
        sentence = clean(sentence)
        if sentence not in self.sentences and len(self.sentences) < MAX_PROBLEMS:
            self.sentences.append(sentence)


def clean(value: Any, depth: int = 0) -> Any:
    """Return a JSON value that every browser can hold.

    Halves of surrogate pairs become U+FFFD, numbers that are not finite become None, integers that
    a browser would round become text, and long texts and lists are cut.

    Args:
        value: value as `json.loads` returns it.
        depth: nesting around the value.
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) <= EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= MAX_DEPTH:
        return "…"
    if isinstance(value, dict):
        items = list(value.items())[:MAX_ITEMS]
        return {_text(str(key)): clean(inner, depth + 1) for key, inner in items}
    if isinstance(value, list | tuple):
        return [clean(inner, depth + 1) for inner in value[:MAX_ITEMS]]
    return _text(str(value))


def _text(text: str) -> str:
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}… ({len(text) - MAX_TEXT} more characters)"
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def read_object(path: Path, problems: Problems) -> dict[str, Any]:
    """Return the object of a JSON file; empty if there is none, with a problem if it is damaged.

    Args:
        path: file.
        problems: collection for what is wrong with it.
    """
    try:
        if not path.is_file():
            return {}
        size = path.stat().st_size
        if size > MAX_OBJECT:
            problems.add(f"{path.name} has {size} bytes, which is too large; it was not read")
            return {}
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        problems.add(f"{path.name} cannot be read: {_reason(error)}")
        return {}
    if not isinstance(value, dict):
        problems.add(f"{path.name} does not hold a JSON object")
        return {}
    cleaned: dict[str, Any] = clean(value)
    return cleaned


def read_lines(path: Path, problems: Problems) -> list[dict[str, Any]]:
    """Return the objects of a file with one JSON object a line; see `read_object`.

    A last line without an end is ignored: a running process is writing it.
    """
    rows: list[dict[str, Any]] = []
    bad = 0
    try:
        for line in _lines(path):
            if len(rows) == MAX_LINES:
                problems.add(f"{path.name} has more than {MAX_LINES} lines; the rest was not read")
                break
            try:
                row = json.loads(line) if line else None
            except (ValueError, RecursionError):
                row = None
            if isinstance(row, dict):
                rows.append(clean(row))
            else:
                bad += 1
    except OSError as error:
        problems.add(f"{path.name} cannot be read: {_reason(error)}")
    if bad:
        problems.add(f"{path.name} has {bad} lines that cannot be read; they were left out")
    return rows


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the complete lines of a file; an empty one for each that is too long."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE):
            if line.endswith(b"\n"):
                if line.strip():
                    yield line
                continue
            if len(line) < MAX_LINE:
                return
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE)
            yield b""


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)[:200]


def number(value: Any) -> float | None:
    """Return a value as a finite number; None if it is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def text(value: Any, default: str = "") -> str:
    """Return a value if it is a text that is not empty, and otherwise a default."""
    return value if isinstance(value, str) and value else default


def count(value: Any) -> int | None:
    """Return a value as an integer of 0 or more; None if it is not one."""
    found = number(value)
    return int(found) if found is not None and 0 <= found <= EXACT else None
