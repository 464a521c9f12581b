"""What a run shows: stages, the time left, lines without a terminal, the panel, the end."""

import io
import json
import logging
import os
import sys
from pathlib import Path

import pyte
import pytest

from lmrl.data.store import write_table
from lmrl.episode import play
from lmrl.runs.names import METRICS, episodes_file
from lmrl.schema import to_table
from lmrl.screen import PlainScreen, Screen, open_screen
from lmrl.screen.capture import captured, terminal_copy
from lmrl.screen.closing import closing
from lmrl.screen.figures import figures, sparkline
from lmrl.screen.live import LiveScreen
from lmrl.screen.stages import Stage, Stages, TimeLeft, clock_text, left_text
from lmrl.tasks import make


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


HOSTILE = "\x1b[31mred\x1b]0;title\x07 [bold]x[/bold] \u202e"


def test_the_time_left_is_that_of_all_stages() -> None:
    clock = Clock()
    stages = Stages(clock=clock)
    stages.plan([Stage("a", "A", 1, 10.0), Stage("b", "B", 4), Stage("a", "A again", 1, 10.0)])
    assert stages.time_left() == TimeLeft(20.0, False)
    first = stages.begin("a", "A")
    clock.now = 3.0
    assert stages.time_left() == TimeLeft(17.0, False)
    clock.now = 30.0  # longer than expected: nothing is known, but never a negative time
    assert stages.left(first) == 0.0
    stages.end(first)
    assert stages.time_left().seconds == 30.0  # the second one takes what the first one took
    updates = stages.begin("b", "B", 4)
    clock.now = 32.0
    updates.done = 1
    assert stages.time_left() == TimeLeft(2.0 * 3 + 30.0, True)
    stages.end(updates)
    assert stages.time_left() == TimeLeft(30.0, True)


def test_a_resumed_stage_is_timed_from_where_it_began() -> None:
    clock = Clock()
    stages = Stages(clock=clock)
    stage = stages.begin("b", "B", 10, first=6)
    clock.now = 5.0
    stage.done = 7
    assert stages.left(stage) == 15.0


def test_steps_that_happen_at_one_time_are_not_added_up() -> None:
    clock = Clock()
    stages = Stages(clock=clock)
    stages.plan([Stage("launch", "actors", 4, 5.0, together=True)])
    stage = stages.begin("launch", "actors", 4)
    clock.now, stage.done = 8.0, 1
    assert stages.left(stage) == 12.0


def test_stages_that_were_not_needed_are_dropped_and_others_are_added() -> None:
    stages = Stages(clock=Clock())
    stages.plan([Stage("data", "data"), Stage("push", "push"), Stage("b", "B", 2)])
    push = stages.begin("push", "push")
    assert [s.kind for s in stages.stages] == ["push", "b"]
    inner = stages.begin("evaluate", "score", 5)  # within another stage: not planned
    assert len(stages.stages) == 2 and stages.open == [push, inner]
    stages.end(inner)
    stages.end(push)
    stages.begin("extra", "extra")
    assert [s.kind for s in stages.stages] == ["push", "extra", "b"]


def test_times_in_words() -> None:
    assert [clock_text(s) for s in (0, 59.6, 3600, 7325)] == ["0:00", "1:00", "1:00:00", "2:02:05"]
    assert left_text(TimeLeft(61.0, True)) == "about 1:01 left"
    assert left_text(TimeLeft(61.0, False)) == "more than 1:01 left"
    assert left_text(TimeLeft(0.0, True)) == left_text(TimeLeft(0.0, False)) == ""


def test_a_curve_as_characters() -> None:
    assert sparkline([0.0, 1.0, 2.0, 7.0], 10) == "▁▂▃█"
    assert sparkline([0.0, 0.0, 7.0, 7.0], 2) == "▁█"
    assert sparkline([3.0, 3.0], 10) == "▅▅"
    assert sparkline([], 10) == "" and sparkline([float("nan"), 1.0], 5) == "▅"
    assert sparkline([0.0, 7.0], 5, ascii_only=True).isascii()


def test_figures_are_those_that_an_update_has() -> None:
    record = {"rollout/return_mean": -7.25, "train/loss": float("nan"), "other": 1.0}
    assert figures(record) == ["return -7.2"]


def run_a_little(screen: Screen, clock: Clock) -> None:
    with screen.stage("launch", "actors", "waiting for sampler 0", 2) as stage:
        clock.now += 20.0
        screen.advance(stage, 1, "waiting for learner rank 0")
    with screen.stage("ppo updates", "ppo", total=3) as updates:
        for update in range(1, 4):
            clock.now += 4.0
            with screen.stage("evaluate", "score of an update", total=5):
                screen.episodes(5, 5)
            record = {"rollout/return_mean": -10.0 + update, "train/loss": 0.5}
            screen.update(updates, update, record, {"started": update, "failed": 0})
    screen.note(f"a note {HOSTILE}")


def test_lines_without_a_terminal_are_few_and_harmless() -> None:
    clock, file = Clock(), io.StringIO()
    with PlainScreen(file, "lmrl train x", clock) as screen:
        assert file.getvalue() == ""  # bad input is one sentence and nothing else
        run_a_little(screen, clock)
    lines = file.getvalue().splitlines()
    assert lines[0] == "[0:00] lmrl train x"
    assert lines[1] == "[0:00] actors: waiting for sampler 0"
    assert lines[2] == "[0:20] actors: 1/2, waiting for learner rank 0, about 0:20"
    updates = [line.partition("  ")[0] for line in lines if "  return " in line]
    assert updates == ["[0:24] ppo 1/3", "[0:32] ppo 3/3"]
    assert "\x1b" not in lines[-1] and "\x07" not in lines[-1]
    assert len(lines) < 10


