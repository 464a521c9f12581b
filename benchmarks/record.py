"""Write a result with command, machine, versions, commit and date; fill pages from results."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lmrl.files import write_json
from lmrl.runs.log import provenance
from lmrl.runs.names import SUMMARY

RESULTS = Path(__file__).parent / "results"


def processor() -> str:
    """Return the processor's name; empty if the system does not report it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def gpus() -> list[str]:
    """Return the names of the GPUs that this process sees."""
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def train(preset: str, seed: int, folder: Path, *fields: str) -> tuple[dict[str, Any], float]:
    """Run `lmrl train` in its own process; return its summary and its wall time in seconds.

    Args:
        preset: name of the preset.
        seed: seed of the run.
        folder: run directory.
        fields: further arguments that change fields.
    """
    began = time.perf_counter()
    command = [sys.executable, "-m", "lmrl", "train", preset, "--run-dir", str(folder)]
    command += ["--seed", str(seed), *fields]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
    return summary, wall


def save(name: str, command: str, figures: dict[str, Any]) -> Path:
    """Write `results/<name>.json` and return its path.

    Args:
        name: name of the result.
        command: command that makes the result.
        figures: numbers of the result.
    """
    path = RESULTS / f"{name}.json"
    write_json(
        path,
        {
            "command": command,
            "date": datetime.now(UTC).date().isoformat(),
            "machine": {
                "cores": os.cpu_count(),
                "processor": processor(),
                **({"gpus": gpus()} if gpus() else {}),
            },
            **provenance(),
            **figures,
        },
    )
    return path


def load(name: str) -> dict[str, Any]:
    """Return the committed result of a name."""
    record: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return record


def filled(text: str, mark: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """Return a page with new versions of its marked tables.

    Args:
        text: page, in which a table stands between `<!-- MARK: NAME -->` and `<!-- end -->`.
        mark: word of the marks.
        tables: functions that make the tables, by name; those that the page lacks are not called.
    """
    for name, table in tables.items():
        opening = f"<!-- {mark}: {name} -->\n"
        if opening not in text:
            continue
        before, _, rest = text.partition(opening)
        _, closing, after = rest.partition("<!-- end -->")
        text = f"{before}{opening}{table()}\n{closing}{after}"
    return text
