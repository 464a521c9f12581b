"""The screen of one episode: conversation, drawing, and the figures of its tokens."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Static

from lmrl.trajectory import printable
from lmrl.view.episode.board import board, legend, size
from lmrl.view.episode.conversation import Conversation
from lmrl.view.episode.tokens import Tokens
from lmrl.view.text import figure


class EpisodeScreen(Screen[None]):
    """One episode.

    Args:
        other: shows the next or the previous episode of the list.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "turn(-1)", "Action", key_display="↑↓", priority=True),
        Binding("down,j", "turn(1)", "Action", show=False, priority=True),
        Binding("left,h", "token(-1)", "Token", key_display="←→", priority=True),
        Binding("right,l", "token(1)", "Token", show=False, priority=True),
        Binding("pageup", "turn(-10)", "10 back", show=False, priority=True),
        Binding("pagedown", "turn(10)", "10 on", show=False, priority=True),
        Binding("home", "turn(-1000000)", "First", show=False, priority=True),
        Binding("end", "turn(1000000)", "Last", show=False, priority=True),
        Binding("n", "other(1)", "Episode", key_display="n/p"),
        Binding("p", "other(-1)", "Previous", show=False),
        Binding("escape,backspace", "app.pop_screen", "Back"),
        Binding("less_than_sign", "figures(-1)", "Figures left", show=False),
        Binding("greater_than_sign", "figures(1)", "More", key_display="<>"),
        Binding("b", "board", "Board"),
    ]
    CSS = """
    #facts { height: 2; padding: 0 1; text-style: bold; }
    #middle { height: 1fr; }
    #conversation { width: 1fr; }
    #side { width: auto; height: 1fr; padding: 0 1; }
    #side Static { width: auto; }
    #tokens { height: 7; border-top: solid $primary; }
    """

    def __init__(self, other: Callable[[int], None]) -> None:
        super().__init__()
        self._other = other
        self.episode: Mapping[str, Any] = {}

    def compose(self) -> ComposeResult:
        """Yield the parts of the screen."""
        yield Static(id="facts", markup=False)
        with Horizontal(id="middle"):
            yield Conversation(id="conversation")
            with VerticalScroll(id="side", can_focus=False):
                yield Static(id="board", markup=False)
                yield Static(id="caption", markup=False)
        yield Tokens(id="tokens")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Show the episode that was given before the screen was there."""
        self.query_one(Conversation).focus()
        self._shown()

    def show(self, episode: Mapping[str, Any], facts: str) -> None:
        """Show an episode.

        Args:
            episode: the episode, as `Live.episode` returns it.
            facts: what the list has of it, in words.
        """
        self.episode, self._facts = episode, facts
        if self.is_mounted:
            self._shown()

    def _shown(self) -> None:
        episode = self.episode
        seed = "imported" if episode["seed"] == "-1" else f"seed {printable(episode['seed'])}"
        self.query_one("#facts", Static).update(
            Text(f"{printable(episode['task'])}, {seed}, {self._facts}", overflow="ellipsis")
        )
        self.query_one("#side").display = episode["drawing"] is not None
        self.query_one(Conversation).show(episode)

    def on_conversation_selected(self) -> None:
        """Show board and figures of the selected action."""
        own = self.query_one(Conversation)
        self.query_one(Tokens).select(self.episode, own.turn, own.token)
        drawing = self.episode["drawing"]
        if drawing is None:
            return
        moment = min(own.turn, len(drawing["frames"]) - 1)
        width = max(size(drawing)[0], 20)
        words = [f"{moment} of {len(drawing['frames']) - 1}"]
        words += [printable(drawing["frames"][moment][4])[:200], legend(drawing)]
        self.query_one("#board", Static).update(board(drawing, own.turn))
        caption = self.query_one("#caption", Static)
        caption.styles.width = width
        caption.update(Text("\n".join(word for word in words if word)))

    def action_turn(self, step: int) -> None:
        """Select another action."""
        self.query_one(Conversation).move(step)

    def action_token(self, step: int) -> None:
        """Select another token."""
        self.query_one(Conversation).move_token(step)

    def action_figures(self, step: int) -> None:
        """Show other figures of the tokens."""
        self.query_one(Tokens).shift(step)

    def action_board(self) -> None:
        """Show or hide the board."""
        side = self.query_one("#side")
        side.display = not side.display and self.episode["drawing"] is not None

    def action_other(self, step: int) -> None:
        """Show the next or the previous episode of the list."""
        self._other(step)


def facts_of(row: Mapping[str, Any]) -> str:
    """Return what the list has of an episode, in words.

    Args:
        row: what `Index.row` returns.
    """
    words = [f"return {figure(row['returned'])}", f"{row['length']} actions", row["outcome"]]
    words.append(f"policy {printable(row['player'])[:60]}")
    if row["version"] >= 0:
        words.append(f"weights v{row['version']}")
    kind = row["kind"] if row["update"] < 0 else f"{row['kind']} of update {row['update']}"
    return ", ".join([*words, kind, printable(row["run"])[:60]])
