"""What a task can draw of an episode: boards of cells, one for every observation.

A task returns a `Drawing` from `TextEnv.draw`; the report draws it without knowledge of the task.
A drawing is data, never markup, so that no text of an episode can become part of a page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TONES = {
    "#": "wall",
    ".": "free",
    "*": "goal",
    "l": "light",
    "d": "dark",
    "g": "hit",
    "y": "near",
    "b": "miss",
    " ": "blank",
}
"""Letters for the look of a cell, with their names."""

MAX_CELLS = 4096
"""Most cells of a board."""


@dataclass(frozen=True)
class Frame:
    """A board at one moment. Cells are numbered row by row, from 0.

    Attributes:
        glyphs: one character for each cell; empty if no cell has one.
        tones: one letter of `TONES` for each cell; empty for the ground of the drawing.
        at: cell where the policy stands; None if it stands in none. The cells of successive frames
            are drawn as a path.
        marked: cells to point out, for example those of the last move.
        caption: the moment in words.
    """

    glyphs: str = ""
    tones: str = ""
    at: int | None = None
    marked: tuple[int, ...] = ()
    caption: str = ""


@dataclass(frozen=True)
class Drawing:
    """Boards of an episode.

    Attributes:
        rows: number of rows.
        columns: number of columns.
        ground: one letter of `TONES` for each cell.
        frames: board at each observation of the episode, the final one last.

    Raises:
        ValueError: if a frame does not fit the board, or has an unknown tone.
    """

    rows: int
    columns: int
    ground: str
    frames: tuple[Frame, ...]

    def __post_init__(self) -> None:
        cells = self.rows * self.columns
        if not 0 < cells <= MAX_CELLS:
            raise ValueError(f"a board has {cells} cells; the limit is {MAX_CELLS}")
        for text, empty in ((self.ground, False), *((f.tones, True) for f in self.frames)):
            if (text or not empty) and (len(text) != cells or not set(text) <= set(TONES)):
                raise ValueError(f"tones {text!r} are not {cells} letters of {''.join(TONES)!r}")
        for frame in self.frames:
            if frame.glyphs and len(frame.glyphs) != cells:
                raise ValueError(f"glyphs {frame.glyphs!r} are not {cells} characters")
            places: Sequence[int] = frame.marked if frame.at is None else (*frame.marked, frame.at)
            if not all(0 <= place < cells for place in places):
                raise ValueError(f"cells {places} are not all among the {cells} of the board")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; a frame is a list of its fields."""
        return {
            "rows": self.rows,
            "columns": self.columns,
            "ground": self.ground,
            "frames": [
                [frame.glyphs, frame.tones, frame.at, list(frame.marked), frame.caption]
                for frame in self.frames
            ],
        }
