"""run_cancel: what waits goes at once, what is worked counts if it ends well, and the run has ended when nothing is open."""

from __future__ import annotations

from collections import Counter

import pytest

from omniq_flow.errors import Conflict, NotFound
from omniq_flow.model.states import RunState, StepState
from omniq_flow.ops import admin, keys, ticks
from omniq_flow.ops.runs import Cancelled
from omniq_flow.ops.ticks import Settled, Taken
from tests.flowscripts.desk import RUN, Desk, each, gather, result, step

CANCELLED, CANCELLING = RunState.CANCELLED, RunState.CANCELLING


def letters(desk: Desk, *names: str) -> str:
    return " ".join(f"{desk.fact(name).state.value}{desk.fact(name).epoch}" for name in names)


def a_map(desk: Desk, n: int, *, attempts: int = 3, gid: str = "") -> None:
    """A list of n elements, each with a job; a gather behind it."""
    plan = desk.plan(
        step("list", is_list=True),
        step("work", each("list"), level=("list",), attempts=attempts),
        step("sum", gather("work")),
        window=10_000,
    )
    desk.start(plan, gid=gid)
    desk.settle_list(desk.take()["list"], *[b"%d" % i for i in range(n)])
    while desk.header().open < n:
        desk.tick()


def length(desk: Desk, *name: str) -> int:
    return desk.conn.zcard(desk.key(*name)) if name[-1] in ("delayed", "active") else desk.conn.llen(desk.key(*name))


def cancel_all(desk: Desk) -> Cancelled:
    """As a command does it: piece by piece, until no call may find more."""
    while (done := desk.cancel()).has_more:
        desk.check()
    desk.check()
    return done


def test_what_waits_goes_and_nothing_behind_it_is_begun(desk: Desk) -> None:
    """P8."""
    desk.start(desk.plan(step("a"), step("b"), step("c", result("a"), result("b")), step("d", result("a"))))
    desk.settle(desk.take(1)["a"])
    assert letters(desk, "a", "b", "c", "d") == "D1 Q1 P0 Q1"
    assert desk.cancel(by="ann smith@host", reason="wrong\ninput") == Cancelled(CANCELLED, 0, False, True)
    assert letters(desk, "a", "b", "c", "d") == "D1 X1 P0 X1"
    assert desk.header().ended_ms == desk.now
    assert "steered cancel ann_smith@host wrong input" in desk.events()
    assert not desk.take()
    assert not desk.conn.exists(desk.job("b"), desk.job("d"), desk.key("g", RUN, "wait"), desk.key("g", RUN, "limit"))
    desk.check()


def test_who_works_is_told_and_its_success_counts(desk: Desk) -> None:
    """C23: what it leads to is not begun."""
    desk.start(desk.plan(step("a"), step("b"), step("c", result("a"))))
    taken = desk.take()
    assert desk.cancel() == Cancelled(CANCELLING, 2, False, True)
    desk.check()
    beats = desk.execute(ticks.lease_beat(desk.queue, [(t.job_id, t.token) for t in taken.values()], now_ms=desk.now))
    assert all(beat.is_cancelled for beat in beats)
    assert desk.settle(taken["a"], value=b'"late"') == "OK"
    assert (desk.header().state, desk.output("a")) == (CANCELLING, '="late"')
    desk.check()
    assert desk.settle(taken["b"], "skip") == "OK"
    assert (desk.header().state, letters(desk, "a", "b", "c")) == (CANCELLED, "D1 S1 P0")
    assert not desk.take()
    desk.check()


@pytest.mark.parametrize("kind", ["fail", "fatal", "release"])
def test_what_does_not_end_well_is_cancelled_and_not_tried_again(desk: Desk, kind: ticks.OutcomeKind) -> None:
    desk.start(desk.plan(step("a")))
    taken = desk.take()["a"]
    desk.cancel()
    assert desk.settle(taken, kind, value=b'{"type":"E","message":"no"}', error="it was told") == "CANCELLED"
    assert (desk.header().state, letters(desk, "a"), desk.output("a")) == (CANCELLED, "X1", "")
    assert desk.field(desk.job("a"), "state") == "completed"
    assert desk.settle(taken, kind) == "DUP"
    assert not desk.conn.exists(desk.key("failed"))
    desk.check()


