"""What a report reads of a run directory, sound or damaged."""

import json
import math
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.pages.made_run import QUANTITIES, make_run
from lmrl.data.store import load, write_table
from lmrl.errors import DataError, UsageError
from lmrl.report import reading
from lmrl.report.environments import Environments
from lmrl.report.episodes.figures import episode_files, figures
from lmrl.report.episodes.learner import LearnerFile, fitted, rounded
from lmrl.report.episodes.transcripts import SAMPLER, TokenTexts, transcript
from lmrl.report.live import Live
from lmrl.report.overview.charts import POINTS, charts
from lmrl.report.overview.content import overview
from lmrl.report.overview.groups import configurations, flat, grouped
from lmrl.report.overview.runs import find_runs, names_of, read_run
from lmrl.report.overview.scores import score_blocks
from lmrl.report.page import write_report
from lmrl.report.reading import Problems, clean, read_lines, read_object
from lmrl.runs.names import episodes_file, learner_file
from lmrl.schema import to_table
from lmrl.scoring.intervals import mean_interval
from lmrl.scoring.published import COLUMNS, PUBLISHED_SCORES
from lmrl.scoring.score import normalised
from lmrl.tasks import known, make

ENVIRONMENTS = Environments()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run")


# -- JSON -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("plain", "plain"),
        ("\ud800x\udfff", "\ufffdx\ufffd"),
        ("\U0001f600", "\U0001f600"),
        (2**53, 2**53),
        (2**53 + 1, str(2**53 + 1)),
        (math.nan, None),
        (-math.inf, None),
        (True, True),
        ({"\ud800": [1, {"a": math.inf}]}, {"\ufffd": [1, {"a": None}]}),
    ],
)
def test_values_are_made_fit_for_a_browser(value: Any, kept: Any) -> None:
    assert clean(value) == kept
    json.dumps(clean(value), allow_nan=False).encode("utf-8")


def test_long_and_deep_values_are_cut() -> None:
    text = clean("a" * (reading.MAX_TEXT + 5))
    assert text.endswith("… (5 more characters)") and len(text) < reading.MAX_TEXT + 50
    assert len(clean(list(range(10**5)))) == reading.MAX_ITEMS
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    assert "…" in json.dumps(clean(deep), ensure_ascii=False)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"[1]", "does not hold a JSON object"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"1" * 5000 + b"}", "cannot be read"),
    ],
)
def test_a_damaged_object_is_a_problem(tmp_path: Path, content: bytes, sentence: str) -> None:
    problems = Problems()
    (tmp_path / "config.json").write_bytes(content)
    assert read_object(tmp_path / "config.json", problems) == {}
    assert sentence in problems.sentences[0] and len(problems.sentences) == 1


def test_what_is_not_a_file_is_not_opened(tmp_path: Path) -> None:
    problems = Problems()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("pipe", "loop", "missing", "."):
        assert read_object(tmp_path / name, problems) == {}
        assert read_lines(tmp_path / name, problems) == []
    assert not problems.sentences


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_OBJECT", 10)
    problems = Problems()
    (tmp_path / "config.json").write_text('{"task": "maze-fo"}')
    assert read_object(tmp_path / "config.json", problems) == {}
    assert "too large" in problems.sentences[0]


def test_damaged_lines_are_counted_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_LINE", 64)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(
        b'{"a": 1}\n\nnot json\n[1]\n{"b": "' + b"x" * 500 + b'"}\n\x00\xff\n{"c": 2}\n{"torn": '
    )
    problems = Problems()
    assert read_lines(path, problems) == [{"a": 1}, {"c": 2}]
    assert problems.sentences == [
        "metrics.jsonl has 4 lines that cannot be read; they were left out"
    ]
    monkeypatch.setattr(reading, "MAX_LINES", 1)
    assert read_lines(path, problems) == [{"a": 1}] and "more than 1 lines" in problems.sentences[1]


# -- runs -----------------------------------------------------------------------------------------


def test_a_sound_run_has_no_problems(run: Path) -> None:
    found = read_run(run)
    assert (found.task, found.algorithm, found.seed, found.phase) == (
        "maze-fo",
        "ppo",
        0,
        "finished",
    )
    assert found.problems == () and set(found.finals) == {"random", "bc", "ppo"}
    updates, values = found.metrics["rollout/return_mean"]
    assert updates.tolist() == [1, 2, 3, 4] and np.isfinite(values).all()
    assert found.ledger()["started"] == 62


