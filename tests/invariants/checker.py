"""All invariants that can be seen on one snapshot of a queue's keys, as sentences about what does not hold.

I1, I4-I6, I9-I11, I13-I15 and L1-L4 are looked for in every snapshot; I16 by `leaks` after a purge. I12 (work on
other queues) has nothing to look at while all steps of a flow stand on its home queue; I17, L5, L6 and L7 are
about how things go on, the oracle looks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import redis

from omniq_flow.model.names import is_run_id
from omniq_flow.ops import keys
from tests.invariants import derived, lanes, runs
from tests.invariants.snapshot import RunKeys, Snapshot

QUEUE_CHECKS: tuple[Callable[[Snapshot], Iterator[str]], ...] = (
    lanes.one_lane_once,
    lanes.dispatched_jobs,
    lanes.leases,
    lanes.group_slots,
    lanes.figures,
)
RUN_CHECKS: tuple[Callable[[Snapshot, RunKeys], Iterator[str]], ...] = (
    runs.states,
    runs.outputs,
    runs.tokens,
    runs.tallies,
    runs.ends,
    runs.work_counts,
    runs.history,
    runs.expiry,
    derived.derived_keys,
)
STAYS = ("stats", "lane:rr", "lease:seq", "has_groups", "flow:idle")
STAYS_A_WHILE = ("flow:a:", "flow:wake:")


def check(snapshot: Snapshot) -> list[str]:
    """What does not hold, each sentence opening with the name of its invariant; empty if all is well."""
    found = [fault for look in QUEUE_CHECKS for fault in look(snapshot)]
    for rid, run in snapshot.runs.items():
        for look in RUN_CHECKS:
            found += [f"{fault} (run {rid})" for fault in look(snapshot, run)]
    return found


def assert_holds(conn: redis.Redis, queue: str, now_ms: int = 0) -> None:
    """Raise with all that does not hold."""
    found = check(Snapshot.read(conn, queue, now_ms))
    assert not found, "\n".join(found)


def leaks(conn: redis.Redis, queue: str) -> list[str]:
    """Keys that may not be there once every run of a queue is purged and no plain job is left (I16).

    What may stay belongs to the queue: its statistics, its turn, its sequence of leases, the mark that it has had
    groups, the limits and free slots of groups that users named, the worker standing among the idle. The memory of a
    worker's last take and wake-ups that nobody fetched may stay while they expire.
    """
    s, base = Snapshot.read(conn, queue), keys.base(queue) + ":"
    shared = {f"g:{gid}:{part}" for gid in s.groups if not is_run_id(gid) for part in ("limit", "inflight")}
    in_use = {f"g:{gid}:inflight" for gid in s.groups if s.number("g", gid, "inflight")}
    found = []
    for name in s.values:
        short = name.removeprefix(base)
        expires = short.startswith(STAYS_A_WHILE) and name in s.ttl
        if not expires and short not in STAYS and short not in shared - in_use:
            found.append(name)
    return found
