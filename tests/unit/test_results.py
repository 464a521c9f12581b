"""The figures on our pages are those of the committed results."""

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from benchmarks.table import PAGES, TABLES, render
from cluster.presets import PRESETS
from cluster.presets.preset import Measured

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


def test_every_table_is_on_a_page() -> None:
    texts = [page.read_text() for page in PAGES]
    for name in TABLES:
        assert any(f"<!-- table: {name} -->" in text for text in texts), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_shows_the_committed_results(page: Path) -> None:
    text = page.read_text()
    assert render(text) == text, "run 'python -m benchmarks.table'"


def test_a_page_without_a_marker_stays_as_it_is() -> None:
    assert render("no table here\n") == "no table here\n"


def last(scores: dict[str, Any]) -> float:
    """Return the mean return of a run's last policy."""
    names = [n for n in scores if n not in ("random", "bc") and not n.endswith("_best")]
    return float(scores[names[-1]]["return_mean"])


def test_presets_carry_what_their_committed_runs_reached() -> None:
    found: dict[str, Measured] = {}
    files = [RESULTS / "demo.json"]
    for kind in ("offline", "online"):
        files += sorted(RESULTS.glob(f"{kind}-*.json"))
    for file in files:
        result = json.loads(file.read_text())
        runs: dict[str, list[dict[str, Any]]] = {}
        for run in result["runs"]:
            runs.setdefault(run.get("preset", result.get("preset")), []).append(run)
        for name, of_preset in runs.items():
            if name in found:  # another file has it too, and the first one counts
                continue
            found[name] = Measured(
                file.stem,
                tuple(round(last(run["scores"]), 2) for run in of_preset),
                round(statistics.median(run["wall_seconds"] for run in of_preset) / 60, 1),
                result["commit"][:7],
            )
    carried = {name: p.measured for name, p in PRESETS.items() if p.measured is not None}
    assert carried == found
