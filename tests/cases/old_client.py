"""A client of OmniQ's 1.x layout, as its wire contract has it: no statistics, no index sets, five fields fewer in a job.

It is no product code: it does by single commands what such a client's scripts do, on a queue where nobody else is at
work in that moment.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import cast

import redis

KEPT = 100


@dataclass(frozen=True, slots=True)
class OldLease:
    """Seven fields: what newer clients are told of the attempts that a job has is missing."""

    job_id: str
    payload: str
    until_ms: int
    attempt: int
    gid: str
    token: str


class OldClient:
    """Publishes, leases and ends jobs of one queue."""

    def __init__(self, conn: redis.Redis, queue: str) -> None:
        self._conn, self._base = conn, "{" + queue + "}"

    def publish(self, job_id: str, payload: str, *, gid: str = "", limit: int = 0, attempts: int = 3, timeout_ms: int = 60_000) -> None:
        now = _now()
        self._write(job_id, id=job_id, payload=payload, state="wait", attempt=0, max_attempts=attempts)
        self._write(job_id, timeout_ms=timeout_ms, backoff_ms=0, created_ms=now, updated_ms=now)
        if gid:
            self._write(job_id, gid=gid)
            self._conn.set(self._key("has_groups"), 1)
            if limit:
                self._conn.set(self._key("g", gid, "limit"), limit, nx=True)
        self._requeue(job_id, gid)

    def reserve(self) -> OldLease | None:
        is_turn_of_groups = self._conn.get(self._key("lane:rr")) in (None, b"0")
        job_id = self._from_groups() or self._from_wait() if is_turn_of_groups else self._from_wait() or self._from_groups()
        if not job_id:
            return None
        self._conn.set(self._key("lane:rr"), 1 if is_turn_of_groups else 0)
        now, seq = _now(), self._conn.incr(self._key("lease:seq"))
        until = now + int(self._field(job_id, "timeout_ms"))
        token = hashlib.sha1(f"{job_id}:{now}:{seq}".encode(), usedforsecurity=False).hexdigest()
        attempt = self._conn.hincrby(self._job(job_id), "attempt", 1)
        self._write(job_id, state="active", lock_until_ms=until, lease_token=token, updated_ms=now)
        self._conn.zadd(self._key("active"), {job_id: until})
        return OldLease(job_id, self._field(job_id, "payload"), until, attempt, self._field(job_id, "gid"), token)

    def ack_success(self, job_id: str, token: str) -> None:
        self._end(job_id, token, "completed")
        self._conn.lpush(self._key("completed"), job_id)
        while self._conn.llen(self._key("completed")) > KEPT:
            trimmed = cast("bytes", self._conn.rpop(self._key("completed")))
            self._conn.delete(self._job(trimmed.decode()))

    def ack_fail(self, job_id: str, token: str) -> None:
        is_last = int(self._field(job_id, "attempt")) >= int(self._field(job_id, "max_attempts"))
        self._end(job_id, token, "failed" if is_last else "delayed")
        if is_last:
            self._conn.lpush(self._key("failed"), job_id)
        else:
            self._write(job_id, due_ms=_now())
            self._conn.zadd(self._key("delayed"), {job_id: _now()})

    def promote_delayed(self) -> None:
        for raw in cast("list[bytes]", self._conn.zrangebyscore(self._key("delayed"), "-inf", _now())):
            job_id = raw.decode()
            self._conn.zrem(self._key("delayed"), job_id)
            self._write(job_id, state="wait", updated_ms=_now())
            self._requeue(job_id, self._field(job_id, "gid"))

    def _end(self, job_id: str, token: str, state: str) -> None:
        assert self._field(job_id, "lease_token") == token, "TOKEN_MISMATCH"
        assert self._conn.zrem(self._key("active"), job_id), "NOT_ACTIVE"
        self._write(job_id, state=state, updated_ms=_now(), lease_token="", lock_until_ms="")
        if gid := self._field(job_id, "gid"):
            if self._conn.decr(self._key("g", gid, "inflight")) < 0:
                self._conn.set(self._key("g", gid, "inflight"), 0)
            self._make_ready(gid)

    def _requeue(self, job_id: str, gid: str) -> None:
        self._conn.rpush(self._key("g", gid, "wait") if gid else self._key("wait"), job_id)
        if gid:
            self._make_ready(gid)

    def _from_wait(self) -> str:
        return (cast("bytes | None", self._conn.lpop(self._key("wait"))) or b"").decode()

    def _from_groups(self) -> str:
        popped = cast("list[tuple[bytes, float]]", self._conn.zpopmin(self._key("groups:ready")))
        if not popped:
            return ""
        gid = popped[0][0].decode()
        job_id = cast("bytes | None", self._conn.lpop(self._key("g", gid, "wait")))
        if not job_id:
            return ""
        self._conn.incr(self._key("g", gid, "inflight"))
        self._make_ready(gid)
        return job_id.decode()

    def _make_ready(self, gid: str) -> None:
        """Without NX, as 1.x has it: a group that is ready goes to the back."""
        inflight, limit = (int(self._conn.get(self._key("g", gid, part)) or 0) for part in ("inflight", "limit"))
        if inflight < max(limit, 1) and self._conn.llen(self._key("g", gid, "wait")):
            self._conn.zadd(self._key("groups:ready"), {gid: _now()})

    def _write(self, job_id: str, **fields: str | int) -> None:
        self._conn.hset(self._job(job_id), items=[part for pair in fields.items() for part in pair])

    def _field(self, job_id: str, name: str) -> str:
        return (cast("bytes | None", self._conn.hget(self._job(job_id), name)) or b"").decode()

    def _job(self, job_id: str) -> str:
        return self._key("job", job_id)

    def _key(self, *parts: str) -> str:
        return ":".join((self._base, *parts))


def _now() -> int:
    return int(time.time() * 1000)
