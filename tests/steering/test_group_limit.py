"""The limit of a group is changed while it is in use (D10, H11)."""

from __future__ import annotations

import pytest
import redis

from omniq_flow.errors import OperationRefused
from omniq_flow.ops import keys
from omniq_flow.ops.command import Command
from omniq_flow.ops.replies import reading
from omniq_flow.ops.steering import LimitChange, group_limit
from tests.flowscripts.desk import NOW, RUN, Desk, each, step


def _some(desk: Desk, jobs: int, active: int) -> None:
    """A group `g` of limit 1 with so many jobs, of which so many are taken."""
    for n in range(jobs):
        desk.publish(f"j{n}", gid="g")
    for _ in range(active):
        assert desk.omniq("reserve", desk.now)[0] == b"JOB"


def _set(desk: Desk, limit: int | None) -> LimitChange:
    return desk.execute(group_limit(desk.queue, "g", limit, now_ms=NOW))


def test_a_higher_limit_lets_the_next_jobs_go_at_once(desk: Desk) -> None:
    _some(desk, 4, 1)
    assert desk.omniq("reserve", NOW) == [b"EMPTY"]
    assert _set(desk, 3) == LimitChange(before=1, after=3, active=1, waiting=3)
    desk.check()
    assert [desk.omniq("reserve", NOW)[0] for _ in range(3)] == [b"JOB", b"JOB", b"EMPTY"]
    desk.check()


def test_a_higher_limit_wakes_an_idle_worker(desk: Desk) -> None:
    _some(desk, 2, 1)
    desk.conn.zadd(desk.key("flow", "idle"), {"w": NOW + 1_000})
    _set(desk, 2)
    assert desk.conn.exists(desk.key("flow", "wake", "w"))


def test_a_lower_limit_stops_no_job_and_counts_as_they_end(desk: Desk) -> None:
    _some(desk, 4, 0)
    _set(desk, 3)
    held = [desk.omniq("reserve", NOW) for _ in range(2)]
    assert desk.conn.zscore(desk.key("groups", "ready"), "g") is not None
    assert _set(desk, 1) == LimitChange(before=3, after=1, active=2, waiting=2)
    assert desk.conn.zscore(desk.key("groups", "ready"), "g") is None, "a full group is in nobody's way"
    assert desk.field(desk.key("stats"), "groups_ready") == "0"
    for n, job in enumerate(held):
        assert desk.omniq("reserve", NOW) == [b"EMPTY"], n
        desk.omniq("ack_success", job[1], NOW, job[7])
    assert desk.omniq("reserve", NOW)[0] == b"JOB"
    assert desk.omniq("reserve", NOW) == [b"EMPTY"]
    desk.check()


def test_without_a_limit_one_counts(desk: Desk) -> None:
    _some(desk, 3, 0)
    _set(desk, 3)
    assert _set(desk, None) == LimitChange(before=3, after=None, active=0, waiting=3)
    assert desk.conn.exists(desk.key("g", "g", "limit")) == 0
    assert [desk.omniq("reserve", NOW)[0] for _ in range(2)] == [b"JOB", b"EMPTY"]
    assert _set(desk, None).before is None
    desk.check()


def test_a_limit_may_be_set_before_the_first_job(desk: Desk) -> None:
    """The limit that the first job would bring does not replace it."""
    assert _set(desk, 2) == LimitChange(before=None, after=2, active=0, waiting=0)
    assert desk.conn.zcard(desk.key("groups", "ready")) == 0
    _some(desk, 3, 2)
    assert desk.omniq("reserve", NOW) == [b"EMPTY"]
    desk.check()


def test_the_place_of_a_ready_group_is_kept(desk: Desk) -> None:
    _some(desk, 2, 0)
    desk.execute(group_limit(desk.queue, "g", 5, now_ms=NOW + 1_000))
    assert desk.conn.zscore(desk.key("groups", "ready"), "g") == NOW


def test_the_group_of_a_run_can_be_narrowed_and_widened(desk: Desk) -> None:
    desk.start(desk.plan(step("list", is_list=True), step("one", each("list"), level=("list",)), max_parallel=4))
    desk.settle_list(desk.take()["list"], *[b"1"] * 6)
    desk.execute(group_limit(desk.queue, RUN, 1, now_ms=NOW))
    assert len(desk.take()) == 1
    desk.execute(group_limit(desk.queue, RUN, 3, now_ms=NOW))
    assert len(desk.take()) == 2
    desk.check()


@pytest.mark.parametrize(
    ("gid", "limit", "code"),
    [("g", "0", "BAD_LIMIT"), ("g", "-1", "BAD_LIMIT"), ("g", "many", "BAD_LIMIT"), ("g", "1e14", "BAD_LIMIT"), ("", "1", "BAD_GROUP")],
)
def test_a_limit_that_is_none_is_refused_and_changes_nothing(desk: Desk, gid: str, limit: str, code: str) -> None:
    _some(desk, 2, 1)
    before = desk.everything()
    command = Command("flow/group_limit", (keys.anchor(desk.queue),), (NOW, gid, limit), reading("GROUP_LIMIT", lambda word, rest: word))
    with pytest.raises(OperationRefused, match=f"failed: {code}$"):
        desk.execute(command)
    assert desk.everything() == before


def test_a_time_that_cannot_be_kept_is_refused(desk: Desk) -> None:
    with pytest.raises(OperationRefused, match="BAD_NUMBER"):
        desk.execute(group_limit(desk.queue, "g", 1, now_ms=10**15))


@pytest.mark.parametrize(("gid", "limit"), [("g", 0), ("g", -3), (" ", 1)])
def test_it_is_refused_before_it_is_sent(gid: str, limit: int) -> None:
    with pytest.raises(ValueError, match="group"):
        group_limit("q", gid, limit)


def test_a_damaged_group_is_left_as_it_is(desk: Desk) -> None:
    desk.conn.rpush(desk.key("g", "g", "limit"), "x")
    before = desk.everything()
    with pytest.raises(redis.ResponseError, match="nothing was changed"):
        _set(desk, 2)
    assert desk.everything() == before
