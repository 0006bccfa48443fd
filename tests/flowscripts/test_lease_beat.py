"""lease_beat: all leases of a worker in one call, each to now plus its lease."""

from __future__ import annotations

import pytest
import redis

from omniq_flow.ops import keys, ticks
from omniq_flow.ops.command import Command
from omniq_flow.ops.ticks import Beat, Taken
from tests.flowscripts.desk import LEASE, Desk, step


def beat(desk: Desk, *taken: Taken) -> tuple[Beat, ...]:
    return desk.execute(ticks.lease_beat(desk.queue, [(t.job_id, t.token) for t in taken], now_ms=desk.now))


def test_a_deadline_is_now_plus_the_lease_however_often_it_beats(desk: Desk) -> None:
    """D3: beats do not add up."""
    desk.start(desk.plan(step("a"), step("b", lease_ms=5_000)))
    taken = desk.take()
    for _ in range(3):
        desk.now += 1_000
        beats = beat(desk, taken["a"], taken["b"])
        assert [b.until_ms for b in beats] == [desk.now + LEASE, desk.now + 5_000]
    desk.check()


def test_plain_jobs_beat_too(desk: Desk) -> None:
    desk.publish("p")
    p = desk.take()["p"]
    desk.now += 10
    assert beat(desk, p) == (Beat("p", desk.now + LEASE),)
    desk.check()


def test_a_lease_that_is_over_is_lost_and_the_others_go_on(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b")))
    taken = desk.take()
    desk.settle(taken["a"])
    lost, kept = beat(desk, taken["a"], taken["b"])
    assert (lost.is_lost, lost.is_cancelled, kept.is_lost) == (True, False, False)


def test_a_zombie_does_not_extend_the_lease_of_its_heir(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    old = desk.take()["a"]
    desk.now += 31_000
    desk.tick()
    desk.now += 1_000
    new = desk.take()["a"]
    before = desk.everything()
    assert beat(desk, old)[0].is_lost
    assert desk.everything() == before
    assert not beat(desk, new)[0].is_lost


def test_who_works_for_a_run_that_does_not_want_it_is_told(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b")))
    taken = desk.take()
    desk.conn.hset(desk.job("a"), "state", "failed")
    desk.sweep()
    cancelled, kept = beat(desk, taken["a"], taken["b"])
    assert (cancelled.is_cancelled, cancelled.is_lost, kept.is_cancelled) == (True, False, False)


def test_a_cancelled_run_tells_all(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    a = desk.take()["a"]
    desk.conn.hset(keys.header(desk.queue, a.flow.run_id if a.flow else ""), "state", "cancelling")
    assert beat(desk, a)[0].is_cancelled


@pytest.mark.parametrize("token", ["", "0" * 40])
def test_no_token_no_lease(desk: Desk, token: str) -> None:
    desk.start(desk.plan(step("a")))
    a = desk.take()["a"]
    before = desk.everything()
    (lost,) = desk.execute(ticks.lease_beat(desk.queue, [(a.job_id, token)], now_ms=desk.now))
    assert lost.is_lost
    assert desk.everything() == before


def test_at_most_256_at_once(desk: Desk) -> None:
    with pytest.raises(ValueError, match="256"):
        ticks.lease_beat(desk.queue, [("j", "t")] * 257)
    raw = (desk.now, *(("j", "t") * 257))
    with pytest.raises(redis.exceptions.ResponseError, match="BAD_ARGS"):
        desk.execute(Command("flow/lease_beat", (keys.anchor(desk.queue),), raw, list))
    assert len(desk.execute(ticks.lease_beat(desk.queue, [("j", "t")] * 256, now_ms=desk.now))) == 256


def test_nothing_to_extend_is_nothing(desk: Desk) -> None:
    assert beat(desk) == ()
    assert desk.everything() == {}