@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (50, 200), (10, 40)])
def test_the_panel_fits_the_terminal(
    rows: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, end = os.pipe()
    monkeypatch.setattr(os, "get_terminal_size", lambda fd: os.terminal_size((columns, rows)))
    clock = Clock()
    display = pyte.Screen(columns, rows)
    with (
        os.fdopen(end, "w", encoding="utf-8") as file,
        LiveScreen(file, "lmrl train x", clock) as screen,
        screen.stage("ppo updates", "ppo", "64 of 64 episodes " * 20, total=3) as updates,
    ):
        clock.now = 4.0
        screen.update(updates, 1, {"rollout/return_mean": -9.0}, {"started": 64, "failed": 0})
        screen.update(updates, 2, {"rollout/return_mean": -8.0}, {"started": 128, "failed": 0})
        screen.sample("episode of update 2:", [f"line {i} {HOSTILE} " * 9 for i in range(99)])
        screen.live.refresh()
        pyte.ByteStream(display).feed(os.read(main, 2**20).replace(b"\n", b"\r\n"))
    os.close(main)
    shown = [line.rstrip() for line in display.display]
    assert shown[0].startswith("lmrl train x  0:04 elapsed  about 0:02 left"[: columns - 1])
    assert "ppo" in shown[1]
    if rows >= 24:
        assert any("2/3" in line for line in shown) and any("128 started" in x for x in shown)
        assert any(line.startswith("return ▁█ -8.0") for line in shown)
        assert any("more lines" in line for line in shown)
        assert any("[bold]x[/bold]" in line for line in shown)  # no markup of rich is read
    assert display.title == ""


def test_the_output_of_libraries_goes_to_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.txt"
    with open_screen("title") as screen, screen.capturing(log):
        os.write(2, b"from C++\n")
        os.write(1, b"and standard output\n")
        logging.getLogger("cluster.stream").warning("simulator %d died", 3)
        logging.getLogger("vllm").warning("triton")
        with screen.capturing(log):  # a start policy, within a run
            os.write(2, b"inner\n")
        screen.note("seen")
    os.write(2, b"after\n")
    shown = capfd.readouterr()
    assert shown.out == ""
    assert [line.partition("] ")[2] for line in shown.err.splitlines()[:-1]] == [
        "title",
        "warning: simulator 3 died",
        "seen",
    ]
    assert shown.err.endswith("after\n")
    assert log.read_text().startswith("from C++\nand standard output\n")
    assert "inner" in log.read_text() and "died" not in shown.out


def test_descriptors_are_put_back_after_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ZeroDivisionError), captured(tmp_path / "log.txt"):
        os.write(1, b"hidden\n")
        _ = 1 / 0
    os.write(1, b"visible\n")
    assert capfd.readouterr().out == "visible\n"
    assert (tmp_path / "log.txt").read_text() == "hidden\n"
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_stream_without_a_descriptor_is_used_itself() -> None:
    file = io.StringIO()
    with terminal_copy(file) as copy:
        assert copy is file
    with terminal_copy(sys.__stderr__ or sys.stderr) as copy:
        assert copy is not sys.__stderr__


def test_the_last_screen_says_what_was_reached_and_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    env = make("maze-fo")
    episodes = [play(env, "random", seed, "maze-fo") for seed in range(9)]
    path = episodes_file(folder, "evaluation", "ppo-00003")
    path.parent.mkdir(parents=True)
    write_table(to_table(episodes), path)
    rows = [{"update": n, "rollout/return_mean": v} for n, v in ((1, -90.0), (2, -10.0))]
    (folder / METRICS).write_text("\n".join(map(json.dumps, rows)))
    row = {"return_mean": -50.0, "ci95": [-55.0, -45.0], "normalised": 70.0, "episodes": 9}
    summary = {
        "task": "maze-fo",
        "algorithm": "ppo",
        "updates": 3,
        "scores": {"random": {**row, "return_mean": -80.0}, "ppo": row},
        "ledger": dict.fromkeys(("started", "trained", "evaluated", "stale", "failed"), 0),
        "parity": {"max_abs": 0.0, "pushes": 1},
        "seconds": {"total": 3.0},
    }
    text = closing(folder, summary)
    assert "ppo - random: +30.00" in text
    assert "normalised score: 70.0; the paper's online PPO with GPT-2: 79.7" in text
    assert "return per update: -90.0 ▁█ -10.0" in text
    ranked = sorted((e.total_reward for e in episodes), reverse=True)
    for name, place in (("best", 0), ("median", 4), ("worst", 8)):
        lines = text.splitlines()
        line = lines[lines.index(f"{name} of 9 episodes:") + 1]
        assert f"return {ranked[place]:g} " in line
    assert max(len(line) for line in closing(folder, summary, 60).splitlines()[-30:-5]) <= 60
    assert f"lmrl report '{folder}'" in text
    # A run of an older version, or one whose episodes were deleted.
    path.write_bytes(b"cut off")
    (folder / METRICS).unlink()
    assert "best of" not in closing(folder, {**summary, "task": "own:Task"})
