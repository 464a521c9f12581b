"""The import directions of the house, and what the light half may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("lmrl", "learners", "actors", "cluster", "benchmarks")
ALLOWED = {
    "lmrl": {"lmrl"},
    "learners": {"lmrl", "learners"},
    "actors": {"lmrl", "learners", "actors"},
    "cluster": {"lmrl", "learners", "actors", "cluster"},
    "benchmarks": set(OURS),
}
BANNED = {
    "lmrl": {"torch", "ray", "vllm", "deepspeed"},
    "learners": {"ray", "vllm"},
    "actors": {"deepspeed"},
    "cluster": set(),
    "benchmarks": set(),
}
# The one door that looks up, lazily, and the run log, which writes TensorBoard files lazily.
DOORS = {"lmrl/run_log.py"}


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("room", OURS)
def test_rooms_import_downwards_only(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        if name in DOORS or name.startswith("lmrl/cli/"):
            continue
        found = imports(path)
        assert not (found & set(OURS)) - ALLOWED[room], name
        assert not found & BANNED[room], name


def test_nobody_imports_the_command_line() -> None:
    for room in OURS:
        for path in (ROOT / room).rglob("*.py"):
            if path.name != "__main__.py" and path.parent.name != "cli":
                assert "lmrl.cli" not in path.read_text(), path


def test_the_light_half_loads_nothing_heavy() -> None:
    code = (
        "import sys, lmrl, lmrl.cli, lmrl.rollout, lmrl.data.generate, lmrl.scoring.score\n"
        "heavy = {'torch', 'ray', 'vllm', 'deepspeed', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import actors; assert actors.__file__.startswith(sys.argv[1]), actors.__file__\n"
    )
    subprocess.run([sys.executable, "-c", code, str(ROOT)], check=True, cwd=ROOT)