def test_elements_that_were_laid_down_go_with_the_step_run(desk: Desk) -> None:
    desk.start(desk.plan(step("list", is_list=True), step("work", each("list"), level=("list",))))
    taken = desk.take()["list"]
    desk.stage(taken, b"1", b"2")
    desk.cancel()
    desk.settle(taken, "release")
    assert not desk.conn.exists(keys.value(desk.queue, RUN, "list", 1))
    desk.check()


def test_a_lease_that_lapses_is_cancelled(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    taken = desk.take()["a"]
    desk.cancel()
    desk.now += 30_001
    desk.tick()
    assert (desk.header().state, letters(desk, "a")) == (CANCELLED, "X1")
    assert desk.settle(taken) == "LOST"
    desk.check()


def test_jobs_in_back_off_go_at_once(desk: Desk) -> None:
    """C84: they never come back to be refused one by one."""
    a_map(desk, 40)
    for held in desk.take(40).values():
        desk.settle(held, "fail", number=60_000)
    assert length(desk, "delayed") == 40
    assert cancel_all(desk).state is CANCELLED
    assert length(desk, "delayed") == 0
    assert Counter(e.split()[0] for e in desk.events())["X"] == 40
    desk.now += 61_000
    assert not desk.take()
    desk.check()


def test_a_cancel_takes_a_bounded_piece_at_a_time(desk: Desk) -> None:
    a_map(desk, 700)
    before = desk.header().open
    first = desk.cancel()
    assert first.has_more
    assert first.is_new
    assert before - first.open <= 256 + 128
    left = cancel_all(desk)
    assert (left.state, left.open, left.is_new) == (CANCELLED, 0, False)
    assert not desk.conn.exists(desk.key("g", RUN, "wait"))


def test_who_does_not_come_back_leaves_the_rest_to_the_sweeps(desk: Desk) -> None:
    a_map(desk, 1_000)
    assert desk.cancel().has_more
    for _ in range(30):
        for rid in desk.tick().to_sweep:
            desk.sweep(rid)
            desk.check()
    assert desk.header().state is CANCELLED


@pytest.mark.parametrize("gid", ["shared", "own"])
def test_jobs_of_others_in_the_same_list_stay(desk: Desk, gid: str) -> None:
    a_map(desk, 20, gid="shared" if gid == "shared" else "")
    desk.publish("other", gid="shared" if gid == "shared" else RUN)
    done = cancel_all(desk)
    assert done.state is (CANCELLING if gid == "shared" else CANCELLED)
    # Jobs of the run are put away as they come up.
    taken = [t.job_id for _ in range(4) for t in desk.tick(take=1).taken]
    assert taken == ["other"]
    desk.check()
    assert desk.header().state is CANCELLED


def test_a_worker_that_meets_only_cancelled_jobs_looks_again_at_once(desk: Desk) -> None:
    a_map(desk, 30, gid="shared")
    desk.cancel()
    reply = desk.tick(take=1, idle_ms=5_000)
    assert (reply.taken, reply.next_ms) == ((), desk.now)
    desk.check()


def test_lost_and_foreign_ends_are_cancelled_too(desk: Desk) -> None:
    desk.start(desk.plan(step("gone"), step("failed", attempts=1), step("done")))
    taken = desk.take()
    desk.conn.delete(desk.job("gone"))
    desk.omniq("ack_fail", taken["failed"].job_id, desk.now, taken["failed"].token, "foreign")
    desk.omniq("ack_success", taken["done"].job_id, desk.now, taken["done"].token)
    desk.conn.zrem(desk.key("active"), taken["gone"].job_id)
    assert cancel_all_loosely(desk).state is CANCELLED
    assert letters(desk, "gone", "failed", "done") == "X1 X1 X1"
    assert desk.conn.sismember(keys.superseded(desk.queue, RUN), "failed.1")


def cancel_all_loosely(desk: Desk) -> Cancelled:
    while (done := desk.cancel()).has_more:
        pass
    return done


def test_sent_twice_it_is_the_same_cancel(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    desk.take()
    assert desk.cancel(by="ann").is_new
    assert desk.cancel(by="bob") == Cancelled(CANCELLING, 1, False, False)
    assert [e for e in desk.events() if e.startswith("steered")] == ["steered cancel ann"]
    desk.now += 31_000
    desk.tick()
    before = desk.everything()
    assert desk.cancel() == Cancelled(CANCELLED, 0, False, False)
    assert desk.everything() == before


def test_a_run_that_ended_otherwise_is_refused(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    desk.settle(desk.take()["a"])
    before = desk.everything()
    with pytest.raises(Conflict, match="has ended: it succeeded"):
        desk.cancel()
    with pytest.raises(NotFound, match="no run 1"):
        desk.cancel("1" * 26)
    assert desk.everything() == before


def test_a_run_between_two_calls_that_has_nothing_open_is_cancelled_at_once(desk: Desk) -> None:
    """Left-over work is thrown away with all that is derived."""
    desk.start(desk.plan(step("list", is_list=True), step("work", each("list"), level=("list",))))
    desk.settle_list(desk.take()["list"], *[b"1"] * 40, budget=1)
    assert desk.header().open < 5
    assert cancel_all(desk).state is CANCELLED
    assert not [k for k in desk.everything() if ":flow:q:" in k or (":cc:" in k and ":count" in k)]


def test_what_was_asked_for_does_not_bring_a_cancelled_run_back(desk: Desk) -> None:
    desk.start(desk.plan(step("a", attempts=1), step("b")))
    taken = desk.take()
    desk.settle(taken["a"], "fail", value=b'{"type":"E","message":"no"}')
    desk.execute(admin.retry_failed(desk.queue, taken["a"].job_id, now_ms=desk.now))
    desk.cancel()
    desk.settle(taken["b"])
    desk.now += 5_000
    desk.tick()
    assert (desk.header().state, letters(desk, "a", "b")) == (CANCELLED, "F1 D1")
    desk.check()


def test_a_failed_job_is_not_asked_for_while_its_run_is_cancelled(desk: Desk) -> None:
    desk.start(desk.plan(step("a", attempts=1), step("b")))
    taken = desk.take()
    desk.settle(taken["a"], "fail", value=b'{"type":"E","message":"no"}')
    desk.cancel()
    (answer,) = desk.execute(admin.retry_failed_batch(desk.queue, [taken["a"].job_id], now_ms=desk.now))
    assert answer.reason == "RUN_CANCELLING"
    desk.omniq("retry_failed", taken["a"].job_id, desk.now)
    assert not desk.take()
    assert not desk.conn.exists(keys.asked(desk.queue, RUN))


def test_a_retry_works_what_was_cancelled_and_keeps_every_success(desk: Desk) -> None:
    """P9."""
    a_map(desk, 6)
    taken = desk.take(3)
    desk.cancel()
    first, *others = taken.values()
    desk.settle(first, value=b"1")
    for held in others:
        desk.settle(held, "release")
    assert desk.header().state is CANCELLED
    assert desk.retry().is_new
    desk.check()
    worked: dict[str, Taken] = {}
    while taken := desk.take():
        worked |= taken
        desk.tick(*(Settled(t.job_id, t.token, "ok", 0, b"2") for t in taken.values()))
    assert sorted(worked) == ["sum", *(f"work-{n}" for n in range(1, 6))]
    assert desk.header().state is RunState.SUCCEEDED
    assert desk.output("work-0") == "=1"
    desk.check()


def test_a_cancelled_run_leaves_nothing_after_its_purge(desk: Desk) -> None:
    a_map(desk, 5)
    taken = desk.take(2)
    desk.cancel()
    for held in taken.values():
        desk.settle(held, "release")
    desk.now += 8 * 24 * 3_600_000
    while desk.purge().has_more:
        pass
    assert not [name for name in desk.everything() if RUN in name]


def test_letters_of_all_open_step_runs_become_cancelled(desk: Desk) -> None:
    a_map(desk, 12)
    desk.cancel()
    assert {desk.fact(f"work-{n}").state for n in range(12)} == {StepState.CANCELLED}
    assert desk.fact("sum").state is StepState.PENDING
