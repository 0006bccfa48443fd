"""run_rerun: another input, the links between both runs, and one restart for each life of a run."""

from __future__ import annotations

import hashlib

import pytest

from omniq_flow.errors import Conflict
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from omniq_flow.ops.rerun import EditedInput
from tests.flowscripts.desk import AGAIN, OTHER, RUN, Desk, each, gather, result, step
from tests.flowscripts.reruns import BIG, NO, four, left_of, mapped, states, work


@pytest.mark.parametrize("given", [b'{"n":2}', BIG])
def test_another_input_goes_to_what_is_worked(desk: Desk, given: bytes) -> None:
    four(desk)
    desk.rerun("c", edited=EditedInput(given, "shared"))
    assert (desk.header(AGAIN).gid, states(desk, "a", "b", "c", "d")) == ("shared", "D1 D1 Q2 D1")
    large = desk.conn.get(keys.value(desk.queue, AGAIN, ":input", 0))
    assert (desk.output(":input", AGAIN), large) == (("@0", BIG) if given == BIG else ('={"n":2}', None))
    assert desk.output(":input") == '={"n":1}'
    assert desk.field(keys.header(desk.queue, AGAIN), "digest") == hashlib.sha256(given).hexdigest()
    work(desk)


def test_a_large_input_is_copied(desk: Desk) -> None:
    desk.start(desk.plan(step("a")), given=BIG)
    work(desk, RUN)
    desk.rerun()
    assert (desk.output(":input", AGAIN), desk.conn.get(keys.value(desk.queue, AGAIN, ":input", 0))) == ("@0", BIG)
    work(desk)


def test_another_input_counts_for_what_the_request_is(desk: Desk) -> None:
    four(desk)
    desk.rerun(edited=EditedInput(b'{"n":2}'))
    assert desk.header(AGAIN).gid == AGAIN
    assert not desk.rerun(edited=EditedInput(b'{"n":2}')).is_new
    with pytest.raises(Conflict, match="that of another run"):
        desk.rerun(edited=EditedInput(b'{"n":3}'))


def test_both_runs_name_each_other_and_who_did_it_and_why(desk: Desk) -> None:
    four(desk)
    rev = desk.header().rev
    desk.rerun("c", by="ann@host", reason="c was  wrong")
    assert (desk.header(AGAIN).rerun_of, desk.header().rerun_as) == (RUN, AGAIN)
    assert desk.events()[-2:] == [f"rerun_as {AGAIN}", "steered rerun ann@host c was wrong"]
    assert desk.header().rev == rev + 2
    first, *rest = desk.events(AGAIN)
    assert sorted(first.split(" ")) == ["a:D=1", "b:D=1", "checkpoint", "d:D=1"]
    assert rest == ["run running", f"rerun_of {RUN} 3", "steered rerun ann@host c was wrong", "Q c 2"]
    desk.check()


def test_once_a_life_of_a_run_is_restarted_once(desk: Desk) -> None:
    """The second request finds the run of the first, also while that is still copied; a retry is another life."""
    desk.start(desk.plan(step("a"), step("b", result("a"))))
    desk.take()
    desk.cancel()
    assert desk.header().state is RunState.CANCELLING
    with pytest.raises(Conflict, match="is cancelling"):
        desk.rerun()
    with pytest.raises(Conflict, match="is cancelling"):
        desk.rerun("b", once=True)
    assert desk.rerun(once=True).is_new
    again = desk.rerun(once=True, run_id=OTHER)
    assert (again.run_id, again.is_new) == (AGAIN, False)
    assert left_of(desk, OTHER) == []
    assert desk.header().state is RunState.CANCELLING
    desk.check()


def test_another_life_is_restarted_again(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    desk.settle(desk.take()["a"], "fatal", value=NO)
    assert desk.rerun(once=True).is_new
    work(desk)
    desk.retry()
    desk.settle(desk.take()["a"], "fatal", value=NO)
    assert desk.rerun(once=True, run_id=OTHER).is_new
    work(desk, OTHER)


def test_a_restart_that_was_removed_is_none(desk: Desk) -> None:
    four(desk)
    desk.rerun(once=True)
    work(desk)
    desk.conn.zadd(keys.ended(desk.queue), {AGAIN: 0})
    while desk.purge().has_more:
        pass
    assert desk.rerun(once=True, run_id=OTHER).is_new
    work(desk, OTHER)


def test_of_two_restarts_that_are_copied_at_once_one_begins(desk: Desk) -> None:
    mapped(desk)
    assert desk.rerun("all", once=True, limit=3).has_more
    assert desk.rerun("all", once=True, run_id=OTHER).is_new
    late = desk.rerun("all", once=True, limit=3)
    assert (late.run_id, late.is_new) == (OTHER, False)
    while desk.purge().has_more:
        pass
    assert left_of(desk, AGAIN) == []


def test_a_large_map_begins_within_the_budget(desk: Desk) -> None:
    desk.start(desk.plan(step("a", is_list=True), step("m", each("a"), level=("a",)), step("z", gather("m"))))
    desk.settle_list(desk.take()["a"], *[b"1"] * 60)
    work(desk, RUN)
    assert desk.rerun("m", budget=5).is_new
    assert 0 < desk.header(AGAIN).open <= 5
    desk.check()
    assert len(work(desk)) == 61
