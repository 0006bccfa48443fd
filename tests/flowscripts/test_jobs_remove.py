"""jobs_remove: OmniQ's removal for plain jobs; a step run that waits for a job that goes fails, and its run goes on."""

from __future__ import annotations

import json

import pytest

from omniq_flow.errors import OperationRefused
from omniq_flow.model.states import RunState
from omniq_flow.ops import admin, keys
from omniq_flow.ops.admin import Lane, remove_jobs_batch
from tests.flowscripts.desk import RUN, Desk, each, gather, result, step

FAILURE = b'{"type":"E","message":"no"}'


def remove(desk: Desk, lane: Lane, *job_ids: str, budget: int = 0) -> list[str]:
    results = desk.execute(admin.remove_jobs_batch(desk.queue, lane, job_ids, budget=budget, now_ms=desk.now))
    assert [r.job_id for r in results] == list(job_ids)
    return [r.reason or r.status for r in results]


def states(desk: Desk, *names: str) -> str:
    return " ".join(f"{desk.fact(name).state.value}{desk.fact(name).epoch}" for name in names)


def test_a_step_run_whose_waiting_job_goes_fails_and_the_run_goes_on(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b", result("a")), step("z")))
    assert remove(desk, "gwait", desk.job_id("a")) == ["OK"]
    assert (desk.header().state, states(desk, "a", "b", "z")) == (RunState.FAILING, "F1 U0 Q1")
    failure = json.loads(desk.output("a")[1:])
    assert (failure["type"], failure["message"]) == ("JobRemoved", "its job was removed from the gwait lane")
    assert not desk.conn.exists(desk.job("a"))
    desk.check()
    desk.settle(desk.take()["z"])
    assert desk.header().state is RunState.FAILED


def test_the_last_job_of_a_run_ends_it_and_its_group(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    assert remove(desk, "gwait", desk.job_id("a")) == ["OK"]
    assert desk.header().state is RunState.FAILED
    assert not desk.conn.keys(desk.key("g", RUN, "*"))
    desk.check()
    desk.retry()
    assert list(desk.take()) == ["a"]


def test_a_delayed_job_goes_the_same_way(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    desk.settle(desk.take()["a"], "fail", 5_000, FAILURE)
    assert remove(desk, "delayed", desk.job_id("a")) == ["OK"]
    assert (desk.header().state, states(desk, "a")) == (RunState.FAILED, "F1")
    desk.check()


def test_what_follows_a_recorded_failure_waits_in_the_same_group(desk: Desk) -> None:
    """The group loses its only waiting job and gets another in the same call: it stays ready (I11)."""
    steps = (step("l", is_list=True), step("m", each("l"), level=("l",)), step("j", gather("m", record=True)))
    desk.start(desk.plan(*steps))
    desk.settle_list(desk.take()["l"], b"1")
    assert remove(desk, "gwait", desk.job_id("m-0")) == ["OK"]
    desk.check()
    assert list(desk.take()) == ["j"]


def test_a_group_that_lost_its_last_waiting_job_is_not_ready(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b"), max_parallel=1))
    desk.take()
    assert remove(desk, "gwait", desk.job_id("b")) == ["OK"]
    desk.check()


def test_of_a_failed_job_only_the_job_goes(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("z")))
    desk.settle(desk.take()["a"], "fatal", value=FAILURE)
    before = ([*desk.events(), "steered job_remove:a - from failed"], states(desk, "a", "z"), desk.output("a"))
    assert remove(desk, "failed", desk.job_id("a")) == ["OK"]
    assert (desk.events(), states(desk, "a", "z"), desk.output("a")) == before
    assert desk.conn.llen(desk.key("failed")) == 0
    desk.check()


def test_who_removed_jobs_of_a_run_is_noted_in_it_once(desk: Desk) -> None:
    """Of many the first are named; what is refused is not."""
    desk.start(desk.plan(*(step(f"s{n}") for n in range(8)), max_parallel=1))
    (taken,) = desk.take()
    jobs = [desk.job_id(f"s{n}") for n in range(8)]
    found = desk.execute(remove_jobs_batch(desk.queue, "gwait", [*jobs, jobs[-1]], by="ann smith@host", now_ms=desk.now))
    assert [item.status for item in found].count("OK") == 7
    names = ",".join([f"s{n}" for n in range(8) if f"s{n}" != taken][:5])
    assert [e for e in desk.events() if e.startswith("steered")] == [f"steered job_remove:{names},+2 ann_smith@host from gwait"]
    desk.check()


def test_of_a_completed_job_only_the_job_goes(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b", result("a"))))
    desk.settle(desk.take()["a"])
    assert remove(desk, "completed", desk.job_id("a")) == ["OK"]
    assert states(desk, "a", "b") == "D1 Q1"
    desk.check()


def test_a_failed_job_that_the_run_still_waits_for_fails_it(desk: Desk) -> None:
    """Another client failed it, and the run had not heard of it: it must not be taken for lost and made again."""
    desk.start(desk.plan(step("a", attempts=1)))
    a = desk.take()["a"]
    desk.omniq("ack_fail", a.job_id, desk.now, a.token, "said by somebody else")
    assert remove(desk, "failed", a.job_id) == ["OK"]
    assert (desk.header().state, states(desk, "a")) == (RunState.FAILED, "F1")
    desk.check()


def test_in_a_run_that_is_being_cancelled_it_is_cancelled(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    desk.conn.hset(keys.header(desk.queue, RUN), "state", "cancelling")
    assert remove(desk, "gwait", desk.job_id("a")) == ["OK"]
    assert (desk.header().state, states(desk, "a"), desk.output("a")) == (RunState.CANCELLED, "X1", "")


def test_what_can_not_go_is_refused_and_nothing_changes(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b")))
    desk.publish("p")
    active = desk.tick(take=1).taken[0].job_id
    waiting = desk.job_id("b" if active == desk.job_id("a") else "a")
    before = desk.everything()
    assert remove(desk, "gwait", active, "", "nobody", "p") == ["ACTIVE", "BAD_JOB_ID", "NO_JOB", "LANE_MISMATCH"]
    assert remove(desk, "wait", waiting) == ["NOT_IN_LANE"]
    with pytest.raises(OperationRefused, match="REMOVE_JOBS_BATCH failed: BAD_LANE"):
        remove(desk, "nowhere", "p")  # type: ignore[arg-type]
    assert desk.everything() == before


def test_a_job_named_twice_goes_once(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("z")))
    assert remove(desk, "gwait", desk.job_id("a"), desk.job_id("a")) == ["OK", "NO_JOB"]
    assert desk.header().open == 1
    desk.check()


@pytest.mark.parametrize(
    ("job_id", "lane", "code"),
    [("nobody", "nowhere", "NO_JOB"), ("p", "nowhere", "LANE_MISMATCH"), ("p", "gwait", "LANE_MISMATCH"), ("", "wait", "NO_JOB")],
)
def test_one_job_is_refused_as_omniq_does(desk: Desk, job_id: str, lane: Lane, code: str) -> None:
    desk.publish("p")
    with pytest.raises(OperationRefused, match=f"REMOVE_JOB failed: {code}$"):
        desk.execute(admin.remove_job(desk.queue, job_id, lane, now_ms=desk.now))


def test_one_job_is_removed(desk: Desk) -> None:
    desk.publish("p")
    desk.execute(admin.remove_job(desk.queue, "p", "wait", now_ms=desk.now))
    assert desk.take() == {}
    desk.check()


def test_a_batch_is_worked_off_in_bounded_pieces(desk: Desk) -> None:
    desk.start(desk.plan(step("a", is_list=True), step("m", each("a"), level=("a",)), step("j", gather("m"))))
    desk.settle_list(desk.take()["a"], *[b"0"] * 50)
    names = [desk.job_id(f"m-{n}") for n in range(50)]
    assert remove(desk, "gwait", *names, budget=3) == ["OK"] * 50
    desk.check()
    while desk.header().state is not RunState.FAILED:
        desk.tick(budget=3)
        desk.check()
    assert desk.header().open == 0
