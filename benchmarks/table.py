"""Write the tables of README.md and docs/ from the committed results; none is typed by hand.

python -m benchmarks.table
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, filled, load
from lmrl.data.published import PUBLISHED, SOURCE

ROOT = Path(__file__).parent.parent
ONLINE = ("maze-fo",)
CHAT = ("chat-maze-fo-gpu",)
OFFLINE = ("maze-fo", "maze-po", "wordle", "twenty-questions")
PAGES = (
    ROOT / "README.md",
    ROOT / "docs" / "tasks.md",
    ROOT / "docs" / "algorithms.md",
    ROOT / "docs" / "report.md",
)


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


def report() -> str:
    """Return size and speed of the report's page as a table."""
    record = load("report_page")
    rows = [
        "| episodes | file | first paint | list opened | slowest filter |",
        "|---|---|---|---|---|",
        f"| {record['episodes']:,} | {record['megabytes']:.1f} MB "
        f"| {record['first_paint_ms']:.0f} ms | {record['open_list_ms']:.0f} ms "
        f"| {record['filter_ms']:.0f} ms |",
        "",
        f"Medians of {record['repeats']} visits in headless Chromium, with other work on "
        f"{record['machine']['cores']} cores; `{record['command']}`.",
    ]
    return "\n".join(rows)


