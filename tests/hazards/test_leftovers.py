"""H12, H13, H15, H21, H26: what stays behind, what order holds, which number fences, and what one call may cost."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from omniq_flow.lua import assemble
from omniq_flow.model.runs import new_run_id
from omniq_flow.model.states import RunState
from omniq_flow.ops.ticks import Settled, tick
from tests.flowscripts.desk import LEASE, NOW, Desk, each, gather, step

FAR = NOW + 10**11


def test_h12_no_key_of_a_runs_own_group_outlives_it(desk: Desk) -> None:
    """A hundred runs have a group each; once they are purged, no limit, no slot count and no list is left.

    Of every second one a slot has leaked, so that its group was not free when the run ended.
    """
    plan = desk.plan(step("a"), max_parallel=3)
    for n in range(100):
        run = new_run_id()
        desk.start(plan, run)
        desk.conn.incrby(desk.key("g", run, "inflight"), n % 2)
    groups = desk.key("g", "*")
    assert len(list(desk.conn.scan_iter(match=groups, count=1_000))) >= 100
    while taken := desk.tick(take=64).taken:
        desk.tick(*(Settled(one.job_id, one.token, "ok", value=b"1") for one in taken))
    desk.now = FAR
    while desk.purge(keep_runs=0).has_more:
        pass
    assert list(desk.conn.scan_iter(match=groups, count=1_000)) == []


def test_h13_the_order_of_a_list_does_not_come_from_its_group(desk: Desk) -> None:
    """The first element fails, comes back behind all others and ends last; what is gathered stands in the order of the list."""
    desk.start(desk.plan(step("a", is_list=True), step("b", each("a"), level=("a",)), step("c", gather("b")), max_parallel=1))
    desk.settle_list(desk.take()["a"], b"0", b"1", b"2")
    order = []
    while taken := desk.take():
        ((name, one),) = taken.items()
        if name == "c":
            assert one.inputs == ([b"=0", b"=1", b"=2"],)
            assert desk.settle(one) == "OK"
        elif name == "b-0" and one.attempt == 1:
            assert desk.settle(one, "fail", 0, b"{}") == "RETRY"
        else:
            assert desk.settle(one, value=name[-1].encode()) == "OK"
        order.append(name)
    assert order == ["b-0", "b-1", "b-2", "b-0", "c"]
    assert desk.header().state is RunState.SUCCEEDED


def test_h15_deploys_cost_no_attempts_and_the_fence_only_grows(desk: Desk) -> None:
    """Ten workers that take a job and give it back leave its attempts as they were; each take has a higher fence, a lost job too."""
    desk.start(desk.plan(step("a", attempts=1)))
    fences = []
    for _ in range(10):
        taken = desk.take()["a"]
        assert taken.attempt == 1
        fences.append(taken.fence)
        assert desk.settle(taken, "release") == "OK"
    desk.conn.delete(desk.job("a"))
    desk.sweep()
    again = desk.take()["a"]
    assert (again.attempt, again.job_id) == (1, desk.job_id("a", 2))
    assert all(a < b for a, b in pairwise([*fences, again.fence]))
    desk.now += LEASE + 1
    desk.tick()
    assert "lease lost: attempt 1/1" in desk.output("a")


def test_h21_what_moves_runs_never_removes_from_the_middle_of_a_list() -> None:
    """Only people's commands and the purge of what has ended do; a beat, a start, a sweep take from ends and from sorted sets."""
    hot = {"tick", "run_start", "run_sweep", "lease_beat", "list_stage"}
    found = {
        name for name in hot if "'LREM'" in assemble.load(f"flow/{name}").source or "'LINSERT'" in assemble.load(f"flow/{name}").source
    }
    assert found == set()


def test_h21_removing_a_batch_notes_the_time(desk: Desk) -> None:
    """And the group that it leaves is served in its turn, not before all others."""
    desk.publish("a", gid="g")
    desk.publish("b", gid="g")
    desk.omniq("remove_jobs_batch", "gwait", 1, "a", desk.now)
    assert desk.field(desk.key("stats"), "last_activity_ms") == str(NOW)
    assert desk.conn.zscore(desk.key("groups", "ready"), "g") == NOW


def test_h26_a_lease_that_a_failover_forgot_is_fenced_from_its_twin(desk: Desk) -> None:
    """The sequence of leases goes back and the clock says the same millisecond: tokens differ by the worker's random salt.

    The worker that the server forgot reports, and is refused; the one that holds the job now is heard.
    """
    desk.start(desk.plan(step("a")))
    kept = {name: cast("bytes", desk.conn.dump(name)) for name in desk.everything()}

    def take(salt: str) -> tuple[str, str]:
        op = tick(desk.queue, worker="w", request=salt, salt=salt, take=1, now_ms=desk.now)
        (taken,) = desk.execute(op).taken
        return taken.job_id, taken.token

    job, forgotten = take("one")
    desk.conn.flushdb()
    for key, value in kept.items():
        desk.conn.restore(key, 0, value)
    same, held = take("two")
    assert same == job
    assert forgotten != held
    assert desk.tick(Settled(job, forgotten, "ok", value=b"1")).codes == ("LOST",)
    assert desk.tick(Settled(job, held, "ok", value=b"2")).codes == ("OK",)
    assert desk.output("a") == "=2"
