"""`lmrl view`: the list, an episode, the curves, damaged and hostile runs, and the terminal."""

import asyncio
import fcntl
import json
import os
import pty
import random
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from test_report_reading import damaged, spoilt
from textual.pilot import Pilot

from benchmarks.pages.made_run import make_run
from lmrl.cli import main
from lmrl.data.store import load, write_table
from lmrl.errors import UsageError
from lmrl.runs.names import KINDS, METRICS, episodes_file, training_file
from lmrl.schema import to_table
from lmrl.screen.figures import sparkline
from lmrl.view.app import Viewer
from lmrl.view.curves import CurveList
from lmrl.view.episode.board import board
from lmrl.view.episode.screen import EpisodeScreen
from lmrl.view.episode.tokens import Tokens
from lmrl.view.index import ORDERS, Filter, Index, parsed
from lmrl.view.listing import EpisodeList
from lmrl.view.loading import Loader
from lmrl.view.plot import plot
from lmrl.view.rows import Rows
from lmrl.view.text import cell, column, figure, lines

HOSTILE = "\x1b[31mred\x1b]0;title\x07 [bold]x[/bold] \u202e\u2028\x00 \U0001f600"
KEYS = {
    " ": "space",
    ">": "greater_than_sign",
    "=": "equals_sign",
    "-": "minus",
    "<": "less_than_sign",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run")


class User:
    """Someone at the keyboard."""

    def __init__(self, pilot: Pilot[None]) -> None:
        self.pilot = pilot
        self.app = pilot.app

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def type(self, text: str) -> None:
        await self.press(*(KEYS.get(letter, letter) for letter in text))

    async def settle(self) -> None:
        await self.pilot.pause()
        await self.app.workers.wait_for_complete()
        await self.pilot.pause()

    def lines(self) -> list[str]:
        return [strip.text for strip in self.app.screen._compositor.render_strips()]

    def text(self) -> str:
        return "\n".join(self.lines())

    @property
    def list(self) -> EpisodeList:
        return self.app.screen_stack[0].query_one(EpisodeList)

    @property
    def chosen(self) -> tuple[int, str, str, int]:
        assert self.list.place is not None
        return self.list.index.key(self.list.place)


def use(
    paths: list[Path],
    script: Callable[[User], Awaitable[None]],
    size: tuple[int, int] = (80, 24),
    every: float = 0,
) -> None:
    """Run the viewer and let a script of keys use it."""

    async def go() -> None:
        app = Viewer(Loader(paths), every)
        async with app.run_test(size=size) as pilot:
            user = User(pilot)
            await user.settle()
            await script(user)

    asyncio.run(go())


# -- the list -------------------------------------------------------------------------------------


def test_the_list_shows_the_figures_and_the_keys(run: Path) -> None:
    async def script(user: User) -> None:
        shown = user.lines()
        assert "run  maze-fo  ppo  finished" in shown[0]
        assert shown[3].split() == [
            "policy", "kind", "update", "return", "turns", "outcome", "version", "learner",
        ]  # fmt: skip
        assert shown[4].startswith("> bc") and "evaluation" in shown[4]
        assert "1 of 62 episodes" in shown[-2]
        for words in ("⏎ Open", "s Sort", "/ Filter", "r Reload", "? Keys", "q Quit"):
            assert words in shown[-1]
        stored = list(load(run / "trajectories/evaluation/bc-00000.parquet"))
        assert shown[5].split()[3] == figure(stored[1].total_reward)
        await user.press("end")
        assert user.list.cursor == 61 and "62 of 62" in user.text()
        await user.press("home", "j", "j", "k", "pagedown")
        assert user.list.cursor == user.list.size.height - 2 + 1
        await user.press("question_mark")
        assert "A filter has words and comparisons" in user.text()
        await user.press("escape", "q")
        assert not user.app.is_running

    use([run], script)


def test_episodes_are_sorted_and_filtered_by_keyboard(run: Path) -> None:
    stored = [e for kind in ("evaluation", "training") for e in load(run / "trajectories" / kind)]

    async def script(user: User) -> None:
        await user.press("s", "S")
        returns = user.list.index.columns["returned"][user.list.places]
        assert (np.diff(returns) <= 0).all() and "by return, falling" in user.text()
        await user.press("slash")
        assert "esc Close" in user.lines()[-1]
        await user.type("kind=training turns<=20 v4")
        await user.press("enter")
        assert len(user.list.places) == 0 and "0 of 0, of 62 episodes" in user.text()
        await user.press("enter")  # nothing to open
        await user.press("x", "slash")
        await user.type("kind=train turns<=20")
        await user.press("enter")
        wanted = sum(len(e.turns) <= 20 for e in load(run / "trajectories/training"))
        assert len(user.list.places) == wanted and user.list.has_focus
        await user.press("x", "slash")
        await user.type("success")
        await user.press("enter")
        assert len(user.list.places) == sum("Success" in e.final for e in stored)

    use([run], script)


def test_the_newest_filter_is_the_one_that_is_shown(run: Path) -> None:
    async def script(user: User) -> None:
        viewer = user.app
        assert isinstance(viewer, Viewer)
        search = viewer.loader.live.search

        def slow(keys: Any, text: str) -> Any:
            time.sleep(0.5 if text == "wall" else 0)
            return search(keys, text)

        viewer.loader.live.search = slow  # type: ignore[method-assign]
        for typed in ("wall", "turns<1"):
            viewer._read(viewer.loaded, parsed(typed))
            await user.pilot.pause(0.1)
        await asyncio.sleep(0.6)
        await user.settle()
        assert len(user.list.places) == 0 and user.list.filter.typed == "turns<1"

    use([run], script)


def test_a_wrong_filter_is_one_sentence_and_can_be_mended(run: Path) -> None:
    async def script(user: User) -> None:
        await user.press("slash")
        await user.type("retrun=1")
        await user.press("enter")
        assert "did you mean 'return'?" in user.text() and len(user.list.places) == 62
        await user.press(*["backspace"] * 8)
        await user.type("return>x")
        await user.press("enter")
        assert "return is compared with a number, not 'x'" in user.text()
        await user.press("escape")
        assert user.list.has_focus and "1 of 62 episodes" in user.text()

    use([run], script)


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("", Filter()),
        ("return>-1.5", Filter(bounds=(("returned", ">", -1.5),))),
        ("Turns<=3 LEARNER=Yes", Filter((("length", "<=", 3.0),), (("learner", "yes"),))),
        ('move  "a=b c" left', Filter(text="move a=b c left")),
        ("=3 > <b>", Filter(text="=3 > <b>")),
        ('"', Filter(text='"')),
    ],
)
def test_filters_are_understood(typed: str, wanted: Filter) -> None:
    assert parsed(typed) == replace(wanted, typed=typed)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("lenght>3", "did you mean 'length'"),
        ("return>", "compared with a number, not ''"),
        ("kind>training", "write kind=training"),
        ("outcome=won", "outcome 'won' is unknown"),
        ("learner=1", "learner '1' is unknown"),
    ],
)
def test_filters_that_say_nothing_are_refused(typed: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parsed(typed)


def test_every_order_has_every_episode_once(run: Path) -> None:
    found = Loader([run]).newer(None)
    assert found is not None
    every = found.index.matching(Filter(), [])
    for order in ORDERS:
        for down in (False, True):
            assert sorted(found.index.ordered(every, order, down)) == list(range(62))
    for place in every:
        assert found.index.find(found.index.key(place)) == place
    assert found.index.find((0, "training", "gone", 0)) is None
    assert Index().find((0, "training", "gone", 0)) is None
    outcomes = [found.index.row(place)["outcome"] for place in every]
    for name in set(outcomes):
        assert len(found.index.matching(parsed(f"outcome={name}"), [])) == outcomes.count(name)


def many(count: int) -> Index:
    """Return the index of many episodes."""
    rng = np.random.default_rng(0)
    names = ("run", "kind", "file", "player", "learned")
    columns: dict[str, Any] = {name: np.zeros(count, np.int64) for name in names}
    columns |= {name: rng.integers(0, 100, count) for name in ("update", "length", "version")}
    columns |= {name: rng.integers(0, 2, count) for name in ("outcome", "terminated")}
    columns |= {"row": np.arange(count), "returned": rng.normal(size=count)}
    return Index(columns, KINDS, ["file"], ["policy"], ["run"], [])


def test_only_rows_in_sight_are_made(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    row = EpisodeList.row

    def counted(self: EpisodeList, number: int, width: int) -> Any:
        made.append(number)
        return row(self, number, width)

    monkeypatch.setattr(EpisodeList, "row", counted)

    async def script(user: User) -> None:
        user.list.set_index(many(100_000), Filter(), [])
        await user.settle()
        made.clear()
        started = time.perf_counter()
        await user.press("end")
        assert set(made) <= set(range(100_000 - 24, 100_000)) | set(range(24))
        user.list.set_index(user.list.index, parsed("return>0 turns<50"), [])
        await user.press("s")
        assert time.perf_counter() - started < 5
        assert 20_000 < len(user.list.places) < 30_000

    use([run], script)


# -- an episode -----------------------------------------------------------------------------------


def test_an_episode_is_a_conversation_with_board_and_figures(run: Path) -> None:
    first = next(iter(load(run / "trajectories/training/update-00001-0.parquet")))

    async def script(user: User) -> None:
        await user.press("slash")
        await user.type("learner=yes update=1")
        await user.press("enter", "enter")
        assert isinstance(user.app.screen, EpisodeScreen)
        shown = user.text()
        assert f"seed {first.seed}, return {figure(first.total_reward)}" in shown
        assert "▌[1]" in shown and first.turns[0].observation[:20] in shown
        assert "██" in shown and "@ policy" in shown and "0 of" in shown
        header = next(line for line in user.lines() if line.startswith("token"))
        assert header.split() == [
            "token", "logp", "samp", "logp", "lrn", "entropy", "value", "advantage", "version",
        ]  # fmt: skip
        tokens = user.app.screen.query_one(Tokens)
        assert tokens.count == len(first.turns[0].action_ids)
        line = next(line for line in user.lines() if line.startswith(">"))
        assert figure(round(float(first.turns[0].logprobs[0]), 4))[:5] in line
        await user.press("right")
        assert tokens.cursor == 1
        await user.press(*["right"] * (tokens.count - 1))
        assert "▌[2]" in user.text() and tokens.cursor == 0
        await user.press("left")
        assert "▌[1]" in user.text() and tokens.cursor == tokens.count - 1
        await user.press("down")
        assert "1 of" in user.text()
        await user.press("end")
        assert "▌[end]" in user.text() and "facts of the task" in user.text()
        await user.press("b")
        assert "@ policy" not in user.text()
        await user.press("b", "n")
        assert user.list.cursor == 1 and "▌[1]" in user.text()
        await user.press("p")
        assert user.list.cursor == 0 and f"seed {first.seed}," in user.text()
        assert "q Quit" in user.lines()[-1] and "←→ Token" in user.lines()[-1]
        await user.press("1", "slash", "x")  # keys of the list alone
        assert isinstance(user.app.screen, EpisodeScreen) and len(user.list.places) == 2
        await user.press("escape")
        assert user.list.has_focus

    use([run], script)


@pytest.mark.parametrize(
    ("task", "sign"), [("wordle", "[] right place"), ("chess", "♜  ♞  ♝"), ("car-dealer", "[1]")]
)
@pytest.mark.parametrize("size", [(80, 24), (200, 50), (40, 12)])
def test_episodes_of_other_tasks_are_shown(
    task: str, sign: str, size: tuple[int, int], tmp_path: Path
) -> None:
    if task == "chess":
        pytest.importorskip("chess")
    made = make_run(tmp_path / "run", task, updates=1, episodes=1, scored=1, learned=1)

    async def script(user: User) -> None:
        await user.press("end", "enter")
        assert size[0] < 80 or sign in user.text()
        assert {cell_len(line) for line in user.lines()} == {size[0]}
        await user.press("end", "up", "greater_than_sign", "less_than_sign")

    use([made], script, size)


def test_boards_show_their_signs_without_colours() -> None:
    frames = [["ABC ", "gyb ", None, [], ""], ["AB\x1b\u0301", "gyb ", None, [1], ""]]
    drawing = {"rows": 2, "columns": 2, "ground": "    ", "frames": frames}
    assert board(drawing, 0).plain == "[A](B)\n C  _ "
    assert board(drawing, 9).plain == "[A][B]\n ?  ? "
    path = [["", "", 1, [], ""], ["", "", 2, [], ""]]
    maze = {"rows": 1, "columns": 4, "ground": "#..*", "frames": path}
    assert board(maze, 1).plain == "██· @ * "


def test_an_episode_that_is_gone_is_one_sentence(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy, symlinks=True)

    async def script(user: User) -> None:
        for path in (copy / "trajectories/evaluation").iterdir():
            path.unlink()
        await user.press("enter")
        assert "there is no file 'bc-00000'" in user.text()
        assert not isinstance(user.app.screen, EpisodeScreen)
        shutil.rmtree(copy)
        await user.press("r")
        await user.press("down", "enter")

    use([copy], script)


# -- curves and scores ----------------------------------------------------------------------------


def test_curves_and_scores_are_tabs(run: Path) -> None:
    async def script(user: User) -> None:
        await user.press("2")
        shown = user.text()
        assert "> Return" in shown and "▁" in shown and "│" in shown
        listed = user.app.screen.query_one(CurveList)
        assert listed.has_focus and listed.curve.title == "Return"
        await user.press("down")
        assert "Mean number of actions of the episodes" in user.text()
        await user.press("end")
        assert "> train/made_up" in user.text()
        await user.press("3")
        shown = user.text()
        assert "Scores: maze-fo" in shown and "paper: ILQL" in shown and "████" in shown
        await user.press("1", "enter")
        assert isinstance(user.app.screen, EpisodeScreen)

    use([run], script)


@pytest.mark.parametrize(
    "values",
    [[], [None], [1.0], [1e308, -1e308], [0.0, 0.0], [5e-324, 1e308], [-1.0], list(range(999))],
)
@pytest.mark.parametrize("log", [False, True])
def test_any_values_can_be_drawn(values: list[float | None], log: bool) -> None:
    for width, height in ((70, 8), (12, 3), (3, 1), (0, 0)):
        drawn = plot([float(i) for i in range(len(values))], values, width, height, log)
        assert len(drawn) in (0, height) and all(cell_len(line) <= width for line in drawn)
    assert len(sparkline([v for v in values if v is not None], 10)) <= 10


def test_a_curve_rises_where_its_values_do() -> None:
    drawn = plot([0.0, 1.0, 2.0], [0.0, 1.0, 2.0], 13, 3)
    assert drawn == ["        2│ ▁█", "        0│▁██", "          0 2"]


# -- a run that goes on ---------------------------------------------------------------------------


def grow(folder: Path, source: Path, update: int) -> None:
    """Write another update of a run."""
    episodes = list(load(source / "trajectories/training/update-00001-0.parquet"))
    write_table(to_table(episodes), episodes_file(folder, "training", training_file(update)))
    with (folder / METRICS).open("a") as file:
        file.write(json.dumps({"update": update, "rollout/return_mean": -1.0}) + "\n")


@pytest.mark.parametrize("every", [0, 0.1])
def test_a_run_that_goes_on_is_read_again(every: float, run: Path, tmp_path: Path) -> None:
    made = make_run(tmp_path / "run", updates=2, episodes=4, scored=2)

    async def script(user: User) -> None:
        assert len(user.list.index) == 14
        await user.press("end")
        chosen = user.chosen
        grow(made, run, 3)
        if every:
            for _ in range(100):
                await asyncio.sleep(0.1)
                if len(user.list.index) > 14:
                    break
        else:
            await user.press("r")
        assert len(user.list.index) == 22
        assert user.chosen == chosen
        await user.press("2")
        assert "▁" in user.text() and user.app.screen.query_one(CurveList).curve.x[-1] == 3

    use([made], script, every=every)


def test_a_run_without_episodes_and_metrics_is_shown(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"task": "maze-fo"}')

    async def script(user: User) -> None:
        assert "no episodes are stored yet" in user.text()
        await user.press("enter", "down", "end", "s", "S", "2")
        assert "No curves yet" in user.text()
        await user.press("enter", "3", "1")

    use([tmp_path], script)


def test_several_runs_have_their_names_in_the_list(run: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", "wordle", updates=1, episodes=1, scored=1)

    async def script(user: User) -> None:
        assert user.lines()[3].split()[0] == "run" and "2 runs" in user.lines()[0]
        await user.press("slash")
        await user.type("run=oth")
        await user.press("enter")
        assert len(user.list.places) == 4 and "> other" in user.text()
        await user.press("2")
        assert "other" in user.text() and "Return" in user.text()

    use([run, other], script)


# -- hostile and damaged runs ---------------------------------------------------------------------


def harmless(text: str) -> None:
    assert all(c.isprintable() for c in text.replace("\n", "")), repr(text)


def test_hostile_texts_are_shown_as_codes(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder, symlinks=True)
    shutil.rmtree(folder / "trajectories")
    (first, *_) = load(run / "trajectories/training")
    turns = tuple(replace(t, observation=HOSTILE * 9, action=HOSTILE) for t in first.turns[:3])
    hostile = replace(
        first,
        turns=turns,
        final=HOSTILE,
        player=HOSTILE,
        task=HOSTILE,
        options={HOSTILE: HOSTILE},
        info={HOSTILE: HOSTILE},
    )
    write_table(to_table([hostile]), episodes_file(folder, "training", training_file(1)))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "task": HOSTILE}))
    row = {"update": 1, HOSTILE: 1e308, "train/loss": -1e308, "rollout/return_mean": 1e308}
    (folder / METRICS).write_text(json.dumps(row) + "\n" + json.dumps({**row, "update": 2}) + "\n")

    async def script(user: User) -> None:
        for keys in (["2", "end"], ["3"], ["1"], ["enter"], ["end"], ["home", "right"]):
            await user.press(*keys)
            harmless(user.text())
        assert "[bold]x[/bold]" in user.text() and "\\x1b[31mred" in user.text()

    use([folder], script)


