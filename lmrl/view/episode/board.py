"""The drawing of an episode as characters with colours; it reads well without colours too."""

from collections.abc import Mapping
from typing import Any

from rich.style import Style
from rich.text import Text

from lmrl.view.text import cell

_STYLES = {
    "#": Style(color="grey62", bgcolor="grey37"),
    ".": Style(),
    "*": Style(color="bright_yellow", bold=True),
    "l": Style(color="black", bgcolor="grey82"),
    "d": Style(color="black", bgcolor="grey62"),
    "g": Style(color="white", bgcolor="dark_green", bold=True),
    "y": Style(color="black", bgcolor="gold3", bold=True),
    "b": Style(color="white", bgcolor="grey30"),
    " ": Style(),
}
_SIDES = {"g": "[]", "y": "()"}
_HERE = Style(color="white", bgcolor="blue", bold=True)
_PATH = Style(color="bright_cyan")
_MARKED = Style(color="black", bgcolor="gold3", bold=True)

LEGEND = {
    "@": "policy",
    "*": "goal",
    "·": "path",
    "[]": "right place",
    "()": "in the word",
}
"""Signs of a board, with their meaning."""


def size(drawing: Mapping[str, Any]) -> tuple[int, int]:
    """Return columns and rows of the terminal that a board needs."""
    return drawing["columns"] * _width(drawing), drawing["rows"]


def _width(drawing: Mapping[str, Any]) -> int:
    """Return the cells of the terminal for a cell of the board: room for marks around a glyph."""
    return 3 if any(frame[0] for frame in drawing["frames"]) else 2


def board(drawing: Mapping[str, Any], moment: int) -> Text:
    """Return a board at a moment of its episode.

    Args:
        drawing: plain values of a `Drawing`, as `lmrl.report.episodes.transcripts` returns them.
        moment: number of the observation; the last one is taken if there are fewer.
    """
    frames = drawing["frames"]
    glyphs, tones, at, marked, _ = frames[min(moment, len(frames) - 1)]
    walked = {frame[2] for frame in frames[: moment + 1]}
    columns, width, looks = drawing["columns"], _width(drawing), tones or drawing["ground"]
    text = Text(no_wrap=True)
    for place, tone in enumerate(looks):
        if place and place % columns == 0:
            text.append("\n")
        style = _STYLES.get(tone, Style())
        if at == place:
            text.append("@ " if width == 2 else " @ ", _HERE)
        elif width == 2:
            path = place in walked and tone != "*"
            text.append(_ground(tone, path), _PATH if path else style)
        else:
            sides = "[]" if place in marked else _SIDES.get(tone, "  ")
            sign = cell(glyphs[place]) if place < len(glyphs) else _ground(tone, False)[0]
            sign = "_" if tone == " " and sign == " " else sign
            text.append(f"{sides[0]}{sign}{sides[1]}", _MARKED if place in marked else style)
    return text


def _ground(tone: str, path: bool) -> str:
    return "· " if path else {"#": "██", "*": "* "}.get(tone, "  ")


def legend(drawing: Mapping[str, Any]) -> str:
    """Return the meaning of the signs of a board in a line."""
    looks = drawing["ground"] + "".join(frame[1] for frame in drawing["frames"])
    signs = []
    if any(frame[2] is not None for frame in drawing["frames"]):
        signs += ["@", "·"]
    if "*" in looks:
        signs.append("*")
    if "g" in looks or "y" in looks:
        signs += ["[]", "()"]
    elif any(frame[3] for frame in drawing["frames"]):
        return "[] changed by the move"
    return "  ".join(f"{sign} {LEGEND[sign]}" for sign in signs)
