"""Workers: who is there, what each serves, how busy it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from omniq_flow.observe.queues import WorkerSnapshot
from omniq_flow.observe.worker_view import WorkerReader, WorkerView
from omniq_flow.tui.feed import Want
from omniq_flow.tui.keys import SORT_KEYS, Key
from omniq_flow.tui.list_page import ListPage
from omniq_flow.tui.run_text import clock_time
from omniq_flow.tui.table import Column, Row
from omniq_flow.tui.text import Line, age, bar, line, wrap


class WorkersPage(ListPage):
    """The workers that are present."""

    TITLE_ = "Workers"
    COLUMNS = (
        Column("WORKER"),
        Column("HOST", 14, least=70),
        Column("PID", 7, ">"),
        Column("BUSY", 7, ">"),
        Column("", 10, least=64),
        Column("SEEN", 5, ">"),
        Column("STATE", 8),
        Column("QUEUES", 20, least=130),
    )
    SORTS: ClassVar[Mapping[str, Callable[[WorkerSnapshot], Any]]] = {
        "WORKER": lambda w: w.name,
        "HOST": lambda w: (w.host, w.pid),
        "BUSY": lambda w: -w.busy,
        "SEEN": lambda w: w.seen_ms,
        "STATE": lambda w: w.state,
    }
    KEYS = (
        *SORT_KEYS,
        Key("enter", "open", "open", "all that it tells", shown="enter"),
        Key("y", "copy_id", "copy id", "copy the name", is_hint=False),
        Key("escape", "back", "back", "back", is_hint=False),
    )

    def __init__(self) -> None:
        super().__init__(name="workers")
        self._reader = WorkerReader()
        self._view = WorkerView()

    def want(self) -> Want:
        queues = self.flow_app.queues
        return Want("workers", lambda client: self._reader.read(client, queues))

    def show(self, picture: WorkerView) -> None:
        self._view = picture
        self.fill([self._row(worker) for worker in picture.workers])

    def _row(self, w: WorkerSnapshot) -> Row:
        late = self._view.at_ms - w.seen_ms
        cells = (
            w.name,
            w.host,
            str(w.pid),
            f"{w.busy}/{w.concurrency}",
            (bar(w.busy, w.concurrency, 10), "busy"),
            (age(late), "warn" if late > 10_000 else ""),
            (w.state, "good" if w.state == "running" else "warn"),
            " ".join(w.queues),
        )
        return Row(w.name, cells, thing=w)

    def summary_line(self) -> Line:
        v = self._view
        busy, slots = sum(w.busy for w in v.workers), sum(w.concurrency for w in v.workers)
        return line(f" {v.total} workers   {busy} of {slots} slots busy")

    def about(self, thing: object, width: int) -> Sequence[Line]:
        if not isinstance(thing, WorkerSnapshot):
            return ()
        w = thing
        lines = [
            line(("WORKER ", "head"), w.name),
            line(f"host     {w.host}, process {w.pid}"),
            line(f"version  {w.version}"),
            line(f"state    {w.state}, since {clock_time(w.started_ms)}"),
            line(f"slots    {w.busy} of {w.concurrency} busy, {w.held} jobs held"),
        ]
        return [*lines, *(line(f"{'queues' if n == 0 else '':<9}{row}") for n, row in enumerate(wrap(" ".join(w.queues), width - 10, 6)))]

    def empty(self) -> Sequence[Line]:
        return (
            line("  Workers stand here, with what they serve. There are none."),
            line(),
            line("  omniq-flow worker             begins to work"),
        )
