"""Groups of a queue: who waits, who holds how many of how many slots."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial

from omniq_flow.observe.group_view import GroupReader, GroupView
from omniq_flow.observe.groups import GroupSnapshot
from omniq_flow.tui.actions import limit_group
from omniq_flow.tui.dialogs import Ask
from omniq_flow.tui.feed import Want
from omniq_flow.tui.keys import Key
from omniq_flow.tui.list_page import ListPage
from omniq_flow.tui.table import Column, Row
from omniq_flow.tui.text import Line, age, bar, line

MOST_ROWS = 40
_TONES = {"ready": "good", "full": "busy", "stuck": "bad", "idle": "dim"}


class GroupsPage(ListPage):
    """The groups of one queue."""

    TITLE_ = "Groups"
    HAS_SIDE = False
    PANE = ""
    COLUMNS = (
        Column("GROUP"),
        Column("WAITING", 8, ">"),
        Column("SLOTS", 9, ">"),
        Column("", 16),
        Column("STATE", 6),
        Column("READY", 7, ">"),
    )
    KEYS = (
        Key("enter", "open", "its jobs", "the waiting jobs of the group", shown="enter"),
        Key("e", "act('limit')", "limit", "change the limit of the group"),
        Key("Q", "next_queue", "next queue", "the groups of the next queue"),
        Key("y", "copy_id", "copy id", "copy the id", is_hint=False),
        Key("escape", "back", "back", "back", is_hint=False),
    )

    def __init__(self) -> None:
        super().__init__(name="groups")
        self._reader = GroupReader()
        self._queue = ""
        self._view = GroupView("")

    @property
    def queue(self) -> str:
        return self._queue or next(iter(self.flow_app.queues), "")

    def want(self) -> Want:
        first, count = self.table.window(MOST_ROWS)
        queue = self.queue
        if not queue:
            return Want("groups", lambda client: GroupView(""))
        return Want("groups", lambda client: self._reader.read(client, queue, first, count))

    def show(self, picture: GroupView) -> None:
        if picture.queue == self.queue:
            self._view = picture
            self.fill([self._row(group) for group in picture.groups], picture.offset, picture.total)

    def _row(self, g: GroupSnapshot) -> Row:
        since = age(self._view.at_ms - g.ready_since_ms) if g.ready_since_ms else ""
        limit = f"{g.active}/{g.limit}" + ("" if g.has_limit else "*")
        cells = (g.gid, str(g.waiting), limit, (bar(g.active, g.limit, 16), "busy"), (g.state, _TONES[g.state]), since)
        return Row(g.gid, cells, flag="!" if g.state == "stuck" else " ", thing=g)

    def summary_line(self) -> Line:
        v = self._view
        cancelled = sum(group.cancelled_waiting for group in v.groups)
        return line(
            " queue ",
            (self.queue or "none", "title"),
            f"   {v.total:,} groups   {v.ready:,} ready",
            ("   * no limit is set, 1 counts", "dim"),
            (f"   {cancelled:,} more of cancelled runs, until they are taken" if cancelled else "", "dim"),
        )

    def empty(self) -> Sequence[Line]:
        return (
            line("  Groups with waiting or active jobs stand here. This queue has none."),
            line(),
            line(f"  omniq-flow jobs publish {self.queue or 'QUEUE'} --group NAME -p '{{…}}'"),
        )

    def on_table_opened(self) -> None:
        if (row := self.table.selected) is not None:
            self.flow_app.open_lane(self.queue, "gwait", row.id)

    def command(self) -> str:
        row = self.table.selected
        if row is not None:
            return shlex.join(("omniq-flow", "groups", "show", self.queue, row.id))
        return f"omniq-flow groups list {self.queue}"

    def action_next_queue(self) -> None:
        names = self.flow_app.queues
        if names:
            self._queue = names[(names.index(self.queue) + 1) % len(names) if self.queue in names else 0]
            self._view = GroupView(self._queue)
            self.table.forget()
            self.paint()
            self.look()

    def action_act(self, kind: str) -> None:
        row = self.table.selected
        if row is None or not isinstance(row.thing, GroupSnapshot) or not self.flow_app.acting.can_act:
            self.flow_app.acting.perform(None)
            return
        group = row.thing
        title = f"limit of group {group.gid} (now {group.limit}, {group.active} active); none takes it away"
        self.flow_app.push_screen(Ask("limit", title, str(group.limit), _fault), partial(self._limit, group))

    def _limit(self, group: GroupSnapshot, answer: object) -> None:
        if isinstance(answer, str):
            self.flow_app.acting.perform(limit_group(group, None if answer.strip() == "none" else int(answer)))


def _fault(answer: str) -> str:
    is_good = answer.strip() == "none" or (answer.strip().isascii() and answer.strip().isdigit() and int(answer) >= 1)
    return "" if is_good else "a whole number from 1 on, or none"
