"""The viewer: tabs of episodes, curves and scores, read again while the run goes on."""

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static, TabbedContent, TabPane

from lmrl.errors import DataError, Terminated, UsageError
from lmrl.trajectory import printable
from lmrl.view.curves import Curves, heading
from lmrl.view.episode.screen import EpisodeScreen, facts_of
from lmrl.view.index import Filter, parsed
from lmrl.view.listing import EpisodeList
from lmrl.view.loading import Loaded, Loader
from lmrl.view.rows import Rows
from lmrl.view.state import state_text

EVERY = 4.0
"""Seconds between two looks at whether a run has changed."""

HELP = """\
Everywhere    1 2 3  episodes, curves, scores   r  read again   q  quit
Lists         ↑ ↓ (or k j), Page Up, Page Down, Home, End     Enter  open
Episodes      s  order by the next column     S  turn the order round
              /  filter     x  all episodes
An episode    ↑ ↓  action     ← →  token     < >  more figures of the tokens
              n p  next and previous episode     b  board     Esc  back

A filter has words and comparisons; all of them have to hold:
  return>-10   turns<=20   version>=3   update=4
  kind=training   policy=ppo   run=demo   outcome=success   learner=yes
  every other word is looked for in the texts; "a=b" takes quotes
Outcomes are success and failure, as the task says, or else ended and cut.
learner=yes keeps the episodes with entropy, value and advantage.

Esc closes this."""


class HelpScreen(ModalScreen[None]):
    """The keys and the filter."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,enter", "app.pop_screen", "Close")
    ]
    CSS = """
    HelpScreen { align: center middle; }
    HelpScreen Static { width: 78; max-width: 100%; height: auto; border: round $primary; }
    """

    def compose(self) -> ComposeResult:
        """Yield the text."""
        yield Static(HELP, markup=False)


class FilterField(Input):
    """The line in which a filter is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Use the filter"),
        Binding("escape", "app.close_filter", "Close", priority=True),
    ]


