"""Render tables into our pages from the committed results, so that no figure is typed by hand.

python -m benchmarks.table
"""

from collections.abc import Callable
from pathlib import Path

from benchmarks.record import load

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "tasks.md")


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


def players() -> str:
    """Return what the scripted players earn in every task as a table."""
    record = load("players")
    rows = [
        "| task | random | mixture | optimal | normalised | episodes |",
        "|---|---|---|---|---|---|",
    ]
    for task, scores in record["tasks"].items():
        cells = [
            f"{s['return_mean']:.2f} [{s['ci95'][0]:.2f}, {s['ci95'][1]:.2f}]"
            for s in scores.values()
        ]
        normalised = " / ".join(f"{s['normalised']:.1f}" for s in scores.values())
        counts = [s["episodes"] for s in scores.values()]
        episodes = str(counts[0]) if len(set(counts)) == 1 else " / ".join(map(str, counts))
        rows.append(f"| {task} | {' | '.join(cells)} | {normalised} | {episodes} |")
    rows.append("")
    rows.append(
        "Mean return with its 95 % interval, and the normalised scores of the three; what took too "
        f"long has fewer than {record['asked']} episodes. `{record['command']}`."
    )
    return "\n".join(rows)


TABLES: dict[str, Callable[[], str]] = {"demo": demo, "players": players}


def render(text: str) -> str:
    """Return `text` with every marked table made anew."""
    for name, table in TABLES.items():
        opening = f"<!-- table: {name} -->\n"
        if opening not in text:
            continue
        before, _, rest = text.partition(opening)
        _, closing, after = rest.partition("<!-- end -->")
        text = f"{before}{opening}{table()}\n{closing}{after}"
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(render(page.read_text()))
