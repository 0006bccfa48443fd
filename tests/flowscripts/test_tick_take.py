"""tick, its second half: upkeep, taking, what is handed over, and who is woken."""

from __future__ import annotations

import pytest

from omniq_flow.ops import keys
from omniq_flow.ops.ticks import Settled
from tests.flowscripts.desk import LEASE, OTHER, RUN, Desk, each, gather, result, step


def test_no_more_than_the_slots_of_the_group(desk: Desk) -> None:
    desk.start(desk.plan(*(step(f"s{n}") for n in range(5)), max_parallel=2))
    first = desk.take()
    assert len(first) == 2
    assert desk.take() == {}
    desk.settle(first["s0"])
    assert list(desk.take()) == ["s2"]
    desk.check()


def test_runs_take_turns_in_one_call_and_plain_jobs_with_them(desk: Desk) -> None:
    for run_id in (RUN, OTHER):
        desk.start(desk.plan(step("a"), step("b"), step("c")), run_id)
    for n in range(4):
        desk.publish(f"p{n}")
    order = [t.flow.run_id[-1] if t.flow else t.job_id for t in desk.tick(take=10).taken]
    assert order == ["A", "p0", "B", "p1", "A", "p2", "B", "p3", "A", "B"]
    desk.check()


def test_a_plain_job_passes_through_with_its_payload(desk: Desk) -> None:
    desk.publish("p", '{"a":[]}', attempts=4)
    (taken,) = desk.tick(take=1).taken
    assert (taken.payload, taken.flow, taken.attempt, taken.max_attempts, taken.gid) == (b'{"a":[]}', None, 1, 4, "")
    assert (taken.until_ms, taken.plan_sha, taken.inputs, taken.idempotency_key) == (desk.now + LEASE, "", (), "p")