@pytest.mark.parametrize("number", range(5))
def test_damaged_and_hostile_directories_are_browsed(
    run: Path, tmp_path: Path, number: int
) -> None:
    rng = random.Random(number)
    folder = tmp_path / "run"
    shutil.copytree(run, folder, symlinks=True)
    for path in folder.glob("*.json*"):
        parts = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        text = "".join(json.dumps(spoilt(json.loads(part), rng)) + "\n" for part in parts)
        path.write_text(text)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if rng.random() < 0.3 and path.name not in (".lmrl-run", "config.json"):
            damaged(path, rng.choice(["empty", "cut", "text", "folder", f"spoiled {number}"]))

    async def script(user: User) -> None:
        assert "not read (3 shows)" in user.text()
        for place in range(0, len(user.list.places), 20):
            user.list.cursor = place
            await user.press("enter")
            await user.press("down", "right", "end")
            harmless(user.text())
            if isinstance(user.app.screen, EpisodeScreen):
                await user.press("escape")
        await user.press("2", "down", "end")
        harmless(user.text())
        await user.press("3", "end")
        assert "Not read" in user.text() or "problem" not in user.text()
        harmless(user.text())

    use([folder], script, (100, 60))


def test_texts_fit_their_cells() -> None:
    for text in ("", "abc", "abcdefgh" * 99, HOSTILE, "\u0301" * 500, "日本語" * 9, "a\u0301日"):
        for width in (0, 1, 2, 5, 20):
            for right in (False, True):
                found = column(text, width, right)
                assert cell_len(found) == width or "\u0301" in found
                harmless(found)
    assert lines("a\nb\n") == ["a", "b"] and lines("") == [""]
    assert [cell(c) for c in "a日\x00\u0301\u202e♜"] == ["a", "?", "?", "?", "?", "♜"]
    numbers = [0.0, -12.0, 0.12345, 1234.56, 1e-9, 1e300, float("nan"), None, True]
    assert [figure(n) for n in numbers] == [
        "0", "-12", "0.1235", "1234.6", "1.00e-09", "1.00e+300", "", "", "",
    ]  # fmt: skip


