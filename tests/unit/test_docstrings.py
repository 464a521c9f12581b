"""Docstrings name what is there: each entry of Args is a parameter, each of Attributes a field."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    path
    for package in ("lmrl", "learners", "actors", "cluster", "benchmarks", "examples")
    for path in sorted((ROOT / package).rglob("*.py"))
]
Documented = ast.FunctionDef | ast.ClassDef


def entries(docstring: str, section: str) -> list[str]:
    """Return the names of a section, whose entries are `name: text` or `one, two: text`."""
    found = re.search(rf"^( *){section}:\n((?:\1 +.*\n?|\n)+)", docstring + "\n", re.MULTILINE)
    if found is None:
        return []
    indent = len(found[1]) + 4
    names = re.findall(rf"^ {{{indent}}}([*\w][\w, *]*):(?: |$)", found[2], re.MULTILINE)
    return [name.strip().lstrip("*") for line in names for name in line.split(",")]


def parameters(node: ast.FunctionDef) -> set[str]:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return {a.arg for a in [*every, arguments.vararg, arguments.kwarg] if a is not None}


def members(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> set[str]:
    """Return fields, methods, what `__init__` sets, and those of base classes in the same file."""
    found: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.AnnAssign | ast.Assign):
            targets = [part.target] if isinstance(part, ast.AnnAssign) else part.targets
            for target in targets:
                for name in ast.walk(target):
                    found |= {name.id} if isinstance(name, ast.Name) else set()
                    found |= {name.attr} if isinstance(name, ast.Attribute) else set()
        elif isinstance(part, ast.FunctionDef):
            found.add(part.name)
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes:
            found |= members(classes[base.id], classes)
    return found


def resolved(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> bool:
    """Return whether all that a class has is in its file, apart from bases without fields."""
    names = [
        base.attr if isinstance(base, ast.Attribute) else ast.unparse(base) for base in node.bases
    ]
    plain = {"ABC", "NamedTuple", "Protocol", "Module", "Function"}
    return all(
        name in plain or (name in classes and resolved(classes[name], classes)) for name in names
    )


def wrong(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for node in ast.walk(tree):
        if not isinstance(node, Documented):
            continue
        if isinstance(node, ast.ClassDef) and not resolved(node, classes):
            continue
        text = ast.get_docstring(node) or ""
        known = set()
        if isinstance(node, ast.FunctionDef):
            known = parameters(node)
        else:
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                    known = parameters(part)
            # A dataclass takes its fields.
            known |= members(node, classes)
        for name in entries(text, "Args"):
            if name not in known:
                yield f"{node.name}: no parameter '{name}'"
        if isinstance(node, ast.ClassDef):
            for name in entries(text, "Attributes"):
                if name not in members(node, classes):
                    yield f"{node.name}: no attribute '{name}'"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_entries_of_docstrings_exist(path: Path) -> None:
    assert list(wrong(path)) == []
