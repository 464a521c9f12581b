"""A list of any length, of which only the rows in sight are made."""

from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

_HEADER = Style(bold=True, underline=True)
_CURSOR = Style(reverse=True)


class Rows(ScrollView, can_focus=True):
    """A header and rows of one line each, with a cursor.

    Subclasses define `header` and `row`; the metaclass of Textual's widgets rules out `ABC`.

    Attributes:
        count: number of rows.
        cursor: row of the cursor.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "to_end(-1)", "First", show=False),
        Binding("end,G", "to_end(1)", "Last", show=False),
        Binding("enter", "choose", "Open"),
    ]

    DEFAULT_CSS = "Rows { scrollbar-size-vertical: 1; overflow-x: hidden; }"

    cursor: reactive[int] = reactive(0)

    class Moved(Message):
        """The cursor is in another row."""

        def __init__(self, rows: "Rows") -> None:
            super().__init__()
            self.rows = rows

    class Chosen(Message):
        """The row of the cursor was chosen."""

        def __init__(self, rows: "Rows") -> None:
            super().__init__()
            self.rows = rows

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.count = 0

    def header(self, width: int) -> Text:
        """Return the header in `width` cells."""
        raise NotImplementedError

    def row(self, number: int, width: int) -> Text:
        """Return a row in `width` cells."""
        raise NotImplementedError

    def show(self, count: int, cursor: int = 0) -> None:
        """Show other rows.

        Args:
            count: number of rows.
            cursor: row of the cursor; the last one is taken if there are fewer.
        """
        self.count = count
        self.virtual_size = Size(0, count + 1)
        self.set_reactive(Rows.cursor, max(0, min(cursor, count - 1)))
        self.reveal()
        self.refresh()
        self.post_message(self.Moved(self))

    def watch_cursor(self) -> None:
        """Show the row of the cursor."""
        self.reveal()
        self.refresh()
        self.post_message(self.Moved(self))

    def reveal(self) -> None:
        """Scroll as little as needed to have the cursor in sight."""
        top, seen = round(self.scroll_offset.y), max(self.size.height - 1, 1)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True)
        elif self.cursor >= top + seen:
            self.scroll_to(y=self.cursor - seen + 1, animate=False, immediate=True)

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self.reveal()

    def render_line(self, y: int) -> Strip:
        """Return a line of the widget; the first one is the header."""
        width = self.scrollable_content_region.width
        number = round(self.scroll_offset.y) + y - 1
        if y == 0:
            text, style = self.header(width), _HEADER
        elif number < self.count:
            text = self.row(number, width)
            style = _CURSOR if number == self.cursor else Style()
        else:
            return Strip.blank(width, self.rich_style)
        return drawn(self, text, width, style)

    def action_move(self, step: int) -> None:
        """Move the cursor by some rows."""
        self.cursor = max(0, min(self.cursor + step, self.count - 1))

    def action_page(self, step: int) -> None:
        """Move the cursor by pages."""
        self.action_move(step * max(self.size.height - 2, 1))

    def action_to_end(self, step: int) -> None:
        """Move the cursor to the first or the last row."""
        self.action_move(step * self.count)

    def action_choose(self) -> None:
        """Choose the row of the cursor."""
        if self.count:
            self.post_message(self.Chosen(self))


def drawn(widget: ScrollView, text: Text, width: int, style: Style | None = None) -> Strip:
    """Return a line of a widget with exactly `width` cells.

    Args:
        widget: the widget, whose colours are below those of the text.
        text: the line.
        width: number of cells.
        style: style of the whole line.
    """
    text.no_wrap, text.end = True, ""
    base = widget.rich_style + (style or Style())
    strip = Strip(text.render(widget.app.console)).adjust_cell_length(width)
    return strip.apply_style(base)
