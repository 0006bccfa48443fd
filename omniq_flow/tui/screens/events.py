"""Events: what happens in all open runs, and what was done here, merged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from textual.widget import Widget

from omniq_flow.observe.event_view import EventReader, RunEvent
from omniq_flow.tui.feed import Want
from omniq_flow.tui.filter import FilterBar
from omniq_flow.tui.keys import Key
from omniq_flow.tui.list_page import ListPage
from omniq_flow.tui.run_text import clock_time, told
from omniq_flow.tui.table import Column, Row
from omniq_flow.tui.text import Line, line


@dataclass(frozen=True, slots=True)
class _Told:
    at_ms: int
    id: str
    run: str
    name: str
    what: str
    tone: str
    event: RunEvent | None = None


class EventsPage(ListPage):
    """The feed, the newest first."""

    TITLE_ = "Events"
    HAS_SIDE = False
    PANE = ""
    COLUMNS = (Column("TIME", 8), Column("RUN", 7), Column("WHO", 20), Column("WHAT"))
    KEYS = (
        Key("enter", "open", "its run", "open the run", shown="enter"),
        Key("slash", "filter", "filter", "show only events with these words"),
        Key("F", "follow", "follow", "stay at the newest"),
        Key("y", "copy_id", "copy id", "copy the run's id", is_hint=False),
        Key("escape", "back", "clear", "clear the filter", is_hint=False),
    )

    def __init__(self) -> None:
        super().__init__(name="events")
        self._reader = EventReader()
        self._events: tuple[RunEvent, ...] = ()
        self._words = ""
        self._is_following = True

    def compose_body(self) -> Iterable[Widget]:
        yield from super().compose_body()
        self.filter = FilterBar()
        yield self.filter

    def want(self) -> Want:
        queues = self.flow_app.queues
        return Want("events", lambda client: self._reader.read(client, queues))

    def show(self, picture: tuple[RunEvent, ...]) -> None:
        self._events = picture
        rows = [_row(t) for t in self._told() if self._fits(t)]
        if self._is_following and rows and not self.table.cursor:
            self.table.selected_id = rows[0].id
        self.fill(rows)

    def _told(self) -> list[_Told]:
        found = []
        for e in self._events:
            name, what, tone = told(e.entry)
            found.append(_Told(e.entry.at_ms, f"{e.run_id}/{e.entry.rev}", e.run_id[-6:], name, what, tone, e))
        for n, deed in enumerate(self.flow_app.acting.deeds):
            why = f", {len(deed.refused)} refused" if deed.refused else ""
            found.append(_Told(deed.at_ms, f"deed/{n}", "", "you", f"{deed.action.label}: {deed.done} done{why}", "title"))
        for n, (at_ms, text) in enumerate(self.flow_app.troubles):
            found.append(_Told(at_ms, f"trouble/{n}", "", "here", text, "bad"))
        return sorted(found, key=lambda t: t.at_ms, reverse=True)

    def _fits(self, t: _Told) -> bool:
        text = f"{t.run} {t.name} {t.what} {t.event.queue if t.event else ''}".casefold()
        return all(word.casefold() in text for word in self._words.split())

    def summary_line(self) -> Line:
        filtered = f"   filter: {self._words}" if self._words else ""
        return line(f" {self.table.total:,} events", (filtered, "warn"), ("   follows" if self._is_following else "", "good"))

    def empty(self) -> Sequence[Line]:
        return (line("  What happens in open runs, and what is done here, stands here. Nothing has happened yet."),)

    def on_table_opened(self) -> None:
        row = self.table.selected
        if row is not None and isinstance(row.thing, _Told) and row.thing.event is not None:
            self.flow_app.open_run(row.thing.event.queue, row.thing.event.run_id)

    def action_filter(self) -> None:
        self.filter.open(self._words)

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        self._words = event.words.strip()
        self.table.focus()
        self.show(self._events)

    def action_follow(self) -> None:
        self._is_following = not self._is_following
        self.table.action_to_end(False)
        self.paint()

    def action_back(self) -> None:
        if self._words:
            self._words = ""
            self.show(self._events)
        else:
            super().action_back()

    def action_copy_id(self) -> None:
        row = self.table.selected
        if row is not None and isinstance(row.thing, _Told) and row.thing.event is not None:
            self.flow_app.copy(row.thing.event.run_id)


def _row(t: _Told) -> Row:
    return Row(t.id, (clock_time(t.at_ms), t.run, t.name, (t.what, t.tone)), thing=t)
