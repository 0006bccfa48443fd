"""OmniQ's monitor by its names (wire §11): what 4.0 shows of a queue, and what 1.4 to 3.1 showed. It only reads.

Pages come out of the index sets, which drift when old clients share a queue (wire §12); `omniq_flow.observe` reads the
lanes themselves. Missing or empty numbers read as 0, missing texts as empty. A text that is no UTF-8 is shown with
escapes and hides no job (Q16). Other than OmniQ's, a server that cannot be reached is a `ServerUnavailable`, never an
empty queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from omniq_flow.client.client import Client
from omniq_flow.model.names import check_queue
from omniq_flow.omniq.client import OmniqClient
from omniq_flow.ops import keys, lanes
from omniq_flow.ops.admin import is_paused
from omniq_flow.ops.command import Operation, Query, number, text, texts

T = TypeVar("T")

PAGE = 25
MOST_GROUPS = 500
MOST_SAMPLES = 500


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The counters of a queue as they are kept (wire §4), and whether it is paused."""

    queue: str
    paused: bool
    waiting: int
    group_waiting: int
    waiting_total: int
    active: int
    delayed: int
    failed: int
    completed_kept: int
    groups_ready: int
    last_activity_ms: int
    last_enqueue_ms: int
    last_reserve_ms: int
    last_finish_ms: int


@dataclass(frozen=True, slots=True)
class GroupReady:
    """A group that can be served, and since when."""

    gid: str
    score_ms: int


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """Slots, limit and waiting jobs of a group."""

    gid: str
    inflight: int
    limit: int
    ready: bool
    waiting_count: int


@dataclass(frozen=True, slots=True)
class LaneJob:
    """A job on a page of a lane; `idx_score_ms` is when it came there."""

    lane: str
    job_id: str
    idx_score_ms: int
    state: str
    gid: str
    attempt: int
    max_attempts: int
    due_ms: int
    lock_until_ms: int
    queued_ms: int
    first_started_ms: int
    last_started_ms: int
    completed_ms: int
    failed_ms: int
    updated_ms: int
    last_error: str


@dataclass(frozen=True, slots=True)
class JobInfo:
    """All that a job's hash holds."""

    job_id: str
    state: str
    gid: str
    attempt: int
    max_attempts: int
    timeout_ms: int
    backoff_ms: int
    lease_token: str
    lock_until_ms: int
    due_ms: int
    payload: str
    last_error: str
    last_error_ms: int
    created_ms: int
    updated_ms: int
    queued_ms: int
    first_started_ms: int
    last_started_ms: int
    completed_ms: int
    failed_ms: int


