"""The figures on our pages are those of the committed results."""

from pathlib import Path

import pytest

from benchmarks.table import PAGES, TABLES, render


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
