"""Word lists and tables of the tasks: data files beside this one, read when a task needs them.

`NOTICE.md` has their sources and licences.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def read_text(name: str) -> str:
    """Return the text of a file of this folder."""
    return (FOLDER / name).read_text(encoding="utf-8")


def read_json(name: str) -> Any:
    """Return the value of a JSON file of this folder."""
    return json.loads(read_text(name))
