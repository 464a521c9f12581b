"""What tasks draw: the cells, pieces and marks are those of the episode."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from lmrl.drawing import TONES, Drawing, Frame
from lmrl.episode import play
from lmrl.tasks import known, make


def drawn(task: str, player: str, seed: int = 3, **options: Any) -> tuple[Drawing, Any]:
    env = make(task, **options)
    episode = play(env, player, seed, task, options)
    found = make(task, **options).draw(episode)
    assert found is not None and len(found.frames) == len(episode.turns) + 1
    return found, episode


@pytest.mark.parametrize("options", [{}, {"wording": "reworded"}, {"goal": [1, 1]}])
@pytest.mark.parametrize("task", ["maze-fo", "maze-po"])
def test_the_path_leads_from_cell_to_cell_to_the_goal(task: str, options: dict[str, Any]) -> None:
    found, episode = drawn(task, "optimal", **options)
    path = [-1 if frame.at is None else frame.at for frame in found.frames]
    assert (found.rows, found.columns) == (10, 13) and found.ground.count("#") == 130 - 26
    assert all(abs(a - b) in (1, 13) for a, b in pairwise(path))
    row, column = episode.info["position"]
    assert path[-1] == row * 13 + column
    assert found.ground[path[-1]] == "*" and found.ground.count("*") == 1


def test_the_maze_of_an_imported_episode_has_a_path_only_if_its_texts_name_it() -> None:
    for task, known_path in (("maze-fo", True), ("maze-po", False)):
        episode = play(make(task), "optimal", 3, task)
        imported = replace(episode, seed=-1, info={**episode.info, "imported": "file"})
        assert (make(task).draw(imported) is not None) is known_path


@pytest.mark.parametrize("wording", [None, "reworded"])
def test_the_boards_of_a_game_show_the_pieces(wording: str | None) -> None:
    pytest.importorskip("chess")
    options: dict[str, Any] = {} if wording is None else {"wording": wording}
    found, _ = drawn("chess", "random", max_moves=3, **options)
    first = found.frames[0].glyphs
    assert first[:8] == "♜♞♝♛♚♝♞♜" and first[56:] == "♖♘♗♕♔♗♘♖" and first[8:16] == "♟" * 8
    assert found.ground[0] == "l" and found.ground[63] == "l" and found.ground[56] == "d"
    for before, after in pairwise(found.frames):
        pairs = zip(before.glyphs, after.glyphs, strict=True)
        assert list(after.marked) == [i for i, (old, new) in enumerate(pairs) if old != new]


@pytest.mark.parametrize("options", [{}, {"wording": "reworded"}])
def test_the_rows_of_wordle_have_the_marks_of_the_guesses(options: dict[str, Any]) -> None:
    found, episode = drawn("wordle", "optimal", **options)
    last = found.frames[-1]
    rows = len(episode.turns)
    assert last.tones[5 * rows - 5 : 5 * rows] == "ggggg" and episode.info["success"]
    assert last.glyphs[5 * rows - 5 : 5 * rows] == episode.info["answer"].upper()
    assert found.frames[0].glyphs.strip() == "" and last.tones[5 * rows :].strip() == ""


def test_a_guess_that_is_not_a_word_has_no_marks() -> None:
    env = make("wordle")
    episode = play(env, "random", 1, "wordle")
    first, *others = (replace(t, observation="\n", action="hello there\n") for t in episode.turns)
    found = env.draw(replace(episode, turns=(first, *others)))
    assert found is not None and found.frames[1].tones[:5] == "....."
    assert found.frames[1].glyphs[:5] == "HELL…"


def test_tasks_without_boards_draw_nothing() -> None:
    with_boards = {"maze-fo", "maze-po", "chess", "endgames", "wordle"}
    for task in sorted(set(known()) - with_boards):
        env = make(task)
        assert env.draw(play(env, "random", 0, task)) is None


@pytest.mark.parametrize("task", ["maze-fo", "maze-po", "chess", "wordle"])
@pytest.mark.parametrize(
    "text", ["", "</script>", "\x00\ud800", "8/8", "position 99, 99", "9" * 99]
)
def test_strange_texts_are_drawn_or_not_but_never_fail(task: str, text: str) -> None:
    env = make(task)
    episode = play(env, "random", 0, task)
    turns = [replace(turn, observation=text, action=text) for turn in episode.turns[:3]]
    strange = replace(episode, turns=tuple(turns), final=text, seed=-1)
    found = env.draw(strange)
    assert found is None or len(found.frames) == len(turns) + 1
    env.draw(replace(strange, turns=()))


@pytest.mark.parametrize(
    "board",
    [
        {"ground": "..", "frames": ()},
        {"ground": "...x", "frames": ()},
        {"ground": "....", "frames": (Frame(glyphs="abc"),)},
        {"ground": "....", "frames": (Frame(at=4),)},
        {"ground": "....", "frames": (Frame(marked=(-1,)),)},
    ],
)
def test_a_board_that_does_not_fit_is_refused(board: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"board|cell|letters|characters"):
        Drawing(rows=2, columns=2, **board)
    with pytest.raises(ValueError, match="limit"):
        Drawing(1000, 1000, "." * 10**6, ())
    assert all(len(letter) == 1 for letter in TONES)
