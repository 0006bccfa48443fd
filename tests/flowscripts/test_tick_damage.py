"""A run whose keys contradict each other ends by itself; the others of its queue do not notice."""

from __future__ import annotations

from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from omniq_flow.ops.ticks import Settled
from tests.flowscripts.desk import OTHER, RUN, Desk, each, gather, step


def test_a_damaged_run_ends_and_holds_up_nobody(desk: Desk) -> None:
    plan = desk.plan(step("source", is_list=True), step("item", each("source"), level=("source",)), step("join", gather("item")))
    desk.start(plan, RUN)
    assert desk.settle_list(desk.take()["source"], b"1", b"2") == "OK"
    items = desk.take()
    assert set(items) == {"item-0", "item-1"}
    assert desk.conn.unlink(keys.gates(desk.queue, RUN, 0)) == 1
    desk.start(plan, OTHER)
    first = items["item-0"]
    reply = desk.tick(Settled(first.job_id, first.token, "ok", 0, b"1"), take=4)
    assert reply.codes == ("STALE",)
    assert [t.flow.run_id for t in reply.taken if t.flow] == [OTHER]
    assert desk.header().state is RunState.FAILED
    assert "no collection of:item" in desk.header().damage
    assert desk.settle(items["item-1"]) == "STALE"
    assert desk.conn.zscore(keys.live(desk.queue), RUN) is None


def test_a_lapsed_lease_of_a_damaged_run_holds_up_nobody(desk: Desk) -> None:
    plan = desk.plan(
        step("source", is_list=True), step("item", each("source"), level=("source",), attempts=1), step("join", gather("item"))
    )
    desk.start(plan, RUN)
    assert desk.settle_list(desk.take()["source"], b"1", b"2") == "OK"
    assert len(desk.take()) == 2
    assert desk.conn.unlink(keys.gates(desk.queue, RUN, 0)) == 1
    desk.start(plan, OTHER)
    desk.now += 60_000
    assert [t.flow.run_id for t in desk.tick(take=4).taken if t.flow] == [OTHER]
    assert desk.header().state is RunState.FAILED
    assert desk.conn.zcard(desk.key("active")) == 1
