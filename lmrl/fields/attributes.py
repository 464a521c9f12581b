"""Texts of fields and options, taken from the docstrings of their classes."""

import inspect
import re
from collections.abc import Iterator

SECTIONS = ("Args:", "Attributes:")
_ENTRY = re.compile(r"(?P<names>\w+(?:, \w+)*): (?P<text>.*)", re.DOTALL)


def entries(kind: type) -> dict[str, str]:
    """Return the texts of a class's attributes and arguments, those of its bases included.

    Args:
        kind: class whose docstrings have `Attributes:` or `Args:` sections. An entry for several
            names, like `a, b: text`, is the text of each.
    """
    found: dict[str, str] = {}
    for base in reversed(inspect.getmro(kind)):
        for part in _parts(base.__dict__.get("__doc__") or ""):
            if entry := _ENTRY.fullmatch(part):
                text = " ".join(entry["text"].split())
                found |= dict.fromkeys(entry["names"].split(", "), text)
    return found


def first_sentence(kind: type) -> str:
    """Return the first paragraph of a class's own docstring, on one line."""
    return " ".join(inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].split())


def _parts(doc: str) -> Iterator[str]:
    """Yield the entries of the sections of a docstring, with their continued lines."""
    inside, part = False, ""
    for line in inspect.cleandoc(doc).splitlines():
        if not line.startswith(" ") and line.strip():
            inside = line.strip() in SECTIONS
        if not inside or line.strip() in SECTIONS:
            continue
        if re.match(r" {4}\S", line):
            yield part
            part = line.strip()
        else:
            part += " " + line.strip()
    yield part
