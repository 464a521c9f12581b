"""Every command and example of the pages: the light ones run, the others are parsed."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documented import GENERATED, PAGES, ROOT, Block, blocks, call, parse

from lmrl.cli import main
from lmrl.errors import UsageError

EVERY = [block for page in PAGES for block in blocks(page)]
SHELL = [block for block in EVERY if block.language == "sh"]
RUN_PAGES = [
    page
    for page in PAGES
    if page.name != GENERATED
    and any(not b.mark and b.language in ("sh", "python") for b in blocks(page))
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory like a clone of the repository, whose modules are forgotten after it."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def run(block: Block, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command: a plain call of `lmrl` in this process, any other one in a shell.

    There is no input, as after Ctrl-D.
    """
    words = call(command)
    if words is not None and command.startswith("lmrl ") and not set("|><") & set(command):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", io.StringIO())
            code = main([*words, *small(words)])
        error = capsys.readouterr().err
    else:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        done = subprocess.run(
            ["bash", "-ec", command],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        code, error = done.returncode, done.stdout + done.stderr
    assert code == 0, f"{block.place}: {command}\n{error}"


def small(words: list[str]) -> list[str]:
    """Return options that make a call short; the last value of an option counts."""
    return ["--episodes", "20"] if "--episodes" in words else []


def test_fences_have_a_language_and_marks_a_reason() -> None:
    assert len(SHELL) > 60
    for block in EVERY:
        assert block.language or "lmrl " not in block.code, f"{block.place}: say sh"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_call_is_one_that_the_parser_knows(page: Path, folder: Path) -> None:
    for name in ("task", "algorithm"):  # what `lmrl new` writes on several pages
        main(["new", name, "guess_colour" if name == "task" else "weighted"])
    for block in blocks(page):
        if block.language != "sh":
            continue
        for command in block.commands():
            words = call(command)
            if words is not None:
                try:
                    parse(words)
                except UsageError as error:
                    raise AssertionError(f"{block.place}: {command}\n{error}") from error


@pytest.mark.parametrize("page", RUN_PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_runs(
    page: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    for block in blocks(page):
        if block.mark:
            continue
        if block.language == "python":
            exec(compile(block.code, block.place, "exec"), names)
        elif block.language == "sh":
            for command in block.commands():
                run(block, command, capsys)
