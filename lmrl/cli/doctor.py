"""`lmrl doctor`: import every package once, and report what is wrong and what helps."""

import argparse
import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lmrl.cli.arguments import Commands, add_command, add_json
from lmrl.cli.output import print_json

Finding = dict[str, Any]
"""A finding: `name` of the part, `ok`, `needed` (whether the system works without it), `text`."""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    add_json(add_command(commands, "doctor", "check the installation", "lmrl doctor", run))


def run(options: argparse.Namespace) -> int:
    """Print the findings; the exit code is 1 if a needed part does not work."""
    findings = check()
    if options.json:
        print_json(findings)
    else:
        print(report(findings))
    return 0 if all(row["ok"] for row in findings if row["needed"]) else 1


def check() -> list[Finding]:
    """Return a finding for each part of the installation."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    findings = [_python(), _compiler()]
    for package, remedy in (
        ("pyarrow", "run 'make setup'"),
        ("torch", "run 'make setup'"),
        ("transformers", "run 'make setup'"),
        ("ray", "run 'make setup'"),
        ("deepspeed", "it is built from source; a C++ compiler has to be on PATH"),
    ):
        findings.append(_imports(package, remedy))
    findings.append(_engine())
    findings.append(_device())
    findings.append(_ours())
    findings.append(_memory())
    return findings


def _finding(name: str, ok: bool, text: str, needed: bool = True) -> Finding:
    return {"name": name, "ok": ok, "needed": needed, "text": text}


def _python() -> Finding:
    ok = (3, 11) <= sys.version_info < (3, 14)
    text = platform.python_version() + ("" if ok else "; Python 3.11, 3.12 or 3.13 is needed")
    return _finding("python", ok, text)


def _compiler() -> Finding:
    found = shutil.which("c++") or shutil.which("g++")
    return _finding(
        "compiler",
        bool(found),
        found or "no C++ compiler; packages without a wheel for this machine need one",
    )


def _version(package: str) -> str:
    for name in (package, f"{package}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "not installed"


def _try(action: Callable[[], object]) -> str:
    try:
        action()
    except Exception as error:  # whatever an import raises is what the user has to read
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return ""


def _imports(package: str, remedy: str) -> Finding:
    if package == "deepspeed":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    trouble = _try(lambda: importlib.import_module(package))
    text = _version(package) if not trouble else f"does not import ({trouble}); {remedy}"
    return _finding(package, not trouble, text)


def _engine() -> Finding:
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # it warns about what CPUs do not need
    trouble = _try(lambda: importlib.import_module("vllm").LLM)
    text = _version("vllm")
    if trouble:
        text = (
            f"'from vllm import LLM' fails ({trouble}); builds of torchvision, torchaudio or "
            "torchcodec that do not match torch do this: uninstall them, text needs none"
        )
    return _finding("vllm", not trouble, text)


def _device() -> Finding:
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return _finding("device", False, "unknown without torch", needed=False)
    count = torch.cuda.device_count()
    text = f"{count} GPU(s)" if count else f"CPU only, {os.cpu_count()} cores"
    return _finding("device", True, text, needed=False)


def _ours() -> Finding:
    """The top-level package names are common words: make sure that they are ours."""
    here = str(Path(os.path.abspath(__file__)).parents[2])
    for name in ("actors", "learners", "cluster"):
        module = importlib.import_module(name)
        if not os.path.abspath(str(module.__file__)).startswith(here):
            return _finding(
                name, False, f"'{name}' is imported from {module.__file__}; start in the repository"
            )
    return _finding("packages", True, here)


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return _finding(
        "memory",
        total >= 7,
        f"{total:.0f} GiB" + ("" if total >= 7 else "; the demo needs 8"),
        False,
    )


def report(findings: list[Finding]) -> str:
    """Return findings as text, one line each."""
    lines = [f"{'ok' if f['ok'] else 'NO':<3} {f['name']:<13} {f['text']}" for f in findings]
    bad = [f["name"] for f in findings if f["needed"] and not f["ok"]]
    lines.append(f"\nnot usable: {', '.join(bad)}" if bad else "\neverything that is needed works")
    return "\n".join(lines)
