"""Completion counters: a parent waits for n children over any queues (wire §8).

A child counts once, zero is said once, and the counter is gone with it: a child whose report brought the zero and that
reports again is answered NO_COUNTER (Q25). So a report is never sent again when its reply was lost; the error that is
raised then says that it may have counted (Q26).
"""

from __future__ import annotations

from omniq_flow.ops import keys
from omniq_flow.ops.command import Command
from omniq_flow.ops.replies import expect_ok, number_after_ok

MAX_KEY = 128


def childs_init(key: str, expected: int) -> Command[None]:
    """Start a counter for `expected` children; refused as `ALREADY_INIT` while it runs, as `BAD_EXPECTED` below 1."""
    return Command(
        "omniq/childs_init",
        (keys.counter_anchor(check_key(key)),),
        (expected,),
        expect_ok("CHILDS_INIT"),
        is_repeatable=False,
    )


def child_ack(key: str, child_id: str) -> Command[int]:
    """Report a child; gives how many are still missing. Refused as `NO_COUNTER` when there is none."""
    child = child_id.strip()
    if not child:
        raise ValueError("a child id must not be empty")
    return Command(
        "omniq/child_ack",
        (keys.counter_anchor(check_key(key)),),
        (child,),
        number_after_ok("CHILD_ACK"),
        is_repeatable=False,
    )


def check_key(key: str) -> str:
    """A counter's key without blanks around it: 1 to 128 characters, no braces; else `ValueError`."""
    key = key.strip()
    if not key or len(key) > MAX_KEY:
        raise ValueError(f"a counter's key has 1 to {MAX_KEY} characters, {key[:20]!r} has {len(key)}")
    if "{" in key or "}" in key:
        raise ValueError(f"counter key {key!r} has a brace, which would move it to another hash slot")
    return key
