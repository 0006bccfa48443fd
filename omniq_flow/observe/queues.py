"""Queues at one moment: lengths of the lanes, who serves them, what their own counters say.

A lane's length is the truth; the counters of a queue drift when clients of several versions share it (wire §12), so
they are only shown where nothing else is cheap: how many jobs wait in groups. Two round trips for any number of queues,
a third for what workers tell of themselves. Only `scan_queues` looks through the keyspace, and only when it is asked to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from omniq_flow.client.client import Client
from omniq_flow.observe.notes import note_of
from omniq_flow.ops import lanes
from omniq_flow.ops.admin import is_paused
from omniq_flow.ops.command import Operation, number
from omniq_flow.ops.steering import PauseNote

CANDIDATES = 5
"""So many ids of the index are asked how long they wait: an index may hold jobs that have left (Q31)."""
FRESH_MS = 60_000
"""A queue that gave out a job so recently has somebody who works it, known or not."""
MOST_SCANS = 1_000

_LANES: tuple[lanes.LaneName, ...] = ("wait", "active", "delayed", "failed", "completed")
_COUNTED = {"wait": "waiting", "active": "active", "delayed": "delayed", "failed": "failed", "completed": "completed_kept"}


@dataclass(frozen=True, slots=True)
class Drift:
    """A counter of the queue that differs from what is there."""

    counter: str
    counted: int
    found: int


@dataclass(frozen=True, slots=True)
class QueueSnapshot:
    """One queue. `group_waiting` is what its counter says, all other numbers are lengths. Times in epoch ms, 0: none."""

    name: str
    is_paused: bool = False
    pause: PauseNote | None = None
    waiting: int = 0
    group_waiting: int = 0
    active: int = 0
    delayed: int = 0
    failed: int = 0
    completed: int = 0
    groups_ready: int = 0
    oldest_wait_ms: int = 0
    """Since when the job waits that has waited longest, as far as the index of waiting jobs is right."""
    next_due_ms: int = 0
    leased_until_ms: int = 0
    """When the last of its leases ends; in the past if nobody extends them."""
    last_activity_ms: int = 0
    last_enqueue_ms: int = 0
    last_reserve_ms: int = 0
    last_finish_ms: int = 0
    workers: tuple[str, ...] = ()
    drift: tuple[Drift, ...] = ()
    at_ms: int = 0
    """The server's time of this picture."""
    cancelled_waiting: int = 0
    """So many jobs of cancelled runs wait besides those that are counted, where that was asked: they go when they are taken."""
    may_count_cancelled: bool = False
    """Whether it was asked and could not be told of all of them."""

    @property
    def state(self) -> str:
        """`paused`, `no worker` when jobs wait and nobody is known to take them, else `run`."""
        if self.is_paused:
            return "paused"
        is_left = self.waiting + self.group_waiting + self.cancelled_waiting > 0 and not self.workers and self.leased_until_ms <= self.at_ms
        return "no worker" if is_left and self.at_ms - self.last_reserve_ms > FRESH_MS else "run"

    @property
    def is_known(self) -> bool:
        """Whether anything of this queue is there."""
        numbers = (self.waiting, self.active, self.delayed, self.failed, self.completed, self.groups_ready, self.last_activity_ms)
        return self.is_paused or bool(self.workers) or any(numbers)


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """What a worker tells of itself; it says so again every few seconds."""

    name: str
    host: str = ""
    pid: int = 0
    version: str = ""
    state: str = ""
    queues: tuple[str, ...] = ()
    concurrency: int = 0
    busy: int = 0
    held: int = 0
    started_ms: int = 0
    seen_ms: int = 0


@dataclass(frozen=True, slots=True)
class Scanned:
    """Queues that a search through the keyspace found. `is_whole`: it was gone through to its end."""

    queues: tuple[str, ...] = field(default=())
    is_whole: bool = True


def read_queues(client: Client, names: Iterable[str]) -> list[QueueSnapshot]:
    """Pictures of these queues, in their order; a queue that does not exist is empty."""
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return []
    asked = [_asked(name) for name in wanted]
    now_ms, *answers = client.execute_all([lanes.server_time(), *(op for ops in asked for op in ops)])
    rows = list(_split(answers, len(asked[0])))
    waits = _oldest_waits(client, wanted, rows)
    return [_snapshot(name, row, wait, now_ms) for name, row, wait in zip(wanted, rows, waits, strict=True)]