def test_runs_are_found_in_folders_and_not_inside_runs(tmp_path: Path) -> None:
    for name in ("a/x", "a/y/start", "b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "a/y/config.json").write_text("{}")
    found = find_runs([tmp_path, tmp_path / "b"])
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a/x", "a/y", "b"]
    assert names_of([tmp_path / "a/x", tmp_path / "c/x", tmp_path / "b"]) == ["a/x", "c/x", "b"]
    (tmp_path / "empty").mkdir()
    for path, sentence in (("empty", "has none in it"), ("missing", "is not a folder")):
        with pytest.raises(UsageError, match=sentence):
            find_runs([tmp_path / path])


def test_runs_that_differ_in_seeds_are_one_group(tmp_path: Path) -> None:
    runs = []
    for name, seed, rate in (("a", 0, 0.1), ("b", 1, 0.1), ("c", 0, 0.2)):
        folder = tmp_path / name
        folder.mkdir()
        config = {"task": "maze-fo", "algorithm": {"name": "ppo"}, "seed": seed, "lr": rate}
        (folder / "config.json").write_text(json.dumps(config))
        runs.append(read_run(folder))
    (tmp_path / "d").mkdir()
    runs += [read_run(tmp_path / "d"), read_run(tmp_path / "d", "e")]
    groups = grouped(runs)
    assert [group.runs for group in groups] == [(0, 1), (2,), (3,), (4,)]
    assert [group.name for group in groups] == [
        "maze-fo, ppo, lr 0.1",
        "maze-fo, ppo, lr 0.2",
        "unknown, unknown, d",
        "unknown, unknown, e",
    ]
    rows = {row["name"]: row for row in configurations(runs[:3])}
    assert rows["lr"] == {"name": "lr", "values": ["0.1", "0.1", "0.2"], "differs": True}
    assert not rows["task"]["differs"]
    assert flat({"a": {"b": 1, "c": {}}}) == {"a.b": 1, "a.c": {}}


# -- curves and scores ----------------------------------------------------------------------------


def test_curves_have_the_mean_over_seeds_and_its_interval(tmp_path: Path) -> None:
    values = [[1.0, 4.0], [2.0, 6.0], [6.0, 5.0]]
    runs = []
    for seed, series in enumerate(values):
        folder = tmp_path / str(seed)
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"task": "t", "seed": seed}))
        lines = [{"update": u + 1, "rollout/return_mean": v} for u, v in enumerate(series)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        runs.append(read_run(folder))
    (chart,) = charts(runs, grouped(runs))
    mean = next(line for line in chart["lines"] if line["run"] is None)
    assert (mean["x"], mean["y"]) == ([1.0, 2.0], [3.0, 5.0])
    low, high = mean_interval([1.0, 2.0, 6.0]) or (0, 0)
    assert (mean["low"][0], mean["high"][0]) == pytest.approx((low, high), rel=1e-5)
    assert [line["y"] for line in chart["lines"] if line["run"] is not None] == values
    (two,) = charts(runs[:2], grouped(runs[:2]))
    assert all("low" not in line for line in two["lines"]), "two seeds give no interval"


def test_long_curves_are_reduced_and_keep_their_worst_parity(tmp_path: Path) -> None:
    lines = [{"update": i, "rollout/return_mean": 1.0, "push/max_abs": 1e-6} for i in range(3000)]
    lines[1234]["push/max_abs"] = 0.5
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    runs = [read_run(tmp_path)]
    found = {chart["id"]: chart["lines"][0] for chart in charts(runs, grouped(runs))}
    assert (
        len(found["rollout/return_mean"]["y"]) <= POINTS and max(found["push/max_abs"]["y"]) == 0.5
    )


def test_score_bars_stand_beside_the_published_ones(run: Path) -> None:
    runs = [read_run(run)]
    (block,) = score_blocks(runs, grouped(runs), ENVIRONMENTS)
    bars = {row["label"]: row for row in block["rows"]}
    assert set(bars) == {"random", "bc", "ppo"} and bars["ppo"]["learned"]
    assert bars["ppo"]["low"] < bars["ppo"]["mean"] < bars["ppo"]["high"]
    limits = make("maze-fo").score_range
    assert bars["bc"]["normalised"] == pytest.approx(normalised(bars["bc"]["mean"], limits))
    assert {row["label"]: row["mean"] for row in block["published"]}["ILQL"] == -6.97
    assert "table 4" in block["note"]


def test_a_task_with_options_has_no_published_scores(tmp_path: Path) -> None:
    made = make_run(tmp_path / "run", updates=1, episodes=1, scored=2, layout="umaze")
    runs = [read_run(made)]
    (block,) = score_blocks(runs, grouped(runs), ENVIRONMENTS)
    assert block["published"] == [] and "not shown" in block["note"]


def test_bars_of_several_seeds_are_over_runs_and_episodes(tmp_path: Path) -> None:
    runs = [
        read_run(make_run(tmp_path / f"{seed}", seed=seed, updates=1, episodes=1, scored=5))
        for seed in range(3)
    ]
    (block,) = score_blocks(runs, grouped(runs), ENVIRONMENTS)
    bar = next(row for row in block["rows"] if row["label"] == "ppo")
    assert bar["over"] == "runs and episodes" and len(bar["runs"]) == 3 and bar["episodes"] == 15
    assert bar["mean"] == pytest.approx(np.mean([row["mean"] for row in bar["runs"]]))


def test_published_scores_are_complete_and_consistent() -> None:
    assert set(PUBLISHED_SCORES) == set(known())
    assert all(list(row) == list(COLUMNS) for row in PUBLISHED_SCORES.values())
    # Cells in which the paper's two tables agree.
    for task, algorithm in (("wordle", "ilql"), ("chess", "ppo"), ("maze-fo", "ppo")):
        cell = PUBLISHED_SCORES[task][algorithm]
        assert cell.returned is not None
        limits = make(task).score_range
        assert normalised(cell.returned, limits) == pytest.approx(cell.normalised, abs=0.3)


# -- episodes -------------------------------------------------------------------------------------


def test_figures_are_those_of_the_episodes(run: Path) -> None:
    files = episode_files(read_run(run), 0)
    assert [file.kind for file in files] == ["evaluation"] * 3 + ["training"] * 4
    for file in files:
        found = figures(file, Problems())
        stored = list(load(file.path))
        assert found is not None
        assert found.returned.tolist() == [e.total_reward for e in stored]
        assert found.length.tolist() == [len(e.turns) for e in stored]
        assert found.version.tolist() == [e.oldest_version for e in stored]
        assert found.outcome.tolist() == [int(e.info["success"]) for e in stored]
        assert found.terminated.tolist() == [e.ending == "terminated" for e in stored]
        assert found.player == [e.player for e in stored]


def damaged(path: Path, how: str) -> None:
    content = path.read_bytes()
    rng = random.Random(how)
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "text":
        path.write_text("</script>")
    elif how == "other schema":
        pq.write_table(pa.table({"task": ["maze-fo"]}), path)
    elif how == "folder":
        path.unlink()
        path.mkdir()
    else:
        spoiled = bytearray(content)
        for _ in range(40):
            spoiled[rng.randrange(4, len(spoiled) - 4)] = rng.randrange(256)
        path.write_bytes(bytes(spoiled))


@pytest.mark.parametrize(
    "how", ["empty", "cut", "text", "other schema", "folder", *(f"spoiled {i}" for i in range(12))]
)
def test_a_damaged_file_of_episodes_is_left_out(run: Path, tmp_path: Path, how: str) -> None:
    table = to_table(list(load(run / "trajectories" / "training"))[:6])
    path = episodes_file(tmp_path, "training", "update-00001-0")
    write_table(table, path)
    damaged(path, how)
    problems = Problems()
    (file,) = episode_files(read_run(tmp_path), 0)
    found = figures(file, problems)
    assert found is None or len(found.row) <= 6
    assert problems.sentences or how.startswith("spoiled")


def test_an_episode_without_a_finite_return_is_left_out(run: Path, tmp_path: Path) -> None:
    first, second, *_ = load(run / "trajectories" / "evaluation")
    broken = replace(first, turns=(replace(first.turns[0], reward=math.nan), *first.turns[1:]))
    write_table(to_table([broken, second]), episodes_file(tmp_path, "training", "update-00001-0"))
    (file,) = episode_files(read_run(tmp_path), 0)
    problems = Problems()
    found = figures(file, problems)
    assert found is not None and found.row.tolist() == [1]
    assert "1 episodes with a return that is not a finite number" in problems.sentences[0]


def test_a_transcript_has_texts_tokens_and_what_the_learner_knew(run: Path) -> None:
    data = read_run(run)
    file = next(f for f in episode_files(data, 0) if f.kind == "training")
    episode = next(iter(load(file.path)))
    learned = LearnerFile(data, file, Problems())
    assert learned.rows == {0, 1}
    shown = transcript(episode, TokenTexts([data]), ENVIRONMENTS, learned.of(0))
    assert shown["texts"][:2] == [episode.turns[0].observation, episode.turns[0].action]
    assert len(shown["texts"]) == 2 * len(episode.turns) + 1
    assert "".join(shown["tokens"]) == "".join(turn.action for turn in episode.turns)
    assert sum(shown["counts"]) == len(shown["tokens"]) == episode.action_tokens
    assert shown["versions"] == 1 and set(shown["quantities"]) == {SAMPLER, *QUANTITIES}
    sampled = np.concatenate([turn.logprobs for turn in episode.turns])
    assert shown["quantities"][SAMPLER] == pytest.approx(sampled, abs=1e-4)
    stored = pq.read_table(learner_file(run, "training", "update-00001-0"))["value"][0].as_py()
    assert shown["quantities"]["value"][: len(stored)] == pytest.approx(stored, rel=1e-3, abs=1e-4)
    assert len(shown["drawing"]["frames"]) == len(episode.turns) + 1


def test_quantities_of_another_length_are_left_out(run: Path) -> None:
    episode = next(e for e in load(run / "trajectories/evaluation") if e.ending == "truncated")
    every, seen = episode.action_tokens, episode.executed().action_tokens
    assert seen < every
    found = fitted({"a": [1.0] * seen, "b": [2.0] * every, "c": [3.0]}, episode)
    assert set(found) == {"a", "b"} and len(found["a"]) == every and math.isnan(found["a"][-1])


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"nothing": [1]}),
        pa.table({"row": [None, 1.5], "value": [[1.0], None]}),
        pa.table({"row": [[0]], "value": [[1.0]]}),
        pa.table({"row": [0], "value": [["text"]], "q": [[None, 1.0]]}),
        pa.table({"row": [-5], "entropy": [[]]}),
    ],
)
def test_strange_learner_files_are_read_or_a_problem(
    run: Path, tmp_path: Path, table: pa.Table
) -> None:
    path = learner_file(tmp_path, "training", "update-00001-0")
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)
    problems = Problems()
    file = episode_files(read_run(run), 0)[3]
    learned = LearnerFile(read_run(tmp_path), file, problems)
    assert isinstance(learned.rows, set)
    assert isinstance(learned.of(0), dict)
    path.write_text("not Parquet")
    LearnerFile(read_run(tmp_path), file, problems)
    assert "cannot be read" in problems.sentences[-1]
    path.unlink()
    assert LearnerFile(read_run(tmp_path), file, problems).of(0) == {}


