"""`lmrl serve`: the report of runs as a live page."""

import argparse
import sys

from lmrl.cli.arguments import Commands, add_command, path, value
from lmrl.cli.runs.report import add_load_tasks
from lmrl.limits import Range

EXAMPLE = """lmrl serve runs
  lmrl serve runs/demo --port 8080"""

PORT = value(int, Range(low=0, high=65535))
"""Converter of a port; 0 is a free one."""

PACKAGES = ("fastapi", "uvicorn", "jinja2")
"""Packages that the server needs."""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    serve = add_command(commands, "serve", "show runs as a live page in a browser", EXAMPLE, run)
    serve.add_argument(
        "runs",
        type=path,
        nargs="+",
        metavar="RUNS",
        help="a run directory, or a folder in which runs are or will be",
    )
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (127.0.0.1: this machine alone)"
    )
    serve.add_argument(
        "--port",
        type=PORT,
        default=0,
        metavar="N",
        help="port to listen at (a free one)",
    )
    add_load_tasks(serve)


def run(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C; its address is the first line of standard output."""
    from lmrl.errors import UsageError
    from lmrl.report.live import Live
    from lmrl.report.server import addresses, checked, is_loopback, listening, serve

    checked(PACKAGES)
    for folder in options.runs:
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder; give a run directory, or a folder of runs")
    loopback = is_loopback(options.host)
    opened = listening(options.host, options.port)
    if not loopback:
        print(
            f"warning: {options.host} may be reached from other machines, and the page has no "
            "password: everyone who reaches it can read these runs. Use 127.0.0.1 and an SSH "
            "tunnel to show it to yourself alone",
            file=sys.stderr,
        )
    print(f"{addresses(opened, options.host)} (Ctrl-C ends it)", flush=True)
    serve(Live(options.runs, options.load_tasks), opened, loopback)
    return 0
