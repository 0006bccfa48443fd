"""Reading the lanes, groups and jobs of a queue (wire §2): each a plain command that looks at a bounded piece.

A lane is named as the admin operations name it; `gwait` is the waiting list of one group, which goes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from omniq_flow.model.names import check_queue
from omniq_flow.ops import keys
from omniq_flow.ops.command import Query, number, text, texts

LaneName = Literal["wait", "gwait", "active", "delayed", "failed", "completed"]
LANES: tuple[LaneName, ...] = get_args(LaneName)

_BY_SCORE = ("active", "delayed")

JOB_FIELDS = (
    "state",
    "gid",
    "attempt",
    "max_attempts",
    "timeout_ms",
    "backoff_ms",
    "created_ms",
    "updated_ms",
    "queued_ms",
    "first_started_ms",
    "last_started_ms",
    "completed_ms",
    "failed_ms",
    "due_ms",
    "lock_until_ms",
    "last_error",
    "last_error_ms",
)


def lane_key(queue: str, lane: LaneName, gid: str = "") -> str:
    return keys.queue_key(check_queue(queue), "g", gid, "wait") if lane == "gwait" else keys.queue_key(check_queue(queue), lane)


def lane_length(queue: str, lane: LaneName, gid: str = "") -> Query[int]:
    """Read how many jobs stand in a lane."""
    return Query(("ZCARD" if lane in _BY_SCORE else "LLEN", lane_key(queue, lane, gid)), number)


def lane_ids(queue: str, lane: LaneName, offset: int, count: int, gid: str = "") -> Query[list[str]]:
    """Read ids of a lane: next to be leased first, active by deadline, delayed by due time, what ended newest first."""
    command = "ZRANGE" if lane in _BY_SCORE else "LRANGE"
    return Query((command, lane_key(queue, lane, gid), offset, offset + count - 1), texts)


def lane_place(queue: str, lane: LaneName, job_id: str, gid: str = "") -> Query[int]:
    """Read at which place of a lane a job stands, −1 if it does not. A list is gone through from its beginning."""
    command = "ZRANK" if lane in _BY_SCORE else "LPOS"
    return Query((command, lane_key(queue, lane, gid), job_id), lambda reply: -1 if reply is None else number(reply))


def job_fields(queue: str, job_id: str) -> Query[dict[str, str] | None]:
    """Read a job's hash without its payload; None if there is no such job."""

    def parse(reply: Any) -> dict[str, str] | None:
        return dict(zip(JOB_FIELDS, map(text, reply), strict=True)) if any(v is not None for v in reply) else None

    return Query(("HMGET", keys.job(check_queue(queue), job_id), *JOB_FIELDS), parse)


def payload_bytes(queue: str, job_id: str) -> Query[int]:
    """Read how long a job's payload is, in bytes."""
    return Query(("HSTRLEN", keys.job(check_queue(queue), job_id), "payload"), number)


def payload(queue: str, job_id: str) -> Query[str]:
    """Read a job's payload as text; bytes that are no UTF-8 stay visible as escapes."""
    return Query(("HGET", keys.job(check_queue(queue), job_id), "payload"), text)


def lease_token(queue: str, job_id: str) -> Query[str]:
    """Read the token of a job's lease; empty if nobody holds one."""
    return Query(("HGET", keys.job(check_queue(queue), job_id), "lease_token"), text)


def latest_take(queue: str, worker: str) -> Query[set[tuple[str, str]]]:
    """Read the leases, as job id and token, that a worker's latest take brought; the server keeps that for a minute."""

    def parse(reply: Any) -> set[tuple[str, str]]:
        parts = (line.rsplit(" ", 2) for line in text(reply).split("\n")[1:])
        return {(part[0], part[1]) for part in parts if len(part) == 3}

    return Query(("GET", keys.taken(check_queue(queue), worker)), parse)


def job_group(queue: str, job_id: str) -> Query[str]:
    """Read the group of a job; empty for a plain one, and for one that is gone."""
    return Query(("HGET", keys.job(check_queue(queue), job_id), "gid"), text)


def job_place(queue: str, job_id: str) -> Query[tuple[str, int]]:
    """Read a job's state and since when it has it; an empty state for a job that is gone."""
    return Query(("HMGET", keys.job(check_queue(queue), job_id), "state", "updated_ms"), lambda reply: (text(reply[0]), number(reply[1])))


def statistics(queue: str) -> Query[dict[str, int]]:
    """Read the queue's own counters (wire §4), which may have drifted."""
    return Query(("HGETALL", keys.queue_key(check_queue(queue), "stats")), lambda reply: {k: number(v) for k, v in pairs(reply)})


