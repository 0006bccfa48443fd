"""Counters: what each waits for, and of one of them which members are missing and where their jobs are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from omniq_flow.observe.counter_view import CounterReader, CounterRow, CounterView
from omniq_flow.observe.counters import Member
from omniq_flow.tui.feed import Want
from omniq_flow.tui.glyphs import STEPS
from omniq_flow.tui.keys import SORT_KEYS, Key
from omniq_flow.tui.list_page import ListPage
from omniq_flow.tui.table import Column, Row
from omniq_flow.tui.text import BLANK, Line, bar, cell, line, rule, wrap

NOT_READ: tuple[Member, ...] = (Member("", False),)
"""Stands for members that were asked for."""


class CountersPage(ListPage):
    """The counters of the runs that go on."""

    TITLE_ = "Counters"
    COLUMNS = (
        Column("COUNTER"),
        Column("RUN", 7),
        Column("QUEUE", 12, least=120),
        Column("DONE", 11, ">"),
        Column("", 10, least=70),
        Column("MISSING", 7, ">"),
        Column("VERDICT", 7),
    )
    SORTS: ClassVar[Mapping[str, Callable[[CounterRow], Any]]] = {
        "COUNTER": lambda row: row.counter.name,
        "RUN": lambda row: row.counter.run_id,
        "MISSING": lambda row: -row.counter.left,
        "VERDICT": lambda row: (not row.fault, row.verdict),
    }
    KEYS = (
        Key("enter", "open", "missing", "which members are missing, and where", shown="enter"),
        Key("C", "check", "check", "compare the counter with record and facts"),
        Key("O", "open_run", "its run", "open the run"),
        *SORT_KEYS,
        Key("y", "copy_id", "copy id", "copy the name", is_hint=False),
        Key("escape", "back", "back", "back", is_hint=False),
    )

    def __init__(self) -> None:
        super().__init__(name="counters")
        self._reader = CounterReader()
        self._view = CounterView()
        self._members: dict[str, tuple[Member, ...]] = {}

    def want(self) -> Want:
        queues = self.flow_app.queues
        return Want("counters", lambda client: self._reader.read(client, queues))

    def _look_at_members(self) -> None:
        """Have the members of the selected counter read, if they are not known."""
        row = self.table.selected
        is_close = self.has_class("-open") or self.has_class("-wide")
        if row is not None and isinstance(row.thing, CounterRow) and is_close and row.id not in self._members:
            c = row.thing.counter
            self._members = {row.id: self._members.get(row.id, NOT_READ)}
            self._reader.look_at(c.queue, c.run_id, c.name)
            self.look()

    def on_table_moved(self) -> None:
        self._look_at_members()

    def show(self, picture: CounterView) -> None:
        self._view = picture
        if picture.selected:
            self._members = {picture.selected: picture.members}
        self.fill([_row(row) for row in picture.rows])
        if picture.is_partial:
            self.look()

    def summary_line(self) -> Line:
        v = self._view
        stuck = sum(row.verdict == "stuck" for row in v.rows)
        return line(f" {len(v.rows)} counters of {v.looked_at} of {v.runs} open runs   ", (f"{stuck} stuck", "bad" if stuck else "dim"))

    def about(self, thing: object, width: int) -> Sequence[Line]:
        if not isinstance(thing, CounterRow):
            return ()
        c = thing.counter
        lines = [
            line(("COUNTER ", "head"), c.name),
            line(f"{'gate of' if c.kind == 'gate' else 'collection of'} {c.of}, run {c.run_id}"),
            line(f"expected {c.expected}   done {c.expected - c.left}   missing {c.left}"),
        ]
        lines += [line((row, "bad")) for row in wrap(thing.fault, width - 1, 4)] if thing.fault else []
        members = self._members.get(thing.id)
        if members is None or members is NOT_READ:
            return [*lines, BLANK, line(("reading who is missing …", "dim"))]
        return [*lines, rule(width - 1, "missing"), *(row for m in members for row in _member_lines(m, width - 1))]

    def empty(self) -> Sequence[Line]:
        return (
            line("  Counters of open runs stand here: what each join and each list still waits for. There are none."),
            line(),
            line("  Completion counters of other clients have no index and cannot be listed. One is looked at by its key:"),
            line("  omniq-flow counters show KEY"),
        )

    def command(self) -> str:
        row = self.table.selected
        return f"omniq-flow counters show {row.id}" if row is not None else "omniq-flow counters list"

    def action_check(self) -> None:
        row = self.table.selected
        if row is not None and isinstance(row.thing, CounterRow):
            self._reader.check(row.thing.counter.queue, row.thing.counter.run_id)
            self.look()

    def action_open_run(self) -> None:
        row = self.table.selected
        if row is not None and isinstance(row.thing, CounterRow):
            self.flow_app.open_run(row.thing.counter.queue, row.thing.counter.run_id)

    def on_table_opened(self) -> None:
        self._members = {}
        self.call_later(self._look_at_members)


def _row(row: CounterRow) -> Row:
    c = row.counter
    done = c.expected - c.left
    tone = "bad" if row.fault else "good"
    cells = (c.name, c.run_id[-6:], c.queue, f"{done}/{c.expected}", (bar(done, c.expected, 10), "busy"), str(c.left), (row.verdict, tone))
    return Row(row.id, cells, flag="!" if row.fault else " ", thing=row)


def _member_lines(member: Member, width: int) -> list[Line]:
    """Who is missing and where that is; below each other if there is no room beside each other."""
    glyph, tone = STEPS[member.fact.state.word]
    where = (member.where, "bad" if member.where.endswith("its job is gone") else "")
    name = f"{glyph} {member.step_run if member.step_run is not None else member.name} "
    if len(name) + len(member.where) > width and width < 60:
        return [line((name, tone)), line("    ", where)]
    return [line((cell(name, max(len(name), 20)), tone), where)]
