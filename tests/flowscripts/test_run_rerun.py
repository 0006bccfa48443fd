"""run_rerun: what is copied and what is worked, in pieces, safe to send twice, and nothing of it before the last piece."""

from __future__ import annotations

import hashlib
from typing import cast

import pytest
import redis

from omniq_flow.errors import Conflict, NotFound, UsageError
from omniq_flow.model.plan import Plan
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from omniq_flow.ops.rerun import EditedInput, Rerun, kept_steps
from omniq_flow.ops.ticks import Taken
from tests.flowscripts.desk import AGAIN, OTHER, RUN, Desk, each, gather, result, step

NO = b'{"type":"E","message":"no"}'
BIG = b'"' + b"x" * 70_000 + b'"'
HOUR_MS = 3_600_000


def work(desk: Desk, run_id: str = AGAIN, **values: bytes) -> dict[str, Taken]:
    """Settle everything of a run well until nothing is left; what was worked."""
    worked: dict[str, Taken] = {}
    while taken := desk.take():
        for name, held in taken.items():
            assert held.flow is not None
            assert held.flow.run_id == run_id
            assert desk.settle(held, value=values.get(name, b"1")) == "OK"
        worked |= taken
    desk.check()
    return worked


def four(desk: Desk) -> None:
    """A run that succeeded: `c` needs `a` and `b`, `d` only `b`; `b` gave much."""
    desk.start(desk.plan(step("a"), step("b"), step("c", result("a"), result("b")), step("d", result("b"))), given=b'{"n":1}')
    work(desk, RUN, a=b'"a"', b=BIG, c=b'"c"', d=b'"d"')
    assert desk.header().state is RunState.SUCCEEDED


def mapped(desk: Desk) -> None:
    """Pages, words of each page, a look at each word, and what counts them. One page has no words, one look was skipped."""
    steps = (
        step("pages", is_list=True),
        step("words", each("pages"), level=("pages",), is_list=True),
        step("look", each("words"), level=("pages", "words")),
        step("page", gather("look"), level=("pages",)),
        step("all", gather("page")),
    )
    desk.start(desk.plan(*steps))
    desk.settle_list(desk.take()["pages"], b"1", b"2", b"3", b"4")
    for name, held in desk.take().items():
        desk.settle_list(held, *[name.encode()] * (0, 2, 0, 3)[int(name[-1])])
    for name, held in desk.take().items():
        desk.settle(held, "skip" if name == "look-3-1" else "ok", value=f'"{name}"'.encode())
    work(desk, RUN)
    assert desk.header().state is RunState.SUCCEEDED


def to_the_end(desk: Desk, *steps: str, limit: int = 0) -> tuple[Rerun, int]:
    """Send it until it has begun; the answer, and how many calls that took."""
    calls = 1
    while (done := desk.rerun(*steps, limit=limit)).has_more:
        assert desk.conn.exists(keys.header(desk.queue, AGAIN)) == 0
        desk.check()
        calls += 1
        assert calls < 200
    desk.check()
    return done, calls


def states(desk: Desk, *names: str, run_id: str = AGAIN) -> str:
    return " ".join(f"{f.state.value}{f.epoch}" for f in (desk.fact(name, run_id) for name in names))


def left_of(desk: Desk, run_id: str) -> list[str]:
    return [name for name in desk.everything() if run_id in name or name.endswith(":copies")]


# -- what is copied ---------------------------------------------------------------------


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
    desk.start(desk.plan(step("a"), on_failure="stop", max_parallel=3, window=7, retention_ms=5_000), gid="shared")
    work(desk, RUN)
    desk.rerun()
    kept = ("flow", "sha", "gid", "limit", "stop", "window", "retention", "check", "digest")
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


# -- pieces -------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_it_is_copied_in_bounded_pieces_and_begins_with_the_last(desk: Desk, limit: int) -> None:
    mapped(desk)
    done, calls = to_the_end(desk, "all", limit=limit)
    # 14 step runs and 9 elements of lists.
    assert done.copied == 14
    assert 23 / limit - 1 <= calls <= 23 / limit + 9
    assert list(work(desk)) == ["all"]


def test_a_long_list_goes_on_where_its_copy_ends(desk: Desk) -> None:
    desk.start(desk.plan(step("a", is_list=True), step("m", each("a"), level=("a",)), step("z", result("a"))))
    elements = [str(n).encode() for n in range(250)]
    desk.settle_list(desk.take()["a"], *elements)
    work(desk, RUN)
    assert desk.rerun("m", "z", limit=100).has_more
    key = keys.value(desk.queue, AGAIN, "a", 1)
    assert desk.conn.hlen(key) == 99
    assert desk.conn.hlen(keys.states(desk.queue, AGAIN)) == 0
    done, calls = to_the_end(desk, "m", "z", limit=100)
    assert (done.copied, calls) == (1, 2)
    assert cast("list[bytes]", desk.conn.hmget(key, [str(n) for n in range(250)])) == elements
    assert len(work(desk)) == 251