def read_queue(client: Client, name: str) -> QueueSnapshot:
    """A picture of one queue."""
    return read_queues(client, [name])[0]


def workers_of(client: Client, queue: QueueSnapshot) -> list[WorkerSnapshot]:
    """The workers that serve a queue, by name; those that leave meanwhile are left out."""
    if not queue.workers:
        return []
    told = client.execute_all([lanes.worker_fields(queue.name, name) for name in queue.workers])
    return sorted((_worker(name, fields) for name, fields in zip(queue.workers, told, strict=True) if fields), key=lambda w: w.name)


def scan_queues(client: Client, most: int = MOST_SCANS) -> Scanned:
    """Search the keyspace for queues with statistics, in at most `most` slices of a thousand keys.

    Queues that only clients before OmniQ 2.0 used, or that are merely paused, have none and are not found (Q40).
    """
    found: set[str] = set()
    cursor = 0
    for _ in range(most):
        cursor, some = client.execute(lanes.scan_statistics(cursor))
        found |= {name for key in some if (name := lanes.queue_of_statistics(key)) is not None}
        if cursor == 0:
            return Scanned(tuple(sorted(found)))
    return Scanned(tuple(sorted(found)), is_whole=False)


def _asked(name: str) -> list[Operation]:
    return [
        is_paused(name),
        lanes.pause_note(name),
        lanes.statistics(name),
        lanes.count_ready(name),
        lanes.next_due(name),
        lanes.present_workers(name),
        lanes.lane_ids(name, "wait", 0, 1),
        lanes.oldest_waiting(name, CANDIDATES),
        lanes.latest_deadline(name),
        *(lanes.lane_length(name, lane) for lane in _LANES),
    ]


def _split(answers: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for at in range(0, len(answers), size):
        yield answers[at : at + size]


def _oldest_waits(client: Client, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[int]:
    """For each queue since when its oldest waiting job waits, 0 if none does."""
    ids = [list(dict.fromkeys([*row[6], *row[7]])) for row in rows]
    asked = [lanes.job_place(name, job_id) for name, some in zip(names, ids, strict=True) for job_id in some]
    places = iter(client.execute_all(asked) if asked else [])
    waits = []
    for some in ids:
        since = [since for state, since in (next(places) for _ in some) if state == "wait" and since > 0]
        waits.append(min(since, default=0))
    return waits


def _snapshot(name: str, row: Sequence[Any], oldest_wait_ms: int, now_ms: int) -> QueueSnapshot:
    paused, note, stats, ready, due, present, _, _, leased_until, *lengths = row
    found = dict(zip(_LANES, lengths, strict=True))
    drift = [Drift(_COUNTED[lane], stats[_COUNTED[lane]], n) for lane, n in found.items() if stats.get(_COUNTED[lane], n) != n]
    if stats.get("groups_ready", ready) != ready:
        drift.append(Drift("groups_ready", stats["groups_ready"], ready))
    times = {f: stats.get(f, 0) for f in ("last_activity_ms", "last_enqueue_ms", "last_reserve_ms", "last_finish_ms")}
    return QueueSnapshot(
        name,
        is_paused=paused,
        pause=note_of(note) if paused else None,
        waiting=found["wait"],
        group_waiting=stats.get("group_waiting", 0),
        active=found["active"],
        delayed=found["delayed"],
        failed=found["failed"],
        completed=found["completed"],
        groups_ready=ready,
        oldest_wait_ms=oldest_wait_ms,
        next_due_ms=due,
        leased_until_ms=leased_until,
        **times,
        workers=tuple(sorted(worker for worker, until in present if until > now_ms)),
        drift=tuple(drift),
        at_ms=now_ms,
    )


def _worker(name: str, fields: dict[str, str]) -> WorkerSnapshot:
    queues: list[str] = []
    with suppress(ValueError, TypeError):
        queues = [str(queue) for queue in json.loads(fields.get("queues", "[]"))]
    numbers = {f: number(fields.get(f)) for f in ("pid", "concurrency", "busy", "held", "started_ms", "seen_ms")}
    return WorkerSnapshot(
        name, fields.get("host", ""), version=fields.get("version", ""), state=fields.get("state", ""), queues=tuple(queues), **numbers
    )
