"""The HTML page: one file with style, script and data, which asks nothing of any network.

Data stand in the page as compressed blocks in base 64, so no text of a run can become markup. A
content security policy allows this page's own script and style, by their hashes, and nothing else.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from lmrl.errors import UsageError
from lmrl.files import atomic_file, writable
from lmrl.report.environments import Environments
from lmrl.report.episodes.embed import PIECE, Packed, compressed, pack
from lmrl.report.overview.content import overview
from lmrl.report.overview.runs import find_runs, names_of, read_run
from lmrl.report.reading import Problems, clean

SCRIPTS = (
    "dom.js",
    "source.js",
    "charts.js",
    "bars.js",
    "overview.js",
    "setup.js",
    "board.js",
    "list.js",
    "transcript.js",
    "main.js",
)
"""Parts of the page's script, in order."""
EPISODES = 10_000
"""Most episodes that a file holds."""
MEGABYTES = 16.0
"""Most megabytes of episodes that a file holds."""


@dataclass(frozen=True)
class Written:
    """A report that was written.

    Attributes:
        path: the file.
        size: size in bytes.
        runs: number of runs.
        shown: number of episodes in the file.
        stored: number of episodes of the runs.
        problems: sentences about what could not be read.
    """

    path: Path
    size: int
    runs: int
    shown: int
    stored: int
    problems: tuple[str, ...]


def write_report(
    paths: Sequence[Path],
    out: Path,
    episodes: int = EPISODES,
    megabytes: float = MEGABYTES,
    load_tasks: bool = False,
) -> Written:
    """Write the report of runs to one file, which appears only when it is complete.

    Args:
        paths: run directories, or folders that hold some.
        out: the file; missing folders are made.
        episodes: most episodes in the file.
        megabytes: most megabytes of episodes in the file.
        load_tasks: whether tasks that runs name as `module:Class` are imported, for their drawings
            and the range of their scores.

    Raises:
        UsageError: if a path holds no run, or the file cannot be written.
    """
    folders = find_runs(paths)
    if out.is_dir():
        raise UsageError(f"{out} is a folder; give a file, like {out / 'report.html'}")
    writable(out.parent, "the folder of the report,")
    runs = [read_run(folder, name) for folder, name in zip(folders, names_of(folders), strict=True)]
    environments, problems = Environments(load_tasks), Problems()
    packed = pack(runs, episodes, megabytes, environments, problems)
    data = overview(runs, environments)
    data["problems"] += problems.sentences
    data["embedded"] = _embedded(packed)
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    page = render(f"{title} · LMRL report", {**packed.blocks, "overview": compressed(data)})
    with atomic_file(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    size = out.stat().st_size
    return Written(out, size, len(runs), packed.shown, packed.stored, tuple(data["problems"]))


def _embedded(packed: Packed) -> str:
    """Return a sentence about the episodes that are in the file."""
    if packed.shown == packed.stored:
        return ""
    return (
        f"{packed.shown:,} of {packed.stored:,} stored episodes are in this file, evenly over the "
        "updates. 'lmrl report --episodes N --megabytes M' takes in more, and 'lmrl serve' shows "
        "all."
    )


def render(
    title: str,
    blocks: Mapping[str, str],
    keys: Sequence[str] | None = None,
    home: str = "",
) -> str:
    """Return the page.

    Args:
        title: title of the page.
        blocks: content of each block; only letters of base 64.
        keys: keys of the runs that the page asks its server for; None if the blocks hold all.
        home: address of the list of runs; empty if there is none.
    """
    from jinja2 import Environment, StrictUndefined

    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        _asset("page.html")
    )
    style, script = style_and_script()
    return template.render(
        title=clean(title),
        policy=policy(style, script, live=keys is not None),
        style=style,
        script=script,
        blocks=blocks,
        keys=json.dumps(None if keys is None else list(keys)),
        home=home,
    )


def policy(style: str, script: str, live: bool) -> str:
    """Return the content security policy of the page.

    Args:
        style: the style sheet.
        script: the script.
        live: whether the page may ask its own server.
    """
    connect = "'self'" if live else "'none'"
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        f"img-src data:; connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def style_and_script() -> tuple[str, str]:
    """Return style sheet and script of the page."""
    return _asset("style.css"), page_script()


@cache
def page_script() -> str:
    """Return the script of the page: its parts in one function, so that nothing of it is global."""
    parts = "\n".join(_asset(name) for name in SCRIPTS)
    return f'(() => {{\n"use strict";\nconst PIECE = {PIECE};\n{parts}}})();\n'


@cache
def _asset(name: str) -> str:
    return (files("lmrl.report") / "assets" / name).read_text(encoding="utf-8")
