"""Runs: a line a run, the newest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.widget import Widget

from omniq_flow.errors import UsageError
from omniq_flow.model.names import is_run_id
from omniq_flow.model.runs import RunHeader
from omniq_flow.model.tags import shown
from omniq_flow.observe.run_list import RunList, RunWindow
from omniq_flow.observe.run_query import RunQuery, Which
from omniq_flow.observe.snapshot import RunSummary
from omniq_flow.tui.canvas import Board
from omniq_flow.tui.feed import Want
from omniq_flow.tui.filter import FilterBar, query_of, words_of
from omniq_flow.tui.glyphs import PAUSED, RUNS
from omniq_flow.tui.keys import Key
from omniq_flow.tui.page import Page
from omniq_flow.tui.rerun import ask_for_rerun
from omniq_flow.tui.run_actions import RUN_KEYS, WHY_NOT, run_action, run_actions
from omniq_flow.tui.table import Column, Row, Table
from omniq_flow.tui.text import Line, Part, age, bar, line, tail, took

BAR = 6
COLUMNS = (
    Column("STATE", 12),
    Column("FLOW", 0),
    Column("RUN", 6),
    Column("DONE", 11, ">"),
    Column("", BAR, least=70),
    Column("AGE", 6, ">"),
    Column("TOOK", 6, ">"),
    Column("QUEUE", 14, least=110),
    Column("TAGS", 20, least=130),
    Column("KEY", 16, least=100),
)
MOST_ROWS = 60
"""Two commands a row: more would not fit into a tick."""
WHICH: tuple[Which, ...] = ("all", "open", "failed")
EMPTY = (
    line("  Runs stand here, the newest first. There are none yet."),
    line(),
    line("  omniq-flow start FLOW -i '{…}'    begins one"),
    line("  omniq-flow worker                 works it"),
)
NO_MATCH = (line("  No run fits of those looked at. esc clears the filter, n searches on."),)


class RunsPage(Page):
    """The list of runs."""

    TITLE_ = "Runs"
    KEYS = (
        Key("slash", "filter", "filter", "filter: state:failed tag:env=prod in.size:42 age>1h"),
        Key("f", "cycle", "all/open/failed", "the ready-made filters"),
        *RUN_KEYS,
        Key("b", "act('bulk')", "bulk", "all that can be done with the marked ones"),
        Key("n", "hit(1)", "next hit", "the next hit; from the last one the search goes on", is_hint=False, called="go_on"),
        Key("N", "hit(-1)", "hit before", "the hit before", is_hint=False, called="go_back_on"),
        Key("y", "copy_id", "copy id", "copy the id", is_hint=False),
        Key("escape", "back", "clear", "clear the filter", is_hint=False),
    )

    def __init__(self) -> None:
        super().__init__(name="runs")
        self._list = RunList()
        self._query = RunQuery()
        self._window = RunWindow()
        self._marks_all = False
        self._is_filtered_mark = False

    def compose_body(self) -> Iterable[Widget]:
        self.table = Table(COLUMNS, id="runs", empty=self._empty)
        self.summary = Board(id="summary")
        self.summary.styles.height = 1
        self.filter = FilterBar()
        yield self.summary
        yield self.table
        yield self.filter

    def on_mount(self) -> None:
        self.table.focus()

    def want(self) -> Want:
        first, count = self.table.window(MOST_ROWS)
        queues, query, clock = self.flow_app.queues, self._query, self.flow_app.clock
        with_all = self._marks_all
        return Want("runs", lambda client: self._list.read(client, queues, query, first, count, now_ms=clock(), with_all=with_all))

    def show(self, picture: RunWindow) -> None:
        self._window = picture
        self.table.fill([self._row(s) for s in picture.rows], picture.offset, picture.total)
        if picture.every is not None and self._marks_all:
            self._marks_all, self._is_filtered_mark = False, True
            self.table.mark_these({header.run_id: header for header in picture.every})
            self.flow_app.source.keep(self.want())
        self.summary.show(self._summary_line(picture))
        if picture.is_partial:
            self.look()

    def _summary_line(self, w: RunWindow) -> Line:
        c, q = w.counts, self._query
        parts: list[Part] = [" Runs"]
        parts += [(f"   {len(self.table.marks)} marked", "mark")] if self.table.marks else []
        parts += [(f"   filter: {words_of(q)}", "warn")] if q != RunQuery() else []
        if not w.is_whole:
            parts.append((f"   searched {w.searched:,} of {w.length:,}, newest first; n after the last goes on", "warn"))
        parts += [f"   {c.open} open   {c.ended} ended", (f"   {c.failed_day} failed 24h", "bad" if c.failed_day else "dim")]
        return line(*parts, (f"   {c.done_day} done 24h", "good" if c.done_day else "dim"))

    def _row(self, s: RunSummary) -> Row:
        h = s.header
        (glyph, tone), word = (PAUSED, "PAUSED") if h.paused else (RUNS[h.state], s.word)
        now = self.flow_app.clock()
        failed = f" ✘{s.failed}" if s.failed else ""
        return Row(
            h.run_id,
            (
                (f"{glyph} {word}", tone),
                f"{h.flow} v{h.plan_sha[:4]}",
                tail(h.run_id),
                (f"{s.done}/{s.total}{failed}" if s.total else "…", "bad" if s.failed else ""),
                (bar(s.done, s.total, BAR), tone),
                age(now - h.created_ms),
                took((h.ended_ms or now) - h.created_ms),
                h.queue,
                shown(h.tags),
                h.key,
            ),
            flag="!" if s.failed and not h.state.is_ended else " ",
            thing=s,
        )

    def _empty(self) -> Sequence[Line]:
        return EMPTY if self._query == RunQuery() else NO_MATCH

    def on_table_opened(self, event: Table.Opened) -> None:
        assert isinstance(event.row.thing, RunSummary)
        self.flow_app.open_run(event.row.thing.header.queue, event.row.id)

    def on_table_lacking(self) -> None:
        self.look()

    def on_table_mark_all(self) -> None:
        self._marks_all = True
        self.look()

    def on_table_moved(self) -> None:
        self._is_filtered_mark = self._is_filtered_mark and bool(self.table.marks)
        self.summary.show(self._summary_line(self._window))
        # The feed reads what is visible: its want follows the table.
        if self.is_current:
            self.flow_app.source.keep(self.want())

    def action_cycle(self) -> None:
        which = WHICH[(WHICH.index(self._query.which) + 1) % len(WHICH)] if self._query.which in WHICH else "all"
        self.search(RunQuery(which))

    def search(self, query: RunQuery) -> None:
        """Show the runs that fit."""
        self._query = query
        self.table.forget()
        self.look()

    def search_text(self, text: str) -> None:
        self.search(RunQuery(text=text))

    def action_act(self, kind: str) -> None:
        chosen = list(self.table.marks.values()) or ([self.table.selected.thing] if self.table.selected else [])
        headers = [thing.header if isinstance(thing, RunSummary) else thing for thing in chosen]
        found, is_filter = [h for h in headers if isinstance(h, RunHeader)], self._is_filtered_mark
        if kind == "bulk":
            self.flow_app.acting.choose(run_actions(found, is_filter=is_filter))
        elif kind == "rerun":
            ask_for_rerun(self.flow_app, found, none=WHY_NOT[kind])
        else:
            self.flow_app.acting.perform(run_action(kind, found, is_filter=is_filter), none=WHY_NOT[kind])

    def command(self) -> str:
        row = self.table.selected
        return f"omniq-flow runs show {row.id}" if row is not None else "omniq-flow runs list"

    def action_hit(self, by: int) -> None:
        if by > 0 and self.table.cursor >= self.table.total - 1 and not self._window.is_whole:
            self._list.search_on()
            self.look()
        else:
            self.table.action_move(by)

    def action_filter(self) -> None:
        self.filter.open(words_of(self._query))

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        try:
            query = query_of(event.words)
        except UsageError as error:
            self.flow_app.say(f"{error.message}: {error.hint}", is_bad=True)
            self.filter.open(event.words)
            return
        self.search(query)
        self.table.focus()

    def action_back(self) -> None:
        if self._query != RunQuery():
            self.search(RunQuery())

    def action_copy_id(self) -> None:
        if (row := self.table.selected) is not None and is_run_id(row.id):
            self.flow_app.copy(row.id)
