"""What `pyproject.toml` says of the packages: dependencies, types, version."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import lmrl

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("lmrl", "learners", "actors", "cluster", "benchmarks")
# `lmrl` imports these inside functions, for what needs them.
OPTIONAL_IN_LMRL = {
    "chess",
    "fastapi",
    "fsspec",
    "gymnasium",
    "httpx",
    "openenv",
    "pydantic",
    "tensorboard",
    "textual",
    "tokenizers",
    "textarena",
    "transformers",
    "uvicorn",
    "verifiers",
    "websockets",
}
# Extras that a user adds, and that no test needs.
ADDED = ("analysis", "trackio", "wandb")
# Extras with an environment of their own.
APART = ("openenv", "verifiers")


def names(requirements: list[str]) -> set[str]:
    return {
        re.split(r"[\[<>=~! ]", text)[0].lower().replace("_", "-").removesuffix("-cpu")
        for text in requirements
    }


BASE = names(PROJECT["project"]["dependencies"])
EXTRAS = {k: names(v) for k, v in PROJECT["project"]["optional-dependencies"].items()}


def third_party(package: str) -> set[str]:
    """Return the packages of others that a package imports, anywhere in it."""
    found = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_import_is_declared(package: str) -> None:
    if package == "lmrl":
        added = set().union(*(EXTRAS[name] for name in ADDED))
        found = third_party(package) - OPTIONAL_IN_LMRL - added
        assert found <= BASE
    declared = BASE.union(*(e for name, e in EXTRAS.items() if name != "dev"))
    if package == "benchmarks":  # the browser of pages and pictures
        declared |= EXTRAS["dev"]
    assert third_party(package) <= declared


def test_every_dependency_is_imported() -> None:
    used = set().union(*map(third_party, PACKAGES))
    assert used >= BASE
    assert used | {"tensorboard"} >= EXTRAS["cpu"] == EXTRAS["gpu"]


def test_every_dependency_has_a_version_in_the_lock_list() -> None:
    lock = (ROOT / "requirements" / "cpu.lock").read_text()
    locked = names([line for line in lock.splitlines() if re.match(r"\w", line)])
    assert locked >= BASE.union(*(e for name, e in EXTRAS.items() if name not in (*ADDED, *APART)))


@pytest.mark.parametrize("extra", APART)
def test_an_environment_of_its_own_is_listed(extra: str) -> None:
    lines = (ROOT / "requirements" / f"{extra}.txt").read_text().splitlines()
    assert any(line.startswith(f"{extra}==") for line in lines)
    assert any(f"[{extra}," in line for line in lines)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"]["*"]


def test_the_version_stands_in_one_place() -> None:
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "lmrl.__version__"}
    assert version("lmrl") == lmrl.__version__


def test_vllm_finds_the_class_of_value_guided_policies() -> None:
    """`vllm serve` of an exported model asks for plug-ins by this group."""
    from lmrl.runs.export import VALUE_GUIDED

    (plugin,) = [e for e in entry_points(group="vllm.general_plugins") if e.name == "lmrl"]
    pytest.importorskip("vllm")
    from vllm import ModelRegistry

    from learners.checkpoints.guided import ARCHITECTURE

    plugin.load()()
    assert VALUE_GUIDED == ARCHITECTURE and ARCHITECTURE in ModelRegistry.get_supported_archs()


WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from lmrl.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""A program that runs a command where some libraries are not installed."""


def without(names: tuple[str, ...], *command: str) -> subprocess.CompletedProcess[str]:
    program = WITHOUT.format(names=names)
    return subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=False
    )


def test_a_task_whose_library_is_missing_is_a_warning() -> None:
    done = without(("chess", "torch", "ray"), "tasks")
    assert done.returncode == 0 and "wordle" in done.stdout and "endgames" not in done.stdout
    assert "cannot list chess" in done.stderr and "lmrl[chess]" in done.stderr


def test_a_command_that_needs_the_system_names_what_is_missing() -> None:
    done = without(("ray",), "evaluate", "player", "optimal", "--task", "wordle")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "ray is not installed" in done.stderr
