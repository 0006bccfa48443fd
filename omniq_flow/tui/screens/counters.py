"""Counters: what each waits for, and of one of them which members are missing and where their jobs are.

A completion counter that stands for itself is marked as plain: it knows who has reported, not who is missing.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from omniq_flow.observe.counter_view import CounterReader, CounterRow, CounterView
from omniq_flow.observe.counters import Member, RunCounter
from omniq_flow.observe.plain_counters import PlainCounter
from omniq_flow.tui.feed import Want
from omniq_flow.tui.glyphs import STEPS
from omniq_flow.tui.keys import SORT_KEYS, Key
from omniq_flow.tui.list_page import ListPage
from omniq_flow.tui.table import Column, Row
from omniq_flow.tui.text import BLANK, Line, Part, age, bar, cell, line, rule, wrap

Members = tuple[Member, ...] | tuple[str, ...]

NOT_READ: tuple[Member, ...] = (Member("", False),)
"""Stands for members that were asked for."""


class CountersPage(ListPage):
    """The counters of the runs that go on, then plain ones."""

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
        "COUNTER": lambda row: _names(row)[0],
        "RUN": lambda row: (isinstance(row.counter, PlainCounter), row.id),
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
        self._members: dict[str, Members] = {}

    def want(self) -> Want:
        queues = self.flow_app.queues
        return Want("counters", lambda client: self._reader.read(client, queues))

    def _look_at_members(self) -> None:
        """Have the members of the selected counter read, if they are not known."""
        row = self.table.selected
        is_close = self.has_class("-open") or self.has_class("-wide")
        if row is not None and isinstance(row.thing, CounterRow) and is_close and row.id not in self._members:
            self._members = {row.id: self._members.get(row.id, NOT_READ)}
            self._reader.look_at(row.thing.counter)
            self.look()

    def on_table_moved(self) -> None:
        self._look_at_members()

    def show(self, picture: CounterView) -> None:
        self._view = picture
        if picture.selected:
            self._members = {picture.selected: picture.members or picture.reported}
        self.fill([_row(row) for row in picture.rows])
        if picture.is_partial:
            self.look()

    def summary_line(self) -> Line:
        v = self._view
        stuck = sum(row.verdict == "stuck" for row in v.rows)
        plain = sum(isinstance(row.counter, PlainCounter) for row in v.rows)
        return line(
            f" {len(v.rows) - plain} counters of {v.looked_at} of {v.runs} open runs   ",
            (f"{stuck} stuck", "bad" if stuck else "dim"),
            (f"   plain ones cannot be listed: {v.trouble}", "warn") if v.trouble else f"   {plain} plain",
        )

    def about(self, thing: object, width: int) -> Sequence[Line]:
        if not isinstance(thing, CounterRow):
            return ()
        c = thing.counter
        lines = [
            line(("COUNTER ", "head"), _names(thing)[0]),
            line(self._what(c)),
            line(f"expected {c.expected}   done {c.expected - c.left}   missing {c.left}"),
        ]
        lines += [line((row, "bad")) for row in wrap(thing.fault, width - 1, 4)] if thing.fault else []
        is_plain = isinstance(c, PlainCounter)
        members = self._members.get(thing.id)
        if members is None or members is NOT_READ:
            return [*lines, BLANK, line((f"reading who {'has reported' if is_plain else 'is missing'} …", "dim"))]
        head = rule(width - 1, "reported" if is_plain else "missing")
        return [*lines, head, *(row for m in members for row in _member_lines(m, width - 1))]

    def _what(self, c: RunCounter | PlainCounter) -> str:
        if isinstance(c, PlainCounter):
            return f"completion counter, begun {age(self._view.at_ms - c.begun_ms)} ago"
        return f"{'gate of' if c.kind == 'gate' else 'collection of'} {c.of}, run {c.run_id}"

    def empty(self) -> Sequence[Line]:
        return (
            line("  Counters of open runs stand here: what each join and each list still waits for; then completion"),
            line("  counters that were begun through OmniQ Flow, the newest. There are none."),
            line(),
            line("  Those that other clients began have no index and cannot be listed. One is looked at by its key:"),
            line("  omniq-flow counters show KEY"),
        )

    def command(self) -> str:
        row = self.table.selected
        return f"omniq-flow counters show {shlex.quote(row.id)}" if row is not None else "omniq-flow counters list"

    def action_check(self) -> None:
        if (c := self._of_run()) is not None:
            self._reader.check(c.queue, c.run_id)
            self.look()

    def action_open_run(self) -> None:
        if (c := self._of_run()) is not None:
            self.flow_app.open_run(c.queue, c.run_id)

    def _of_run(self) -> RunCounter | None:
        """The selected counter; a plain one has no run, which is said."""
        row = self.table.selected
        if row is None or not isinstance(row.thing, CounterRow):
            return None
        if isinstance(c := row.thing.counter, PlainCounter):
            self.flow_app.say(f"counter {c.key} belongs to no run")
            return None
        return c

    def on_table_opened(self) -> None:
        self._members = {}
        self.call_later(self._look_at_members)


def _row(row: CounterRow) -> Row:
    c = row.counter
    done = c.expected - c.left
    verdict = (row.verdict, "bad" if row.fault else "good") if row.verdict else ("–", "dim")
    cells = (*_names(row), f"{done}/{c.expected}", (bar(done, c.expected, 10), "busy"), str(c.left), verdict)
    return Row(row.id, cells, flag="!" if row.fault else " ", thing=row)


def _names(row: CounterRow) -> tuple[str, Part, Part]:
    """Counter, run and queue, as they stand in the list."""
    c = row.counter
    return (c.key, ("plain", "dim"), ("–", "dim")) if isinstance(c, PlainCounter) else (c.name, c.run_id[-6:], c.queue)


def _member_lines(member: Member | str, width: int) -> list[Line]:
    """Who is missing and where that is; below each other if there is no room beside each other. Who has reported, in one line."""
    if isinstance(member, str):
        return [line(f"  {member}")]
    glyph, tone = STEPS[member.fact.state.word]
    where = (member.where, "bad" if member.where.endswith("its job is gone") else "")
    name = f"{glyph} {member.step_run if member.step_run is not None else member.name} "
    if len(name) + len(member.where) > width and width < 60:
        return [line((name, tone)), line("    ", where)]
    return [line((cell(name, max(len(name), 20)), tone), where)]