def players() -> str:
    """Return the scores of the scripted players in every task as a table."""
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
    """Return statistics of the data players' episodes and of the published data sets as a table."""
    record = load("players")
    rows = [
        "| task | return | turns | success | published return | turns | success |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, scores in record["tasks"].items():
        ours, theirs = record["data"].get(task, scores["mixture"]), PUBLISHED[task]
        rows.append(
            f"| {task} | {ours['return_mean']:.2f} ± {ours['return_std']:.2f} "
            f"| {ours['length_mean']:.1f} | {ours['success']:.2f} "
            f"| {theirs.return_mean:g} ± {theirs.return_std:g} "
            f"| {theirs.length_mean:g} | {theirs.success:g} |"
        )
    rows.append("")
    rows.append(
        "The player `mixture`, which makes the data sets, on the episodes of the table above "
        f"({', '.join(record['data'])}: on episodes of its data), with the standard deviation of "
        f"returns; published: {SOURCE}."
    )
    return "\n".join(rows)


def probes() -> str:
    """Return what the data of each task test, by cheap measures, as a table."""
    record = load("probes")
    rows = [
        "| task | rewarded actions | data | best tenth | optimal |",
        "|---|---|---|---|---|",
    ]
    for task, found in record["tasks"].items():
        data = [f"{found[name]:.1f}" if name in found else "-" for name in ("mean", "best_tenth")]
        rows.append(
            f"| {task} | {100 * found['rewarded']:.1f} % | {' | '.join(data)} "
            f"| {found['optimal']:.1f} |"
        )
    rows += ["", "| tabular policy | " + " | ".join(_mazes(record)) + " |", "|---|---|---|---|---|"]
    for policy in next(iter(_mazes(record).values())):
        cells = [f"{of_data[policy]:.1f}" for of_data in _mazes(record).values()]
        rows.append(f"| {policy} | {' | '.join(cells)} |")
    rows.append("")
    rows.append(f"Normalised scores; `{record['command']}`.")
    return "\n".join(rows)


def _mazes(record: Any) -> dict[str, Any]:
    """Return the scores of tabular policies by task and player of the data."""
    return {
        f"{task}, `{player}`": found[key]
        for task, found in record["tasks"].items()
        for player, key in (
            ("mixture", "policies"),
            ("mixture-whole", "policies of mixture-whole"),
        )
        if key in found
    }


def oracles() -> str:
    """Return how the oracles answer the committed question sets as a table."""
    record = load("oracles")
    rows = [
        "| task | questions | right | wrong | off topic | don't know |",
        "|---|---|---|---|---|---|",
    ]
    for task, found in record["tasks"].items():
        for name, part in ((task, found["first"]), (f"{task}, held out", found["held_out"])):
            shares = [f"{100 * part[k]:.1f} %" for k in ("right", "wrong", "off_topic", "unknown")]
            rows.append(f"| {name} | {part['questions']} | {' | '.join(shares)} |")
    return "\n".join([*rows, "", f"`{record['command']}`."])


def exploits() -> str:
    """Return the best script against each dialogue task, and the `mixture` player, as a table."""
    record = load("exploits")
    rows = ["| task | scripts | best script | its score | mixture |", "|---|---|---|---|---|"]
    for task, found in record["tasks"].items():
        rows.append(
            f"| {task} | {len(found['scripts'])} | {found['exploit']} | {found['best']:.1f} "
            f"| {found['mixture']:.1f} |"
        )
    return "\n".join([*rows, "", f"Normalised scores; `{record['command']}`."])


def _cells(scores: Sequence[Any]) -> str:
    """Return the cells of a row: mean return with its interval for each seed, and normalised."""
    cells = [f"{s['return_mean']:.2f} ({s['ci95'][0]:.2f} … {s['ci95'][1]:.2f})" for s in scores]
    normalised = " / ".join(f"{s['normalised']:.1f}" for s in scores)
    return f"{' | '.join(cells)} | {normalised}"


def offline(task: str) -> str:
    """Return the scores of offline learning for each seed as a table, one row per algorithm."""
    record = load(f"offline-{task}")
    runs = record["runs"]
    seeds = sorted({run["seed"] for run in runs})
    rows = [
        f"| policy | {' | '.join(f'seed {seed}' for seed in seeds)} | normalised | best on the way "
        "| seconds |",
        "|---" * (len(seeds) + 4) + "|",
    ]

    def row(name: str, scores: Sequence[Any], best: Sequence[Any] = (), seconds: str = "") -> None:
        highest = " / ".join(f"{s['return_mean']:.2f}" for s in best)
        rows.append(f"| {name} | {_cells(scores)} | {highest} | {seconds} |")

    firsts = [next(run for run in runs if run["seed"] == seed) for seed in seeds]
    row("random player", [run["scores"]["random"] for run in firsts])
    row("`bc`, what all start from", [run["scores"]["bc"] for run in firsts])
    for temperature in sorted({s["temperature"] for s in record.get("start_at", [])}):
        same = [s for s in record["start_at"] if s["temperature"] == temperature]
        row(f"`bc` at temperature {temperature:g}", same)
    for preset in dict.fromkeys(run["preset"] for run in runs):
        mine = [run for run in runs if run["preset"] == preset]
        last = [next(n for n in run["scores"] if _trained(n)) for run in mine]
        both = [(run["scores"], name) for run, name in zip(mine, last, strict=True)]
        row(
            f"`{preset}`",
            [scores[name] for scores, name in both],
            [scores.get(f"{name}_best", scores[name]) for scores, name in both],
            " / ".join(f"{run['wall_seconds']:.0f}" for run in mine),
        )
    rows.append("")
    rows.append(
        f"Mean return over the same {runs[0]['episodes']} episodes with its 95 % interval, of the "
        "last checkpoint; the best one was chosen on other episodes. Within a seed all start from "
        "the same data and cloned policy, which the first preset's seconds include. "
        f"{record['machine']['cores']} cores, with other work beside; `{record['command']}`."
    )
    return "\n".join(rows)


def online(task: str) -> str:
    """Return the scores of online learning for each seed as a table, one row per algorithm."""
    record = load(f"online-{task}")
    runs = record["runs"]
    seeds = sorted({run["seed"] for run in runs})
    rows = [
        f"| policy | {' | '.join(f'seed {seed}' for seed in seeds)} | normalised | turns (1000) "
        "| seconds |",
        "|---" * (len(seeds) + 4) + "|",
    ]

    def row(name: str, scores: Sequence[Any], turns: str = "", seconds: str = "") -> None:
        rows.append(f"| {name} | {_cells(scores)} | {turns} | {seconds} |")

    firsts = [next(run for run in runs if run["seed"] == seed) for seed in seeds]
    row("random player", [run["scores"]["random"] for run in firsts])
    row("`bc`, what all start from", [run["scores"]["bc"] for run in firsts])
    for preset in dict.fromkeys(run["preset"] for run in runs):
        mine = [run for run in runs if run["preset"] == preset]
        row(
            f"`{preset}`",
            [run["scores"][next(n for n in run["scores"] if _trained(n))] for run in mine],
            " / ".join(f"{run['rounds'][-1]['turns'] / 1000:.0f}" for run in mine),
            " / ".join(f"{run['wall_seconds']:.0f}" for run in mine),
        )
    rows.append("")
    rows.append(
        f"Mean return over the same {runs[0]['episodes']} episodes with its 95 % interval, of the "
        "last checkpoint, and the number of turns that were played for it. Within a seed all start "
        "from the same cloned policy, which the first preset's seconds include. "
        f"{record['machine']['cores']} cores, with other work beside; `{record['command']}`."
    )
    return "\n".join(rows)


def chat(name: str) -> str:
    """Return the scores of an instruct model's stages for each seed as a table."""
    record = load(name)
    rows = [
        "| stage | seed | return | normalised | seconds | of these: start, sample, learn, evaluate "
        "| memory: learner, sampler (GB) | tokens/s: learner, sampler |",
        "|---" * 8 + "|",
    ]
    for run in sorted(record["runs"], key=lambda run: (run["stage"] != "bc", run["seed"])):
        scores, seconds, memory = run["scores"], run["seconds"], run["peak_memory_gb"]
        if "start" in scores:
            rows.append(f"| zero-shot | | {_score(scores['start'])} |" + " |" * 4)
        spent = ", ".join(
            f"{seconds[key]:.0f}" for key in ("launch", "sample", "learn", "evaluate")
        )
        on_gpu = run.get("peak_gpu_memory_gb")
        rows.append(
            f"| {run['stage']} | {run['seed']} | {_score(scores[run['stage']])} "
            f"| {run['wall_seconds']:.0f} | {spent} | {memory['learner']:.1f}"
            f"{f' and {on_gpu:.0f} on the GPU' if on_gpu else ''}, {memory['sampler']:.1f} "
            f"| {run['learner_tokens_per_s']:,.0f}, {run['sampler_tokens_per_s'] or 0:,.0f} |"
        )
    machine = record["machine"]
    episodes = record["runs"][0]["scores"]["bc"]["episodes"]
    short = record["command"].partition(" --shared")[0]
    rows.append("")
    rows.append(
        f"{record['model']} on {record['task']}: mean return over {episodes} episodes with its "
        f"95 % interval; {', '.join(machine.get('gpus', ()) or [machine['processor']])}, "
        f"{machine['cores']} cores, {_jobs(record)}with other work beside; `{short}`, whose fields "
        f"are in `benchmarks/results/{name}.json`."
    )
    return "\n".join(rows)


def _score(score: dict[str, Any]) -> str:
    low, high = score["ci95"]
    return f"{score['return_mean']:.1f} ({low:.1f} … {high:.1f}) | {score['normalised']:.1f}"


def _jobs(record: dict[str, Any]) -> str:
    seeds = len({run["seed"] for run in record["runs"]})
    return f"{seeds} seeds at one time, " if f"--jobs {seeds}" in record["command"] else ""


def _trained(name: str) -> bool:
    return name not in ("random", "bc") and not name.endswith("_best")


TABLES: dict[str, Callable[[], str]] = {
    "demo": demo,
    "players": players,
    "probes": probes,
    "oracles": oracles,
    "exploits": exploits,
    "report": report,
    "data": data,
    **{f"offline-{task}": partial(offline, task) for task in OFFLINE},
    **{name: partial(chat, name) for name in CHAT},
    **{
        f"online-{task}": partial(online, task)
        for task in ONLINE
        if (RESULTS / f"online-{task}.json").exists()
    },
}


def render(text: str) -> str:
    """Return `text` with new versions of all marked tables."""
    return filled(text, "table", TABLES)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(render(page.read_text()))
