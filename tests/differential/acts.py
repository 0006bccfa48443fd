"""What is done to a queue in one step: an operation of the contract, or damage as foreign programs leave it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.differential.state import Hash, List, Space

BATCH_MOST = 100
"""More ids than this are refused as a whole (wire §7)."""


@dataclass(frozen=True, slots=True)
class Act:
    """One step. `name` is a script's, or starts with `!` for damage; `argv` are its arguments.

    A text `$token:ID` among them is replaced by the token that the job has when the step is done, so that a sequence
    from which steps were dropped still makes sense. After a `foreign` step the queue goes on as OmniQ leaves it.
    """

    name: str
    base: str
    argv: tuple[str, ...] = ()
    foreign: bool = False
    bare: bool = False

    @property
    def anchor(self) -> str:
        return self.base if self.bare else f"{self.base}:meta"

    def arg(self, place: int) -> str | None:
        return self.argv[place] if place < len(self.argv) else None

    def with_arg(self, place: int, value: str) -> Act:
        """The same with one argument replaced; those left out before it become empty."""
        argv = [*self.argv, *[""] * (place + 1 - len(self.argv))]
        argv[place] = value
        return replace(self, argv=tuple(argv))

    def resolved(self, space: Space) -> Act:
        """With the tokens as they are now."""
        if not any(value.startswith("$token:") for value in self.argv):
            return self
        values = (space.hash(f"{self.base}:job:{v[7:]}").get("lease_token", "") if v.startswith("$token:") else v for v in self.argv)
        return replace(self, argv=tuple(values))

    def __str__(self) -> str:
        shown = " ".join(repr(value) if len(value) < 60 else f"{value[:20]!r}…×{len(value)}" for value in self.argv)
        return f"{self.name} {self.anchor} {shown}{'  (then as OmniQ leaves it)' if self.foreign else ''}"


@dataclass(frozen=True, slots=True)
class Numbers:
    """Where an operation has numbers among its arguments; `clock` is the place of the time."""

    clock: int | None = None
    settings: tuple[int, ...] = ()


NUMBERS = {
    "enqueue": Numbers(5, (2, 3, 4, 6, 8)),
    "reserve": Numbers(0),
    "heartbeat": Numbers(1),
    "ack_success": Numbers(1),
    "ack_fail": Numbers(1),
    "promote_delayed": Numbers(0, (1,)),
    "reap_expired": Numbers(0, (1,)),
    "retry_failed": Numbers(1),
    "retry_failed_batch": Numbers(0),
    "remove_job": Numbers(2),
}
OPERATIONS = (*NUMBERS, "remove_jobs_batch", "pause", "resume", "childs_init", "child_ack")


def clock_place(act: Act) -> int | None:
    """Where the time stands; in a batch of removals it follows the ids, if there are as many as it says."""
    if act.name == "remove_jobs_batch":
        count = math.floor(number(act.arg(1)) or 0)
        return 2 + count if 0 < count <= min(BATCH_MOST, len(act.argv) - 2) else None
    return NUMBERS[act.name].clock if act.name in NUMBERS else None


def number(value: str | None) -> float | None:
    """A text as Lua's `tonumber` reads it, or None."""
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return float(int(value, 16)) if value.strip().lower().startswith("0x") else None
    except ValueError:
        return None


# damage ----------------------------------------------------------------------------------------------------------

Damage = Callable[..., None]


def drop_job(space: Space, base: str, job_id: str) -> None:
    """A job's record is evicted or deleted."""
    space.drop(f"{base}:job:{job_id}")


def stray(space: Space, base: str, lane: str, job_id: str) -> None:
    """An id stands in a list where it has no business, at the end that is served next."""
    space.push(f"{base}:{lane}", job_id, left=True)


def stray_score(space: Space, base: str, lane: str, job_id: str, score: str) -> None:
    space.zadd(f"{base}:{lane}", job_id, float(score))


def lose(space: Space, base: str, job_id: str) -> None:
    """An id is lost out of every list and set that holds it; its record stays."""
    for key, entry in list(space.items()):
        if key.startswith(f"{base}:") and ":idx:" not in key:
            if isinstance(entry, List):
                space.lrem(key, job_id, all=True)
            elif not isinstance(entry, Hash) and key in (f"{base}:active", f"{base}:delayed"):
                space.zrem(key, job_id)


def put(space: Space, base: str, key: str, value: str) -> None:
    """A string is set by hand: a limit, the slots taken, the pause flag."""
    space.write(f"{base}:{key}", value)


def ready(space: Space, base: str, gid: str, score: str) -> None:
    """A group stands in the ready set, whatever its state; an empty score takes it out."""
    if score:
        space.zadd(f"{base}:groups:ready", gid, float(score))
    else:
        space.zrem(f"{base}:groups:ready", gid)


def field(space: Space, base: str, key: str, name: str, value: str) -> None:
    """A field of a hash that exists is set."""
    if space.hash(f"{base}:{key}"):
        space.hset(f"{base}:{key}", **{name: value})


def fill_completed(space: Space, base: str, *oldest: str) -> None:
    """The completed lane is full; the oldest entries are given, of the others the records are gone."""
    space[f"{base}:completed"] = List([*(f"c{n}" for n in range(100 - len(oldest))), *oldest])


DAMAGES: dict[str, Damage] = {
    "!drop_job": drop_job,
    "!stray": stray,
    "!stray_score": stray_score,
    "!lose": lose,
    "!put": put,
    "!ready": ready,
    "!field": field,
    "!fill_completed": fill_completed,
}


def damage(space: Space, act: Act) -> Space:
    """The keyspace after the damage."""
    after = space.copy()
    DAMAGES[act.name](after, act.base, *act.argv)
    return after
