"""Overview: runs and jobs a second, a line a queue, and what needs somebody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.widget import Widget

from omniq_flow.observe.notes import pause_words
from omniq_flow.observe.overview import Need, Overview, OverviewReader
from omniq_flow.observe.queues import QueueSnapshot
from omniq_flow.tui.actions import pause_queue
from omniq_flow.tui.canvas import Board
from omniq_flow.tui.feed import Want
from omniq_flow.tui.keys import SORT_KEYS, Key
from omniq_flow.tui.page import Page
from omniq_flow.tui.run_actions import run_action
from omniq_flow.tui.table import Column, Row, Table
from omniq_flow.tui.text import Line, Part, age, cut, ends, line, rule, spark

COLUMNS = (
    Column("QUEUE"),
    Column("WAIT", 5, ">"),
    Column("GROUP", 5, ">"),
    Column("ACTV", 4, ">"),
    Column("DELAY", 5, ">"),
    Column("FAIL", 4, ">"),
    Column("DONE", 4, ">"),
    Column("OLDEST", 6, ">"),
    Column("WORKERS", 7, ">"),
    Column("STATE", 7),
)
NEED_COLUMNS = (Column("", 11), Column(""))
ARROW_AT = 39
STATES = {"run": ("run", ""), "paused": ("PAUSED", "warn"), "no worker": ("NO WRK", "bad")}
EMPTY = (
    line("  Queues stand here, with their lanes and workers. There are none yet."),
    line(),
    line("  omniq-flow worker             serves the flows of this project"),
    line("  omniq-flow start FLOW         begins a run"),
    line("  omniq-flow jobs publish QUEUE -p '{…}'"),
)
MOST_NEEDS = 8


class OverviewPage(Page):
    """The first screen."""

    TITLE_ = "Overview"
    KEYS = (
        Key("enter", "open", "open", "open the queue or the run", shown="enter"),
        Key("p", "act('pause')", "pause", "pause or resume the queue"),
        Key("r", "act('retry')", "retry", "retry the run that failed"),
        *SORT_KEYS,
        Key("y", "copy_id", "copy", "copy the name", is_hint=False),
    )
    DEFAULT_CSS = """
    OverviewPage #top { height: 2; }
    OverviewPage #queues { height: 1fr; min-height: 3; }
    OverviewPage #needs_head { height: 2; }
    OverviewPage #needs { height: 4; }
    """

    def __init__(self) -> None:
        super().__init__(name="overview")
        self._reader = OverviewReader()
        self._sorted_by = -1
        self._picture = Overview()

    def compose_body(self) -> Iterable[Widget]:
        self.top = Board(id="top")
        self.table = Table(COLUMNS, id="queues", empty=lambda: EMPTY)
        self.needs_head = Board(id="needs_head")
        self.needs = NeedTable(NEED_COLUMNS, id="needs", empty=lambda: ())
        yield from (self.top, self.table, self.needs_head, self.needs)

    def on_mount(self) -> None:
        self.table.focus()

    def want(self) -> Want:
        names, visible = self.flow_app.queues, [row.id for row in self.table.rows[self.table.top :][: self.table.visible_rows]]
        return Want("overview", lambda client: self._reader.read(client, names, visible))

    def show(self, picture: Overview) -> None:
        self._picture = picture
        rows = [self._row(queue) for queue in self._sorted(picture.queues)]
        self.table.fill(rows, 0, len(rows))
        self.needs.fill([_need_row(n) for n in picture.needs], 0, len(picture.needs))
        self.needs.styles.height = min(max(len(picture.needs), 1), MOST_NEEDS, max((self.app.size.height - 12) // 2, 1))
        self._paint()
        if picture.is_partial:
            self.look()
        else:
            self.flow_app.source.keep(self.want())

    def _paint(self) -> None:
        width, p = self.app.size.width, self._picture
        c = p.runs
        parts: list[Part] = [f" Runs   {c.open} open   ", (f"{c.failed_day} failed 24h", "bad" if c.failed_day else "")]
        left = line(*parts, f"   {c.done_day} done 24h")
        rate = f"{p.rates[-1]:.1f} " if p.rates else "– "
        right = line(f"Jobs/s  {rate}", (spark(p.rates[-16:]).rjust(16), "busy"), " ")
        self.top.show(ends(left, right, width), rule(width))
        count = f"NEEDS YOU ({len(p.needs)})" if p.needs else "NEEDS NOBODY"
        title, pause = line((f" {count}", "warn" if p.needs else "good")), self._pause()
        self.needs_head.show(rule(width), ends(title, line((f"{pause} ", "warn")), width) if pause else title)

    def _pause(self) -> str:
        """Who paused the queue under the cursor, when and why."""
        queue = self.table.selected.thing if self.table.selected is not None else None
        if not isinstance(queue, QueueSnapshot) or not queue.is_paused:
            return ""
        return cut(f"{queue.name} is paused{pause_words(queue.pause, self.flow_app.clock())}", max(self.app.size.width - 20, 20))

    def on_table_moved(self) -> None:
        self._paint()

    def _row(self, q: QueueSnapshot) -> Row:
        now = self.flow_app.clock()
        word, tone = ("ERROR", "bad") if q.name in self._picture.faults else STATES[q.state]
        return Row(
            q.name,
            (
                q.name,
                str(q.waiting),
                str(q.group_waiting),
                (str(q.active), "busy" if q.active else ""),
                (str(q.delayed), "warn" if q.delayed else ""),
                (str(q.failed), "bad" if q.failed else ""),
                (str(q.completed), "good" if q.completed else ""),
                age(now - q.oldest_wait_ms) if q.oldest_wait_ms else "–",
                str(len(q.workers)),
                (word, tone),
            ),
            flag="!" if q.state == "no worker" else " ",
            thing=q,
        )

    def _sorted(self, queues: Sequence[QueueSnapshot]) -> list[QueueSnapshot]:
        keys = (
            lambda q: q.name,
            lambda q: -q.waiting,
            lambda q: -q.group_waiting,
            lambda q: -q.active,
            lambda q: -q.delayed,
            lambda q: -q.failed,
            lambda q: -q.completed,
            lambda q: q.oldest_wait_ms or 1 << 62,
            lambda q: -len(q.workers),
            lambda q: q.state,
        )
        return sorted(queues, key=keys[self._sorted_by]) if self._sorted_by >= 0 else list(queues)

    def action_sort(self, by: int) -> None:
        self._sorted_by = (self._sorted_by + 1 + by) % (len(COLUMNS) + 1) - 1
        word = COLUMNS[self._sorted_by].title if self._sorted_by >= 0 else "nothing"
        self.flow_app.say(f"sorted by {word}")
        self.show(self._picture)

    def on_table_opened(self, event: Table.Opened) -> None:
        thing = event.row.thing
        if isinstance(thing, QueueSnapshot):
            self.flow_app.open_queue(thing.name)
        elif isinstance(thing, Need) and thing.run_id:
            self.flow_app.open_run(thing.queue, thing.run_id)
        elif isinstance(thing, Need) and thing.queue:
            self.flow_app.open_queue(thing.queue)

    def _focused(self) -> object:
        table = self.needs if self.needs.has_focus else self.table
        return table.selected.thing if table.selected is not None else None

    def action_act(self, kind: str) -> None:
        thing = self._focused()
        name = thing.queue if isinstance(thing, Need) else thing.name if isinstance(thing, QueueSnapshot) else ""
        if kind == "pause":
            queue = next((q for q in self._picture.queues if q.name == name), None)
            self.flow_app.acting.perform(pause_queue(queue) if queue else None)
        else:
            headers = [r.header for r in self._picture.failed if isinstance(thing, Need) and r.header.run_id == thing.run_id]
            self.flow_app.acting.perform(run_action("retry", headers), none="put the cursor on a failed run below (tab), r retries it")

    def command(self) -> str:
        thing = self._focused()
        if isinstance(thing, Need):
            return f"omniq-flow runs show {thing.run_id}" if thing.run_id else f"omniq-flow queues show {thing.queue}"
        return f"omniq-flow queues show {thing.name}" if isinstance(thing, QueueSnapshot) else "omniq-flow queues list"

    def action_copy_id(self) -> None:
        thing = self._focused()
        if isinstance(thing, QueueSnapshot):
            self.flow_app.copy(thing.name)
        elif isinstance(thing, Need):
            self.flow_app.copy(thing.run_id or thing.queue)

    def on_resize(self) -> None:
        if self.is_ready:
            self._paint()


class NeedTable(Table):
    """A table without a head."""

    def line_at(self, y: int, width: int) -> Line:
        return super().line_at(y + 1, width)

    def is_cursor(self, y: int) -> bool:
        return super().is_cursor(y + 1)

    @property
    def visible_rows(self) -> int:
        return max(self.size.height, 1)


def _need_row(need: Need) -> Row:
    arrow = f" → {need.help}" if need.help else ""
    return Row(f"{need.name}\0{need.what}", ((f"! {need.name}", "bad"), f"{need.what:<{ARROW_AT}}{arrow}"), thing=need)
