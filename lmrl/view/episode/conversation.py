"""The texts of an episode, turn by turn, with the selected action and token."""

import json
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from rich.style import Style
from rich.text import Text
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from lmrl.trajectory import printable
from lmrl.view.episode.tokens import visible
from lmrl.view.rows import drawn
from lmrl.view.text import figure, lines

MAX_SHOWN = 200_000
"""Characters of an episode that are shown; each text gets its share."""
MIN_SHOWN = 100
"""Characters of a text that are shown in any case."""

_ACTION = Style(color="bright_green")
_MUTED = Style(dim=True)
_TOKEN = Style(reverse=True, bold=True)
_INDENT = 6


class Conversation(ScrollView, can_focus=True):
    """Observations and actions. The final observation comes after the last action.

    Attributes:
        episode: the episode, as `Live.episode` returns it; None before the first one.
        turn: number of the selected action; the number of actions for the final observation.
        token: number of the selected token in its action.
    """

    DEFAULT_CSS = "Conversation { scrollbar-size-vertical: 1; scrollbar-gutter: stable; }"

    class Selected(Message):
        """Another action or token is selected."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.episode: Mapping[str, Any] | None = None
        self.turn = self.token = 0
        self._blocks: list[list[Text]] = []
        self._starts: list[int] = [0]
        self._width = 0

    @property
    def turns(self) -> int:
        """Number of actions."""
        return 0 if self.episode is None else len(self.episode["counts"])

    def show(self, episode: Mapping[str, Any]) -> None:
        """Show an episode from its first action on."""
        self.episode, self.turn, self.token = episode, 0, 0
        self._lay_out()
        self.scroll_to(y=0, animate=False, immediate=True)
        self.post_message(self.Selected())

    def on_resize(self) -> None:
        """Break the lines again."""
        if self.scrollable_content_region.width != self._width:
            self._lay_out()
            self._reveal()

    def move(self, step: int) -> None:
        """Select another action, or the final observation."""
        self._select(max(0, min(self.turn + step, self.turns)), 0)

    def move_token(self, step: int) -> None:
        """Select the next or previous token; after the last one of an action comes the next one."""
        if self.episode is None:
            return
        counts = self.episode["counts"]
        turn, token = self.turn, self.token + step
        if token < 0:
            turn = max(turn - 1, 0)
            token = max(counts[turn] - 1, 0) if self.turn and turn < len(counts) else 0
        elif turn < len(counts) and token >= max(counts[turn], 1):
            turn, token = turn + 1, 0
        self._select(min(turn, self.turns), token if turn < len(counts) else 0)

    def _select(self, turn: int, token: int) -> None:
        before, self.turn, self.token = self.turn, turn, token
        if self.episode is None or not self._blocks:
            return
        for number in {before, turn}:
            self._blocks[number] = self._block(number)
        self._reveal()
        self.refresh()
        self.post_message(self.Selected())

    def _lay_out(self) -> None:
        self._width = self.scrollable_content_region.width
        if self.episode is None or self._width <= _INDENT:
            return
        self._blocks = [self._block(number) for number in range(self.turns + 1)]
        self._starts = [0, *accumulate(map(len, self._blocks))]
        self.virtual_size = Size(0, self._starts[-1])
        self.refresh()

    def _reveal(self) -> None:
        if self.turn + 1 >= len(self._starts):
            return
        first, end = self._starts[self.turn], self._starts[self.turn + 1]
        top, seen = round(self.scroll_offset.y), self.size.height
        if first < top or end - first >= seen:
            self.scroll_to(y=first, animate=False, immediate=True)
        elif end > top + seen:
            self.scroll_to(y=end - seen, animate=False, immediate=True)

    def render_line(self, y: int) -> Strip:
        """Return a line of the widget."""
        width, line = self.scrollable_content_region.width, round(self.scroll_offset.y) + y
        if not 0 <= line < self._starts[-1]:
            return Strip.blank(width, self.rich_style)
        block = bisect_right(self._starts, line) - 1
        return drawn(self, self._blocks[block][line - self._starts[block]].copy(), width)

    def _block(self, number: int) -> list[Text]:
        """Return the lines of a turn; the last block is the end of the episode."""
        assert self.episode is not None
        episode, texts = self.episode, self.episode["texts"]
        limit = max(MAX_SHOWN // len(texts), MIN_SHOWN)
        if number == self.turns:
            found = self._wrapped("[end]", _text(texts[-1], limit), number)
            facts = json.dumps({**episode["options"], **episode["info"]}, ensure_ascii=False)
            notes = [f"facts of the task: {facts[:limit]}"]
            if episode["more"]:
                notes.insert(0, f"{episode['more']} more turns are not shown")
            return found + self._wrapped("", Text(printable("\n".join(notes)), _MUTED), number)
        reward = figure(episode["rewards"][number])
        answer = self._action(number, limit)
        sign = "" if reward.startswith("-") else "+"
        answer.append(f"   ({sign}{reward or '?'})", _MUTED)
        seen = self._wrapped(f"[{number + 1}]", _text(texts[2 * number], limit), number)
        return seen + self._wrapped("  >", answer, number)

    def _action(self, number: int, limit: int) -> Text:
        """Return an action, with the selected token if its tokens are known as texts."""
        assert self.episode is not None
        text = self.episode["texts"][2 * number + 1]
        start = sum(self.episode["counts"][:number])
        tokens = self.episode["tokens"][start : start + self.episode["counts"][number]]
        if number != self.turn or "".join(tokens) != text or len(text) > limit:
            shown = _text(text.removesuffix("\n"), limit)
            shown.stylize(_ACTION)
            return shown
        found = Text()
        for place, token in enumerate(tokens):
            style = _TOKEN if place == self.token else _ACTION
            found.append(printable(visible(token)), style)
        return found

    def _wrapped(self, label: str, text: Text, number: int) -> list[Text]:
        mark = "▌" if number == self.turn else " "
        found = []
        for line in text.wrap(self.app.console, max(self._width - _INDENT - 1, 1)):
            start = Text(f"{mark}{label:<{_INDENT - 1}} ", _MUTED)
            found.append(start.append_text(line))
            label = ""
        return found


def _text(text: str, limit: int) -> Text:
    """Return an untrusted text with its line ends, cut to a number of characters."""
    more = len(text) - limit
    shown = Text("\n".join(lines(text[:limit])))
    if more > 0:
        shown.append(f"… ({more} more characters)", _MUTED)
    return shown
