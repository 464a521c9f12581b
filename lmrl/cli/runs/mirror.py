"""`lmrl mirror`: copy a run directory to a URI, or make one from such a copy."""

import argparse
from pathlib import Path

from lmrl.cli.arguments import Commands, add_command, add_json, lasting
from lmrl.cli.output import print_json
from lmrl.errors import RunError, UsageError

EXAMPLE = """lmrl mirror s3://bucket/runs/maze runs/maze     then: lmrl train --resume runs/maze
  lmrl mirror runs/maze s3://bucket/runs/maze
  lmrl mirror runs/maze 's3://bucket/maze?endpoint_override=HOST:9000&scheme=http'"""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    mirror = add_command(commands, "mirror", "copy a run to object storage, or back", EXAMPLE, run)
    mirror.add_argument("source", metavar="FROM", help="run directory, or URI of a copy")
    mirror.add_argument("target", metavar="TO", help="URI, or a new run directory")
    add_json(mirror)


def run(options: argparse.Namespace) -> int:
    """Copy the run, and print where it is.

    Raises:
        UsageError: if not exactly one of both is a URI, or the directory has no run.
        RunError: if the copy could not be written.
    """
    from lmrl.runs.log import RunLog
    from lmrl.runs.mirror import Mirror

    source, target = options.source, options.target
    if ("://" in source) == ("://" in target):
        raise UsageError(
            f"one of '{source}' and '{target}' has to be a URI like s3://BUCKET/PATH, and the "
            "other a run directory"
        )
    if "://" in source:
        files = Mirror(lasting(Path(target), "the target"), source).fetch()
    else:
        log = RunLog(Path(source))
        log.check_marked()
        mirror = Mirror(log.folder, target)
        mirror.check()
        with log.locked():
            if not mirror.sync():
                raise RunError(f"{source} could not be copied to {target}; the line above says why")
        files = mirror.files
    if options.json:
        print_json({"from": source, "to": target, "files": files})
    else:
        print(f"{target}: {files} files of {source}")
    return 0