@dataclass(frozen=True, slots=True)
class QueueOverview:
    """Statistics and some jobs of each lane but the waiting one."""

    stats: QueueStats
    ready_groups: list[GroupReady]
    active: list[LaneJob]
    delayed: list[LaneJob]
    failed: list[LaneJob]
    completed: list[LaneJob]


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Lengths of the lanes; `waiting` is without the groups (1.4 to 2.0)."""

    paused: bool
    waiting: int
    active: int
    delayed: int
    completed: int
    failed: int


@dataclass(frozen=True, slots=True)
class ActiveSample:
    """An active job, the next to lose its lease first (1.4 to 2.0)."""

    job_id: str
    gid: str
    lock_until_ms: int
    attempt: int


@dataclass(frozen=True, slots=True)
class DelayedSample:
    """A delayed job, the next to be due first (1.4 to 2.0)."""

    job_id: str
    gid: str
    due_ms: int
    attempt: int


@dataclass(frozen=True, slots=True)
class FailedSample:
    """A failed job, the newest first (1.4 to 2.0)."""

    job_id: str
    gid: str
    attempt: int
    max_attempts: int
    failed_at_ms: int
    last_error: str


_OF_LANE_JOB = tuple(f.name for f in fields(LaneJob))[3:]
_OF_JOB = tuple(f.name for f in fields(JobInfo))[1:]
_OF_STATS = tuple(f.name for f in fields(QueueStats))[2:]
_TEXTS = frozenset({"state", "gid", "last_error", "payload", "lease_token"})


class QueueMonitor:
    """Looks at queues for OmniQ's callers; `x` is a client of ours or of OmniQ.

    Of another's client the address is taken from its redis-py connection (at `.r`, `.ops.r` or `._ops.r`), and a connection
    of its own is made, which `close` ends. `ValueError` for anything else, and for the name of a queue that is not allowed.
    """

    def __init__(self, x: Any) -> None:
        own = _client_in(x)
        self._is_owner = own is None
        self._client = own or OmniqClient(redis=_connection_in(x)).client

    def close(self) -> None:
        """Close the connection that was made for this monitor; a client that was given stays open."""
        if self._is_owner:
            self._client.close()

    def __enter__(self) -> QueueMonitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- queues -----------------------------------------------------------------------------

    def scan_queues(self) -> list[str]:
        """All queues that have statistics, by name. The whole keyspace is walked, a thousand keys a call (Q40)."""
        found: set[str] = set()
        cursor = -1
        while cursor:
            cursor, some = self._client.execute(lanes.scan_statistics(max(cursor, 0)))
            found |= {name for key in some if (name := lanes.queue_of_statistics(key)) is not None}
        return sorted(found)

    def list_queues(self) -> list[str]:
        """What `scan_queues` finds, and those that clients of OmniQ 2.0 to 3.1 have listed."""
        listed = self._client.execute(Query(("SMEMBERS", "omniq:queues"), lambda reply: texts(list(reply))))
        return sorted({*self.scan_queues(), *(name for base in listed if (name := lanes.queue_of_statistics(base)) is not None)})

    def stats(self, queue: str) -> QueueStats:
        """The counters of one queue; all zero if there is none."""
        return self.stats_many([queue])[0]

    def stats_many(self, queues: Iterable[str] | None = None) -> list[QueueStats]:
        """The counters of these queues, of all that `scan_queues` finds by default."""
        names = self.scan_queues() if queues is None else [check_queue(queue) for queue in queues]
        answers = self._all([op for name in names for op in (is_paused(name), lanes.statistics(name))])
        return [_stats(name, paused, counts) for name, paused, counts in zip(names, answers[::2], answers[1::2], strict=True)]

    def counts(self, queue: str) -> QueueCounts:
        """The lengths of the lanes."""
        order: tuple[lanes.LaneName, ...] = ("wait", "active", "delayed", "completed", "failed")
        return QueueCounts(*self._all([is_paused(queue), *(lanes.lane_length(queue, lane) for lane in order)]))

    def overview(self, queue: str, samples_per_lane: int = 10) -> QueueOverview:
        """Statistics, groups that are ready, and the first jobs of the lanes: 1 to 25 of each."""
        n = _clamp(samples_per_lane, PAGE)
        pages = (self.lane_page(queue, lane, 0, n) for lane in ("active", "delayed", "failed", "completed"))
        return QueueOverview(self.stats(queue), self.groups_ready_with_scores(queue, 0, n), *pages)

    # -- groups -----------------------------------------------------------------------------

    def groups_ready(self, queue: str, offset: int = 0, limit: int = 200) -> list[str]:
        """Groups that can be served, in their order: 1 to 500."""
        return [group.gid for group in self.groups_ready_with_scores(queue, offset, limit)]

    def groups_ready_with_scores(self, queue: str, offset: int = 0, limit: int = 200) -> list[GroupReady]:
        """The same, and since when each can be."""
        found = self._client.execute(lanes.ready_groups(queue, max(int(offset), 0), _clamp(limit, MOST_GROUPS)))
        return [GroupReady(gid, since) for gid, since in found]

    def group_status(self, queue: str, gids: Iterable[str], default_limit: int = 1) -> list[GroupStatus]:
        """The first 500 of these groups; `default_limit` stands for a limit that is not set."""
        check_queue(queue)
        wanted = [gid for gid in gids if gid][:MOST_GROUPS]
        asked: list[Operation] = []
        for gid in wanted:
            asked += [lanes.group_numbers(queue, gid), lanes.ready_since(queue, gid), lanes.lane_length(queue, "gwait", gid)]
        answers = self._all(asked)
        default = max(int(default_limit), 1)
        return [
            GroupStatus(gid, numbers.active, numbers.limit or default, since is not None, waiting)
            for gid, numbers, since, waiting in zip(wanted, answers[::3], answers[1::3], answers[2::3], strict=True)
        ]

    # -- jobs -------------------------------------------------------------------------------

    def lane_page(self, queue: str, lane: str, offset: int = 0, limit: int = PAGE, reverse: bool = False) -> list[LaneJob]:
        """1 to 25 jobs of a lane by the time they came there; those without a hash are left out.

        Grouped waiting jobs are in `wait`; a lane of another name is empty.
        """
        at = max(int(offset), 0)
        args = ("ZRANGE", _index(queue, lane), at, at + _clamp(limit, PAGE) - 1, *(("REV",) if reverse else ()), "WITHSCORES")
        found = self._client.execute(Query(args, lambda reply: [(job_id, number(score)) for job_id, score in lanes.pairs(reply)]))
        return self._lane_jobs(queue, lane, found)

    def find_jobs(self, queue: str, lane: str, job_ids: Iterable[str]) -> list[LaneJob]:
        """Those of these jobs that are in a lane, in the order given."""
        index = _index(queue, lane)
        wanted = [job_id for job_id in job_ids if job_id]
        scores = self._all([Query(("ZSCORE", index, job_id), lambda reply: reply) for job_id in wanted])
        return self._lane_jobs(queue, lane, [(i, number(score)) for i, score in zip(wanted, scores, strict=True) if score is not None])

    def get_job(self, queue: str, job_id: str) -> JobInfo | None:
        """One job; None if there is none of this id."""
        found = self._client.execute(_job(queue, job_id, _OF_JOB))
        return JobInfo(job_id, **found) if found is not None and job_id else None

    def sample_active(self, queue: str, limit: int = 50) -> list[ActiveSample]:
        """1 to 500 active jobs, by deadline."""
        rows = self._scored(queue, "active", limit)
        return [ActiveSample(job_id, job["gid"], score, job["attempt"]) for job_id, score, job in rows]

    def sample_delayed(self, queue: str, limit: int = 50) -> list[DelayedSample]:
        """1 to 500 delayed jobs, by due time."""
        rows = self._scored(queue, "delayed", limit)
        return [DelayedSample(job_id, job["gid"], score, job["attempt"]) for job_id, score, job in rows]

    def sample_failed(self, queue: str, limit: int = 50) -> list[FailedSample]:
        """1 to 500 failed jobs, the newest first."""
        ids = self._client.execute(lanes.lane_ids(queue, "failed", 0, _clamp(limit, MOST_SAMPLES)))
        return [
            FailedSample(
                job_id, job["gid"], job["attempt"], job["max_attempts"], job["last_error_ms"] or job["updated_ms"], job["last_error"]
            )
            for job_id, job in zip(ids, self._jobs(queue, ids), strict=True)
        ]

    # -- reading ----------------------------------------------------------------------------

    def _all(self, ops: list[Any]) -> list[Any]:
        return self._client.execute_all(ops) if ops else []

    def _lane_jobs(self, queue: str, lane: str, found: list[tuple[str, int]]) -> list[LaneJob]:
        jobs = self._all([_job(queue, job_id, _OF_LANE_JOB) for job_id, _ in found])
        return [LaneJob(lane, job_id, score, **job) for (job_id, score), job in zip(found, jobs, strict=True) if job is not None]

    def _scored(self, queue: str, lane: str, limit: int) -> list[tuple[str, int, dict[str, Any]]]:
        args = ("ZRANGE", keys.queue_key(check_queue(queue), lane), 0, _clamp(limit, MOST_SAMPLES) - 1, "WITHSCORES")
        found = self._client.execute(Query(args, lambda reply: [(job_id, number(score)) for job_id, score in lanes.pairs(reply)]))
        jobs = self._jobs(queue, [job_id for job_id, _ in found])
        return [(job_id, score, job) for (job_id, score), job in zip(found, jobs, strict=True)]

    def _jobs(self, queue: str, ids: list[str]) -> list[dict[str, Any]]:
        """Jobs that are gone read as zeros."""
        found = self._all([_job(queue, job_id, _OF_JOB) for job_id in ids])
        return [job if job is not None else _read(_OF_JOB, [None] * len(_OF_JOB)) for job in found]


def _client_in(x: Any) -> Client | None:
    """The blocking client of ours that x is, or works with."""
    return next((c for c in (x, getattr(x, "client", None)) if isinstance(c, Client)), None)


def _connection_in(x: Any) -> Any:
    for path in (("r",), ("ops", "r"), ("_ops", "r")):
        found = x
        for name in path:
            found = getattr(found, name, None)
        if found is not None:
            return found
    raise ValueError(f"a monitor needs a client, or something with a redis-py connection at .r or .ops.r; {type(x).__name__} is neither")


def _clamp(value: int, most: int) -> int:
    return min(max(int(value), 1), most)


def _index(queue: str, lane: str) -> str:
    return keys.queue_key(check_queue(queue), "idx", lane)


def _job(queue: str, job_id: str, names: tuple[str, ...]) -> Query[dict[str, Any] | None]:
    """Fields of a job; None if none of them is there."""

    def parse(reply: Any) -> dict[str, Any] | None:
        return _read(names, reply) if any(value is not None for value in reply) else None

    return Query(("HMGET", keys.job(check_queue(queue), job_id), *names), parse)


def _read(names: tuple[str, ...], values: list[Any]) -> dict[str, Any]:
    return {name: text(value) if name in _TEXTS else number(value) for name, value in zip(names, values, strict=True)}


def _stats(queue: str, paused: bool, counts: dict[str, int]) -> QueueStats:
    known = {name: counts.get(name, 0) for name in _OF_STATS}
    if known["waiting_total"] <= 0:
        known["waiting_total"] = max(known["waiting"], 0) + max(known["group_waiting"], 0)
    return QueueStats(queue, paused, **known)