# -- the terminal ---------------------------------------------------------------------------------


def test_without_colours_the_selection_is_still_seen(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def script(user: User) -> None:
        assert user.app.no_color
        assert sum(line.startswith(">") for line in user.lines()) == 1
        await user.press("enter")
        assert any(line.startswith("▌[1]") for line in user.lines())
        assert "@ " in user.text() and "* goal" in user.text()

    use([run], script)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["view"], "RUN is missing"),
        (["view", "missing"], "missing is not a folder"),
        (["view", "."], "is not a run directory and has none in it"),
        (["view", "run"], "needs a terminal for its input and output"),
    ],
)
def test_wrong_calls_get_one_sentence(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if "run" in words:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "config.json").write_text("{}")
    assert main(words) == 2
    err = capsys.readouterr().err
    assert sentence in err and err.count("\n") == 1


class Terminal:
    """`lmrl view` in a pseudo-terminal of 80 x 24."""

    def __init__(self, run: Path, **environment: str) -> None:
        self.main, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lmrl", "view", str(run)],
            stdin=end,
            stdout=end,
            stderr=end,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", **environment},
        )
        os.close(end)
        self.seen = b""

    def until(self, wanted: bytes, seconds: float = 60.0) -> None:
        """Read until the terminal got some bytes."""
        end = time.monotonic() + seconds
        while wanted not in self.seen:
            assert time.monotonic() < end, self.seen[-2000:]
            if select.select([self.main], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.main, 65536)
                except OSError:  # the other end is closed
                    assert wanted in self.seen, self.seen[-2000:]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.main)


