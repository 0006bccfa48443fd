"""run_rerun: what is refused, with nothing begun and nothing changed."""

from __future__ import annotations

import pytest
import redis

from omniq_flow.errors import Conflict, NotFound, UsageError
from omniq_flow.model.plan import Plan
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from omniq_flow.ops.rerun import kept_steps
from tests.flowscripts.desk import AGAIN, RUN, Desk, each, gather, result, step
from tests.flowscripts.reruns import HOUR_MS, NO, four, left_of, mapped, work


@pytest.mark.parametrize("steps", [(), ("c",)])
def test_a_run_that_goes_on_is_refused(desk: Desk, steps: tuple[str, ...]) -> None:
    four(desk)
    for state in (RunState.RUNNING, RunState.FAILING, RunState.CANCELLING):
        desk.conn.hset(keys.header(desk.queue, RUN), "state", state.value)
        before = desk.everything()
        with pytest.raises(Conflict, match=f"is {state.value}; a run that has ended") as refusal:
            desk.rerun(*steps)
        assert "runs cancel" in refusal.value.hint
        assert desk.everything() == before


def test_no_run_and_one_that_is_being_purged_are_not_found(desk: Desk) -> None:
    four(desk)
    desk.conn.hset(keys.header(desk.queue, RUN), "purging", "1")
    before = desk.everything()
    with pytest.raises(NotFound, match=f"no run {RUN}"):
        desk.rerun("c")
    assert desk.everything() == before


def gone(desk: Desk, what: str) -> None:
    """Something of `mapped`, or of `four`, is taken away."""
    if what == ":input":
        desk.conn.hdel(keys.outputs(desk.queue, RUN), ":input")
    elif what == "b":
        desk.conn.delete(keys.value(desk.queue, RUN, "b", 1))
    elif what == "a":
        desk.conn.hdel(keys.outputs(desk.queue, RUN), "a")
    elif what == "words[3]":
        desk.conn.hdel(keys.value(desk.queue, RUN, "words-3", 1), "1")
    else:
        desk.conn.delete(keys.value(desk.queue, RUN, "pages", 1))


@pytest.mark.parametrize(
    ("what", "steps", "named"),
    [
        ("b", ("c",), "the output of b is gone"),
        ("a", ("c",), "the output of a is gone"),
        (":input", (), "its input is gone"),
        ("words[3]", ("all",), r"the output of words\[3\] is gone"),
        ("pages", ("all",), "the output of pages is gone"),
    ],
)
@pytest.mark.parametrize("limit", [0, 1])
def test_what_is_gone_is_named_and_nothing_begins(desk: Desk, what: str, steps: tuple[str, ...], named: str, limit: int) -> None:
    (mapped if steps == ("all",) else four)(desk)
    gone(desk, what)
    before = desk.everything()

    def send_on() -> None:
        while desk.rerun(*steps, limit=limit).has_more:
            pass

    with pytest.raises(Conflict, match=named):
        send_on()
    while desk.purge().has_more:
        pass
    assert desk.everything() == before
    desk.conn.hset(keys.outputs(desk.queue, RUN), ":input", "={}")
    assert desk.rerun().is_new


@pytest.mark.parametrize("how", ["retried", "retried and ended", "removed"])
def test_a_run_that_changes_while_it_is_copied_is_refused(desk: Desk, how: str) -> None:
    desk.start(desk.plan(step("a"), step("b"), step("z", result("a"), result("b"))))
    taken = desk.take()
    desk.settle(taken["a"])
    desk.settle(taken["b"])
    desk.settle(desk.take()["z"], "fatal", value=NO)
    assert desk.rerun("z", limit=1).has_more
    if how == "removed":
        desk.conn.hset(keys.header(desk.queue, RUN), "purging", "1")
    else:
        desk.retry()
    if how == "retried and ended":
        work(desk, RUN)
    with pytest.raises((Conflict, NotFound), match="no run" if how == "removed" else "has gone on while it was copied"):
        desk.rerun("z", limit=1)
    if how == "retried and ended":
        assert desk.rerun("z", limit=1).has_more
        desk.now += HOUR_MS
    while desk.purge().has_more:
        pass
    assert left_of(desk, AGAIN) == []


def test_of_a_damaged_run_nothing_is_copied_but_its_input(desk: Desk) -> None:
    four(desk)
    desk.conn.hset(keys.header(desk.queue, RUN), mapping={"damage": "no collection", "state": "failed"})
    with pytest.raises(Conflict, match="is damaged, what its steps gave is not copied: no collection"):
        desk.rerun("c")
    assert desk.rerun().is_new


def test_parts_of_an_earlier_run_of_the_id_are_in_the_way(desk: Desk) -> None:
    four(desk)
    desk.conn.hset(desk.job("a", 2, AGAIN), "state", "failed")
    with pytest.raises(Conflict, match="was used before"):
        desk.rerun("c")


def test_a_key_of_another_type_stops_it_before_anything_is_written(desk: Desk) -> None:
    four(desk)
    desk.conn.set(keys.value(desk.queue, AGAIN, "b", 1), "text")
    desk.conn.delete(keys.value(desk.queue, RUN, "b", 1))
    desk.conn.hset(keys.value(desk.queue, RUN, "b", 1), "0", "1")
    before = desk.everything()
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        desk.rerun("c")
    assert desk.everything() == before


def test_unknown_steps_are_refused(desk: Desk) -> None:
    plan = desk.plan(step("a"))
    with pytest.raises(UsageError, match="flow flow has no step 'z'"):
        kept_steps(plan, ["a", "z"])


def test_what_is_kept_takes_nothing_of_what_is_worked() -> None:
    """Through lists as well, and whatever the order of definition."""
    steps = (
        step("all", gather("page")),
        step("page", gather("look"), level=("pages",)),
        step("look", each("words"), level=("pages", "words")),
        step("words", each("pages"), level=("pages",), is_list=True),
        step("pages", is_list=True),
        step("aside"),
    )
    plan = Plan("flow", "q", steps)
    assert kept_steps(plan, []) == ()
    assert kept_steps(plan, ["aside"]) == ("all", "page", "look", "words", "pages")
    assert kept_steps(plan, ["words"]) == ("pages", "aside")
    assert kept_steps(plan, ["look"]) == ("words", "pages", "aside")
    assert kept_steps(plan, ["pages"]) == ("aside",)
