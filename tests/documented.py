"""The commands and examples that the pages show, as the tests read them.

A comment above a fence says what the tests do with it:

- none: it runs, in the order of the page, in a folder of the page's own;
- `<!-- test: train -->`: it starts Ray and trains, so it runs in the system test alone, with small
  sizes;
- `<!-- test: parse: REASON -->`: it is not run, for the reason; its calls of `lmrl` are parsed.

The calls of `lmrl` in every fence are parsed by the real parser, and the fields of a training are
read, so that an option or field that does not exist fails a test wherever it is shown.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmrl.cli import parser
from lmrl.cli.arguments import task_options

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        *(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "api"),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
    ]
)
GENERATED = "command-line.md"
"""Page whose examples are those of `lmrl COMMAND --help`; they are parsed and not run."""

_FENCE = re.compile(
    r"(?:^<!-- test: ([^\n]*) -->\n\n)?^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
_CALL = re.compile(r"(?:\.venv/bin/|python -m )?lmrl ")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: the page.
        line: number of its first line in the page.
        language: first word of the fence.
        mark: text of the comment; empty if there is none.
        code: its lines.
    """

    page: Path
    line: int
    language: str
    mark: str
    code: str

    @property
    def place(self) -> str:
        """Page and line, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[str]:
        """Return the commands of a shell block; lines of one command are joined."""
        found, begun = [], ""
        for line in self.code.replace("\\\n", " ").splitlines():
            begun += line + "\n"
            try:
                if shlex.split(begun, comments=True):
                    found.append(begun.strip())
            except ValueError:  # a quotation mark is open
                continue
            begun = ""
        assert not begun, f"{self.place}: a quotation mark is not closed"
        return found


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page.

    Raises:
        AssertionError: if a comment is not one of those, or a fence has a second word, which no
            site shows as a fence.
    """
    text = page.read_text(encoding="utf-8")
    assert text.count("<!-- test: ") == sum(match[1] is not None for match in _FENCE.finditer(text))
    found = []
    for match in _FENCE.finditer(text):
        mark, language, code = match[1] or "", match[2], match[3]
        block = Block(page, text.count("\n", 0, match.start(2)) + 1, language, mark, code)
        assert re.fullmatch(r"|train|parse: \S.*", mark), f"{block.place}: {mark}"
        assert re.fullmatch(r"\w*", language), f"{block.place}: {language}"
        found.append(block)
    return found


def call(command: str) -> list[str] | None:
    """Return the words after `lmrl` of a command that calls it, also as a submitted job."""
    words = shlex.split(command, comments=True)
    for sign in ("|", ">", "<", "&&", "&"):
        words = words[: words.index(sign)] if sign in words else words
    match = _CALL.search(" ".join(words) + " ")
    if match is None or words[0] in ("pip", "echo"):
        return None
    return words[next(i for i, word in enumerate(words) if re.search(r"(^|/)lmrl$", word)) + 1 :]


def parse(words: list[str]) -> None:
    """Parse a call of `lmrl`, and read the fields of its training or the options of its task.

    Raises:
        UsageError: if an option, a field, a name or a value does not exist.
    """
    options = parser().parse_args(words)
    if words[0] == "train" and not _chosen_elsewhere(options):
        from lmrl.cli.training.chosen import experiment

        experiment(options)
    elif getattr(options, "task", None) and getattr(options, "fields_given", None):
        task_options(options, options.task)


def _chosen_elsewhere(options: Any) -> bool:
    """Return whether a run or a file has the experiment of a training."""
    goes_on = options.resume is not None and str(options.resume) != "auto"
    return bool(goes_on or options.source or options.list or options.config)