def test_numbers_are_rounded_to_what_a_reader_needs() -> None:
    assert rounded([1.23456789, -0.00001234567, 0.0, math.nan, math.inf, -3.0]) == [
        1.2346,
        -1.235e-05,
        0.0,
        None,
        None,
        -3.0,
    ]


def test_a_task_that_a_run_names_as_a_class_is_not_imported(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    episode = replace(next(iter(load(run / "trajectories/evaluation"))), task="trap:Env")
    assert ENVIRONMENTS.draw(episode) is None
    assert ENVIRONMENTS.limits("trap:Env", {}) is None
    assert not (tmp_path / "sprung").exists()
    Environments(load=True).limits("trap:Env", {})
    assert (tmp_path / "sprung").exists()


# -- whole directories ----------------------------------------------------------------------------

HOSTILE: list[Any] = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\x00\x1b[2J\u202e\u2028",
    "\ud800",
    "a" * 10_000,
    math.nan,
    -math.inf,
    10**400,
    -1,
    None,
    [],
    {},
    {"</script>": ["<b>", {"x": "\udfff"}]},
    [[[]]],
    True,
]


def spoilt(value: Any, rng: random.Random) -> Any:
    """Return a JSON value in which some parts are hostile."""
    if rng.random() < 0.12:
        return rng.choice(HOSTILE)
    if isinstance(value, dict):
        return {
            (rng.choice(["</script>", "\ud800", key]) if rng.random() < 0.05 else key): spoilt(
                v, rng
            )
            for key, v in value.items()
        }
    if isinstance(value, list):
        return [spoilt(v, rng) for v in value]
    return value


@pytest.mark.parametrize("number", range(40))
def test_hostile_values_in_every_field_are_shown_or_left_out(
    run: Path, tmp_path: Path, number: int
) -> None:
    rng = random.Random(number)
    for path in run.glob("*.json*"):
        lines = (
            [json.loads(line) for line in path.read_text().splitlines()]
            if path.suffix == ".jsonl"
            else [json.loads(path.read_text())]
        )
        text = "".join(json.dumps(spoilt(line, rng)) + "\n" for line in lines)
        (tmp_path / path.name).write_text(text)
    runs = [read_run(tmp_path), read_run(run)]
    json.dumps(overview(runs, ENVIRONMENTS), allow_nan=False, ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize("number", range(12))
def test_a_directory_of_spoiled_files_is_reported_and_served(
    run: Path, tmp_path: Path, number: int
) -> None:
    rng = random.Random(number)
    folder = tmp_path / "run"
    shutil.copytree(run, folder, symlinks=True)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if rng.random() < 0.4 and path.name not in (".lmrl-run", "config.json"):
            damaged(path, rng.choice(["empty", "cut", "text", "folder", f"spoiled {number}"]))
    written = write_report([folder], tmp_path / "report.html")
    assert written.size > 10_000 and written.shown <= written.stored <= 62
    live = Live([folder])
    keys = list(live.folders())
    json.dumps([live.every(), live.overview(keys).content], allow_nan=False)
    index = live.index(keys)
    live.search(keys, "wall")
    for place in range(0, len(index["columns"].get("row", [])), 7):
        own = {name: column[place] for name, column in index["columns"].items()}
        kind, file = index["kinds"][own["kind"]], index["files"][own["file"]]
        try:
            live.episode(keys, own["run"], kind, file, own["row"])
        except DataError:
            continue


def test_a_run_whose_files_are_missing_is_shown(tmp_path: Path) -> None:
    (tmp_path / ".lmrl-run").write_text("")
    found = overview([read_run(tmp_path)], ENVIRONMENTS)
    assert (
        found["runs"][0]["task"] == "unknown" and "config.json is missing" in found["problems"][0]
    )


def test_reading_loads_neither_torch_nor_ray(run: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from lmrl.report.page import write_report\n"
        "write_report([Path(sys.argv[1])], Path(sys.argv[2]))\n"
        "heavy = {'torch', 'ray', 'vllm', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code, run, run.parent / "light.html"], check=True)


# -- live -----------------------------------------------------------------------------------------


def test_a_live_run_is_read_again_when_it_changes(tmp_path: Path) -> None:
    live = Live([tmp_path])
    assert live.every()["runs"] == []
    made = make_run(tmp_path / "run", updates=2, episodes=2, scored=2)
    (key,) = live.folders()
    first = live.overview([key])
    assert live.tag([key]) == first.tag
    with (made / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"update": 3, "rollout/return_mean": -1.0}) + "\n")
    second = live.overview([key])
    assert second.tag != first.tag
    chart = next(c for c in second.content["charts"] if c["id"] == "rollout/return_mean")
    assert chart["lines"][0]["x"] == [1, 2, 3]


def test_live_episodes_are_found_and_searched_by_page(run: Path) -> None:
    live = Live([run])
    keys = list(live.folders())
    index = live.index(keys)
    columns = index["columns"]
    assert len(columns["row"]) == 62 and sum(columns["learned"]) == 8
    place = len(columns["row"]) - 1
    found = live.episode(
        keys,
        columns["run"][place],
        index["kinds"][columns["kind"][place]],
        index["files"][columns["file"][place]],
        columns["row"][place],
    )
    assert found["task"] == "maze-fo" and len(found["counts"]) == columns["length"][place]
    hits = {(kind, file): rows for _, kind, file, rows in live.search(keys, "SUCCESS")}
    for file in episode_files(read_run(run), 0):
        wanted = [i for i, e in enumerate(load(file.path)) if "Success" in e.final]
        assert hits.get((file.kind, file.path.stem), []) == wanted
    assert live.search(keys, "(nothing[") == []


@pytest.mark.parametrize(
    "call",
    [
        lambda live, keys: live.overview(["no such key"]),
        lambda live, keys: live.episode(keys, 3, "training", "update-00001-0", 0),
        lambda live, keys: live.episode(keys, 0, "training", "../../../config", 0),
        lambda live, keys: live.episode(keys, 0, "../..", "config", 0),
        lambda live, keys: live.episode(keys, 0, "training", "update-00001-0", 999),
        lambda live, keys: live.episode(keys, 0, "training", "update-00001-0", -1),
    ],
)
def test_what_is_not_there_is_refused(run: Path, call: Callable[[Live, list[str]], object]) -> None:
    live = Live([run])
    with pytest.raises(DataError, match=r"there is no|has no episode"):
        call(live, list(live.folders()))
