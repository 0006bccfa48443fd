"""A client without flows starts a failed job of ours over: its run is retried for it, once it has ended (levels §5)."""

from __future__ import annotations

from typing import cast

from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.flowscripts.desk import RUN, Desk, each, gather, result, step

FAILURE = b'{"type":"E","message":"no"}'


def two_failures(desk: Desk, *, open_end: bool = False) -> None:
    """`a` and `b` failed, `c` follows `a`; with `open_end` the run still waits for `z`."""
    steps = (step("a"), step("b"), step("c", result("a")), *([step("z")] if open_end else []))
    desk.start(desk.plan(*steps))
    for name, held in desk.take().items():
        if name != "z":
            desk.settle(held, "fatal", value=FAILURE)


def revive(desk: Desk, name: str, epoch: int = 1) -> None:
    assert desk.omniq("retry_failed", desk.job_id(name, epoch), desk.now) == [b"OK"]


def asked(desk: Desk) -> set[bytes]:
    return cast("set[bytes]", desk.conn.smembers(keys.asked(desk.queue, RUN)))


def states(desk: Desk, *names: str) -> str:
    return " ".join(f"{desk.fact(name).state.value}{desk.fact(name).epoch}" for name in names)


def test_an_ended_run_is_retried_for_it_a_second_later(desk: Desk) -> None:
    two_failures(desk)
    revive(desk, "a")
    assert desk.take() == {}
    assert (desk.field(desk.job("a"), "state"), asked(desk)) == ("completed", {b"a.1"})
    assert (desk.take(), desk.header().state) == ({}, RunState.FAILED)
    desk.check()
    desk.now += 1_000
    taken = desk.take()
    assert (list(taken), states(desk, "a", "b", "c"), asked(desk)) == (["a"], "Q2 F1 U0", set())
    desk.settle(taken["a"])
    desk.settle(desk.take()["c"])
    assert (desk.header().state, states(desk, "a", "b", "c")) == (RunState.FAILED, "D2 F1 D2")
    desk.check()
    assert desk.take() == {}


def test_a_worker_without_work_is_told_to_come_back_for_it(desk: Desk) -> None:
    two_failures(desk)
    revive(desk, "a")
    assert desk.tick(take=1).next_ms == desk.now + 1_000


def test_several_are_retried_together_once(desk: Desk) -> None:
    two_failures(desk)
    revive(desk, "a")
    revive(desk, "b")
    assert (desk.take(), desk.take(), asked(desk)) == ({}, {}, {b"a.1", b"b.1"})
    desk.now += 1_000
    assert sorted(desk.take()) == ["a", "b"]
    assert [e for e in desk.events() if e.startswith("retried")] == ["retried 2 only"]
    desk.check()


def test_nothing_of_a_run_that_goes_on_changes_until_it_has_ended(desk: Desk) -> None:
    two_failures(desk, open_end=True)
    z_job = desk.job_id("z")
    revive(desk, "a")
    before = (desk.events(), states(desk, "a", "b", "c", "z"))
    assert desk.take() == {}
    assert (desk.events(), states(desk, "a", "b", "c", "z"), asked(desk)) == (*before, {b"a.1"})
    desk.check()
    desk.conn.hset(keys.job(desk.queue, z_job), "state", "failed")
    desk.sweep()
    assert desk.header().state is RunState.FAILED
    assert list(desk.take()) == ["a"]
    assert states(desk, "a", "b", "z") == "Q2 F1 F1"


def test_a_job_of_an_older_dispatch_is_only_put_away(desk: Desk) -> None:
    two_failures(desk)
    desk.retry(only=["b"])
    desk.settle(desk.take()["b"], "fatal", value=FAILURE)
    revive(desk, "b", epoch=1)
    before = states(desk, "a", "b", "c")
    assert (desk.take(), asked(desk)) == ({}, set())
    desk.now += 2_000
    assert (desk.take(), asked(desk)) == ({}, set())
    assert (desk.header().state, states(desk, "a", "b", "c")) == (RunState.FAILED, before)
    desk.check()


def test_a_failure_that_its_run_does_not_know_yet_just_starts_over(desk: Desk) -> None:
    desk.start(desk.plan(step("a", attempts=1)))
    a = desk.take()["a"]
    desk.omniq("ack_fail", a.job_id, desk.now, a.token, "said by somebody else")
    revive(desk, "a")
    assert desk.settle(desk.take()["a"]) == "OK"
    assert (desk.header().state, desk.fact("a").epoch) == (RunState.SUCCEEDED, 1)
    desk.check()


def test_a_retry_of_all_works_what_was_asked_for_as_well(desk: Desk) -> None:
    two_failures(desk)
    revive(desk, "a")
    desk.take()
    desk.retry()
    assert (sorted(desk.take()), asked(desk)) == (["a", "b"], set())
    desk.check()


def test_a_retry_of_some_works_what_was_asked_for_as_well(desk: Desk) -> None:
    two_failures(desk)
    revive(desk, "a")
    desk.take()
    desk.retry(only=["b"])
    assert (sorted(desk.take()), asked(desk)) == (["a", "b"], set())
    desk.check()


def test_a_recorded_failure_of_a_run_that_succeeded_is_not_retried(desk: Desk) -> None:
    steps = (step("l", is_list=True), step("m", each("l"), level=("l",)), step("j", gather("m", record=True)))
    desk.start(desk.plan(*steps))
    desk.settle_list(desk.take()["l"], b"1")
    desk.settle(desk.take()["m-0"], "fatal", value=FAILURE)
    desk.settle(desk.take()["j"])
    assert desk.header().state is RunState.SUCCEEDED
    revive(desk, "m-0")
    assert desk.take() == {}
    desk.now += 2_000
    assert (desk.take(), asked(desk)) == ({}, set())
    assert desk.header().state is RunState.SUCCEEDED
    desk.check()


def test_what_was_asked_for_goes_with_the_run(desk: Desk) -> None:
    two_failures(desk, open_end=True)
    revive(desk, "a")
    desk.take()
    desk.conn.hset(keys.header(desk.queue, RUN), "damage", "odd")
    desk.conn.hset(keys.header(desk.queue, RUN), "state", "failed")
    desk.conn.zadd(keys.ended(desk.queue), {RUN: desk.now})
    while desk.purge().has_more:
        pass
    assert not desk.conn.exists(keys.asked(desk.queue, RUN), keys.live(desk.queue))
