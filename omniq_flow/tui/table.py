"""A table of any length: it knows how many rows there are, and holds only those around the visible ones.

The selection belongs to an id, not to a row number: when rows come and go above it, the cursor goes along. A row that
is not here yet is shown as such and asked for; moving inside what is here paints at once and asks nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from textual import events
from textual.binding import Binding
from textual.message import Message

from omniq_flow.tui.canvas import Canvas
from omniq_flow.tui.text import BLANK, Line, Part, Span, cell, fit, line

MARGIN = 10
"""So many rows above and below the visible ones are held as well."""
GAP = "  "
FLEXIBLE = 0
"""The width of a column that takes what is left."""


@dataclass(frozen=True, slots=True)
class Column:
    """`least` is the width of the screen from which on the column is shown."""

    title: str
    width: int = FLEXIBLE
    align: str = "<"
    least: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `flag` is a character before it. `thing` is what the row stands for."""

    id: str
    cells: tuple[Part, ...]
    flag: str = " "
    thing: object = None


class Table(Canvas, can_focus=True):
    """See the module."""

    BINDINGS = [  # noqa: RUF012
        Binding("down,j", "move(1)", "down", show=False),
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("pagedown,right,l", "page(1)", "next page", show=False),
        Binding("pageup,left,h", "page(-1)", "previous page", show=False),
        Binding("home,g", "to_end(False)", "first", show=False),
        Binding("end,G", "to_end(True)", "last", show=False),
        Binding("enter", "open", "open", show=False),
        Binding("space", "mark", "mark", show=False),
        Binding("v", "mark_range", "mark up to here", show=False),
        Binding("A", "mark_all", "mark all", show=False),
        Binding("u", "unmark", "unmark", show=False),
    ]

    @dataclass
    class Opened(Message):
        table: Table
        row: Row

    @dataclass
    class Moved(Message):
        """The selection is another one, or has news."""

        table: Table

    @dataclass
    class Lacking(Message):
        """Rows are visible that are not here."""

        table: Table

    @dataclass
    class MarkAll(Message):
        """All rows that match are to be marked, also those that are not here."""

        table: Table

    def __init__(self, columns: Sequence[Column], *, id: str | None = None, empty: Callable[[], Sequence[Line]] = lambda: ()) -> None:
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.total = 0
        self.first = 0
        self.rows: tuple[Row, ...] = ()
        self.top = 0
        self.cursor = 0
        self.selected_id = ""
        self.marks: dict[str, object] = {}
        self.is_loaded = False
        self.is_wide = False
        self._anchor = 0
        self._was_hidden = False
        self._empty = empty
        self._wide: tuple[int, tuple[tuple[Column, int, str], ...]] = (0, ())

    @property
    def visible_rows(self) -> int:
        return max(self.size.height - 1, 1)

    @property
    def selected(self) -> Row | None:
        return self.row_at(self.cursor)

    def row_at(self, at: int) -> Row | None:
        n = at - self.first
        return self.rows[n] if 0 <= n < len(self.rows) else None

    def window(self, most: int) -> tuple[int, int]:
        """First and number of the rows worth having: the visible ones, and some around them as long as that makes no more than `most`."""
        margin = max(min(MARGIN, (most - self.visible_rows) // 2), 0)
        first = max(self.top - margin, 0)
        return first, self.top + self.visible_rows + margin - first

    def fill(self, rows: Sequence[Row], offset: int, total: int, place: tuple[str, int] | None = None) -> None:
        """Take the rows from `offset` on of `total`; the cursor stays with its id.

        `place` is an id and where it stands by now, −1 for nowhere: has the selected one left these rows, the cursor follows it
        there. Where it tells of another id, which was selected when it was asked for, the selected one is asked for again.
        """
        self.rows, self.first, self.total, self.is_loaded = tuple(rows), offset, total, True
        at = next((offset + n for n, row in enumerate(rows) if row.id == self.selected_id), None)
        if at is not None and at != self.cursor:
            if self.top:
                self.top += at - self.cursor
            self.cursor = at
        self.marks = {id: self._thing(id, thing) for id, thing in self.marks.items()}
        chosen = self.selected_id
        is_elsewhere = at is None and chosen != "" and place is not None and (place[0] != chosen or place[1] >= 0)
        if is_elsewhere and place is not None and place[0] == chosen:
            self.top += place[1] - self.cursor if self.top else 0
            self.cursor = place[1]
        self._settle()
        if is_elsewhere:
            self.selected_id = chosen
            self.post_message(self.Lacking(self))
        self.refresh()
        self.post_message(self.Moved(self))

    def widen(self) -> None:
        """Show all columns, whatever the width; or again those that have room."""
        self.is_wide, self._wide = not self.is_wide, (0, ())
        self.refresh()

    def forget(self) -> None:
        """Begin again from the top: the rows to come are others."""
        self.rows, self.first, self.total, self.top, self.cursor = (), 0, 0, 0, 0
        self.selected_id, self.marks, self.is_loaded = "", {}, False
        self.refresh()

    def mark_these(self, things: dict[str, object]) -> None:
        self.marks |= things
        self.refresh()

    def unmark_these(self, ids: Iterable[str]) -> None:
        for id in ids:
            self.marks.pop(id, None)
        self.refresh()

    def _thing(self, id: str, before: object) -> object:
        return next((row.thing for row in self.rows if row.id == id), before)

    def _settle(self) -> None:
        """Keep the cursor inside the rows, and visible; what stands there is selected."""
        self.cursor = max(min(self.cursor, self.total - 1), 0)
        row = self.selected
        # On a row that is not here the place counts, until it is known who stands there.
        self.selected_id = row.id if row is not None else ""
        self._keep_visible()

    def _keep_visible(self) -> None:
        self.top = max(min(self.top, self.cursor, max(self.total - self.visible_rows, 0)), self.cursor - self.visible_rows + 1, 0)

    def _go(self, to: int) -> None:
        before, top = self.cursor, self.top
        self.cursor = max(min(to, self.total - 1), 0)
        self._settle()
        if self.top != top or self.cursor != before:
            self.refresh()
        if self.total and any(self.row_at(at) is None for at in range(self.top, min(self.top + self.visible_rows, self.total))):
            self.post_message(self.Lacking(self))
        self.post_message(self.Moved(self))

    def action_move(self, by: int) -> None:
        self._go(self.cursor + by)

    def action_page(self, by: int) -> None:
        self._go(self.cursor + by * self.visible_rows)

    def action_to_end(self, is_last: bool) -> None:
        self._go(self.total - 1 if is_last else 0)

    def action_open(self) -> None:
        if (row := self.selected) is not None:
            self.post_message(self.Opened(self, row))

    def action_mark(self) -> None:
        if (row := self.selected) is None:
            return
        if self.marks.pop(row.id, self) is self:
            self.marks[row.id] = row.thing
        self._anchor = self.cursor
        self._go(self.cursor + 1)
        self.refresh()
        self.post_message(self.Moved(self))

    def action_mark_range(self) -> None:
        first, last = sorted((self._anchor, self.cursor))
        self.mark_these({row.id: row.thing for at in range(first, last + 1) if (row := self.row_at(at)) is not None})
        self.post_message(self.Moved(self))

    def action_mark_all(self) -> None:
        self.post_message(self.MarkAll(self))

    def action_unmark(self) -> None:
        self.marks = {}
        self.refresh()
        self.post_message(self.Moved(self))

    def on_resize(self, event: events.Resize) -> None:
        # Only what is seen changes: the selected one may be on its way here, and is not known by its place.
        self._keep_visible()
        self.post_message(self.Lacking(self))

    def on_hide(self) -> None:
        self._was_hidden = True

    def on_show(self) -> None:
        """A screen that was too small for it took the focus away, and nobody gives it back."""
        if self._was_hidden and self.screen.focused is None:
            self.focus()

    def on_click(self, event: events.Click) -> None:
        if event.y >= 1 and self.row_at(at := self.top + event.y - 1) is not None:
            is_again = at == self.cursor and event.chain > 1
            self._go(at)
            if is_again:
                self.action_open()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._go(self.cursor + 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._go(self.cursor - 3)

    def is_cursor(self, y: int) -> bool:
        return self.has_focus and y >= 1 and self.top + y - 1 == self.cursor and self.total > 0

    def line_at(self, y: int, width: int) -> Line:
        if y == 0:
            return (Span(" "), *(Span(cell(c.title, wide, c.align) + gap, "head") for c, wide, gap in self._widths(width)))
        if not self.total:
            return self._empty_line(y)
        at = self.top + y - 1
        if at >= self.total:
            return BLANK
        row = self.row_at(at)
        return self._row_line(row, at, width) if row is not None else line(("  …", "dim"))

    def _empty_line(self, y: int) -> Line:
        if not self.is_loaded:
            return line(("  reading …", "dim")) if y == 2 else BLANK
        lines = self._empty()
        return lines[y - 2] if 2 <= y < len(lines) + 2 else BLANK

    def _row_line(self, row: Row, at: int, width: int) -> Line:
        is_marked = row.id in self.marks
        flag = "*" if is_marked else "▌" if at == self.cursor and self.has_focus else row.flag
        spans = [Span(flag, "mark" if is_marked else "bad" if flag == "!" else "key")]
        for (column, wide, gap), part in zip(self._widths(width), self._shown_cells(row, width), strict=False):
            text, tone = (part, "") if isinstance(part, str) else (part[0], part[1])
            spans.append(Span(cell(text, wide, column.align) + gap, "mark" if is_marked and not tone else tone))
        return fit(tuple(spans), width)

    def _shown_cells(self, row: Row, width: int) -> list[Part]:
        return [part for column, part in zip(self.columns, row.cells, strict=True) if self.is_wide or width >= column.least]

    def _widths(self, width: int) -> tuple[tuple[Column, int, str], ...]:
        """The columns that are shown, how wide, and the gap behind; the flexible ones share what is left."""
        if self._wide[0] != width:
            shown = [c for c in self.columns if self.is_wide or width >= c.least]
            left = width - 1 - sum(c.width for c in shown) - len(GAP) * (len(shown) - 1)
            share = max(left // max(sum(c.width == FLEXIBLE for c in shown), 1), 6)
            gaps = [*(GAP for _ in shown[1:]), ""]
            self._wide = (width, tuple((c, c.width or share, gap) for c, gap in zip(shown, gaps, strict=True)))
        return self._wide[1]
