"""What all operations of the model share (wire §1, §4–§6): how numbers are read, counters, index sets, groups."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from tests.differential.acts import number
from tests.differential.state import Space


@dataclass(frozen=True, slots=True)
class Failure:
    """A script that failed on the server; the words are not compared."""

    message: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Failure)

    def __hash__(self) -> int:
        return 0


Reply: TypeAlias = str | int | list[str] | Failure


class ScriptFailed(Exception):
    """The script stops half-way."""


def shown(value: float) -> str:
    """A number as Lua 5.1 turns it into text: 14 digits, then an exponent (Q22)."""
    return f"{value:.14g}"


def read(value: str | None) -> int:
    """Absent, empty or no number counts as 0, fractions are rounded down (wire §1)."""
    found = number(value)
    return math.floor(found) if found is not None and math.isfinite(found) else 0


def positive(value: str | None, default: int) -> int:
    found = read(value)
    return found if found > 0 else default


class Lanes:
    """One queue, or one counter, while one operation works on it."""

    def __init__(self, space: Space, base: str) -> None:
        self.space, self.base = space, base

    def key(self, name: str) -> str:
        return f"{self.base}:{name}"

    def job(self, job_id: str) -> str:
        return f"{self.base}:job:{job_id}"

    # statistics and index sets --------------------------------------------------------------------------------

    def add(self, field: str, delta: int) -> None:
        """Up, or down to zero at the least (wire §4)."""
        have = read(self.space.hash(self.key("stats")).get(field))
        self.put(**{field: max(have + delta, 0) if delta < 0 else have + delta})

    def put(self, **values: float) -> None:
        self.space.hset(self.key("stats"), **{field: shown(value) for field, value in values.items()})

    def index(self, lane: str, job_id: str, now: float | None) -> None:
        if now is None:
            self.space.zrem(self.key(f"idx:{lane}"), job_id)
        else:
            self.space.zadd(self.key(f"idx:{lane}"), job_id, now)

    # groups (wire §6) -----------------------------------------------------------------------------------------

    def limit(self, gid: str) -> int:
        return positive(self.space.text(self.key(f"g:{gid}:limit")), 1)

    def inflight(self, gid: str) -> int:
        return read(self.space.text(self.key(f"g:{gid}:inflight")))

    def can_serve(self, gid: str) -> bool:
        return self.inflight(gid) < self.limit(gid) and bool(self.space.list(self.key(f"g:{gid}:wait")))

    def make_ready(self, gid: str, score: float) -> None:
        if self.space.zadd(self.key("groups:ready"), gid, score, nx=True):
            self.add("groups_ready", 1)

    def free_slot(self, gid: str) -> None:
        self.space.write(self.key(f"g:{gid}:inflight"), str(max(self.inflight(gid) - 1, 0)))

    def release(self, gid: str, now: float) -> None:
        if gid:
            self.free_slot(gid)
            if self.can_serve(gid):
                self.make_ready(gid, now)

    def requeue(self, job_id: str, now: float) -> str:
        """To its waiting list; gives the counter of the lane."""
        gid = self.space.hash(self.job(job_id)).get("gid", "")
        self.index("wait", job_id, now)
        if not gid:
            self.space.push(self.key("wait"), job_id)
            return "waiting"
        self.space.push(self.key(f"g:{gid}:wait"), job_id)
        if self.can_serve(gid):
            self.make_ready(gid, now)
        return "group_waiting"