def test_nothing_is_taken_while_the_queue_is_paused(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b", result("a"))))
    a = desk.take()["a"]
    desk.omniq("pause")
    assert desk.settle(a) == "OK"
    assert desk.take() == {}
    desk.omniq("resume")
    assert list(desk.take()) == ["b"]


def test_the_same_request_brings_the_same_leases(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b", result("a")), step("c")))
    desk.publish("p")
    first = desk.tick(take=8, request="same")
    before = desk.everything()
    assert desk.tick(take=8, request="same").taken == first.taken
    assert desk.everything() == before


def test_the_same_request_does_not_bring_what_was_settled_since(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("c")))
    first = desk.tick(take=8, request="same").taken
    desk.tick(Settled(first[0].job_id, first[0].token, "ok", 0, b"1"))
    assert desk.tick(take=8, request="same").taken == first[1:]


def test_a_request_is_the_workers_own(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b")))
    desk.tick(take=1, request="same", worker="v")
    assert len(desk.tick(take=8, request="same", worker="w").taken) == 1


def test_the_memory_of_a_request_goes_by_itself(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    desk.tick(take=8, worker="v")
    assert 0 < desk.conn.pttl(keys.flow_key(desk.queue, "a", "v")) <= 60_000


def test_fences_rise_and_are_the_same_when_sent_again(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b"), step("c")))
    first = desk.tick(take=2, request="same").taken
    again = desk.tick(take=2, request="same").taken
    (last,) = desk.tick(take=2).taken
    assert [t.fence for t in first] == [t.fence for t in again]
    assert first[0].fence < first[1].fence < last.fence


def test_a_job_that_nobody_waits_for_is_passed_over(desk: Desk) -> None:
    """A foreign client revived a job whose step has failed for good."""
    desk.start(desk.plan(step("a", attempts=1), step("b")))
    taken = desk.take()
    desk.settle(taken["a"], "fatal")
    desk.omniq("retry_failed", desk.job_id("a"), desk.now)
    assert desk.take() == {}
    assert (desk.field(desk.job("a"), "state"), desk.fact("a").state) == ("completed", "F")
    desk.check()


def test_ids_without_a_job_are_passed_over(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b")))
    desk.conn.delete(desk.job("a"))
    assert list(desk.take()) == ["b"]


def test_inputs_come_in_the_order_of_the_parameters(desk: Desk) -> None:
    pages = step("pages", is_list=True)
    word = step("word", each("pages"), level=("pages",))
    last = step("last", gather("word"), result("other"), result("pages"))
    desk.start(desk.plan(pages, word, step("other"), last), given=b"7")
    taken = desk.take()
    desk.settle(taken["other"], value=b'"o"')
    desk.settle_list(taken["pages"], b"10", b"20", b"30")
    words = desk.take()
    assert [words[f"word-{n}"].inputs for n in range(3)] == [(b"=10",), (b"=20",), (b"=30",)]
    for n, kind in ((2, "ok"), (0, "skip"), (1, "ok")):
        desk.settle(words[f"word-{n}"], kind, value=b"%d" % n)  # type: ignore[arg-type]
    assert desk.take()["last"].inputs == ([b"~S", b"=1", b"=2"], b'="o"', b"#1:3")


def test_a_recording_gather_is_handed_failures(desk: Desk) -> None:
    desk.start(
        desk.plan(step("pages", is_list=True), step("word", each("pages"), level=("pages",)), step("last", gather("word", record=True)))
    )
    desk.settle_list(desk.take()["pages"], b"1", b"2")
    words = desk.take()
    desk.settle(words["word-0"], "fatal", 0, b'{"type":"E"}')
    desk.settle(words["word-1"])
    assert desk.take()["last"].inputs == ([b'!{"type":"E"}', b"=1"],)
    desk.check()


def test_a_gather_of_a_list_that_was_skipped_says_so(desk: Desk) -> None:
    """Not an empty list: nothing at all."""
    last = step("last", gather("word", optional=True), result("other"))
    desk.start(desk.plan(step("pages", is_list=True), step("word", each("pages"), level=("pages",)), step("other"), last))
    taken = desk.take()
    desk.settle(taken["pages"], "skip")
    desk.settle(taken["other"])
    assert desk.take()["last"].inputs == (b"~S", b"=1")


@pytest.mark.parametrize(("n", "size", "is_inline"), [(256, 4, True), (257, 4, False), (10, 30_000, False)])
def test_large_gathers_are_left_to_the_worker(desk: Desk, n: int, size: int, is_inline: bool) -> None:
    desk.start(desk.plan(step("pages", is_list=True), step("word", each("pages"), level=("pages",)), step("last", gather("word"))))
    desk.settle_list(desk.take()["pages"], *(b"1" for _ in range(n)))
    while words := desk.tick(take=64).taken:
        if words[0].flow is not None and words[0].flow.step_run.step == "last":
            break
        desk.tick(*(Settled(t.job_id, t.token, "ok", 0, b'"' + b"x" * size + b'"') for t in words))
    assert (words[0].inputs != (b"?",)) is is_inline


def test_the_bytes_of_a_call_are_bounded(desk: Desk) -> None:
    """Who comes later reads its inputs itself; whose inputs are small comes whole."""
    desk.start(desk.plan(step("a"), *(step(f"s{n}", result("a")) for n in range(8))))
    desk.settle(desk.take()["a"], value=b'"' + b"x" * 60_000 + b'"')
    inputs = [t.inputs[0] for t in desk.tick(take=64).taken]
    assert sorted(i == b"?" for i in inputs) == [False] * 5 + [True] * 3


def test_due_jobs_come_back_and_lapsed_leases_too(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b", lease_ms=5_000)))
    taken = desk.take()
    desk.settle(taken["a"], "fail", 2_000)
    assert desk.tick(take=1).next_ms == desk.now + 2_000
    desk.now += 5_000
    reply = desk.tick(take=8)
    assert [t.job_id for t in reply.taken] == [desk.job_id("a")]
    desk.now += 1_000
    assert list(desk.take()) == ["b"]
    desk.check()


def test_an_idle_worker_is_known_until_its_time_and_not_when_it_got_work(desk: Desk) -> None:
    desk.tick(take=1, idle_ms=2_000)
    assert desk.conn.zscore(desk.key("flow", "idle"), "w") == desk.now + 2_000
    desk.start(desk.plan(step("a"), step("b", result("a"))))
    desk.tick(take=1, idle_ms=2_000, worker="w.1")
    assert desk.conn.zscore(desk.key("flow", "idle"), "w") is None


def test_a_worker_that_got_less_than_it_wants_is_known_by_the_same_beat(desk: Desk) -> None:
    """It need not ask again to be woken; both of its channels speak for it."""
    desk.start(desk.plan(step("a")))
    assert len(desk.tick(take=2, idle_ms=2_000, worker="w.1").taken) == 1
    assert desk.conn.zscore(desk.key("flow", "idle"), "w") == desk.now + 2_000
    desk.publish("late")
    assert desk.conn.exists(keys.wake(desk.queue, "w"))


def test_work_that_comes_wakes_a_worker_and_that_one_the_next(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), *(step(f"s{n}", result("a")) for n in range(3))))
    a = desk.take()["a"]
    sleepers = ["u", "v", "x", "y"]
    for name in sleepers:
        desk.tick(take=1, idle_ms=5_000, worker=name)

    def woken() -> set[str]:
        return {name for name in sleepers if desk.conn.exists(keys.wake(desk.queue, name))}

    desk.tick(Settled(a.job_id, a.token, "ok", 0, b"1"), take=1)
    assert woken() == {"y"}
    desk.tick(take=1, worker="y")
    assert woken() == {"y", "x"}
    desk.tick(take=1, worker="x")
    assert woken() == {"y", "x"}


def test_a_run_is_to_be_looked_after_when_its_time_comes(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    desk.take()
    assert desk.tick().to_sweep == ()
    desk.now += 30_000
    assert desk.tick().to_sweep == (RUN,)
    assert desk.tick().to_sweep == ()
    desk.check()


def test_a_run_whose_lists_rest_is_looked_after_as_well(desk: Desk) -> None:
    """Work that waits for its window is no reason to leave a lost job alone."""
    desk.start(desk.plan(step("pages", is_list=True), step("word", each("pages"), level=("pages",)), window=1), budget=1)
    desk.settle_list(desk.take()["pages"], *(b"1" for _ in range(20)))
    words = desk.take()
    assert 0 < len(words) < 20
    for name in words:
        desk.conn.delete(desk.job(name))
    desk.now += 60_000
    assert desk.tick().to_sweep == (RUN,)
    assert desk.sweep().lost == len(words)


def test_an_entry_of_no_run_leaves_the_index(desk: Desk) -> None:
    desk.conn.zadd(keys.live(desk.queue), {RUN: 5})
    desk.tick()
    assert not desk.conn.exists(keys.live(desk.queue))
