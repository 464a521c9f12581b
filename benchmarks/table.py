"""Render tables into README.md from the committed results, so that no figure is typed by hand.

python -m benchmarks.table
"""

from collections.abc import Callable
from pathlib import Path

from benchmarks.record import load

README = Path(__file__).parent.parent / "README.md"


def demo() -> str:
    """Return the scores of the demo's seeds as a table."""
    record = load("demo")
    rows = [
        "| seed | random | BC | PPO | PPO's 95 % interval | normalised | seconds | parity (nats) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in record["runs"]:
        scores = run["scores"]
        low, high = scores["ppo"]["ci95"]
        rows.append(
            f"| {run['seed']} | {scores['random']['return_mean']:.1f} "
            f"| {scores['bc']['return_mean']:.1f} | {scores['ppo']['return_mean']:.2f} "
            f"| {low:.2f} … {high:.2f} | {scores['ppo']['normalised']:.1f} "
            f"| {run['wall_seconds']:.0f} | {run['parity']['max_abs']:.1e} |"
        )
    episodes = record["runs"][0]["scores"]["ppo"]["episodes"]
    rows.append("")
    rows.append(
        f"Mean return over the same {episodes} episodes for each policy (optimal is -6.84); "
        f"{record['machine']['cores']} cores, {record['machine']['processor']}; "
        f"`{record['command']}`."
    )
    return "\n".join(rows)


TABLES: dict[str, Callable[[], str]] = {"demo": demo}


def render(text: str) -> str:
    """Return `text` with every marked table made anew."""
    for name, table in TABLES.items():
        opening = f"<!-- table: {name} -->\n"
        before, _, rest = text.partition(opening)
        _, closing, after = rest.partition("<!-- end -->")
        text = f"{before}{opening}{table()}\n{closing}{after}"
    return text


if __name__ == "__main__":
    README.write_text(render(README.read_text()))
