"""A headless Chromium, for measurements and pictures of pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
"""Names under which the browser is looked for on PATH."""


def chromium() -> str | None:
    """Return the path of the browser; None if there is none."""
    return next((path for name in NAMES if (path := shutil.which(name)) is not None), None)


@contextmanager
def browser() -> Iterator[Any]:
    """Yield a running browser, of Playwright's class `Browser`.

    Raises:
        RuntimeError: if there is no Chromium on PATH.
    """
    from playwright.sync_api import sync_playwright

    path = chromium()
    if path is None:
        raise RuntimeError("no Chromium is on PATH; Debian has it as 'apt-get install chromium'")
    with sync_playwright() as driver:
        # Root, as in a container, cannot use the sandbox.
        running = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield running
        finally:
            running.close()