def test_the_viewer_ends_with_its_terminal(run: Path) -> None:
    terminal = Terminal(run)
    terminal.until(b"62 episodes")
    os.close(terminal.main)
    assert terminal.process.wait(timeout=60) is not None


LEAVE = b"\x1b[?1049l"
"""What a terminal gets to show again what was there before."""


@pytest.mark.parametrize(("how", "code"), [("q", 0), ("\x03", 0), ("term", 143)])
def test_the_terminal_is_left_as_it_was(run: Path, how: str, code: int) -> None:
    terminal = Terminal(run)
    try:
        terminal.until(b"62 episodes")
        if how == "term":
            terminal.process.send_signal(signal.SIGTERM)
        else:
            os.write(terminal.main, how.encode())
        terminal.until(LEAVE)
        assert terminal.process.wait(30) == code
        assert b"Traceback" not in terminal.seen
    finally:
        terminal.close()


def test_a_terminal_that_cannot_draw_is_refused(run: Path) -> None:
    terminal = Terminal(run, TERM="dumb")
    try:
        terminal.until(b"cannot draw in a terminal of type 'dumb'")
        assert terminal.process.wait(30) == 2
    finally:
        terminal.close()


def test_other_commands_do_not_load_the_viewer() -> None:
    code = "import sys, lmrl.cli; lmrl.cli.main(['tasks']); assert 'textual' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_lists_say_what_they_show() -> None:
    with pytest.raises(NotImplementedError):
        Rows().row(0, 10)
