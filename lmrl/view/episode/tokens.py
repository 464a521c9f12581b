"""The figures of the tokens of an action."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from lmrl.view.rows import Rows
from lmrl.view.text import column, figure

_TITLES = {
    "sampler_log_prob": "logp samp",
    "log_prob": "logp lrn",
    "advantage": "advantage",
}
"""Short names of quantities; any other has its own."""
_TOKEN = 14
_VALUE = 9


class Tokens(Rows, can_focus=False):
    """The tokens of one action with a column for each quantity of the run.

    Attributes:
        first: number of the first quantity in sight.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.episode: Mapping[str, Any] = {"quantities": {}, "tokens": [], "counts": []}
        self.first = 0
        self._start = 0

    def select(self, episode: Mapping[str, Any], turn: int, token: int) -> None:
        """Show the tokens of an action.

        Args:
            episode: the episode, as `Live.episode` returns it.
            turn: number of the action; there are no tokens after the last one.
            token: number of the selected token in the action.
        """
        self.episode = episode
        self.first = min(self.first, max(len(episode["quantities"]) - 1, 0))
        counts = episode["counts"]
        self._start = sum(counts[:turn])
        self.show(counts[turn] if turn < len(counts) else 0, token)

    def shift(self, step: int) -> None:
        """Show the quantities to the left or to the right."""
        last = max(
            len(self.episode["quantities"]) - self._fitting(self.scrollable_content_region.width), 0
        )
        self.first = max(0, min(self.first + step, last))
        self.refresh()

    def _fitting(self, width: int) -> int:
        return max((width - _TOKEN - 10) // (_VALUE + 1), 1)

    def _names(self, width: int) -> list[str]:
        return list(self.episode["quantities"])[self.first : self.first + self._fitting(width)]

    def header(self, width: int) -> Text:
        """Return the names of the quantities in sight."""
        if not self.episode["tokens"]:
            return Text("No tokens: the policy is not a model, or its tokens were not stored.")
        shown = self._names(width)
        more = len(self.episode["quantities"]) > len(shown)
        names = [column(_TITLES.get(name, name), _VALUE, right=True) for name in shown]
        title = column("token (<> more)" if more else "token", _TOKEN)
        return Text(" ".join([title, *names, column("version", 8, right=True)]))

    def row(self, number: int, width: int) -> Text:
        """Return the figures of a token."""
        place = self._start + number
        values = [
            column(figure(self.episode["quantities"][name][place]), _VALUE, right=True)
            for name in self._names(width)
        ]
        versions = self.episode["versions"]
        version = versions[place] if isinstance(versions, list) else versions
        mark = ">" if number == self.cursor else " "
        text = visible(self.episode["tokens"][place])
        token = mark + (text if text.strip(" ") else "␣" * len(text))
        known = str(version) if version >= 0 else ""
        return Text(" ".join([column(token, _TOKEN), *values, column(known, 8, right=True)]))


def visible(token: str) -> str:
    """Return the text of a token with signs for line ends and for nothing."""
    return token.replace("\n", "↵") or "∅"
