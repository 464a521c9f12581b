"""`lmrl compare`: groups of finished runs, with figures that were computed by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmrl import make
from lmrl.cli import main
from lmrl.data.store import write_table
from lmrl.episode import play
from lmrl.errors import UsageError
from lmrl.schema import to_table
from lmrl.scoring.compare import compare
from lmrl.scoring.score import normalised
from lmrl.trajectory import Trajectory

EPISODE = play(make("maze-fo", max_steps=1), "optimal", 0, "maze-fo")


def episode(seed: int, total: float) -> Trajectory:
    """Return an episode of one turn with a return."""
    return replace(EPISODE, seed=seed, turns=(replace(EPISODE.turns[0], reward=total),))


def store(
    folder: Path,
    scores: dict[tuple[str, int], list[float]],
    algorithm: str = "ppo",
    seed: int = 0,
    finished: bool = True,
    **fields: Any,
) -> Path:
    """Write the part of a run directory that is read; `scores` has returns by label and update."""
    folder.mkdir()
    config = {"task": "maze-fo", "options": {}, "algorithm": {"name": algorithm}, "seed": seed}
    config |= {"learner": {"optimiser": {"lr": 0.1}}, "keep": seed + 1, **fields}
    (folder / "config.json").write_text(json.dumps(config))
    if finished:
        (folder / "summary.json").write_text("{}")
    with (folder / "scores.jsonl").open("w") as file:
        for (label, update), returns in scores.items():
            row = {"policy": label, "update": update, "return_mean": float(np.mean(returns))}
            file.write(json.dumps(row) + "\n")
            table = to_table([episode(i, total) for i, total in enumerate(returns)])
            write_table(
                table, folder / "trajectories" / "evaluation" / f"{label}-{update:05d}.parquet"
            )
    return folder


LIMITS = make("maze-fo").score_range


def test_groups_have_the_figures_that_a_hand_computes(tmp_path: Path) -> None:
    means = [-10.0, -20.0, -30.0, -60.0]
    runs = [
        store(tmp_path / f"ppo-{i}", {("ppo", 5): [mean - 1, mean + 1]}, seed=i)
        for i, mean in enumerate(means)
    ]
    runs += [
        store(tmp_path / f"bc-{i}", {("bc", 9): [mean] * 3}, algorithm="bc", seed=i)
        for i, mean in enumerate([-20.0, -90.0])
    ]
    found = compare(runs)
    ppo, bc = found.groups
    assert (found.task, ppo.name, bc.name) == ("maze-fo", "ppo", "bc")
    assert (len(ppo.runs), ppo.episodes, len(bc.runs), bc.episodes) == (4, 8, 2, 6)
    assert (ppo.return_mean, bc.return_mean) == (-30.0, -55.0)
    scores = [normalised(mean, LIMITS) for mean in means]
    assert ppo.mean.value == pytest.approx(np.mean(scores))
    assert ppo.iqm.value == pytest.approx((scores[1] + scores[2]) / 2)
    assert bc.iqm.value == bc.mean.value
    # The spread over four runs alone, as their episodes are -1 and 1 around each mean: Student's
    # interval with three degrees of freedom would be 3.182 standard errors; the common episodes,
    # two for all runs, add one degree with a small variance and a large quantile.
    assert ppo.mean.over == "runs and episodes" and ppo.mean.ci95 is not None
    reach = 3.182 * np.std(scores, ddof=1) / 2
    assert reach < ppo.mean.value - ppo.mean.ci95[0] < 1.2 * reach
    # Two runs of BC are too few; over their episodes, which are all alike, nothing spreads.
    assert bc.mean.over == "episodes"
    assert bc.mean.ci95 == pytest.approx((bc.mean.value, bc.mean.value))
    # -10 beats both; -20 ties one and beats one; -30 and -60 beat one: 2 + 1.5 + 1 + 1 of 8.
    better, worse = found.improvements
    assert (better.better, better.worse, worse.better) == ("ppo", "bc", "bc")
    assert better.probability.value == pytest.approx(5.5 / 8)
    assert worse.probability.value == pytest.approx(2.5 / 8)
    assert better.probability.ci95 is None
    assert better.difference.value == pytest.approx(ppo.mean.value - bc.mean.value)


def test_three_runs_a_group_have_intervals_of_all_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    episodes = rng.normal(-30.0, 10.0, 20)
    runs = [
        store(
            tmp_path / f"{name}-{seed}",
            {(name, 1): list(episodes + shift + rng.normal(0.0, 1.0) + rng.normal(0.0, 1.0, 20))},
            algorithm=name,
            seed=seed,
        )
        for name, shift in (("ppo", 10.0), ("bc", 0.0))
        for seed in range(3)
    ]
    found = compare(runs)
    better = found.improvements[0]
    assert better.difference.over == better.probability.over == "runs and episodes"
    # The episodes are the same, so that their spread of 10 is no part of the difference.
    assert better.difference.ci95 is not None and better.difference.ci95[0] > 0
    # Three runs against three cannot show an improvement by their order: 1 of 20 orders has it.
    assert better.probability.value == 1.0 and better.probability.ci95 is not None
    assert better.probability.ci95[0] < 0.5 and better.probability.ci95[1] == pytest.approx(1.0)
    assert main(["compare", *map(str, runs)]) == 0
    out = capsys.readouterr().out
    assert "too few" not in out.lower() and "*" not in out


def test_the_last_or_the_chosen_checkpoint_counts(tmp_path: Path) -> None:
    scores = {("bc", 0): [-50.0], ("ppo", 4): [-9.0], ("ppo_best", 2): [-5.0]}
    run = store(tmp_path / "run", scores)
    with (run / "scores.jsonl").open(
        "a"
    ) as file:  # scores on the way choose, and count for nothing
        for update in (2, 6):
            row = {"policy": "ppo", "update": update, "selecting": True, "return_mean": 0.0}
            file.write(json.dumps(row) + "\n")
    assert [g.return_mean for g in compare([run]).groups] == [-9.0]
    assert [(g.name, g.return_mean) for g in compare([run], at="best").groups] == [("ppo", -5.0)]
    other = store(tmp_path / "other", {("ppo", 4): [-7.0]}, seed=1)  # its best is its last
    (group,) = compare([run, other], at="best").groups
    assert group.return_mean == -6.0
    both = compare([run], ["bc", "ppo"])
    assert [(g.name, g.return_mean) for g in both.groups] == [("bc", -50.0), ("ppo", -9.0)]
    assert both.improvements[1].probability.value == 1.0


def test_groups_are_told_apart_by_the_fields_that_differ(tmp_path: Path) -> None:
    runs = [
        store(
            tmp_path / f"{lr}-{seed}",
            {("ppo", 1): [-9.0]},
            seed=seed,
            learner={"optimiser": {"lr": lr}},
            sampler={"count": seed + 1},
        )
        for lr in (0.1, 0.2)
        for seed in (0, 1)
    ]
    names = [group.name for group in compare(runs).groups]
    assert names == ["ppo, learner.optimiser.lr 0.1", "ppo, learner.optimiser.lr 0.2"]


def test_the_command_prints_a_table_and_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    runs = [
        str(store(tmp_path / name, {(name, 1): [mean, mean]}, algorithm=name))
        for name, mean in (("ppo", -10.0), ("bc", -40.0))
    ]
    assert main(["compare", *runs]) == 0
    out = capsys.readouterr().out
    assert "IQM" in out and "ppo > bc" in out and "1.00 [too few]" in out
    assert "Too few runs" in out and "ppo; bc" in out
    assert main(["compare", *runs, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [group["name"] for group in record["groups"]] == ["ppo", "bc"]
    assert record["groups"][0]["mean"]["value"] == pytest.approx(normalised(-10.0, LIMITS))
    assert record["improvements"][0]["probability"] == {
        "value": 1.0,
        "ci95": None,
        "over": None,
    }


def test_what_cannot_be_compared_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refused(*arguments: object) -> str:
        code = main(["compare", *map(str, arguments)])
        out = capsys.readouterr()
        assert (code, out.out) == (2, "") and out.err.count("\n") == 1
        return out.err

    scores = {("ppo", 1): [-9.0]}
    good = store(tmp_path / "good", scores)
    assert "no config.json" in refused(tmp_path / "nothing")
    assert "--resume" in refused(good, store(tmp_path / "going", scores, finished=False))
    other = store(tmp_path / "other", scores, seed=1, task="maze-po")
    assert "compare runs of one task" in refused(good, other)
    short = store(tmp_path / "short", scores, seed=1, options={"max_steps": 5})
    assert "same options" in refused(good, short)
    assert "given twice" in refused(good, good)
    assert "seed 0: the same run twice" in refused(good, store(tmp_path / "again", scores))
    assert "did you mean 'ppo'" in refused(good, "--policy", "pppo")
    (good / "trajectories" / "evaluation" / "ppo-00001.parquet").unlink()
    assert "no data set" in refused(good)


def test_the_code_of_a_task_from_elsewhere_is_imported_only_if_asked(tmp_path: Path) -> None:
    """A run directory may be somebody else's. The module of this task does not exist."""
    runs = [store(tmp_path / str(s), {("ppo", 4): [-7.0]}, seed=s) for s in range(2)]
    for run in runs:
        config = json.loads((run / "config.json").read_text())
        config |= {"task": "no_such_module:Task"}
        (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"names the task 'no_such_module:Task', whose code"):
        compare(runs)
    with pytest.raises(UsageError, match="cannot be imported"):
        compare(runs, load_tasks=True)
