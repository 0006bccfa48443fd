"""A delayed job waits now, exactly as if its time had come."""

from __future__ import annotations

import pytest
import redis

from omniq_flow.ops.replies import BatchResultItem
from omniq_flow.ops.steering import job_run_now
from tests.flowscripts.desk import LEASE, NOW, Desk, step

LATER = NOW + 60_000


def _run_now(desk: Desk, job_id: str) -> BatchResultItem:
    return desk.execute(job_run_now(desk.queue, job_id, now_ms=desk.now))


def _delayed(desk: Desk, job_id: str, gid: str = "") -> None:
    desk.omniq("enqueue", job_id, "{}", 3, LEASE, 1_000, desk.now, LATER, gid, 1)


@pytest.mark.parametrize("gid", ["", "g"])
def test_it_leaves_what_a_promotion_would_leave(desk: Desk, gid: str) -> None:
    """The other way to the same place: a promotion at the same moment, of a job that is due."""
    _delayed(desk, "j", gid)
    assert _run_now(desk, "j") == BatchResultItem("j", "OK")
    left = desk.everything()
    desk.conn.flushall()
    _delayed(desk, "j", gid)
    desk.conn.zadd(desk.key("delayed"), {"j": NOW})
    assert desk.omniq("promote_delayed", NOW, 10) == [b"OK", b"1"]
    assert desk.everything() == left
    desk.check()


def test_it_is_taken_next(desk: Desk) -> None:
    _delayed(desk, "j")
    _run_now(desk, "j")
    assert desk.omniq("reserve", NOW)[:2] == [b"JOB", b"j"]


def test_an_idle_worker_is_told(desk: Desk) -> None:
    _delayed(desk, "j")
    desk.conn.zadd(desk.key("flow", "idle"), {"w": NOW + 1_000})
    _run_now(desk, "j")
    assert desk.conn.exists(desk.key("flow", "wake", "w"))


def test_a_job_that_is_not_delayed_is_refused(desk: Desk) -> None:
    _delayed(desk, "j")
    desk.publish("w")
    desk.publish("a")
    desk.omniq("reserve", NOW)
    _run_now(desk, "j")
    before = desk.everything()
    assert [_run_now(desk, job_id).reason for job_id in ("j", "w", "a", "none", "")] == ["NOT_DELAYED"] * 3 + ["NO_JOB"] * 2
    assert desk.everything() == before


def test_a_job_that_stands_in_no_lane_is_refused(desk: Desk) -> None:
    """Its hash says delayed, the lane does not have it."""
    _delayed(desk, "j")
    desk.conn.zrem(desk.key("delayed"), "j")
    assert _run_now(desk, "j").reason == "NOT_DELAYED"


def test_a_stray_in_the_lane_does_not_make_a_second_lease(desk: Desk) -> None:
    """The lane has it, its hash says that it is being worked."""
    desk.publish("j")
    desk.omniq("reserve", NOW)
    desk.conn.zadd(desk.key("delayed"), {"j": LATER})
    assert _run_now(desk, "j").reason == "NOT_DELAYED"


def test_the_next_attempt_of_a_step_need_not_wait(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    desk.settle(desk.take()["a"], "fail", 60_000, error="not yet")
    assert desk.take() == {}
    assert _run_now(desk, desk.job_id("a")).status == "OK"
    assert desk.take()["a"].attempt == 2
    desk.check()


def test_a_damaged_lane_stops_it_before_anything_is_written(desk: Desk) -> None:
    _delayed(desk, "j")
    desk.conn.set(desk.key("wait"), "x")
    before = desk.everything()
    with pytest.raises(redis.ResponseError, match="nothing was changed"):
        _run_now(desk, "j")
    assert desk.everything() == before


def test_who_did_it_is_noted_in_the_run_whose_job_it_is(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    desk.settle(desk.take()["a"], "fail", 60_000)
    assert desk.execute(job_run_now(desk.queue, desk.job_id("a"), by="ann smith", now_ms=desk.now)).status == "OK"
    assert desk.events()[-1] == "steered job_run_now:a ann_smith"
    assert list(desk.take()) == ["a"]
    desk.check()
