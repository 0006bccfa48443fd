"""jobs_retry: OmniQ's retry for plain jobs, and a retry of the run for jobs of flows."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from omniq_flow.errors import OperationRefused
from omniq_flow.model.states import RunState
from omniq_flow.ops import admin, keys
from omniq_flow.ops.replies import BatchResultItem
from tests.flowscripts.desk import LEASE, OTHER, RUN, Desk, each, gather, result, step

FAILURE = b'{"type":"E","message":"no"}'


def two_failures(desk: Desk, run_id: str = RUN, *, open_end: bool = False) -> None:
    """`a` and `b` failed, `c` follows `a`; with `open_end` the run still waits for `z`."""
    steps = (step("a"), step("b"), step("c", result("a")), *([step("z")] if open_end else []))
    desk.start(desk.plan(*steps), run_id)
    for name, held in desk.take().items():
        if name != "z":
            desk.settle(held, "fatal", value=FAILURE)


def fail_plain(desk: Desk, *names: str) -> None:
    for name in names:
        desk.publish(name)
    for held in desk.take().values():
        if held.flow is None:
            desk.settle(held, "fatal", error="no")


def retry(desk: Desk, *job_ids: str) -> list[str]:
    """A batch; OK or the code of each."""
    results = desk.execute(admin.retry_failed_batch(desk.queue, job_ids, now_ms=desk.now))
    assert [r.job_id for r in results] == list(job_ids)
    return [r.reason or r.status for r in results]


def states(desk: Desk, *names: str) -> str:
    return " ".join(f"{desk.fact(name).state.value}{desk.fact(name).epoch}" for name in names)


def failed_lane(desk: Desk) -> list[bytes]:
    return cast("list[bytes]", desk.conn.lrange(desk.key("failed"), 0, -1))


def test_a_run_that_ended_is_retried_for_its_failures_in_the_batch(desk: Desk) -> None:
    two_failures(desk)
    assert retry(desk, desk.job_id("a")) == ["OK"]
    assert (desk.header().state, states(desk, "a", "b", "c")) == (RunState.FAILING, "Q2 F1 U0")
    assert (failed_lane(desk), desk.conn.exists(desk.job("a"))) == ([desk.job_id("b").encode()], 0)
    desk.check()
    desk.settle(desk.take()["a"])
    desk.settle(desk.take()["c"])
    assert (desk.header().state, states(desk, "a", "b", "c")) == (RunState.FAILED, "D2 F1 D2")
    desk.check()


def test_each_run_is_retried_once_a_call(desk: Desk) -> None:
    two_failures(desk)
    two_failures(desk, OTHER)
    ids = [desk.job_id(name, run_id=run_id) for name in "ab" for run_id in (RUN, OTHER)]
    assert retry(desk, *ids) == ["OK"] * 4
    for run_id in (RUN, OTHER):
        assert [e for e in desk.events(run_id) if e.startswith("retried")] == ["retried 2 only"]
        assert [desk.fact(name, run_id).epoch for name in "ab"] == [2, 2]
    desk.check()


def test_of_a_run_that_goes_on_it_is_remembered(desk: Desk) -> None:
    two_failures(desk, open_end=True)
    before = ([*desk.events(), "steered job_retry:a -"], states(desk, "a", "b", "c", "z"))
    assert retry(desk, desk.job_id("a"), desk.job_id("a")) == ["OK", "NOT_FAILED"]
    assert (desk.events(), states(desk, "a", "b", "c", "z")) == before
    assert failed_lane(desk) == [desk.job_id("b").encode()], "its job is not needed any more"
    assert retry(desk, desk.job_id("a")) == ["NO_JOB"]
    desk.check()
    desk.conn.hset(desk.job("z"), "state", "failed")
    desk.sweep()
    assert desk.header().state is RunState.FAILED
    assert list(desk.take()) == ["a"]
    assert states(desk, "a", "b", "z") == "Q2 F1 F1"


def test_who_retried_jobs_of_a_run_is_noted_before_it_goes_on(desk: Desk) -> None:
    two_failures(desk)
    desk.execute(admin.retry_failed_batch(desk.queue, [desk.job_id("a"), desk.job_id("b")], by="ann@host", now_ms=desk.now))
    events = desk.events()
    at = events.index("steered job_retry:a,b ann@host")
    assert events[at + 1] == "run running"
    desk.check()


def test_plain_jobs_and_jobs_of_flows_go_in_one_batch(desk: Desk) -> None:
    fail_plain(desk, "p")
    two_failures(desk)
    assert retry(desk, "p", desk.job_id("b"), "", "nobody") == ["OK", "OK", "BAD_JOB_ID", "NO_JOB"]
    assert sorted(desk.take()) == ["b", "p"]
    desk.check()


def test_what_is_not_failed_is_refused_and_nothing_changes(desk: Desk) -> None:
    two_failures(desk, open_end=True)
    desk.publish("p")
    before = desk.everything()
    assert retry(desk, "p", desk.job_id("z"), desk.job_id("c")) == ["NOT_FAILED", "NOT_FAILED", "NO_JOB"]
    assert desk.everything() == before


def test_a_failure_that_the_run_does_not_know_yet_just_starts_over(desk: Desk) -> None:
    desk.start(desk.plan(step("a", attempts=1)))
    a = desk.take()["a"]
    desk.omniq("ack_fail", a.job_id, desk.now, a.token, "said by somebody else")
    assert retry(desk, a.job_id) == ["OK"]
    desk.check()
    assert desk.settle(desk.take()["a"]) == "OK"
    assert desk.header().state is RunState.SUCCEEDED


def gone(desk: Desk) -> str:
    desk.conn.delete(keys.header(desk.queue, RUN))
    return "RUN_GONE"


def purging(desk: Desk) -> str:
    desk.conn.hset(keys.header(desk.queue, RUN), "purging", "1")
    return "RUN_GONE"


def damaged(desk: Desk) -> str:
    desk.conn.hset(keys.header(desk.queue, RUN), "damage", "odd")
    return "RUN_DAMAGED"


def moved_on(desk: Desk) -> str:
    desk.retry()
    return "STALE_JOB"


@pytest.mark.parametrize("bring_about", [gone, purging, damaged, moved_on])
def test_a_job_whose_run_can_not_use_it_is_refused(desk: Desk, bring_about: Callable[[Desk], str]) -> None:
    two_failures(desk)
    code = bring_about(desk)
    before = desk.everything()
    assert retry(desk, desk.job_id("a")) == [code]
    with pytest.raises(OperationRefused, match=f"RETRY_FAILED failed: {code}"):
        desk.execute(admin.retry_failed(desk.queue, desk.job_id("a"), now_ms=desk.now))
    assert desk.everything() == before


def test_a_recorded_failure_of_a_run_that_succeeded_is_refused(desk: Desk) -> None:
    steps = (step("l", is_list=True), step("m", each("l"), level=("l",)), step("j", gather("m", record=True)))
    desk.start(desk.plan(*steps))
    desk.settle_list(desk.take()["l"], b"1")
    desk.settle(desk.take()["m-0"], "fatal", value=FAILURE)
    desk.settle(desk.take()["j"])
    assert retry(desk, desk.job_id("m-0")) == ["RUN_SUCCEEDED"]


def test_one_job_is_answered_as_omniq_does(desk: Desk) -> None:
    fail_plain(desk, "p")
    two_failures(desk)
    for job_id in ("p", desk.job_id("a")):
        desk.execute(admin.retry_failed(desk.queue, job_id, now_ms=desk.now))
    with pytest.raises(OperationRefused, match="RETRY_FAILED failed: NO_JOB"):
        desk.execute(admin.retry_failed(desk.queue, "", now_ms=desk.now))
    with pytest.raises(OperationRefused, match="RETRY_FAILED failed: NOT_FAILED"):
        desk.execute(admin.retry_failed(desk.queue, "p", now_ms=desk.now))
    desk.check()


def test_a_script_makes_a_bounded_number_of_step_runs(desk: Desk) -> None:
    steps = (step("l", is_list=True), step("m", each("l"), level=("l",), attempts=1))
    desk.start(desk.plan(*steps))
    desk.settle_list(desk.take()["l"], *[b"0"] * 60)
    names = []
    for name, held in desk.take().items():
        desk.settle(held, "fatal", value=FAILURE)
        names.append(desk.job_id(name))
    assert desk.header().state is RunState.FAILED
    results = desk.execute(admin.retry_failed_batch(desk.queue, names, budget=7, now_ms=desk.now))
    assert results == [BatchResultItem(name, "OK") for name in names]
    assert desk.header().open <= 7
    desk.check()
    made = set()
    while taken := desk.take(budget=7):
        made |= set(taken)
        desk.check()
    assert len(made) == 60


def test_a_retried_group_job_leaves_the_group_ready(desk: Desk) -> None:
    two_failures(desk)
    retry(desk, desk.job_id("a"), desk.job_id("b"))
    assert desk.conn.zscore(desk.key("groups", "ready"), RUN) is not None
    assert desk.take()["a"].until_ms == desk.now + LEASE
