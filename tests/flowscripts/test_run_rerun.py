"""run_rerun: what of an ended run is copied and what is worked again."""

from __future__ import annotations

from typing import cast

from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.flowscripts.desk import AGAIN, OTHER, RUN, Desk, result, step
from tests.flowscripts.reruns import BIG, NO, four, mapped, states, work


def test_what_stands_before_the_step_is_copied_and_the_rest_is_worked(desk: Desk) -> None:
    four(desk)
    before = {name: desk.output(name) for name in "abcd"}
    done = desk.rerun("c")
    assert (done.run_id, done.is_new, done.copied) == (AGAIN, True, 3)
    assert states(desk, "a", "b", "c", "d") == "D1 D1 Q2 D1"
    desk.check()
    assert list(work(desk, c=b'"other"')) == ["c"]
    assert (desk.header(AGAIN).state, desk.output("c", AGAIN)) == (RunState.SUCCEEDED, '="other"')
    assert {name: desk.output(name, AGAIN) for name in "abd"} == {name: before[name] for name in "abd"}
    assert desk.conn.get(keys.value(desk.queue, AGAIN, "b", 1)) == BIG
    assert {name: desk.output(name) for name in "abcd"} == before


def test_all_that_takes_something_of_the_step_is_worked(desk: Desk) -> None:
    four(desk)
    desk.rerun("b")
    assert states(desk, "a", "b", "c", "d") == "D1 Q2 P0 P0"
    assert list(work(desk)) == ["b", "c", "d"]


def test_without_a_step_the_whole_run_is_worked_with_the_same_input(desk: Desk) -> None:
    four(desk)
    done = desk.rerun()
    assert (done.is_new, done.copied, desk.header(AGAIN).epoch) == (True, 0, 1)
    assert desk.output(":input", AGAIN) == '={"n":1}'
    worked = work(desk)
    assert sorted(worked) == ["a", "b", "c", "d"]
    assert worked["c"].idempotency_key == f"{AGAIN}.c"


def test_the_same_plan_group_and_options_hold(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), on_failure="stop", max_parallel=3, window=7, retention_ms=5_000), gid="shared", tags=(("env", "prod"),))
    work(desk, RUN)
    desk.rerun()
    kept = ("flow", "sha", "gid", "limit", "stop", "window", "retention", "check", "digest", "tags")
    assert desk.header().tags == (("env", "prod"),)
    assert [desk.field(keys.header(desk.queue, AGAIN), f) for f in kept] == [desk.field(keys.header(desk.queue, RUN), f) for f in kept]
    work(desk)


def test_a_group_of_the_runs_own_is_not_shared(desk: Desk) -> None:
    four(desk)
    desk.rerun()
    assert desk.header(AGAIN).gid == AGAIN


def test_lists_are_copied_with_all_that_their_elements_gave(desk: Desk) -> None:
    mapped(desk)
    assert desk.rerun("all").copied == 1 + 4 + 5 + 4
    assert list(work(desk)) == ["all"]
    assert desk.header(AGAIN).state is RunState.SUCCEEDED
    assert desk.output("look-3-2", AGAIN) == '="look-3-2"'
    assert states(desk, "look-3-1", "page-0", "page-2") == "S1 D1 D1"
    assert desk.conn.hgetall(keys.value(desk.queue, AGAIN, "words-1", 1)) == {b"0": b"words-1", b"1": b"words-1"}
    assert cast("bytes", desk.conn.hget(keys.tallies(desk.queue, AGAIN), "look:t")) == b"5"


def test_from_a_step_inside_lists_all_its_elements_are_worked(desk: Desk) -> None:
    mapped(desk)
    assert desk.rerun("look").copied == 1 + 4
    assert sorted(work(desk)) == ["all", *(f"look-{x}" for x in ("1-0", "1-1", "3-0", "3-1", "3-2")), *(f"page-{n}" for n in range(4))]


def test_from_a_list_all_its_elements_are_made_anew(desk: Desk) -> None:
    mapped(desk)
    desk.rerun("words")
    taken = desk.take()
    assert sorted(taken) == [f"words-{n}" for n in range(4)]
    for held in taken.values():
        desk.settle_list(held, b"0")
    assert len(work(desk)) == 4 + 4 + 1
    assert desk.header(AGAIN).state is RunState.SUCCEEDED


def test_what_failed_is_worked_whatever_the_step(desk: Desk) -> None:
    """Only what a handler gave is copied: a failure beside the chosen step would fail the new run as well."""
    desk.start(desk.plan(step("a"), step("b"), step("c", result("a")), step("d", result("b"))))
    taken = desk.take()
    desk.settle(taken["a"], "fatal", value=NO)
    desk.settle(taken["b"])
    work(desk, RUN)
    assert desk.header().state is RunState.FAILED
    desk.rerun("d")
    assert states(desk, "a", "b", "c", "d") == "Q2 D1 P0 Q2"
    assert sorted(work(desk)) == ["a", "c", "d"]
    assert desk.header(AGAIN).state is RunState.SUCCEEDED


def test_a_cancelled_run_is_re_run_with_what_it_has(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b", result("a")), step("c", result("b"))))
    desk.settle(desk.take()["a"], value=b'"a"')
    desk.cancel()
    assert desk.header().state is RunState.CANCELLED
    assert desk.rerun("c").copied == 1
    assert list(work(desk)) == ["b", "c"]


def test_what_a_stopped_retry_left_behind_is_worked_again(desk: Desk) -> None:
    """`b` is of an earlier life, `a` of a newer one: it is copied, and gives way as it would in a retry."""
    desk.start(desk.plan(step("a"), step("b", result("a")), step("z"), on_failure="stop"))
    taken = desk.take()
    desk.settle(taken["a"])
    desk.settle(desk.take()["b"])
    desk.settle(taken["z"], "fatal", value=NO)
    desk.retry(redo=["a"])
    taken = desk.take()
    desk.settle(taken["z"], "fatal", value=NO)
    desk.settle(taken["a"])
    assert (desk.header().state, states(desk, "a", "b", run_id=RUN)) == (RunState.FAILED, "D2 D1")
    desk.rerun("z")
    assert sorted(work(desk)) == ["b", "z"]
    assert states(desk, "a", "b", "z") == "D2 D3 D3"


def test_a_re_run_is_re_run_retried_and_cancelled_like_any_other(desk: Desk) -> None:
    four(desk)
    desk.rerun("c")
    desk.settle(desk.take()["c"], "fatal", value=NO)
    desk.check()
    desk.retry(AGAIN, redo=["b"])
    assert sorted(work(desk)) == ["b", "c", "d"]
    assert desk.header(AGAIN).state is RunState.SUCCEEDED
    desk.rerun("d", run_id=OTHER, of=AGAIN)
    assert states(desk, "a", "b", "c", "d", run_id=OTHER) == "D1 D3 D3 Q4"
    assert (desk.header(OTHER).rerun_of, desk.header(AGAIN).rerun_as) == (AGAIN, OTHER)
    work(desk, OTHER)
