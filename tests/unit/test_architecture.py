"""Import order of the packages, what `lmrl` may load, and limits on the size of files."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("lmrl", "learners", "actors", "cluster", "benchmarks")
MAY_IMPORT = {
    "lmrl": {"lmrl"},
    "learners": {"lmrl", "learners"},
    "actors": {"lmrl", "learners", "actors"},
    "cluster": {"lmrl", "learners", "actors", "cluster"},
    "benchmarks": set(PACKAGES),
}
MAY_NOT_IMPORT = {
    "lmrl": {"torch", "ray", "vllm", "deepspeed"},
    "learners": {"ray", "vllm"},
    "actors": {"deepspeed"},
    "cluster": set(),
    "benchmarks": set(),
}
# The command line and the Python API may import every package, inside functions: see
# `test_the_command_line_loads_nothing_heavy`.
COMMAND_LINE = ROOT / "lmrl" / "cli"
PYTHON_API = ROOT / "lmrl" / "api.py"

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 80
MAX_FOLDER_FILES = 14
MAX_LOOP_LINES = 20


def source_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_in_one_direction(package: str) -> None:
    files = source_files(package)
    assert files
    for path in files:
        if COMMAND_LINE in path.parents or path == PYTHON_API:
            continue
        found = imports(path)
        assert not (found & set(PACKAGES)) - MAY_IMPORT[package], path
        assert not found & MAY_NOT_IMPORT[package], path


def test_nothing_imports_the_command_line() -> None:
    for package in PACKAGES:
        for path in source_files(package):
            if path.name != "__main__.py" and COMMAND_LINE not in path.parents:
                assert "lmrl.cli" not in path.read_text(), path


def test_the_command_line_loads_nothing_heavy() -> None:
    code = (
        "import sys, lmrl, lmrl.api, lmrl.cli, lmrl.episode, lmrl.runs.log\n"
        "import lmrl.data.generate, lmrl.human.session, lmrl.scoring.score\n"
        "import cluster.presets\n"
        "heavy = {'torch', 'ray', 'vllm', 'deepspeed', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import actors; assert actors.__file__.startswith(sys.argv[1]), actors.__file__\n"
    )
    subprocess.run([sys.executable, "-c", code, str(ROOT)], check=True, cwd=ROOT)


def functions() -> Iterator[tuple[str, int]]:
    """Yield the name of every function, as `file:function`, and its number of lines."""
    for package in PACKAGES:
        for path in source_files(package):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    assert node.end_lineno is not None
                    name = f"{path.relative_to(ROOT).as_posix()}:{node.name}"
                    yield name, node.end_lineno - node.lineno + 1


def test_files_are_short() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for package in PACKAGES
        for path in source_files(package)
    }
    long = {name for name, lines in lengths.items() if lines > MAX_FILE_LINES}
    assert not long, "split these"


def test_functions_are_short() -> None:
    long = {name for name, lines in functions() if lines > MAX_FUNCTION_LINES}
    assert not long, "split these"


def test_folders_have_few_files() -> None:
    counts: dict[str, int] = {}
    for package in PACKAGES:
        for path in source_files(package):
            folder = path.parent.relative_to(ROOT).as_posix()
            counts[folder] = counts.get(folder, 0) + 1
    full = {name for name, count in counts.items() if count > MAX_FOLDER_FILES}
    assert not full, "divide these"


def test_the_training_loop_is_short() -> None:
    path = ROOT / "cluster" / "train.py"
    text = path.read_text()
    loops = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.For)]
    assert len(loops) == 1, "cluster/train.py has one loop"
    first, last = loops[0].body[0].lineno, loops[0].body[-1].end_lineno
    lines = [line.strip() for line in text.splitlines()[first - 1 : last]]
    code = [line for line in lines if line and not line.startswith("#")]
    assert len(code) <= MAX_LOOP_LINES