def oldest_waiting(queue: str, count: int) -> Query[list[str]]:
    """Read ids of the jobs that are said to wait longest, plain or grouped; some may have left (Q31)."""
    return Query(("ZRANGE", keys.queue_key(check_queue(queue), "idx", "wait"), 0, count - 1), texts)


def latest_deadline(queue: str) -> Query[int]:
    """Read when the last of all leases ends; 0 if no job is active."""
    return Query(
        ("ZRANGE", keys.queue_key(check_queue(queue), "active"), -1, -1, "WITHSCORES"), lambda reply: number(reply[1]) if reply else 0
    )


def next_due(queue: str) -> Query[int]:
    """Read when the next delayed job is due; 0 if none is delayed."""
    return Query(
        ("ZRANGE", keys.queue_key(check_queue(queue), "delayed"), 0, 0, "WITHSCORES"), lambda reply: number(reply[1]) if reply else 0
    )


def pause_note(queue: str) -> Query[dict[str, str]]:
    """Read the note of a pause: `by`, `at_ms`, `reason`; it counts only while the queue is paused."""
    return Query(("HGETALL", keys.pause_note(check_queue(queue))), lambda reply: dict(pairs(reply)))


def present_workers(queue: str, most: int = 1_000) -> Query[list[tuple[str, int]]]:
    """Read the workers that tell of themselves here, and until when their word holds; some may be past it."""
    return Query(
        ("ZRANGE", keys.workers(check_queue(queue)), 0, most - 1, "REV", "WITHSCORES"),
        lambda reply: [(name, number(until)) for name, until in pairs(reply)],
    )


def worker_fields(queue: str, name: str) -> Query[dict[str, str]]:
    """Read what a worker tells of itself; empty if it has left."""
    return Query(("HGETALL", keys.worker(check_queue(queue), name)), lambda reply: dict(pairs(reply)))


def ready_groups(queue: str, offset: int, count: int) -> Query[list[tuple[str, int]]]:
    """Read groups that can be served, in the order in which they will be, and since when each can."""
    return Query(
        ("ZRANGE", keys.queue_key(check_queue(queue), "groups", "ready"), offset, offset + count - 1, "WITHSCORES"),
        lambda reply: [(gid, number(score)) for gid, score in pairs(reply)],
    )


def count_ready(queue: str) -> Query[int]:
    """Read how many groups can be served."""
    return Query(("ZCARD", keys.queue_key(check_queue(queue), "groups", "ready")), number)


@dataclass(frozen=True, slots=True)
class GroupNumbers:
    """Slots in use and the limit of a group; None where no limit is set, and 1 counts."""

    active: int
    limit: int | None


def group_numbers(queue: str, gid: str) -> Query[GroupNumbers]:
    """Read slots and limit of a group."""

    def parse(reply: Any) -> GroupNumbers:
        active, limit = reply
        return GroupNumbers(max(number(active), 0), number(limit) if number(limit) > 0 else None)

    prefix = keys.queue_key(check_queue(queue), "g", gid)
    return Query(("MGET", f"{prefix}:inflight", f"{prefix}:limit"), parse)


def ready_since(queue: str, gid: str) -> Query[int | None]:
    """Read since when a group can be served; None if it cannot."""
    return Query(
        ("ZSCORE", keys.queue_key(check_queue(queue), "groups", "ready"), gid), lambda reply: None if reply is None else number(reply)
    )


def server_time() -> Query[int]:
    """Read the server's clock, in epoch ms."""
    return Query(("TIME",), lambda reply: number(reply[0]) * 1000 + number(reply[1]) // 1000)


def scan_statistics(cursor: int, count: int = 1_000) -> Query[tuple[int, list[str]]]:
    """Look through a slice of the keyspace for the statistics of queues: the next cursor (0: that was all) and their keys."""
    return Query(
        ("SCAN", cursor, "MATCH", "*:stats", "COUNT", count, "TYPE", "hash"), lambda reply: (number(reply[0]), texts(list(reply[1])))
    )


def queue_of_statistics(key: str) -> str | None:
    """The queue that a key of statistics belongs to; None if it is none of a valid queue."""
    base = key.removesuffix(":stats")
    name = base[1:-1] if base.startswith("{") and base.endswith("}") else base
    try:
        return check_queue(name)
    except ValueError:
        return None


def pairs(reply: Sequence[Any] | dict[Any, Any]) -> list[tuple[str, str]]:
    """A flat reply, or a map, as pairs of texts."""
    flat = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return [(text(k), text(v) if not isinstance(v, float) else str(v)) for k, v in flat]
