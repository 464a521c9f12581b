"""`lmrl export`: a checkpoint of a run as a model directory with a model card."""

import argparse

from lmrl.cli.arguments import Commands, add_command, add_json, lasting, path
from lmrl.cli.output import print_json
from lmrl.cli.runs.report import add_load_tasks

EXAMPLE = """lmrl export runs/demo --out models/maze
  lmrl export runs/demo --checkpoint best --out models/maze-best
  lmrl export runs/lora --adapter --out models/maze-adapter
  vllm serve models/maze"""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    export = add_command(
        commands, "export", "write a model for transformers and vLLM", EXAMPLE, run
    )
    export.add_argument("run", type=path, metavar="RUN", help="run directory")
    export.add_argument("--out", type=path, required=True, metavar="DIR", help="a new folder")
    export.add_argument(
        "--checkpoint", default="last", metavar="NAME", help="last, best or step-N (last)"
    )
    export.add_argument(
        "--adapter", action="store_true", help="the adapters of a run with LoRA, not merged"
    )
    add_load_tasks(export)
    add_json(export)


def run(options: argparse.Namespace) -> int:
    """Write the model directory, and print where it is."""
    from lmrl.runs.export import export

    out = lasting(options.out, "--out")
    facts = export(options.run, out, options.checkpoint, options.adapter, options.load_tasks)
    if options.json:
        print_json(facts)
    else:
        print(
            f"{options.out}: {facts['architecture']} after update {facts['update']} of "
            f"{facts['updates']}, with a model card"
        )
    return 0
