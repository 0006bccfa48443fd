"""Jobs: one lane of a queue, a line a job, and the job under the cursor with payload and error."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from textual.containers import Horizontal
from textual.widget import Widget

from omniq_flow.observe.jobs import JobFilter, JobSnapshot
from omniq_flow.observe.lane_view import LaneQuery, LaneReader, LaneView
from omniq_flow.observe.notes import pause_words
from omniq_flow.ops.lanes import LaneName, payload
from omniq_flow.tui.actions import Action, remove_jobs, retry_jobs, run_jobs_now
from omniq_flow.tui.canvas import Board
from omniq_flow.tui.feed import Question, Want
from omniq_flow.tui.filter import FilterBar
from omniq_flow.tui.job_text import job_lines, job_name, when
from omniq_flow.tui.keys import Key
from omniq_flow.tui.page import SIDE_FROM, Page
from omniq_flow.tui.table import Column, Row, Table
from omniq_flow.tui.text import Line, Part, Span, age, line

TITLES: dict[LaneName, tuple[str, str]] = {
    "wait": ("Wait", "Wait"),
    "gwait": ("Group wait", "Group"),
    "active": ("Active", "Actv"),
    "delayed": ("Delayed", "Delay"),
    "failed": ("Failed", "Fail"),
    "completed": ("Completed", "Done"),
}
COLUMNS = (
    Column("JOB"),
    Column("GROUP", 12, least=70),
    Column("TRY", 5, ">"),
    Column("AGE", 6, ">"),
    Column("WHEN", 12, ">"),
    Column("ERROR", 18, least=90),
)
MOST_ROWS = 55
LONGEST_PAYLOAD = 64 << 10
"""A longer payload (bytes) is not read again with every tick."""


class JobsPage(Page):
    """The jobs of a queue."""

    TITLE_ = "Jobs"
    PANE = "job"
    KEYS = (
        Key("right_square_bracket", "lane(1)", "lane", "next lane", shown="[ ]", called="next_tab"),
        Key("left_square_bracket", "lane(-1)", "", "previous lane", is_hint=False, called="previous_tab"),
        Key("slash", "filter", "filter", "filter: group:acme error:timeout"),
        Key("r", "act('retry')", "retry", "retry failed jobs"),
        Key("d,delete", "act('remove')", "remove", "remove jobs for good"),
        Key("t", "act('run_now')", "run now", "run delayed jobs now", is_hint=False),
        Key("b", "act('bulk')", "bulk", "all that can be done with the marked ones"),
        Key("n", "hit(1)", "next hit", "the next hit; from the last one the search goes on", is_hint=False, called="go_on"),
        Key("N", "hit(-1)", "hit before", "the hit before", is_hint=False, called="go_back_on"),
        Key("Q", "next_queue", "next queue", "the next queue", is_hint=False),
        Key("y", "copy_id", "copy id", "copy the id", is_hint=False),
        Key("escape", "back", "back", "close the job, clear the filter", is_hint=False),
    )
    DEFAULT_CSS = """
    JobsPage #summary { height: 1; }
    JobsPage #main { height: 1fr; }
    JobsPage #job { display: none; border-left: solid $primary; padding-left: 1; }
    JobsPage.-wide #job { display: block; width: 45%; }
    JobsPage.-open #job { display: block; }
    JobsPage.-open #jobs { display: none; }
    JobsPage.-wide.-open #jobs { display: block; }
    """

    def __init__(self) -> None:
        super().__init__(name="jobs")
        self._reader = LaneReader()
        self._lane: LaneName = "wait"
        self._queue = ""
        self._gid = ""
        self._where = JobFilter()
        self._words = ""
        self._view: LaneView | None = None
        self._marks_all = False
        self._is_filtered_mark = False

    def compose_body(self) -> Iterable[Widget]:
        self.summary = Board(id="summary")
        self.table = Table(COLUMNS, id="jobs", empty=self._empty)
        self.job = Board(id="job")
        self.filter = FilterBar()
        yield self.summary
        yield Horizontal(self.table, self.job, id="main")
        yield self.filter

    def on_mount(self) -> None:
        self.table.focus()

    @property
    def queue(self) -> str:
        """The queue that is shown: the one that was opened, else the first that is known."""
        return self._queue or next(iter(self.flow_app.queues), "")

    def open(self, queue: str, lane: LaneName = "wait", gid: str = "") -> None:
        """Show a lane of a queue."""
        self._queue, self._lane, self._gid, self._where, self._words, self._view = queue, lane, gid, JobFilter(), "", None
        if self.is_ready:
            self.table.forget()
            self.paint_head()
            self.look()

    def want(self) -> Want:
        first, count = self.table.window(MOST_ROWS)
        query, with_ids = LaneQuery(self.queue, self._lane, self._gid, self._where), self._marks_all
        row = self.table.selected
        is_short = row is not None and isinstance(row.thing, JobSnapshot) and row.thing.payload_bytes <= LONGEST_PAYLOAD
        selected = row.id if row is not None and is_short else ""
        stays = self.table.selected_id
        if not query.queue:
            return Want("jobs", lambda client: LaneView(query))
        return Want("jobs", lambda client: self._reader.read(client, query, first, count, selected, stays, with_ids=with_ids))

    def show(self, picture: LaneView) -> None:
        if (picture.query.queue, picture.query.lane) != (self.queue, self._lane):
            return
        self._view = picture
        self.table.fill([self._row(job) for job in picture.jobs], picture.offset, picture.total, picture.place)
        if picture.ids is not None and self._marks_all:
            self._marks_all, self._is_filtered_mark = False, True
            self.table.mark_these({job_id: job_id for job_id in picture.ids})
            self.flow_app.say(f"{len(picture.ids)} marked")
        self.summary.show(self._summary_line())
        self._paint_job()

    def _summary_line(self) -> Line:
        parts: list[Part] = [" ", (self.queue or "no queue", "title")]
        parts += [(f"  {len(self.table.marks)} marked", "mark")] if self.table.marks else []
        view = self._view
        if view is None:
            return line(*parts)
        parts += [("  PAUSED", "warn")] if view.is_paused else []
        for lane, (title, short) in TITLES.items():
            number = view.lengths.get(lane, 0)
            shown = f"{title if self.app.size.width >= SIDE_FROM else short} {number}"
            tone = "key" if lane == self._lane else "bad" if lane == "failed" and number else ""
            parts.append(Span(f" [{shown}]" if lane == self._lane else f"  {shown}", tone, f"screen.show_lane('{lane}')"))
        parts += [(f"  {fault}", "bad") for fault in view.faults]
        parts += [(f"  paused{pause_words(view.pause, view.at_ms)}", "warn")] if view.pause else []
        parts += [(f"  group {view.gid} {view.total}", "busy")] if self._lane == "gwait" and view.gid else []
        parts += [(f"  filter: {self._words}", "warn")] if self._where else []
        if self._where and not view.is_whole:
            parts.append((f"  searched {view.looked_at:,} of {view.lengths.get(self._lane, 0):,}; n after the last goes on", "warn"))
        return line(*parts)

    def _row(self, job: JobSnapshot) -> Row:
        at = self._view.at_ms if self._view else 0
        tries = f"{job.attempt}/{job.max_attempts}" if job.max_attempts else ""
        word, tone = when(job, at)
        cells: tuple[Part, ...] = (
            job_name(job),
            job.gid,
            tries,
            age(at - job.created_ms) if job.created_ms else "",
            (word, tone),
            job.last_error,
        )
        return Row(job.job_id, cells, thing=job)

    def _paint_job(self) -> None:
        job = self._view.selected if self._view else None
        row = self.table.selected
        if job is None or row is None or job.job_id != row.id:
            job = row.thing if row is not None and isinstance(row.thing, JobSnapshot) else None
        self.job.show(*(job_lines(job, max(self.job.size.width, 30), self._view.at_ms) if job is not None and self._view else ()))

    def _empty(self) -> Sequence[Line]:
        if self._where:
            return (line("  No job fits. esc clears the filter, n searches on."),)
        title = TITLES[self._lane][0].lower()
        return (
            line(f"  Jobs of {self.queue or 'a queue'} that stand in the lane '{title}' are shown here. There are none."),
            line(),
            line(f"  omniq-flow jobs publish {self.queue or 'QUEUE'} -p '{{…}}'"),
        )

    def on_table_opened(self) -> None:
        if (row := self.table.selected) is not None and isinstance(row.thing, JobSnapshot):
            step = row.thing.step
            if step is not None and self.has_class("-open"):
                self.flow_app.open_run(self.queue, step.run_id)
                return
        self.add_class("-open")
        self._paint_job()

    def on_table_lacking(self) -> None:
        self.look()

    def on_table_moved(self) -> None:
        self._is_filtered_mark = self._is_filtered_mark and bool(self.table.marks)
        self.summary.show(self._summary_line())
        self._paint_job()
        if self.is_current:
            self.flow_app.source.keep(self.want())

    def on_table_mark_all(self) -> None:
        self._marks_all = True
        self.look()

    def action_lane(self, by: int) -> None:
        lanes = tuple(TITLES)
        self.open(self.queue, lanes[(lanes.index(self._lane) + by) % len(lanes)])

    def action_show_lane(self, lane: LaneName) -> None:
        self.open(self.queue, lane)

    def action_next_queue(self) -> None:
        names = self.flow_app.queues
        if names:
            self.open(names[(names.index(self.queue) + 1) % len(names) if self.queue in names else 0], self._lane)

    def action_filter(self) -> None:
        self.filter.open(self._words)

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        self._words = event.words.strip()
        self._where = filter_of(self._words)
        self.table.forget()
        self.table.focus()
        self.look()

    def action_hit(self, by: int) -> None:
        if by > 0 and self.table.cursor >= self.table.total - 1 and self._view is not None and not self._view.is_whole:
            self._reader.search_on()
            self.look()
        else:
            self.table.action_move(by)

    def action_back(self) -> None:
        if self.has_class("-open"):
            self.remove_class("-open")
        elif self._where:
            self._where, self._words = JobFilter(), ""
            self.table.forget()
            self.look()
        else:
            self.flow_app.action_last_page()

    def chosen(self) -> list[str]:
        """The ids that are marked, else the one under the cursor."""
        return list(self.table.marks) or ([self.table.selected.id] if self.table.selected else [])

    def action_for(self, kind: str) -> Action | None:
        """What can be done to the chosen jobs where they are."""
        ids, is_filter = self.chosen(), self._is_filtered_mark and bool(self.table.marks)
        if kind == "retry":
            return retry_jobs(self.queue, ids, is_filter=is_filter) if self._lane == "failed" else None
        if kind == "run_now":
            return run_jobs_now(self.queue, ids) if self._lane == "delayed" else None
        return remove_jobs(self.queue, self._lane, ids, is_filter=is_filter) if self._lane != "active" else None

    def action_act(self, kind: str) -> None:
        if kind == "bulk":
            found = [action for kind in ("retry", "run_now", "remove") if (action := self.action_for(kind)) is not None]
            self.flow_app.acting.choose(found)
            return
        none = {"retry": "only failed jobs can be retried", "run_now": "only delayed jobs can be run now", "remove": "an active job stays"}
        self.flow_app.acting.perform(self.action_for(kind), none=none[kind])

    def value(self) -> tuple[str, Question] | None:
        row, queue = self.table.selected, self.queue
        return (f"payload of {row.id}", lambda client: client.execute(payload(queue, row.id))) if row is not None else None

    def command(self) -> str:
        row = self.table.selected
        if row is not None:
            return shlex.join(("omniq-flow", "jobs", "show", self.queue, row.id))
        return f"omniq-flow jobs list {self.queue} --lane {self._lane}"

    def action_copy_id(self) -> None:
        if (row := self.table.selected) is not None:
            self.flow_app.copy(row.id)

    def on_resize(self) -> None:
        self.set_class(self.app.size.width >= SIDE_FROM, "-wide")


def filter_of(words: str) -> JobFilter:
    """`group:acme error:timeout`; other words are part of the error."""
    gid, errors = "", []
    for word in words.split():
        name, colon, value = word.partition(":")
        if colon and name in ("group", "gid"):
            gid = value
        else:
            errors.append(value if colon and name == "error" else word)
    return JobFilter(gid, " ".join(errors))