def test_the_bytes_of_a_piece_are_bounded_as_well(desk: Desk) -> None:
    desk.start(desk.plan(*(step(f"s{n}") for n in range(8)), step("z", *(result(f"s{n}") for n in range(8)))))
    for held in desk.take().values():
        desk.settle(held, value=b'"' + b"x" * 1_000_000 + b'"')
    work(desk, RUN)
    done, calls = to_the_end(desk, "z")
    assert (done.copied, calls) == (8, 2)


def test_sent_twice_it_is_the_same_run(desk: Desk) -> None:
    four(desk)
    desk.rerun("c")
    before = desk.everything()
    again = desk.rerun("c")
    assert (again.run_id, again.is_new) == (AGAIN, False)
    assert desk.everything() == before
    work(desk)
    assert desk.rerun("c").is_new is False


def test_an_id_belongs_to_one_request(desk: Desk) -> None:
    mapped(desk)
    assert desk.rerun("all", limit=2).has_more
    before = desk.everything()
    with pytest.raises(Conflict, match="that of another run"):
        desk.rerun("look", limit=2)
    assert desk.everything() == before
    to_the_end(desk, "all")
    with pytest.raises(Conflict, match="that of another run"):
        desk.rerun("look")
    with pytest.raises(Conflict, match="that of another run"):
        desk.rerun("look", run_id=RUN)


def test_half_copied_it_is_no_run(desk: Desk) -> None:
    """Nobody sees it, works it or steers it; and its id can not be started."""
    mapped(desk)
    desk.rerun("all", limit=4)
    for attempt in (desk.cancel, desk.retry, desk.pause, desk.header):
        with pytest.raises(NotFound):
            attempt(AGAIN)
    assert desk.sweep(AGAIN).is_gone
    assert desk.take() == {}
    assert {desk.conn.zscore(key, AGAIN) for key in (keys.live(desk.queue), keys.ended(desk.queue))} == {None}
    with pytest.raises(Conflict, match="was used before"):
        desk.start(desk.plan(step("a")), AGAIN)


def test_a_copy_that_nobody_goes_on_with_is_taken_away(desk: Desk) -> None:
    mapped(desk)
    desk.rerun("all", limit=9)
    desk.now += HOUR_MS - 1
    desk.purge()
    assert desk.rerun("all", limit=3).has_more
    desk.now += HOUR_MS - 1
    desk.purge()
    assert len(left_of(desk, AGAIN)) > 4
    desk.now += 1
    before = {name: value for name, value in desk.everything().items() if AGAIN not in name and not name.endswith(":copies")}
    while desk.purge(limit=2).has_more:
        pass
    assert left_of(desk, AGAIN) == []
    assert desk.everything() == before


def test_a_copy_that_was_given_up_begins_anew(desk: Desk) -> None:
    """Half of it is taken away already: what is left of it does not get into the new one."""
    mapped(desk)
    desk.rerun("all", limit=12)
    desk.now += HOUR_MS
    assert desk.purge(limit=1).has_more
    done, _ = to_the_end(desk, "all", limit=1)
    assert done.copied == 14
    while desk.purge().has_more:
        pass
    desk.check()
    assert list(work(desk)) == ["all"]


def test_nothing_of_a_run_is_left_after_its_purge(desk: Desk) -> None:
    mapped(desk)
    to_the_end(desk, "all", limit=3)
    work(desk)
    desk.now += 8 * 24 * HOUR_MS
    while desk.purge(limit=5).has_more:
        pass
    assert [name for name in desk.everything() if ":flow:" in name and not name.endswith(":flow:a:w")] == []


def test_the_plan_stays_with_the_copy_when_the_old_run_goes(desk: Desk) -> None:
    four(desk)
    desk.rerun("c")
    desk.conn.zadd(keys.ended(desk.queue), {RUN: 0})
    while desk.purge().has_more:
        pass
    with pytest.raises(NotFound):
        desk.header()
    assert list(work(desk)) == ["c"]
    assert desk.header(AGAIN).state is RunState.SUCCEEDED


# -- what is refused --------------------------------------------------------------------------


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


# -- input, links, restarts ----------------------------------------------------------------------


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
