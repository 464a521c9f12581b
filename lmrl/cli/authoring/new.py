"""`lmrl new task` and `lmrl new algorithm`: begin one with a file that works, and its test."""

import argparse
import keyword
import re
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from lmrl.cli.arguments import Commands, add_command, add_group, path
from lmrl.errors import UsageError

TEMPLATES = files("lmrl.cli.authoring") / "templates"


def add(commands: Commands) -> None:
    """Add the commands to the command line."""
    new = add_group(
        commands,
        "new",
        "begin a task or an algorithm of your own",
        "lmrl new task guess_colour\n  lmrl new algorithm weighted_cloning --out src",
    )
    for kind in ("task", "algorithm"):
        command = add_command(
            new,
            kind,
            f"write a file with a working {kind}, and a test of it",
            f"lmrl new {kind} my_{kind}",
            run,
        )
        command.set_defaults(kind=kind)
        command.add_argument("name", metavar="NAME", help="name of the file, like my_thing")
        command.add_argument(
            "--out", type=path, default=Path("."), metavar="DIR", help="folder for the files (.)"
        )


def run(options: argparse.Namespace) -> int:
    """Write the two files, and print what to do next."""
    name = options.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(
            f"NAME is {name!r}; give the name of a Python module: small letters, digits and "
            "underscores, like my_task"
        )
    title = "".join(part.capitalize() for part in name.split("_"))
    fill = {"name": name, "title": title}
    targets = {
        options.out / f"{name}.py": f"{options.kind}.py.txt",
        options.out / f"test_{name}.py": f"test_{options.kind}.py.txt",
    }
    for target in targets:
        if target.exists():
            raise UsageError(f"{target} exists; choose another NAME, or another folder with --out")
    if name in sys.stdlib_module_names or find_spec(name) is not None:
        raise UsageError(
            f"NAME is '{name}', and a module of this name exists, which the file would hide; "
            f"choose another name, like my_{name}"
        )
    texts = {
        t: Template((TEMPLATES / f).read_text("utf-8")).substitute(fill) for t, f in targets.items()
    }
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        for target, text in texts.items():
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{options.out} cannot be written ({error.strerror}); choose another folder with --out"
        ) from error
    print(f"{' and '.join(map(str, targets))} are written; next:")
    print(NEXT[options.kind].format(name=name, title=title))
    return 0


NEXT = {
    "task": """  python -m pytest test_{name}.py
  lmrl play {name}:{title}
  lmrl check {name}:{title}
  lmrl train ppo --task {name}:{title}""",
    "algorithm": """  python -m pytest test_{name}.py
  lmrl train {name}:{title} --task maze-fo""",
}
"""Commands for the next steps, by kind."""
