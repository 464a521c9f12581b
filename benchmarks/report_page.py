"""The report's page with many episodes: first paint, time of a filter, size of the file.

    python -m benchmarks.report_page --json

makes a run with 10,000 episodes of the fully observed maze, writes its report, opens it from disk
in headless Chromium, and writes `results/report_page.json`. It exits with 1 if a bound is missed.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.pages.browser import browser
from benchmarks.pages.made_run import make_run
from benchmarks.record import save
from lmrl.report.page import write_report

BOUNDS = {"first_paint_ms": 2000.0, "filter_ms": 200.0, "megabytes": 20.0}
"""Largest values."""
REPEATS = 5

TYPE = """async ([selector, text]) => {
  const input = document.querySelector(selector);
  const began = performance.now();
  input.value = text;
  input.dispatchEvent(new Event('input', { bubbles: true }));
  const count = document.querySelector('.count');
  await new Promise((done) => {
    const look = () => requestAnimationFrame(() => setTimeout(done));
    setTimeout(look);
  });
  return [performance.now() - began, count.textContent];
}"""
"""Types into a filter, and waits until the page has painted what it finds."""

FILTERS = {
    "text": ("input[aria-label='Text in the episode']", ("to your left, above", "success", "5, 9")),
    "return": ("input[aria-label='min returned']", ("-20", "-50", "-5")),
}
"""Filters: their inputs, and what is typed."""


def measure(page_file: Path) -> dict[str, Any]:
    """Open a report and return its times in milliseconds and what it asked for.

    Times are medians over the repeats; of the filters, that of the slowest one, and the largest.

    Args:
        page_file: the report.
    """
    paints, loads, requests, messages = [], [], [], []
    filters: dict[str, list[float]] = {}
    with browser() as running:
        for _ in range(REPEATS):
            page = running.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.on("request", lambda request: requests.append(request.url))
            page.on("console", lambda message: messages.append(message.text))
            page.on("pageerror", lambda error: messages.append(str(error)))
            page.goto(page_file.as_uri())
            page.wait_for_selector("#scores")
            paints.append(
                page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            )
            began = time.perf_counter()
            page.click("text=Episodes >> nth=0")
            page.wait_for_selector(".row")
            loads.append(1e3 * (time.perf_counter() - began))
            for selector, texts in FILTERS.values():
                for text in texts:
                    took, _ = page.evaluate(TYPE, [selector, text])
                    filters.setdefault(f"{selector} {text}", []).append(took)
                page.evaluate(TYPE, [selector, ""])
            page.context.close()
    return {
        "first_paint_ms": round(median(paints), 1),
        "open_list_ms": round(median(loads), 1),
        "filter_ms": round(max(map(median, filters.values())), 1),
        "filter_max_ms": round(max(map(max, filters.values())), 1),
        "requests": sorted({url for url in requests if url != page_file.as_uri()}),
        "console": sorted(set(messages)),
    }


def run(episodes: int, folder: Path) -> dict[str, Any]:
    """Return the figures of a report with so many episodes.

    Args:
        episodes: number of episodes.
        folder: folder to work in.
    """
    updates, scored = 40, 500
    each = (episodes - 3 * scored) // updates
    made = make_run(folder / "run", updates=updates, episodes=each, scored=scored, learned=8)
    began = time.perf_counter()
    written = write_report([made], folder / "report.html", episodes, megabytes=18)
    return {
        "episodes": written.shown,
        "stored": written.stored,
        "megabytes": round(written.size / 1e6, 2),
        "write_seconds": round(time.perf_counter() - began, 1),
        **measure(written.path),
        "bounds": BOUNDS,
        "repeats": REPEATS,
    }


def main() -> int:
    """Measure, write the result, and return 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=10_000, help="episodes in the file")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = run(options.episodes, Path(folder))
    path = save(
        "report_page", f"python -m benchmarks.report_page --episodes {options.episodes}", figures
    )
    print(json.dumps(figures, indent=2) if options.json else path)
    good = all(figures[name] <= bound for name, bound in BOUNDS.items())
    return 0 if good and not figures["requests"] and not figures["console"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
