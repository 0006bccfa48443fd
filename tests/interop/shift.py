"""The work that both clients share in `test_both_clients.py`: which jobs there are and what becomes of each.

All of it follows from a job's number, so that it can be computed afterwards. What handlers do is noted in a list outside
of the queue: OmniQ forgets all but the newest hundred jobs that are done. This needs redis-py only, since the real
client's environment has nothing else.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis

QUEUE = "mixed"
EFFECTS = "effects"
GROUPS = 7


class Planned(Exception):
    """A failure that the plan wants."""


@dataclass(frozen=True)
class Job:
    """One job of the plan. It fails so many times before it would succeed."""

    number: int

    @property
    def job_id(self) -> str:
        return f"n{self.number}"

    @property
    def gid(self) -> str:
        """Three of four jobs are in a group."""
        return f"g{self.number % GROUPS}" if self.number % 4 else ""

    @property
    def max_attempts(self) -> int:
        return 1 + self.number % 3

    @property
    def failures(self) -> int:
        """None for seven of ten, spread as by dice."""
        roll = zlib.crc32(self.job_id.encode()) % 10
        return 0 if roll < 7 else 1 if roll < 9 else 2

    @property
    def attempts(self) -> int:
        return min(self.failures + 1, self.max_attempts)

    @property
    def is_done(self) -> bool:
        return self.failures < self.max_attempts

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of `publish`, which both clients name alike."""
        settings: dict[str, Any] = {"max_attempts": self.max_attempts, "timeout_ms": 30_000, "backoff_ms": 20, "job_id": self.job_id}
        return settings | ({"gid": self.gid, "group_limit": limit_of(self.gid)} if self.gid else {})


def limit_of(gid: str) -> int:
    return 1 + int(gid[1:]) % 3


def share(first: int, count: int, step: int) -> Iterator[Job]:
    """The jobs of one producer."""
    return map(Job, range(first, count, step))


class Notes:
    """Writes down that an attempt begins and that it ends."""

    def __init__(self, conn: redis.Redis, by: str) -> None:
        self._conn, self._by = conn, by

    def work(self, job_id: str, attempt: int) -> None:
        """What a handler does: note, work for a moment, note, and fail if the plan says so."""
        self._note("begin", job_id, attempt)
        time.sleep(0.001)
        self._note("end", job_id, attempt)
        if attempt <= Job(int(job_id[1:])).failures:
            raise Planned(f"attempt {attempt} of {job_id}")

    def _note(self, what: str, job_id: str, attempt: int) -> None:
        self._conn.rpush(EFFECTS, json.dumps([what, int(job_id[1:]), attempt, self._by, time.time()]))
