"""Completion counters: a parent waits for n children over any queues (wire §8).

A child counts once, zero is said once, and the counter is gone with it: a child whose report brought the zero and that
reports again is answered NO_COUNTER (Q25). So a report is never sent again when its reply was lost; the error that is
raised then says that it may have counted (Q26).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from omniq_flow.errors import OperationRefused
from omniq_flow.ops import keys
from omniq_flow.ops.command import Command, Query, number, text, texts
from omniq_flow.ops.lanes import pairs
from omniq_flow.ops.replies import expect_ok, number_after_ok

MAX_KEY = 128
MOST_NOTED = 1_000
NO_COUNTER = -1


def childs_init(key: str, expected: int, *, operation: str = "CHILDS_INIT") -> Command[None]:
    """Start a counter for `expected` children; refused as `ALREADY_INIT` while it runs, as `BAD_EXPECTED` below 1.

    `operation` is the name that a refusal carries.
    """
    return Command(
        "omniq/childs_init",
        (keys.counter_anchor(check_key(key)),),
        (expected,),
        expect_ok(operation),
        is_repeatable=False,
    )


def child_ack(key: str, child_id: str, *, operation: str = "CHILD_ACK") -> Command[int]:
    """Report a child; gives how many are still missing. Refused as `NO_COUNTER` when there is none."""
    child = child_id.strip()
    if not child:
        raise ValueError("a child id must not be empty")
    return Command(
        "omniq/child_ack",
        (keys.counter_anchor(check_key(key)),),
        (child,),
        number_after_ok(operation),
        is_repeatable=False,
    )


def child_ack_answer(key: str, child_id: str) -> Command[int]:
    """Report a child as OmniQ does since 1.5: −1 where there is no counter, and only there (D15)."""
    op = child_ack(key, child_id)

    def parse(reply: Any) -> int:
        try:
            return op.parse(reply)
        except OperationRefused as refusal:
            if refusal.code != "NO_COUNTER":
                raise
            return NO_COUNTER

    return replace(op, parse=parse)


def init_job_counter(key: str, expected: int) -> Command[None]:
    """Start a counter by the words of OmniQ 1.4."""
    return childs_init(key, expected, operation="CHECK_COMPLETION_INIT")


def job_decrement(key: str, child_id: str) -> Command[int]:
    """Report a child by the words of OmniQ 1.4; refused as `NO_COUNTER` when there is no counter."""
    return child_ack(key, child_id, operation="CHECK_COMPLETION_DECREMENT")


def note(key: str, at_ms: int) -> tuple[Query[int], Query[int]]:
    """Note for listings that a counter was begun, and forget the oldest above a thousand.

    Commands of their own, as their key has another hash slot. Only the order of the times is of use.
    """
    return (
        Query(("ZADD", keys.COUNTERS, at_ms, check_key(key)), number),
        Query(("ZREMRANGEBYRANK", keys.COUNTERS, 0, -MOST_NOTED - 1), number),
    )


def noted() -> Query[list[tuple[str, int]]]:
    """Read the keys of counters that were noted, and since when; the newest first. They may be over; what can be no key is left out."""

    def parse(reply: Any) -> list[tuple[str, int]]:
        return [(key, number(score)) for key, score in pairs(reply) if _is_key(key)]

    return Query(("ZREVRANGE", keys.COUNTERS, 0, MOST_NOTED - 1, "WITHSCORES"), parse)


def check_key(key: str) -> str:
    """A counter's key without blanks around it: 1 to 128 characters, no braces; else `ValueError`."""
    key = key.strip()
    if not key or len(key) > MAX_KEY:
        raise ValueError(f"a counter's key has 1 to {MAX_KEY} characters, {key[:20]!r} has {len(key)}")
    if "{" in key or "}" in key:
        raise ValueError(f"counter key {key!r} has a brace, which would move it to another hash slot")
    return key


def _is_key(key: str) -> bool:
    try:
        return check_key(key) == key
    except ValueError:
        return False


def counter_base(key: str) -> str:
    """What the two keys of a counter begin with."""
    return keys.counter_anchor(check_key(key)).removesuffix(":meta")


def run_counter_base(queue: str, run_id: str, generation: int, name: str) -> str:
    """The same for a gate (`in:…`) or a collection (`of:…`) of a run."""
    return keys.queue_key(queue, "cc", f"{run_id}.{generation}", name)


def left(base: str) -> Query[int | None]:
    """Read how many members a counter still waits for; None if there is no such counter."""
    return Query(("GET", f"{base}:count"), lambda reply: None if reply is None else number(reply))


def count_done(base: str) -> Query[int]:
    """Read how many members have reported."""
    return Query(("SCARD", f"{base}:done"), number)


def some_done(base: str, most: int) -> Query[list[str]]:
    """Read ids of members that have reported, about so many of them."""
    return Query(("SSCAN", f"{base}:done", 0, "COUNT", most), lambda reply: texts(list(reply[1])))


def are_done(base: str, members: Sequence[str]) -> Query[list[bool]]:
    """Read which of these members have reported; at most 1,000 a call."""
    return Query(("SMISMEMBER", f"{base}:done", *members), lambda reply: [number(value) == 1 for value in reply])


@dataclass(frozen=True, slots=True)
class RunWork:
    """Which generation of derived keys a run uses, and whether consequences of what was decided are left to work off."""

    generation: int
    is_left: bool


def run_work(queue: str, run_id: str) -> Query[RunWork]:
    """Read how far a run is with its consequences; zero for a run that is not there."""

    def parse(reply: Any) -> RunWork:
        generation, work, rest = map(number, reply)
        return RunWork(generation, work + rest > 0)

    return Query(("HMGET", keys.header(queue, run_id), "gen", "work", "rest"), parse)


def run_records(queue: str, run_id: str, generation: int, most: int) -> Query[dict[str, str]]:
    """Read the records of a run's gates (`left|flags|epoch|parked`) and collections (`size|left|failed|skipped|epoch`), about so many."""

    def parse(reply: Any) -> dict[str, str]:
        flat = reply[1].items() if isinstance(reply[1], dict) else zip(reply[1][::2], reply[1][1::2], strict=True)
        return {text(name): text(record) for name, record in flat}

    return Query(("HSCAN", keys.gates(queue, run_id, generation), 0, "COUNT", most), parse)
