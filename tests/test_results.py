"""The README's figures are those of the committed results."""

from benchmarks.table import README, TABLES, render


def test_the_readme_shows_the_committed_results() -> None:
    text = README.read_text()
    assert all(f"<!-- table: {name} -->" in text for name in TABLES)
    assert render(text) == text, "run 'python -m benchmarks.table'"