class Viewer(App[None]):
    """Runs in a terminal.

    Args:
        loader: reader of the runs.
        every: seconds between two looks at whether a run has changed; 0 never looks.
    """

    TITLE = "lmrl view"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "tab('episodes')", "Tabs", key_display="1-3"),
        Binding("2", "tab('curves')", show=False),
        Binding("3", "tab('scores')", show=False),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("x", "clear", "All", show=False),
        Binding("r", "reload", "Reload"),
        Binding("question_mark", "help", "Keys", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]
    CSS = """
    #heading { height: 1; padding: 0 1; background: $primary; color: $text; text-style: bold; }
    #status { height: auto; max-height: 3; padding: 0 1; }
    #filter { display: none; height: 1; border: none; }
    #filter.open { display: block; }
    TabbedContent, ContentSwitcher, TabPane { height: 1fr; }
    TabPane { padding: 0; }
    EpisodeList { height: 1fr; }
    #state { height: auto; padding: 0 1; }
    """

    class Read(Message):
        """The runs were read, or an episode was, or that failed."""

        def __init__(self, show: Callable[[], None]) -> None:
            super().__init__()
            self.show = show

    def __init__(self, loader: Loader, every: float = EVERY) -> None:
        super().__init__()
        self.loader = loader
        self.loaded = Loaded()
        self.terminated = False
        self._every = every
        self._filter = Filter()

    def compose(self) -> ComposeResult:
        """Yield the parts of the screen."""
        yield Static("lmrl view", id="heading", markup=False)
        with TabbedContent(id="tabs"):
            with TabPane("Episodes", id="episodes"):
                yield EpisodeList(id="list")
                yield FilterField(
                    id="filter", placeholder="return>-10 kind=training outcome=success words"
                )
                yield Static("reading the runs …", id="status", markup=False)
            with TabPane("Curves", id="curves"):
                yield Curves()
            with TabPane("Scores", id="scores"), VerticalScroll(id="state-scroll"):
                yield Static(id="state", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Read the runs, now and while they go on."""
        self.query_one(EpisodeList).focus()
        self._read(None)
        if self._every:
            self.set_interval(self._every, self._poll)

    def _poll(self) -> None:
        """Read the runs again if they have changed, unless they are still being read.

        End if the terminal is gone: a process without a controlling terminal gets no signal then,
        and would wait for input without a pause.
        """
        if not self.is_headless and not sys.stdin.isatty():
            self.exit()
            return
        if not any(work.group == "read" and not work.is_finished for work in self.workers):
            self._read(self.loaded)

    def _in_thread(self, work: Callable[[], Callable[[], None] | None], group: str) -> None:
        """Do work that reads files in a thread, then show its result.

        Args:
            work: returns what shows the result; None if there is nothing to show.
            group: work of one group replaces what is still going on.
        """

        def done() -> None:
            try:
                show = work()
            except (DataError, UsageError, OSError) as error:
                show = partial(self.tell, str(error), failed=True)
            if show is not None:
                self.post_message(self.Read(show))

        self.run_worker(done, thread=True, group=group, exclusive=True)

    def on_viewer_read(self, message: Read) -> None:
        """Show what was read."""
        message.show()

    def _read(self, known: Loaded | None, wanted: Filter | None = None) -> None:
        """Read the runs, and show them if they have changed.

        Args:
            known: the runs as they are shown; None reads them in any case.
            wanted: filter of the episodes; None keeps the one there is.
        """
        if wanted is not None:
            self._filter = wanted
        chosen = self._filter

        def work() -> Callable[[], None] | None:
            found = self.loader.newer(known)
            if found is None and wanted is None:
                return None
            shown = found or self.loaded
            hits = self.loader.live.search(shown.keys, chosen.text) if chosen.text else []
            return lambda: self._show(shown, chosen, hits)

        self._in_thread(work, "read")

    def _show(self, loaded: Loaded, wanted: Filter, hits: Sequence[Any]) -> None:
        if wanted is not self._filter:  # another filter was typed while the files were read
            return
        fresh, self.loaded = loaded is not self.loaded, loaded
        listed = self.screen_stack[0].query_one(EpisodeList)
        listed.set_index(loaded.index, wanted, hits)
        if not fresh:
            return
        base = self.screen_stack[0]
        base.query_one("#heading", Static).update(Text(heading(loaded.overview)))
        base.query_one(Curves).set_overview(loaded.overview)
        problems = [*loaded.overview["problems"], *loaded.index.problems]
        base.query_one("#state", Static).update(state_text(loaded.overview, problems))

    def on_rows_moved(self, message: Rows.Moved) -> None:
        """Show how many episodes there are, and what could not be read."""
        if isinstance(message.rows, EpisodeList):
            self._tell_count(message.rows)

    def _tell_count(self, listed: EpisodeList) -> None:
        shown, stored = len(listed.places), len(listed.index)
        words = [f"{listed.cursor + 1 if shown else 0} of {shown}"]
        if shown < stored:
            words = [f"{words[0]}, of {stored} episodes"]
        elif stored:
            words = [f"{words[0]} episodes"]
        else:
            words = ["no episodes are stored yet"]
        if listed.filter.typed:
            words.append(f"filter: {listed.filter.typed}")
        if listed.order != "stored" or listed.down:
            words.append(f"by {listed.order}, {'falling' if listed.down else 'rising'}")
        problems = [*self.loaded.overview.get("problems", []), *listed.index.problems]
        if problems:
            words.append(f"{len(problems)} not read (3 shows)")
        self.tell("   ".join(words))

    def tell(self, sentence: str, failed: bool = False) -> None:
        """Show a sentence below the list.

        Args:
            sentence: the sentence.
            failed: whether it is shown above an open episode too.
        """
        status = self.screen_stack[0].query_one("#status", Static)
        status.update(Text(printable(sentence)))
        if failed and len(self.screen_stack) > 1:
            self.notify(printable(sentence), markup=False, severity="error")

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        """Open the episode of the cursor."""
        if isinstance(message.rows, EpisodeList):
            self._open()

    def _open(self, step: int = 0) -> None:
        listed = self.screen_stack[0].query_one(EpisodeList)
        if step:
            listed.action_move(step)
        place, loaded = listed.place, self.loaded
        if place is None:
            return

        def work() -> Callable[[], None]:
            key = loaded.index.key(place)
            try:
                episode = self.loader.live.episode(loaded.keys, *key)
            except DataError as error:
                raise DataError(f"episode {key[3] + 1} of {key[2]}: {error}") from error
            facts = facts_of(loaded.index.row(place))
            return lambda: self._show_episode(episode, facts)

        self._in_thread(work, "episode")

    def _show_episode(self, episode: dict[str, Any], facts: str) -> None:
        if isinstance(self.screen, EpisodeScreen):
            self.screen.show(episode, facts)
            return
        if len(self.screen_stack) == 1:
            screen = EpisodeScreen(self._open)
            screen.show(episode, facts)
            self.push_screen(screen)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Return whether an action can be done now: those of the tabs only where they are."""
        if isinstance(self.focused, FilterField) and action in ("tab", "filter", "help"):
            return False
        return action not in ("tab", "filter", "clear", "reload") or len(self.screen_stack) == 1

    def action_tab(self, name: str) -> None:
        """Show a tab."""
        self.query_one(TabbedContent).active = name
        self.query_one(
            {"episodes": "#list", "curves": "#curve-list", "scores": "#state-scroll"}[name]
        ).focus()

    def action_filter(self) -> None:
        """Ask for the filter."""
        self.action_tab("episodes")
        field = self.query_one("#filter", Input)
        field.add_class("open")
        field.focus()

    def action_clear(self) -> None:
        """Show all episodes."""
        self.query_one("#filter", Input).value = ""
        self._read(self.loaded, Filter())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Use the filter that was typed."""
        try:
            wanted = parsed(event.value)
        except UsageError as error:
            self.tell(str(error))
            return
        self.action_close_filter()
        if wanted.text:
            self.tell(f"looking for '{wanted.text}' …")
        self._read(self.loaded, wanted)

    def action_close_filter(self) -> None:
        """Go back to the list."""
        self.query_one("#filter", Input).remove_class("open")
        listed = self.query_one(EpisodeList)
        listed.focus()
        self._tell_count(listed)

    def action_reload(self) -> None:
        """Read the runs again now."""
        self.tell("reading the runs …")
        self._read(None)

    def action_help(self) -> None:
        """Show the keys and the filter."""
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    def terminate(self) -> None:
        """End because the process was asked to, with the terminal as it was before."""
        self.terminated = True
        self.exit()


def show(paths: Sequence[Path], load_tasks: bool = False) -> int:
    """Show runs until the user quits; return the exit code.

    Args:
        paths: run directories, or folders with runs.
        load_tasks: whether tasks that runs name as `module:Class` are imported.

    Raises:
        Terminated: after SIGTERM, with the terminal as it was before.
    """

    async def main() -> int:
        viewer = Viewer(Loader(paths, load_tasks))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, viewer.terminate)
        await viewer.run_async()
        if viewer.terminated:
            raise Terminated
        return viewer.return_code or 0

    return asyncio.run(main())
