"""H01, H04, H05, H06: ids that stand in a queue twice, and leases whose job is gone. A foreign client's half of it is done by hand."""

from __future__ import annotations

from typing import cast

import pytest

from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.flowscripts.desk import LEASE, Desk, result, step


def inflight(desk: Desk, gid: str) -> int:
    return int(cast("bytes | None", desk.conn.get(desk.key("g", gid, "inflight"))) or 0)


@pytest.mark.parametrize("lane", ["waiting", "active", "delayed", "completed"])
def test_h01_the_job_of_a_flow_cannot_be_published_again(desk: Desk, lane: str) -> None:
    """Wherever it stands, publishing its id gives the id back and changes nothing."""
    desk.start(desk.plan(step("a"), step("b", result("a"))))
    if lane != "waiting":
        taken = desk.take()["a"]
        assert lane == "active" or desk.settle(taken, "fail" if lane == "delayed" else "ok", 1_000, b"{}")
    before = desk.everything()
    reply = desk.omniq("enqueue", desk.job_id("a"), "other", 9, 5_000, 1, desk.now)
    assert reply == [b"OK", desk.job_id("a").encode()]
    assert desk.everything() == before


def test_h01_h05_a_flows_job_that_a_foreign_client_queued_twice_counts_once(desk: Desk) -> None:
    """Both entries are leased, only the newer lease counts, the join behind it is made once, and the slot that was taken twice comes back.

    A client of another make does not ask whether the id is known; here its second entry stands in the list of the run's group.
    """
    desk.start(desk.plan(step("a"), step("b", result("a")), step("c", result("b")), max_parallel=4))
    gid = desk.header().gid
    desk.conn.rpush(desk.key("g", gid, "wait"), desk.job_id("a"))
    old = desk.take(1)["a"]
    new = desk.take(1)["a"]
    assert old.token != new.token
    assert inflight(desk, gid) == 2
    assert desk.settle(old, value=b"1") == "LOST"
    assert desk.settle(new, value=b"2") == "OK"
    assert desk.settle(new, value=b"3") == "DUP"
    assert desk.output("a") == "=2"
    assert desk.events().count("Q b 1") == 1
    assert inflight(desk, gid) == 1, "one slot leaks"
    desk.sweep()
    assert inflight(desk, gid) == 0
    for name in ("b", "c"):
        assert desk.settle(desk.take()[name]) == "OK"
    assert desk.header().state is RunState.SUCCEEDED


def test_h05_a_group_of_one_is_not_blocked_by_a_double(desk: Desk) -> None:
    """Where the leaked slot was the only one, the sweep gives it back and the run goes on."""
    desk.start(desk.plan(step("a"), step("b", result("a")), max_parallel=1))
    gid = desk.header().gid
    taken = desk.take()["a"]
    desk.conn.incr(desk.key("g", gid, "inflight"))
    assert desk.settle(taken) == "OK"
    assert desk.take() == {}, "its group is full of nobody"
    desk.sweep()
    assert desk.settle(desk.take()["b"]) == "OK"
    assert desk.header().state is RunState.SUCCEEDED
    desk.check()


def test_h04_a_lease_whose_job_is_gone_gives_its_slot_back(desk: Desk) -> None:
    """The job of a run's only slot is deleted under its worker: its report is refused, the sweep makes it again, and the slot is free."""
    desk.start(desk.plan(step("a"), step("b", result("a")), max_parallel=1))
    gid = desk.header().gid
    taken = desk.take()["a"]
    desk.conn.delete(desk.job("a"))
    assert desk.settle(taken) == "LOST"
    desk.now += LEASE + 1
    desk.tick()
    assert inflight(desk, gid) == 0
    swept = desk.sweep()
    assert swept.lost == 1
    again = desk.take()["a"]
    assert again.job_id == desk.job_id("a", 2)
    assert desk.settle(again) == "OK"
    assert desk.settle(desk.take()["b"]) == "OK"
    assert desk.header().state is RunState.SUCCEEDED
    desk.check()


def test_h06_publishing_without_the_group_takes_nothing_from_it(desk: Desk) -> None:
    """The job keeps its group, so its slot is taken once and given back once, and a limit of one stays one."""
    desk.publish("a", gid="g")
    desk.publish("b", gid="g")
    desk.publish("a")
    assert list(desk.take()) == ["a"]
    desk.publish("a")
    assert desk.take() == {}
    assert inflight(desk, "g") == 1
    assert desk.field(keys.job(desk.queue, "a"), "gid") == "g"
    desk.now += LEASE + 1
    desk.tick()
    assert inflight(desk, "g") == 0
    assert list(desk.take()) == ["b"]
    assert inflight(desk, "g") == 1
    desk.check()
