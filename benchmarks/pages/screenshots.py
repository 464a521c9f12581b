"""The pictures of the report in README.md and docs/, taken in headless Chromium.

    python -m benchmarks.pages.screenshots runs/demo

writes the report of the runs, opens it, and writes `docs/images/report-*.png`.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pages.browser import browser
from lmrl.report.page import write_report

IMAGES = Path(__file__).parents[2] / "docs" / "images"
LARGEST = 200_000
"""Largest size of a picture in bytes."""


@dataclass(frozen=True)
class Picture:
    """A picture of a part of the page.

    Attributes:
        name: name of the file without its suffix.
        view: address of the view, after `#/`.
        width: width of the window in pixels.
        height: height of the window in pixels.
        scheme: `light` or `dark`.
        best: whether the list is sorted by return first, and its first episode shown.
    """

    name: str
    view: str
    width: int = 1280
    height: int = 800
    scheme: str = "light"
    best: bool = False


PICTURES = (
    Picture("report-overview", "overview", height=1180),
    Picture("report-episode", "episodes", height=960, best=True),
    Picture("report-dark", "overview", scheme="dark"),
    Picture("report-phone", "episodes", 375, 720, best=True),
)


def take(running: Any, address: str, picture: Picture) -> Path:
    """Take a picture and return its file.

    Args:
        running: browser from `benchmarks.pages.browser.browser`.
        address: address of the report.
        picture: what to take.

    Raises:
        RuntimeError: if the picture is larger than `LARGEST`.
    """
    size = {"width": picture.width, "height": picture.height}
    page = running.new_context(viewport=size, color_scheme=picture.scheme).new_page()
    page.goto(f"{address}#/{picture.view}")
    page.wait_for_selector("#learning svg, .row", state="attached")
    if picture.best:
        _show_one(page)
    page.wait_for_timeout(500)
    path = IMAGES / f"{picture.name}.png"
    page.screenshot(path=path)
    page.context.close()
    if path.stat().st_size > LARGEST:
        raise RuntimeError(f"{path} has {path.stat().st_size} bytes; make the window smaller")
    return path


def _show_one(page: Any) -> None:
    """Show a successful training episode with the learner's figures, and a token of it."""
    page.evaluate("document.querySelector('.more').open = true")
    page.get_by_label("Kind", exact=True).select_option(label="training")
    page.get_by_label("Outcome", exact=True).select_option(label="success")
    figures = page.get_by_label("Learner's figures", exact=True)
    if figures.count():
        figures.select_option(label="with")
    page.get_by_label("max length").fill("14")
    page.get_by_label("Order", exact=True).select_option(label="longest")
    page.wait_for_timeout(300)
    page.click(".row >> nth=0")
    page.wait_for_selector(".token")
    names = page.get_by_label("Colour tokens by").locator("option").all_inner_texts()
    if "advantage" in names:
        page.get_by_label("Colour tokens by").select_option(label="advantage")
    page.click(".token >> nth=4")
    page.locator(".board input[type=range]").fill("99")
    page.evaluate("document.querySelector('.transcript').scrollTop = 0; scrollTo(0, 0)")
    if page.viewport_size["width"] < 760:
        page.click(".close")


def main() -> None:
    """Take every picture and print its file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="run directories")
    options = parser.parse_args()
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, browser() as running:
        address = write_report(options.runs, Path(folder) / "report.html").path.as_uri()
        for picture in PICTURES:
            print(take(running, address, picture))


if __name__ == "__main__":
    main()
