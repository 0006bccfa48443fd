"""C81: a removal that comes too late has lowered its group's slots in use all the same, so the group runs more than it may."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from omniq_flow.errors import OperationRefused
from omniq_flow.model.jobs import Lease
from omniq_flow.ops import admin, jobs, keys
from omniq_flow.ops.command import Command
from tests.cases.plain import ByHand
from tests.cases.rig import Rig

RACES, LIMIT = 120, 3
TOO_LATE = {"ACTIVE", "LANE_MISMATCH", "NOT_IN_LANE"}


def outcome(rig: Rig, op: Command[Any]) -> object:
    """What an operation gave, or the code it was refused with."""
    try:
        return rig.client.execute(op)
    except OperationRefused as refusal:
        return refusal.code


RIVALS: dict[str, Callable[[ByHand, str], Command[Any]]] = {
    "claim": lambda hand, name: jobs.reserve(hand.queue, now_ms=hand.now),
    "promote": lambda hand, name: admin.promote_delayed(hand.queue, now_ms=hand.now),
    "remove": lambda hand, name: admin.remove_job(hand.queue, name, "gwait", now_ms=hand.now),
}
NOTHING_LEFT: dict[str, tuple[object, ...]] = {"claim": (jobs.Empty(),), "promote": (0,), "remove": (None, "NO_JOB")}


@pytest.mark.parametrize("rival", RIVALS)
def test_c81_of_two_at_once_one_wins(rig: Rig, rival: str) -> None:
    """The removal of a group's job races its claim, its promotion, another removal: one wins, the loser is told why, slots are right.

    120 races of each kind stand for 1,000. Two of three slots are taken all the time; four never are.
    """
    hand, rng = ByHand(rig), random.Random(81)
    hold(hand, 2)
    winners = set()
    with ThreadPoolExecutor(2) as pool:
        for n in range(RACES):
            name = f"job-{n}"
            hand.publish(name, gid="g", in_ms=rival == "promote")
            hand.now += 1
            pair = [
                admin.remove_job(hand.queue, name, "delayed" if rival == "promote" else "gwait", now_ms=hand.now),
                RIVALS[rival](hand, name),
            ]
            order = rng.sample((0, 1), 2)
            found = dict(zip(order, pool.map(lambda i, pair=pair: outcome(rig, pair[i]), order), strict=True))
            assert hand.inflight("g") == len(hand.leased()) <= LIMIT
            is_removed = not rig.conn.exists(keys.job(hand.queue, name))
            winners.add(is_removed)
            refused = [found[i] for i in (0, 1) if isinstance(found[i], str)]
            if is_removed:
                assert found[1] in NOTHING_LEFT[rival]
                assert refused == (["NO_JOB"] if rival == "remove" else [])
                continue
            assert refused == [found[0]]
            assert found[0] in TOO_LATE
            lease = found[1] if rival == "claim" else rig.client.execute(jobs.reserve(hand.queue, now_ms=hand.now))
            assert isinstance(lease, Lease)
            assert (lease.job_id, hand.inflight("g")) == (name, LIMIT)
            rig.client.execute(jobs.ack_success(lease, now_ms=hand.now))
    assert winners == ({True} if rival == "remove" else {True, False})


@pytest.mark.parametrize("is_batch", [False, True], ids=["one", "batch"])
def test_c81_a_refused_removal_leaves_the_slots_alone(rig: Rig, is_batch: bool) -> None:
    """A waiting job that still carries the fields of a lease, set by hand, and stands in no lane: its removal is refused, again and
    again, and the two slots in use stay two (Q11).
    """
    hand = ByHand(rig)
    hold(hand, 2)
    hand.publish("odd", gid="g")
    rig.conn.hset(keys.job(hand.queue, "odd"), mapping={"lease_token": "stale", "lock_until_ms": "1"})
    rig.conn.lrem("{case}:g:g:wait", 0, "odd")
    for _ in range(3):
        if is_batch:
            (item,) = rig.client.execute(admin.remove_jobs_batch(hand.queue, "gwait", ["odd"], now_ms=hand.now))
            assert item.reason == "NOT_IN_LANE"
        else:
            assert outcome(rig, admin.remove_job(hand.queue, "odd", "gwait", now_ms=hand.now)) == "NOT_IN_LANE"
        assert hand.inflight("g") == 2
    rig.conn.flushall()


def hold(hand: ByHand, slots: int) -> None:
    """Take so many slots of the group and keep them."""
    for n in range(slots):
        hand.publish(f"held-{n}", gid="g", limit=LIMIT)
        assert hand.take() == f"held-{n}"
