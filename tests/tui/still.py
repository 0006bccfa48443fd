"""Fixed pictures: what the screens show when nothing moves, made of plain values.

Two of them are the sketches that the screens were built towards.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from omniq_flow.model.names import FlowJobId, StepRun
from omniq_flow.model.plan import Plan, StepOptions
from omniq_flow.model.runs import Fact, Failure, RunHeader
from omniq_flow.model.states import RunState, StepState
from omniq_flow.observe.around import Around
from omniq_flow.observe.counter_view import CounterRow, CounterView
from omniq_flow.observe.counters import Member as CounterMember, RunCounter
from omniq_flow.observe.event_view import RunEvent
from omniq_flow.observe.group_view import GroupView
from omniq_flow.observe.groups import GroupSnapshot
from omniq_flow.observe.jobs import JobSnapshot
from omniq_flow.observe.lane_view import LaneQuery, LaneView
from omniq_flow.observe.overview import Need, Overview
from omniq_flow.observe.plain_counters import PlainCounter
from omniq_flow.observe.queues import QueueSnapshot, WorkerSnapshot
from omniq_flow.observe.run_list import RunCounts, RunWindow
from omniq_flow.observe.run_log import LogLine
from omniq_flow.observe.run_watch import Close, JobPlace, Member, RunView
from omniq_flow.observe.snapshot import RunSnapshot, RunSummary, StepFailure, StepTally, Timing
from omniq_flow.observe.worker_view import WorkerView
from omniq_flow.ops.lanes import GroupNumbers
from omniq_flow.ops.runs import HistoryEntry
from omniq_flow.tui.feed import Arrived, News, Pulse, Question, Surrounded, Want
from tests.observe.flows import step, take

NOW = 1_764_072_240_000
"""2025-11-25 12:04:00 UTC."""
RUN = "01K7QX1000000000000007QX1M"
SERVED = 120_000


class StillFeed:
    """Gives the same picture again and again, at once."""

    def __init__(self, pictures: dict[str, Any], around: Around) -> None:
        self.pictures = pictures
        self.around = around
        self.wants: list[Want] = []
        self.is_frozen = False

    def start(self, tell: Callable[[News], object]) -> None:
        self._tell = tell
        tell(Surrounded(self.around))

    def stop(self) -> None: ...

    def look(self, want: Want) -> None:
        self.keep(want)
        self.ask_now()

    def keep(self, want: Want) -> None:
        self.wants.append(want)

    def ask(self, question: Question, then: Callable[[Any], object]) -> None: ...

    def ask_now(self) -> None:
        name = self.wants[-1].name
        if name in self.pictures:
            self._tell(Arrived(name, self.pictures[name], Pulse(2, 3, 100)))

    def freeze(self, is_frozen: bool) -> None:
        self.is_frozen = is_frozen

    def set_interval(self, ms: int) -> None: ...


def queue(name: str, *numbers: int, oldest: int = 0, workers: int = 0, paused: bool = False, served: bool = True) -> QueueSnapshot:
    wait, group, active, delayed, failed, done = numbers
    return QueueSnapshot(
        name,
        is_paused=paused,
        waiting=wait,
        group_waiting=group,
        active=active,
        delayed=delayed,
        failed=failed,
        completed=done,
        oldest_wait_ms=NOW - oldest if oldest else 0,
        last_reserve_ms=NOW if served else 0,
        workers=tuple(f"w{n}" for n in range(workers)),
        at_ms=NOW,
    )


def overview() -> Overview:
    """The first sketch."""
    return Overview(
        queues=(
            queue("documents", 12, 0, 4, 0, 1, 100, oldest=9_000, workers=2),
            queue("pages", 4310, 96021, 16, 12, 37, 100, oldest=842_000, workers=2),
            queue("mail", 0, 0, 0, 3, 0, 100, workers=1, paused=True),
            queue("billing", 88, 0, 0, 0, 0, 100, oldest=1_300_000, served=False),
        ),
        runs=RunCounts(open=12, ended=500, failed_day=2, done_day=418),
        rates=(1, 2, 3, 5, 7, 6, 5, 3, 2, 3, 5, 6, 7, 8, 6, 7.4),
        needs=(
            Need("billing", "88 waiting, no worker serves it", "omniq-flow worker -q billing", "billing"),
            Need("run 9F2K", "doc_pipeline: step ocr[84]   failed 3x", "r retry   enter open", "pages", RUN, "run"),
            Need("counter", "doc_pipeline/7QX1/merge: 1 of 96 missing, its job is gone", "enter", "pages", RUN, "run"),
        ),
    )


PLAN = Plan(
    "doc_pipeline",
    "pages",
    (
        step("fetch"),
        step("split", take("result", "fetch"), is_list=True),
        replace(
            step("ocr", take("each", "split"), level=("split",)),
            options=StepOptions(attempts=5, delay_ms=2_000, timeout_ms=120_000),
        ),
        step("layout", take("result", "split")),
        step("merge", take("gather", "ocr"), take("result", "layout")),
        step("classify", take("result", "merge")),
        step("extract", take("result", "classify")),
        step("archive", take("result", "classify")),
        step("notify", take("result", "extract"), take("result", "archive")),
    ),
    group="acme",
)


def header(run_id: str = RUN, state: RunState = RunState.FAILING, ago: int = 192_000, lasted: int = 0, **more: Any) -> RunHeader:
    times: dict[str, Any] = {"created_ms": NOW - ago, "ended_ms": NOW - ago + lasted if lasted else 0}
    return RunHeader(run_id, "doc_pipeline", "pages", PLAN.sha, state, 1, 23, 400, "acme", **times, **more)


def snapshot() -> RunSnapshot:
    start = NOW - 192_000

    def one(name: str, state: str, began: int = 0, lasted: int = 0) -> StepTally:
        counts = {"succeeded": 1} if state == "succeeded" else {"skipped": 1} if state == "skipped" else {"pending": 1}
        timing = Timing(start + began, start + began + lasted) if lasted else Timing()
        return StepTally(name, (), state, 1, **counts, timing=timing)

    timing = Timing(NOW - 41_000, NOW - 2_000, 4)
    ocr = StepTally("ocr", ("split",), "running", 96, queued=23, succeeded=71, failed=2, timing=timing)
    steps = (
        one("fetch", "succeeded", 100, 800),
        one("split", "succeeded", 950, 1_200),
        ocr,
        one("layout", "succeeded", 2_200, 6_000),
        one("merge", "pending"),
        one("classify", "pending"),
        one("extract", "pending"),
        one("archive", "skipped"),
        one("notify", "pending"),
    )
    failed = StepFailure(StepRun("ocr", (84,)), Failure("OCRTimeout", "page 84 took 120s\n  steps/ocr.py:41 read_page", "ocr-84", 3))
    return RunSnapshot(header(), PLAN, steps, (failed,))


def run_view() -> RunView:
    """The second sketch."""

    def member(n: int) -> Member:
        if n < 8:
            return Member(StepRun("ocr", (n,)), Fact(StepState.QUEUED, n + 1), JobPlace("active", 1, 5, 0, NOW + 4_000 + n, NOW - 9_000))
        if n == 8:
            due = NOW + 31_000
            error = "OCRTimeout: page 84 took 120s\n  steps/ocr.py:41 read_page"
            return Member(StepRun("ocr", (84,)), Fact(StepState.QUEUED, 9), JobPlace("delayed", 3, 5, due, 0, NOW - 100_000, error))
        if n < 23:
            return Member(StepRun("ocr", (n,)), Fact(StepState.QUEUED, n + 1), JobPlace("wait", 0, 5))
        return Member(StepRun("ocr", (n,)), Fact(StepState.SUCCEEDED, n + 1))

    entries = (
        HistoryEntry(398, NOW - 20_000, "D ocr-11 12"),
        HistoryEntry(399, NOW - 9_000, "D ocr-12 13"),
        HistoryEntry(400, NOW - 2_000, "retry ocr-84 85 3"),
    )
    return RunView(
        snapshot(),
        entries,
        Close("ocr", tuple(map(member, range(40))), 0, GroupNumbers(8, 8), workers=2, at_ms=NOW, total=96),
        (LogLine(NOW - 9_000, "ocr-12", "page 12 has 3 columns"), LogLine(NOW - 2_000, "ocr-84", "page 84: the scanner was tilted [/]")),
        json.dumps({"path": "sample.pdf", "pages": 96, "options": {"language": "de"}}),
    )


def runs() -> RunWindow:
    def row(n: int, state: RunState, done: int, failed: int, ago: int, lasted: int = 0, **more: Any) -> RunSummary:
        return RunSummary(header(f"{RUN[:-4]}{n:04}", state, ago, lasted, **more), 103, done, failed)

    return RunWindow(
        (
            row(9, RunState.RUNNING, 12, 0, 9_000),
            row(8, RunState.FAILING, 76, 2, 192_000, key="invoice-2025-11", tags=(("env", "prod"), ("team", "[b]data[/]"))),
            row(7, RunState.CANCELLING, 50, 0, 300_000),
            row(6, RunState.SUCCEEDED, 103, 0, 800_000, 64_000),
            row(5, RunState.FAILED, 103, 5, 7_000_000, 200_000, key="[red]odd[/] key"),
            row(4, RunState.CANCELLED, 60, 0, 90_000_000, 1_000),
        ),
        0,
        6,
        6,
        6,
        RunCounts(3, 3, 1, 1),
    )


def lane() -> LaneView:
    step_id = str(FlowJobId(RUN, StepRun("ocr", (84,)), 85))
    times = {"created_ms": NOW - 900_000, "updated_ms": NOW - 20_000, "failed_ms": NOW - 20_000, "last_started_ms": NOW - 30_000}
    more = {"attempt": 5, "max_attempts": 5, "timeout_ms": 30_000, "backoff_ms": 2_000, "last_error_ms": NOW - 20_000, **times}
    error = "OCRTimeout: page 84 took 120s [/]"
    first = JobSnapshot("pages", step_id, "failed", "acme", **more, last_error=error)  # type: ignore[arg-type]
    second = replace(first, job_id="01K7QX1000000000000000PLAN", gid="", last_error="Boom: \x1b[31mred\x1b[0m")
    payload = json.dumps({"to": "ann", "note": "[red]x[/]", "pages": [1, 2, 3]})
    shown = replace(first, payload=payload, payload_bytes=len(payload))
    lengths = {"wait": 4310, "active": 16, "delayed": 12, "failed": 2, "completed": 100, "gwait": 96021}
    return LaneView(LaneQuery("pages", "failed"), lengths, False, (first, second), 0, 2, 2, shown, None, "", NOW)


def groups() -> GroupView:
    def group(gid: str, active: int, limit: int, waiting: int, ready: int = 0, has_limit: bool = True) -> GroupSnapshot:
        return GroupSnapshot("documents", gid, active, limit, has_limit, waiting, bool(ready), NOW - ready if ready else 0)

    found = (group("acme", 3, 8, 96_000, 4_000), group("beta[/]", 0, 1, 21, 842_000, False), group("full", 8, 8, 40), group("odd", 0, 2, 7))
    return GroupView("documents", found, 0, 4, 2, at_ms=NOW)


def counters() -> CounterView:
    merge = RunCounter("pages", RUN, "of:ocr", 96, 23, 23, 73, 2)
    gate = RunCounter("pages", RUN, "in:merge", 2, 1, 1, 1)
    members = tuple(
        CounterMember(str(n), False, StepRun("ocr", (n,)), fact=Fact(StepState.QUEUED, n + 1), job_id="x", lane=lane)
        for n, lane in ((3, "active"), (8, "wait"), (84, ""))
    )
    plain = PlainCounter("order/42", 1, 4, begun_ms=NOW - 722_000)
    rows = (CounterRow(merge, "ocr[84] is queued and its job is gone"), CounterRow(gate), CounterRow(plain))
    return CounterView(rows, 12, 12, f"{RUN}/of:ocr", members, at_ms=NOW)


def workers() -> WorkerView:
    first = WorkerSnapshot("w-4f1c", "cache-1", 4711, "0.1.0", "running", ("documents", "pages"), 16, 11, 3, NOW - 3_600_000, NOW - 2_000)
    second = replace(first, name="w-[b]odd", state="draining", busy=2, seen_ms=NOW - 12_000, queues=("mail",))
    return WorkerView((first, second), 2, NOW)


def events() -> tuple[RunEvent, ...]:
    texts = ("run running", "Q fetch 1", "D fetch 1", "retry ocr-84 85 3", "F ocr-84 85", "run failing", "lost ocr-3 4", "stale ocr-3 3")
    return tuple(RunEvent("pages", RUN, HistoryEntry(n, NOW - 10_000 + n * 1_000, text)) for n, text in reversed(list(enumerate(texts, 1))))


AROUND = Around("valkey 9.1.0", ("documents", "pages", "mail", "billing"), ("w0", "w1", "w2"), (), NOW)


def pictures() -> dict[str, Any]:
    """The picture of each screen."""
    return {
        "overview": overview(),
        "runs": runs(),
        f"run:{RUN}": run_view(),
        "jobs": lane(),
        "groups": groups(),
        "counters": counters(),
        "workers": workers(),
        "events": events(),
    }
