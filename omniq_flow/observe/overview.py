"""Everything at a glance: all queues, how many runs, how many jobs a second, and what needs somebody.

A tick has a budget (three round trips, 150 commands), so queues are read in turn, the visible ones first, and every few
ticks the runs are counted instead. What was not read this time is shown as it was read last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from omniq_flow.client.client import Client
from omniq_flow.errors import ReplyError
from omniq_flow.model.clock import Clock, monotonic_ms, now_ms, show_duration
from omniq_flow.observe.queues import QueueSnapshot, read_queue, read_queues
from omniq_flow.observe.run_list import RunCounts, RunList, RunQuery
from omniq_flow.observe.snapshot import RunSummary
from omniq_flow.ops import lanes
from omniq_flow.ops.command import Operation, Query, text

QUEUES_A_TICK = 6
RATED_QUEUES = 20
RUNS_EVERY = 4
RATES = 16
KEPT_DONE = 100
"""A queue keeps so many completed jobs: more than this a tick cannot be counted."""
OLD_WAIT_MS = 600_000
LONG_PAUSE_MS = 3_600_000
MOST_SKEW_MS = 1_000
MOST_MEMORY = 0.8


NO_RUNS = RunCounts()


@dataclass(frozen=True, slots=True)
class Need:
    """Something that somebody should look at: what it is about, what is wrong, what helps. `queue` and `run_id` lead there."""

    name: str
    what: str
    help: str = ""
    queue: str = ""
    run_id: str = ""
    kind: str = "queue"


@dataclass(frozen=True, slots=True)
class Overview:
    """One moment. `is_partial`: some of it was never read so far."""

    queues: tuple[QueueSnapshot, ...] = ()
    runs: RunCounts = NO_RUNS
    failed: tuple[RunSummary, ...] = ()
    rates: tuple[float, ...] = ()
    needs: tuple[Need, ...] = ()
    faults: tuple[str, ...] = ()
    """Queues that could not be read; what is shown of them is old, or nothing."""
    is_partial: bool = False


class OverviewReader:
    """Reads one glance after the other."""

    def __init__(self, clock: Clock = now_ms, ticks: Clock = monotonic_ms) -> None:
        self._clock = clock
        self._ticks = ticks
        self._runs = RunList()
        self._known: dict[str, QueueSnapshot] = {}
        self._faults: dict[str, str] = {}
        self._turn = 0
        self._tick = 0
        self._last_done: dict[str, str] = {}
        self._rated_ms = 0
        self._rates: deque[float] = deque(maxlen=RATES)
        self._picture = Overview()
        self._memory = 0.0

    def read(self, client: Client, names: Sequence[str], visible: Sequence[str] = ()) -> Overview:
        """The next glance at these queues; `visible` are those that are looked at."""
        self._tick += 1
        if self._tick % RUNS_EVERY == 2:
            window = self._runs.read(client, names, RunQuery(), 0, 0, now_ms=self._clock())
            self._picture = replace(self._picture, runs=window.counts, failed=window.failed)
        else:
            self._read_queues(client, names, visible)
        queues = tuple(self._known[name] for name in names if name in self._known)
        broken = tuple(Need(name, what, queue=name) for name, what in self._faults.items() if name in names)
        needs = (*broken, *needs_of(queues, self._picture.failed, self._clock(), self._memory))
        self._picture = replace(self._picture, queues=queues, rates=tuple(self._rates), needs=needs, faults=tuple(self._faults))
        return replace(self._picture, is_partial=self._tick < 2 or any(name not in self._known for name in names))

    def _read_queues(self, client: Client, names: Sequence[str], visible: Sequence[str]) -> None:
        turn = self._next(names, visible)
        try:
            found = read_queues(client, turn)
        except ReplyError:
            # One key of another type must not hide the other queues: each is asked alone, which happens rarely.
            found = [snapshot for name in turn for snapshot in self._alone(client, name)]
        for snapshot in found:
            self._known[snapshot.name] = snapshot
            self._faults.pop(snapshot.name, None)
        self._rate(client, [name for name in names if name not in self._faults][:RATED_QUEUES])

    def _alone(self, client: Client, name: str) -> list[QueueSnapshot]:
        try:
            return [read_queue(client, name)]
        except ReplyError as error:
            self._known.setdefault(name, QueueSnapshot(name))
            self._faults[name] = error.message
            return []

    def _next(self, names: Sequence[str], visible: Sequence[str]) -> list[str]:
        """Whose turn it is: those that were never read, then those that are visible, then all."""
        fresh = [name for name in names if name not in self._known]
        seen = [name for name in visible if name in self._known] or list(names)
        everybody = [*seen, *(name for name in names if name not in seen)] if self._turn > len(seen) else seen
        at = self._turn % len(everybody) if everybody else 0
        self._turn += QUEUES_A_TICK
        if self._turn > 2 * len(names) + QUEUES_A_TICK:
            self._turn = 0
        return list(dict.fromkeys([*fresh, *everybody[at:], *everybody[:at]]))[:QUEUES_A_TICK]

    def _rate(self, client: Client, names: Sequence[str]) -> None:
        """How many jobs were completed since the last time, by the newest completed job that was seen then."""
        asked: list[Operation] = [lanes.lane_ids(name, "completed", 0, KEPT_DONE) for name in names]
        *answers, memory = client.execute_all([*asked, _memory()])
        self._memory = memory
        passed, self._rated_ms = self._ticks() - self._rated_ms, self._ticks()
        done, is_first = 0, not self._last_done
        for name, ids in zip(names, answers, strict=True):
            before = self._last_done.get(name)
            if before is not None:
                done += ids.index(before) if before in ids else len(ids)
            self._last_done[name] = ids[0] if ids else ""
        if not is_first and passed > 0:
            self._rates.append(1000 * done / passed)


def needs_of(queues: Sequence[QueueSnapshot], failed: Sequence[RunSummary], now: int, memory: float = 0.0) -> tuple[Need, ...]:
    """What needs somebody, the gravest first."""
    found: list[Need] = []
    for q in queues:
        waiting = q.waiting + q.group_waiting
        if q.state == "no worker":
            found.append(Need(q.name, f"{waiting} waiting, no worker serves it", f"omniq-flow worker -q {q.name}", q.name))
    for run in failed:
        h = run.header
        what = f"{h.flow} failed {show_duration(max(now - h.ended_ms, 0))} ago"
        found.append(Need(f"run {h.run_id[-6:]}", what, "r retry   enter open", h.queue, h.run_id, "run"))
    for q in queues:
        if not q.is_paused and q.state == "run" and q.oldest_wait_ms and now - q.oldest_wait_ms > OLD_WAIT_MS:
            found.append(Need(q.name, f"its oldest job waits for {show_duration(now - q.oldest_wait_ms)}", "enter looks at it", q.name))
        if q.pause is not None and q.pause.at_ms and now - q.pause.at_ms > LONG_PAUSE_MS:
            by = f" by {q.pause.by}" if q.pause.by else ""
            found.append(
                Need(
                    q.name,
                    f"paused for {show_duration(now - q.pause.at_ms)}{by}: {q.pause.reason or 'no reason given'}",
                    "p resumes",
                    q.name,
                )
            )
        if q.drift:
            d = q.drift[0]
            found.append(Need(q.name, f"its counter {d.counter} says {d.counted}, there are {d.found}", "", q.name))
    if memory > MOST_MEMORY:
        found.append(Need("server", f"{100 * memory:.0f} % of its memory is used", "raise maxmemory or make room", kind="server"))
    skew = max((q.at_ms for q in queues), default=now) - now
    if abs(skew) > MOST_SKEW_MS and queues and any(q.at_ms for q in queues) and skew > 0:
        found.append(Need("clock", f"the server's clock is {show_duration(abs(skew))} ahead of this one", "", kind="server"))
    return tuple(found)


def _memory() -> Query[float]:
    """Read how much of its memory the server uses, 0…1; 0 if it has no limit."""

    def parse(reply: object) -> float:
        rows = [row.partition(":") for row in text(reply).splitlines()]  # type: ignore[arg-type]
        said = {name: value.strip() for name, _, value in rows}
        used, most = int(said.get("used_memory", "0") or 0), int(said.get("maxmemory", "0") or 0)
        return used / most if most else 0.0

    return Query(("INFO", "memory"), parse)
