"""Render tables into our pages from the committed results, so that no figure is typed by hand.

python -m benchmarks.table
"""

from collections.abc import Callable
from pathlib import Path

from benchmarks.record import load
from lmrl.data.published import PUBLISHED, SOURCE

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "tasks.md", ROOT / "docs" / "algorithms.md")


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


def data() -> str:
    """Return what the data players' episodes are like, beside the published data sets."""
    record = load("players")
    rows = [
        "| task | return | turns | success | published return | turns | success |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, scores in record["tasks"].items():
        ours, theirs = scores["mixture"], PUBLISHED[task]
        rows.append(
            f"| {task} | {ours['return_mean']:.2f} ± {ours['return_std']:.2f} "
            f"| {ours['length_mean']:.1f} | {ours['success']:.2f} "
            f"| {theirs.return_mean:g} ± {theirs.return_std:g} "
            f"| {theirs.length_mean:g} | {theirs.success:g} |"
        )
    rows.append("")
    rows.append(
        "The player `mixture`, which makes the data sets, on the episodes of the table above, with "
        f"the standard deviation of returns; published: {SOURCE}."
    )
    return "\n".join(rows)


def offline() -> str:
    """Return what offline learning reached in each seed as a table."""
    record = load("offline-maze-fo")
    rows = [
        "| seed | preset | return | 95 % interval | normalised | best on the way | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in record["runs"]:
        last = [n for n in run["scores"] if n not in ("random", "bc") and not n.endswith("_best")]
        score = run["scores"][last[0]]
        best = run["scores"].get(f"{last[0]}_best")
        low, high = score["ci95"]
        shown = f"{best['return_mean']:.2f}" if best else "the last"
        rows.append(
            f"| {run['seed']} | {run['preset']} | {score['return_mean']:.2f} "
            f"| {low:.2f} … {high:.2f} | {score['normalised']:.1f} | {shown} "
            f"| {run['wall_seconds']:.0f} |"
        )
    episodes = record["runs"][0]["episodes"]
    rows.append("")
    rows.append(
        f"Mean return over the same {episodes} episodes; within a seed all start from the same "
        "data and cloned policy, which the first run's seconds include; the best checkpoint was "
        f"chosen on other episodes. {record['machine']['cores']} cores, with other work beside; "
        f"`{record['command']}`."
    )
    return "\n".join(rows)


TABLES: dict[str, Callable[[], str]] = {
    "demo": demo,
    "players": players,
    "data": data,
    "offline": offline,
}


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
