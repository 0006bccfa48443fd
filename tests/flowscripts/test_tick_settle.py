"""tick, its first half: what becomes of each way to end a lease."""

from __future__ import annotations

import pytest
import redis

from omniq_flow.model.states import RunState
from omniq_flow.ops import jobs, keys, ticks
from omniq_flow.ops.command import Command
from omniq_flow.ops.ticks import Settled
from tests.flowscripts.desk import OTHER, RUN, Desk, each, gather, result, step

FAILURE = b'{"type":"ValueError","message":"no","step":"a","attempt":1}'


def test_a_value_moves_the_run_on_in_the_same_call(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b", result("a"))))
    a = desk.take()["a"]
    reply = desk.tick(Settled(a.job_id, a.token, "ok", 0, b'{"x":[]}'), take=1)
    assert reply.codes == ("OK",)
    assert (desk.output("a"), reply.taken[0].inputs) == ('={"x":[]}', (b'={"x":[]}',))
    desk.check()


def test_a_skip_leaves_no_value_and_skips_what_needs_it(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b", result("a")), step("c", result("a", optional=True), result("d")), step("d")))
    taken = desk.take()
    assert desk.settle(taken["a"], "skip") == "OK"
    assert desk.settle(taken["d"]) == "OK"
    assert (desk.fact("a").state, desk.fact("b").state, desk.output("a")) == ("S", "S", "")
    assert desk.take()["c"].inputs == (b"~S", b"=1")
    desk.check()


def test_a_failure_with_attempts_left_is_tried_again_when_due(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    a = desk.take()["a"]
    assert desk.settle(a, "fail", 700, FAILURE, "no luck") == "RETRY"
    assert (desk.fact("a").state, desk.field(desk.job("a"), "last_error")) == ("Q", "no luck")
    reply = desk.tick(take=1)
    assert (reply.taken, reply.next_ms) == ((), desk.now + 700)
    desk.check()
    desk.now += 700
    assert desk.take()["a"].attempt == 2
    assert desk.events()[-1] == "retry a 1 1"


def test_the_last_attempt_that_fails_fails_the_step(desk: Desk) -> None:
    desk.start(desk.plan(step("a", attempts=1), step("b", result("a"))))
    assert desk.settle(desk.take()["a"], "fail", 700, FAILURE, "no luck") == "FAILED"
    assert (desk.fact("a").state, desk.fact("b").state, desk.header().state) == ("F", "U", RunState.FAILED)
    assert desk.output("a") == "!" + FAILURE.decode()
    assert desk.events()[-4:] == ["F a 1", "run failing", "U b 0", "run failed"]
    desk.check()


def test_a_fatal_failure_asks_for_no_other_attempt(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b")))
    taken = desk.take()
    assert desk.settle(taken["a"], "fatal", 0, FAILURE) == "FAILED"
    assert desk.header().state is RunState.FAILING
    assert desk.settle(taken["b"]) == "OK"
    assert desk.header().state is RunState.FAILED
    desk.check()


@pytest.mark.parametrize("delay", [0, 900])
def test_a_release_gives_the_attempt_back(desk: Desk, delay: int) -> None:
    desk.start(desk.plan(step("a", attempts=1)))
    assert desk.settle(desk.take()["a"], "release", delay) == "OK"
    desk.check()
    assert bool(desk.take()) is (delay == 0)
    desk.now += delay
    if delay:
        assert desk.take()["a"].attempt == 1


def test_a_large_value_has_a_key_of_its_own(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b", result("a"))))
    assert desk.settle(desk.take()["a"], value=b'"' + b"x" * 65_600 + b'"') == "OK"
    assert desk.output("a") == "@1"
    assert desk.conn.strlen(keys.value(desk.queue, RUN, "a", 1)) == 65_602
    assert desk.take()["b"].inputs == (b"@1",)
    desk.check()


def test_a_plain_job_ends_as_omniq_has_it(desk: Desk) -> None:
    for name in ("good", "bad", "again"):
        desk.publish(name, attempts=2)
    taken = desk.take()
    assert [desk.settle(taken["good"]), desk.settle(taken["bad"], "fatal", error="no"), desk.settle(taken["again"], "fail", 50)] == [
        "OK",
        "FAILED",
        "RETRY",
    ]
    states = {name: desk.field(keys.job(desk.queue, name), "state") for name in taken}
    assert states == {"good": "completed", "bad": "failed", "again": "delayed"}
    desk.check()


def test_what_was_applied_answers_dup(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b"), step("c")))
    taken = desk.take()
    said = [("a", "ok"), ("b", "skip"), ("c", "fatal")]
    for name, kind in said:
        desk.settle(taken[name], kind)  # type: ignore[arg-type]
    before = desk.everything()
    assert [desk.settle(taken[name], kind) for name, kind in said] == ["DUP"] * 3  # type: ignore[arg-type]
    assert desk.everything() == before


def test_a_token_of_somebody_else_is_lost_and_changes_nothing(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    a = desk.take()["a"]
    before = desk.everything()
    reply = desk.tick(
        Settled(a.job_id, "0" * 40, "ok"),
        Settled(a.job_id, "", "ok"),
        Settled(desk.job_id("ghost"), a.token, "ok"),
        Settled("odd", a.token, "ok"),
    )
    assert reply.codes == ("LOST",) * 4
    assert desk.everything() == before


def test_one_item_twice_in_a_call_counts_once(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    a = desk.take()["a"]
    item = Settled(a.job_id, a.token, "ok", 0, b"1")
    assert desk.tick(item, item).codes == ("OK", "LOST")
    desk.check()


def test_a_lapsed_lease_that_nobody_took_back_still_counts(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    a = desk.take()["a"]
    desk.now += 31_000
    assert desk.settle(a) == "OK"
    desk.check()


def test_a_zombie_is_lost_and_the_new_lease_counts(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    old = desk.take()["a"]
    desk.now += 31_000
    desk.tick()
    desk.now += 1_000
    new = desk.take()["a"]
    assert (new.attempt, new.token == old.token) == (2, False)
    assert (desk.settle(old, value=b"2"), desk.settle(new)) == ("LOST", "OK")
    assert desk.output("a") == "=1"
    desk.check()


def test_a_lease_that_lapses_at_the_last_attempt_fails_the_step(desk: Desk) -> None:
    desk.start(desk.plan(step("a", attempts=1)))
    desk.take()
    desk.now += 31_000
    desk.tick()
    assert (desk.fact("a").state, desk.header().state) == ("F", RunState.FAILED)
    assert '"type":"LeaseLost"' in desk.output("a")
    told = "lease lost: attempt 1/1 ended without a report; held by w for 31.0 s, last extended 31.0 s ago"
    assert desk.field(desk.job("a"), "last_error") == told
    assert told in desk.output("a")
    desk.check()


def test_of_a_lease_that_another_client_took_no_holder_is_told(desk: Desk) -> None:
    """The note of an earlier lease stays in the record, but it is of another token."""
    desk.start(desk.plan(step("a", attempts=2, lease_ms=1_000)))
    desk.take()
    desk.now += 2_000
    desk.tick()
    desk.now += 100_000
    desk.tick()
    desk.execute(jobs.reserve(desk.queue, now_ms=desk.now))
    desk.now += 2_000
    desk.tick()
    assert desk.field(desk.job("a"), "last_error") == "lease lost: attempt 2/2 ended without a report"


def test_what_the_run_does_not_wait_for_is_stale_and_acked(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b")))
    a = desk.take()["a"]
    desk.conn.hset(desk.job("a"), "state", "failed")
    desk.sweep()
    assert desk.fact("a").state == "F"
    assert desk.settle(a, value=b"2") == "STALE"
    assert desk.events()[-1] == "stale a 1"
    assert (desk.field(desk.job("a"), "state"), desk.output("a")[:1]) == ("completed", "!")
    desk.check()


def test_a_job_of_no_run_is_gone_and_acked(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    a = desk.take()["a"]
    desk.conn.delete(keys.header(desk.queue, RUN))
    assert desk.settle(a) == "GONE"
    assert desk.field(desk.job("a"), "state") == "completed"


def test_a_list_must_be_laid_down_in_full_first(desk: Desk) -> None:
    desk.start(desk.plan(step("a", is_list=True), step("b", each("a"), level=("a",)), step("c", gather("b"))))
    a = desk.take()["a"]
    desk.stage(a, b"1", b"2")
    before = desk.everything()
    assert (desk.settle(a, "list", 3), desk.settle(a, "ok", value=b"[1,2]")) == ("BAD_LIST", "BAD_LIST")
    assert desk.everything() == before
    assert desk.settle(a, "list", 2) == "OK"
    assert [t.inputs for t in desk.take().values()] == [(b"=1",), (b"=2",)]
    desk.check()


def test_empty_lists_in_lists_settle_in_one_call(desk: Desk) -> None:
    steps = (step("a", is_list=True), step("b", each("a"), level=("a",), is_list=True), step("c", each("b"), level=("a", "b")))
    desk.start(desk.plan(*steps, step("d", gather("c"), level=("a",)), step("e", gather("d"))))
    desk.settle_list(desk.take()["a"], b"1", b"2")
    inner = desk.take()
    desk.settle_list(inner["b-0"])
    desk.settle_list(inner["b-1"])
    assert {name: t.inputs for name, t in desk.take().items()} == {"d-0": ([],), "d-1": ([],)}
    desk.check()


def test_a_flow_that_stops_dispatches_nothing_more(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b"), step("c", result("b")), on_failure="stop"))
    taken = desk.take()
    desk.settle(taken["a"], "fatal", 0, FAILURE)
    assert desk.settle(taken["b"]) == "OK"
    assert [str(desk.fact(s).state) for s in "abc"] == ["F", "D", "P"]
    assert desk.header().state is RunState.FAILED
    desk.check()


def test_each_item_stands_alone(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    desk.start(desk.plan(step("a")), OTHER)
    first, second = desk.tick(take=2).taken
    reply = desk.tick(Settled(first.job_id, "wrong", "ok"), Settled(second.job_id, second.token, "ok", 0, b"1"))
    assert reply.codes == ("LOST", "OK")
    desk.check()


def test_a_call_settles_and_takes_at_most_64(desk: Desk) -> None:
    with pytest.raises(ValueError, match="at most 64"):
        desk.tick(*(Settled(f"j{n}", "t", "ok") for n in range(65)))
    for args in ((desk.now, "w", "r", "s", 65, 0, 0, 0), (desk.now, "w", "r", "s", 0, 0, 0, 65)):
        with pytest.raises(redis.exceptions.ResponseError, match="BAD_ARGS"):
            desk.execute(Command("flow/tick", (keys.anchor(desk.queue),), args, list))
    assert desk.everything() == {}


def test_sixty_four_at_once(desk: Desk) -> None:
    desk.start(desk.plan(*(step(f"s{n}") for n in range(70))))
    taken = desk.tick(take=64).taken
    assert len(taken) == 64
    reply = desk.tick(*(Settled(t.job_id, t.token, "ok", 0, b"1") for t in taken), take=64)
    assert (reply.codes, len(reply.taken)) == (("OK",) * 64, 6)
    desk.check()


def test_idempotency_keys_are_stable_over_attempts(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    first = desk.take()["a"]
    desk.settle(first, "fail")
    assert desk.take()["a"].idempotency_key == first.idempotency_key == f"{RUN}.a"


def test_ticks_names_are_the_scripts_codes() -> None:
    """The codes that this file and that of the cancel meet are all that there are."""
    met = {"OK", "RETRY", "FAILED", "DUP", "STALE", "GONE", "LOST", "BAD_LIST", "CANCELLED"}
    assert set(ticks.SettleCode.__args__) == met  # type: ignore[attr-defined]
