"""Shares of right, wrong and evasive replies of the scripted oracles on sets of questions.

    python -m benchmarks.oracles --json
    python -m benchmarks.oracles --questions FILE --misses

The committed sets were written by somebody who had not seen which words the oracles know. The
oracles were then improved with the first set; `held_out` was asked for the first time at the end.

FILE has a JSON object each line: `task`; `hidden`, the name of the object or city, or the buyer's
profile; `question`; `verdicts`, a list of what is allowed:

- twenty-questions: `yes`, `no`, `unknown`, `names it` (the question wins)
- guess-my-city: the same, and phrases of which the answer has to have one
- car-dealer: what the reply does: `sold`, `sold at 28000`, `walks`, `bye`, `brand`, `type`,
  `features`, `wants` (any of the three), `budget` (names an amount), `haggle`, `price` (asks for
  it), `yes`, `no`, `drive`, `see`, `smalltalk`, `unknown`; `before` has earlier utterances
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.oracles.rating import RATINGS, RIGHT, ask, rated
from benchmarks.record import save
from lmrl.errors import UsageError

SETS = ("first", "held_out")
"""The committed question sets."""
QUESTIONS = Path(__file__).parent / "questions"


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a question set.

    Raises:
        UsageError: if a line is not a question of a known task.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path}, line {number} is not JSON: {error}") from None
        missing = {"task", "hidden", "question", "verdicts"} - set(row)
        if missing:
            raise UsageError(f"{path}, line {number} has no {', '.join(sorted(missing))}")
        rows.append(row)
    return rows


def rate_all(rows: Iterable[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], str, str]]:
    """Return every row with the reply to its question and its rating."""
    found = []
    for row in rows:
        step = ask(row)
        found.append((row, step.text.strip(), rated(row, step)))
    return found


def shares(ratings: Iterable[tuple[Mapping[str, Any], str, str]]) -> dict[str, dict[str, Any]]:
    """Return the share of each rating, and the number of questions, per task."""
    counts: dict[str, Counter[str]] = {}
    for row, _, rating in ratings:
        counts.setdefault(row["task"], Counter())[rating] += 1
    return {
        task: {rating: round(count[rating] / count.total(), 4) for rating in RATINGS}
        | {"questions": count.total()}
        for task, count in counts.items()
    }


def main() -> None:
    """Ask the oracles and print the shares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=Path, help="question set to ask instead; not recorded")
    parser.add_argument("--misses", action="store_true", help="list what was not answered right")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args()
    if options.questions is not None:
        found = rate_all(read(options.questions))
        tasks = shares(found)
    else:
        parts = {name: rate_all(read(QUESTIONS / f"{name}.jsonl")) for name in SETS}
        found = [rating for part in parts.values() for rating in part]
        tasks = shares(found)
        for name, part in parts.items():
            for task, of_part in shares(part).items():
                tasks[task][name] = of_part
        save("oracles", "python -m benchmarks.oracles --json", {"tasks": tasks})
    if options.misses:
        for row, reply, rating in found:
            if rating != RIGHT:
                print(f"{rating:<9} {row['task']}  {row['question']}  -> {reply}")
    if options.json:
        print(json.dumps(tasks, indent=2))
        return
    for task, row in tasks.items():
        print(f"{task:<18}" + "  ".join(f"{name} {100 * row[name]:.1f} %" for name in RATINGS))


if __name__ == "__main__":
    main()
