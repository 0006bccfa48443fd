"""Everything at a glance: all queues, how many runs, how many jobs a second, and what needs somebody.

A tick has a budget (three round trips, 150 commands), so queues are read in turn, the visible ones first, and every few
ticks the runs are counted instead, or the jobs of cancelled runs that wait. What was not read this time is shown as it was read last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from omniq_flow.client.client import Client
from omniq_flow.errors import ReplyError
from omniq_flow.model.clock import Clock, monotonic_ms, now_ms, show_duration
from omniq_flow.observe.cancelled import CancelledJobs, CancelledReader
from omniq_flow.observe.queues import QueueSnapshot, read_queue, read_queues
from omniq_flow.observe.run_list import RunCounts, RunList
from omniq_flow.observe.run_query import RunQuery
from omniq_flow.observe.server_state import UNKNOWN, ServerState, ServerWatch
from omniq_flow.observe.snapshot import RunSummary
from omniq_flow.observe.sound import read_sound, sound
from omniq_flow.ops import lanes
from omniq_flow.ops.jobs import is_of_old_layout, some_jobs

QUEUES_A_TICK = 6
RATED_QUEUES = 20
RUNS_EVERY = 4
CANCELLED_EVERY = 8
CANCELLED_AGAIN = 4
"""While there are jobs of cancelled runs that wait, they are counted more often."""
CANCELLED_QUEUES = 12
CANCELLED_STATES = 50
CANCELLED_RUNS = 15
OLD_EVERY = 32
OLD_QUEUES = 5
OLD_SAMPLE = 8
"""Now and then so many jobs of each lane of a few queues are looked at for traces of an old client."""
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
        self._watch = ServerWatch()
        self._server = UNKNOWN
        self._skew_ms = 0
        self._old: dict[str, str] = {}
        self._old_turn = 0
        self._cancelled_runs = CancelledReader()
        self._cancelled: dict[str, CancelledJobs] = {}
        self._cancelled_turn = 0

    def read(self, client: Client, names: Sequence[str], visible: Sequence[str] = ()) -> Overview:
        """The next glance at these queues; `visible` are those that are looked at."""
        if names and not (self._known or self._faults):
            # Glances before the queues had names do not count: nobody sees what their runs do before he sees them.
            self._tick = 0
        self._tick += 1
        if self._tick % RUNS_EVERY == 2:
            window = self._runs.read(client, names, RunQuery(), 0, 0, now_ms=self._clock())
            self._picture = replace(self._picture, runs=window.counts, failed=window.failed)
        elif self._tick % OLD_EVERY == 4 and names:
            self._look_for_old_clients(client, names)
        elif self._tick % (CANCELLED_AGAIN if any(c.by_group for c in self._cancelled.values()) else CANCELLED_EVERY) == 3:
            self._count_cancelled(client, names)
        else:
            self._read_queues(client, names, visible)
        queues = tuple(self._shown(name) for name in names if name in self._known)
        broken = tuple(Need(name, what, queue=name) for name, what in self._faults.items() if name in names)
        old = {name: job_id for name, job_id in self._old.items() if name in names}
        needs = (*broken, *needs_of(queues, self._picture.failed, self._clock(), self._server, self._skew_ms, old))
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
            self._skew_ms = snapshot.at_ms - self._clock()
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

    def _shown(self, name: str) -> QueueSnapshot:
        queue = self._known[name]
        return self._cancelled[name].out_of_queue(queue) if name in self._cancelled else queue

    def _count_cancelled(self, client: Client, names: Sequence[str]) -> None:
        """Jobs of cancelled runs in some of the queues in which groups wait, in turn; first where there were such jobs before."""
        there = [name for name in names if name in self._known and self._known[name].group_waiting]
        at = self._cancelled_turn % max(len(there), 1)
        self._cancelled_turn += CANCELLED_QUEUES
        before = (name for name, jobs in self._cancelled.items() if jobs.by_group)
        turn = list(dict.fromkeys([*before, *there[at:], *there[:at]]))[:CANCELLED_QUEUES]
        self._cancelled |= self._cancelled_runs.read(client, turn, most=CANCELLED_STATES, most_cancelled=CANCELLED_RUNS)

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
        self._server, answers = self._watch.execute_all(client, [lanes.lane_ids(name, "completed", 0, KEPT_DONE) for name in names])
        passed, self._rated_ms = self._ticks() - self._rated_ms, self._ticks()
        done, is_first = 0, not self._last_done
        for name, ids in zip(names, answers, strict=True):
            before = self._last_done.get(name)
            if before is not None:
                done += ids.index(before) if before in ids else len(ids)
            self._last_done[name] = ids[0] if ids else ""
        if not is_first and passed > 0:
            self._rates.append(1000 * done / passed)

    def _look_for_old_clients(self, client: Client, names: Sequence[str]) -> None:
        """Some jobs of some queues, in turn: what a client before OmniQ 3.0 published or leased lacks fields (wire §12)."""
        turn = [names[(self._old_turn + n) % len(names)] for n in range(min(OLD_QUEUES, len(names)))]
        self._old_turn += OLD_QUEUES
        lists = iter(read_sound(client, [query for name in turn for query in some_jobs(name, OLD_SAMPLE)]))
        places = [(name, job_id) for name in turn for _ in range(3) for job_id in sound(next(lists), [])]
        found = read_sound(client, [is_of_old_layout(*place) for place in places])
        self._old = {name: job_id for name, job_id in self._old.items() if name not in turn}
        self._old |= {name: job_id for (name, job_id), is_old in zip(places, found, strict=True) if is_old is True}


def needs_of(
    queues: Sequence[QueueSnapshot],
    failed: Sequence[RunSummary],
    now: int,
    server: ServerState = UNKNOWN,
    skew_ms: int = 0,
    old: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Need, ...]:
    """What needs somebody, the gravest first. `old` names queues with a job that an old client left its traces on."""
    found = [Need("server", what.removeprefix("the server "), kind="server") for what in server.refusals]
    for q in queues:
        waiting = q.waiting + q.group_waiting
        if q.state == "no worker":
            what = f"{waiting} waiting" if waiting else f"{q.cancelled_waiting} of cancelled runs to put away"
            found.append(Need(q.name, f"{what}, no worker serves it", f"omniq-flow worker -q {q.name}", q.name))
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
    for name, job_id in old.items():
        found.append(Need(name, f"an OmniQ client before 3.0 uses it (job {job_id}): its figures drift", "update that client", name))
    if MOST_MEMORY < server.memory <= 1:
        found.append(Need("server", f"{100 * server.memory:.0f} % of its memory is used", "raise maxmemory or make room", kind="server"))
    if abs(skew_ms) > MOST_SKEW_MS:
        way = "ahead of" if skew_ms > 0 else "behind"
        found.append(Need("clock", f"the server's clock is {show_duration(abs(skew_ms))} {way} this one", kind="server"))
    return tuple(found)
