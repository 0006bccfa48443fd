"""A screen that is a list with a line above it and the selected thing beside it (or in its place, on a narrow screen)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from textual.containers import Horizontal
from textual.widget import Widget

from omniq_flow.tui.canvas import Board
from omniq_flow.tui.page import SIDE_FROM, Page
from omniq_flow.tui.table import Column, Row, Table
from omniq_flow.tui.text import Line


class ListPage(Page):
    """See the module. Subclasses give the columns, the line above, and the lines about one thing."""

    COLUMNS: ClassVar[tuple[Column, ...]] = ()
    HAS_SIDE: ClassVar[bool] = True
    PANE = "side"
    SORTS: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    """Title of a column -> what rows are sorted by; for lists that are here as a whole."""
    DEFAULT_CSS = """
    ListPage #summary { height: 1; }
    ListPage #main { height: 1fr; }
    ListPage #side { display: none; border-left: solid $primary; padding-left: 1; }
    ListPage.-wide #side { display: block; width: 45%; }
    ListPage.-open #side { display: block; }
    ListPage.-open #table { display: none; }
    ListPage.-wide.-open #table { display: block; }
    """

    _rows: tuple[Row, ...] = ()
    _sorted_by = ""

    def compose_body(self) -> Iterable[Widget]:
        self.summary = Board(id="summary")
        self.table = Table(self.COLUMNS, id="table", empty=self.empty)
        self.side = Board(id="side")
        yield self.summary
        yield Horizontal(self.table, self.side, id="main") if self.HAS_SIDE else self.table

    def empty(self) -> Sequence[Line]:
        """What stands here when there is nothing."""
        return ()

    def summary_line(self) -> Line:
        return ()

    def about(self, thing: object, width: int) -> Sequence[Line]:
        """The selected thing, closely."""
        return ()

    def on_mount(self) -> None:
        self.table.focus()

    def fill(self, rows: Sequence[Row], first: int = 0, total: int | None = None) -> None:
        """Show these rows, sorted if that was chosen."""
        self._rows = tuple(rows)
        if self._sorted_by:
            key = self.SORTS[self._sorted_by]
            rows = sorted(rows, key=lambda row: key(row.thing))
        self.table.fill(rows, first, len(rows) if total is None else total)
        self.paint()

    def action_sort(self, by: int) -> None:
        names = ["", *self.SORTS]
        self._sorted_by = names[(names.index(self._sorted_by) + by) % len(names)]
        self.flow_app.say(f"sorted by {self._sorted_by or 'nothing'}")
        self.fill(self._rows)

    def paint(self) -> None:
        """Show the line above the list and the selected thing as they are now."""
        self.summary.show(self.summary_line())
        row = self.table.selected
        if self.HAS_SIDE:
            self.side.show(*(self.about(row.thing, max(self.side.size.width, 30)) if row is not None else ()))

    def on_table_opened(self) -> None:
        if self.HAS_SIDE:
            self.add_class("-open")
            self.paint()

    def on_table_lacking(self) -> None:
        self.look()

    def on_table_moved(self) -> None:
        self.paint()
        if self.is_current:
            self.flow_app.source.keep(self.want())

    def action_back(self) -> None:
        if self.has_class("-open"):
            self.remove_class("-open")
        else:
            self.flow_app.action_last_page()

    def action_copy_id(self) -> None:
        if (row := self.table.selected) is not None:
            self.flow_app.copy(row.id)

    def on_resize(self) -> None:
        self.set_class(self.app.size.width >= SIDE_FROM, "-wide")
