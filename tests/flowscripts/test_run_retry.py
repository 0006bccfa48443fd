"""run_retry: what is kept, what is worked again, what goes, and that it is safe to send twice."""

from __future__ import annotations

from typing import cast

import pytest

from omniq_flow.errors import Conflict, NotFound, UsageError
from omniq_flow.model.plan import InputPlan
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from omniq_flow.ops.ticks import Taken
from tests.flowscripts.desk import RUN, Desk, each, gather, result, step


def fail_a_keep_b(desk: Desk, **options: str) -> None:
    """A run that failed: `a` failed, `b` succeeded, `c` needs both, `d` only `b`."""
    steps = (step("a"), step("b"), step("c", result("a"), result("b")), step("d", result("b")))
    desk.start(desk.plan(*steps, **options))
    taken = desk.take()
    desk.settle(taken["a"], "fatal", value=b'{"type":"E","message":"no"}')
    desk.settle(taken["b"], value=b'"b"')
    for name, held in desk.take().items():
        desk.settle(held, value=f'"{name}"'.encode())
    assert desk.header().state is RunState.FAILED
    desk.check()


def states(desk: Desk, *names: str) -> str:
    return " ".join(f"{desk.fact(name).state.value}{desk.fact(name).epoch}" for name in names)


def work(desk: Desk) -> dict[str, Taken]:
    """Settle everything well until nothing is left; what was worked."""
    worked: dict[str, Taken] = {}
    while taken := desk.take():
        for held in taken.values():
            assert desk.settle(held) == "OK"
        worked |= taken
    desk.check()
    return worked


def test_only_what_failed_is_worked_again(desk: Desk) -> None:
    fail_a_keep_b(desk)
    assert desk.retry().epoch == 2
    assert (desk.header().state, desk.header().ended_ms) == (RunState.RUNNING, 0)
    assert states(desk, "a", "b", "c", "d") == "Q2 D1 U0 D1"
    desk.check()
    assert list(work(desk)) == ["a", "c"]
    assert (desk.header().state, states(desk, "a", "b", "c", "d")) == (RunState.SUCCEEDED, "D2 D1 D2 D1")


def test_a_repeat_answers_that_it_was_applied(desk: Desk) -> None:
    fail_a_keep_b(desk)
    assert desk.retry(epoch=1).is_new
    before = desk.everything()
    again = desk.retry(epoch=1)
    assert (again.is_new, again.epoch) == (False, 2)
    assert desk.everything() == before
    work(desk)
    assert desk.retry(epoch=1).is_new is False


def test_another_retry_at_the_same_epoch_is_a_conflict(desk: Desk) -> None:
    fail_a_keep_b(desk)
    desk.retry(epoch=1)
    desk.settle(desk.take()["a"], "fatal")
    before = desk.everything()
    with pytest.raises(Conflict, match="gone on since: it is at epoch 2"):
        desk.retry(epoch=1, redo=["b"])
    assert desk.everything() == before


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.FAILING, RunState.CANCELLING, RunState.SUCCEEDED])
def test_only_a_run_that_failed_or_was_cancelled_is_retried(desk: Desk, state: RunState) -> None:
    fail_a_keep_b(desk)
    desk.conn.hset(keys.header(desk.queue, RUN), "state", state.value)
    before = desk.everything()
    with pytest.raises(Conflict, match=f"is {state.value}"):
        desk.retry()
    assert desk.everything() == before


def test_no_run_and_a_run_that_is_being_purged_are_not_found(desk: Desk) -> None:
    with pytest.raises(NotFound, match="no run"):
        desk.retry(epoch=1)
    fail_a_keep_b(desk)
    desk.conn.hset(keys.header(desk.queue, RUN), "purging", "1")
    with pytest.raises(NotFound, match="no run"):
        desk.retry()


def test_a_damaged_run_is_not_retried(desk: Desk) -> None:
    fail_a_keep_b(desk)
    desk.conn.hset(keys.header(desk.queue, RUN), "damage", "no collection")
    before = desk.everything()
    with pytest.raises(Conflict, match="damaged and can not be retried: no collection"):
        desk.retry()
    assert desk.everything() == before


def test_a_step_is_done_again_though_it_succeeded_with_all_behind_it(desk: Desk) -> None:
    fail_a_keep_b(desk)
    desk.retry(redo=["b"])
    worked = work(desk)
    assert list(worked) == ["a", "b", "c", "d"]
    assert {n: t.idempotency_key.rpartition(".")[2] for n, t in worked.items()} == {"a": "a", "b": "r2", "c": "r2", "d": "r2"}
    assert states(desk, "a", "b", "c", "d") == "D2 D2 D2 D2"


def test_an_unknown_step_can_not_be_done_again(desk: Desk) -> None:
    fail_a_keep_b(desk)
    with pytest.raises(UsageError, match="has no step 'z'"):
        desk.retry(redo=["z"])


def two_failures(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b"), step("c", result("a")), step("d", result("c"), result("b"))))
    for held in desk.take().values():
        desk.settle(held, "fatal", value=b'{"type":"E","message":"no"}')
    assert desk.header().state is RunState.FAILED


def test_of_several_failures_only_some_are_worked(desk: Desk) -> None:
    two_failures(desk)
    desk.retry(only=["a"])
    assert (desk.header().state, states(desk, "a", "b", "c", "d")) == (RunState.FAILING, "Q2 F1 U0 U0")
    desk.check()
    assert list(work(desk)) == ["a", "c"]
    assert (desk.header().state, states(desk, "a", "b", "c", "d")) == (RunState.FAILED, "D2 F1 D2 U0")
    assert desk.output("b")[:1] == "!"
    desk.retry()
    assert list(work(desk)) == ["b", "d"]
    assert desk.header().state is RunState.SUCCEEDED


def test_who_was_held_back_is_refused_with_the_failure_above(desk: Desk) -> None:
    two_failures(desk)
    before = desk.everything()
    with pytest.raises(Conflict, match="d did not run: a failed above it"):
        desk.retry(only=["b", "d"])
    assert desk.everything() == before


def test_the_failure_above_a_gather_is_the_element_that_failed(desk: Desk) -> None:
    steps = (
        step("a", is_list=True),
        step("m", each("a"), level=("a",)),
        step("j", gather("m")),
        step("k", InputPlan("after:j", "after", "j")),
    )
    desk.start(desk.plan(*steps))
    desk.settle_list(desk.take()["a"], b"1", b"2", b"3")
    for name, held in desk.take().items():
        desk.settle(held, "fatal" if name == "m-1" else "ok", value=b'{"type":"E","message":"no"}' if name == "m-1" else b"1")
    with pytest.raises(Conflict, match=r"k did not run: m\[1\] failed above it"):
        desk.retry(only=["k"])


@pytest.mark.parametrize(("id_", "word"), [("b", "succeeded"), ("z", "pending"), ("a-4", "pending")])
def test_only_failures_can_be_asked_for(desk: Desk, id_: str, word: str) -> None:
    fail_a_keep_b(desk)
    with pytest.raises(Conflict, match=f"{id_} is {word}"):
        desk.retry(only=[id_])


def test_a_bounded_number_is_asked_for(desk: Desk) -> None:
    with pytest.raises(ValueError, match="at most 1000"):
        desk.retry(epoch=1, only=["a"] * 1_001)


def mapped(desk: Desk, *, attempts: int = 1) -> None:
    """Pages, words of each page, letters of each word, and what counts them; the last word has failed."""
    steps = (
        step("pages", is_list=True),
        step("words", each("pages"), level=("pages",), is_list=True),
        step("look", each("words"), level=("pages", "words")),
        step("page", gather("look"), level=("pages",)),
        step("bad", attempts=attempts),
        step("all", gather("page"), result("bad")),
    )
    desk.start(desk.plan(*steps))
    taken = desk.take()
    desk.settle(taken["bad"], "fatal", value=b'{"type":"E","message":"no"}')
    desk.settle_list(taken["pages"], b"1", b"2", b"3")
    for name, held in desk.take().items():
        desk.settle_list(held, *[b"0"] * (2 + int(name[-1])))
    work(desk)
    assert desk.header().state is RunState.FAILED


def facts(desk: Desk) -> set[str]:
    return {name.decode() for name in cast("list[bytes]", desk.conn.hkeys(keys.states(desk.queue, RUN)))}


def beyond(desk: Desk) -> set[str]:
    """Step runs of pages but the first."""
    return {name for name in facts(desk) if name.split("-")[1:2] not in ([], ["0"])}


def tallies(desk: Desk) -> dict[str, int]:
    found = cast("dict[bytes, bytes]", desk.conn.hgetall(keys.tallies(desk.queue, RUN)))
    return {k.decode(): int(v) for k, v in found.items() if int(v) and k[-2:] not in (b":b", b":e", b":r")}


def test_elements_that_stand_are_kept(desk: Desk) -> None:
    mapped(desk)
    before = tallies(desk)
    desk.retry()
    desk.check()
    assert list(work(desk)) == ["bad", "all"]
    assert desk.header().state is RunState.SUCCEEDED
    now = tallies(desk)
    assert {k: v for k, v in now.items() if not k.startswith(("bad", "all"))} == {
        k: v for k, v in before.items() if not k.startswith(("bad", "all"))
    }


def test_a_list_that_ran_again_makes_all_its_elements_anew_and_clears_the_rest(desk: Desk) -> None:
    mapped(desk)
    desk.retry(redo=["pages"])
    taken = desk.take()
    desk.settle(taken["bad"])
    desk.settle_list(taken["pages"], b"9")
    desk.check()
    held = desk.take()
    assert list(held) == ["words-0"]
    desk.settle_list(held["words-0"], b"7")
    assert list(work(desk)) == ["look-0-0", "page-0", "all"]
    assert desk.header().state is RunState.SUCCEEDED
    assert facts(desk) == {"pages", "words-0", "look-0-0", "page-0", "bad", "all"}
    assert tallies(desk) == {f"{s}:D": 1 for s in ("pages", "words", "look", "page", "bad", "all")} | dict.fromkeys(
        ("words:t", "look:t", "page:t"), 1
    )
    assert not desk.conn.exists(keys.value(desk.queue, RUN, "words-2", 1), keys.value(desk.queue, RUN, "pages", 1))


@pytest.mark.parametrize("budget", [1, 3])
def test_clearing_goes_on_in_bounded_pieces(desk: Desk, budget: int) -> None:
    mapped(desk)
    desk.retry(redo=["pages"])
    taken = desk.take()
    desk.settle(taken["bad"])
    desk.settle_list(taken["pages"], b"9", budget=budget)
    held, beats = desk.take(budget=budget), 0
    while left := beyond(desk):
        desk.check()
        held |= desk.take(budget=budget)
        assert len(left - beyond(desk)) <= 3 * budget
        beats += 1
        assert beats < 40
    assert beats > 1
    held |= desk.take()
    desk.settle_list(held["words-0"])
    work(desk)
    assert facts(desk) == {"pages", "words-0", "page-0", "bad", "all"}


def test_a_list_that_fails_the_second_time_leaves_no_elements(desk: Desk) -> None:
    mapped(desk)
    desk.retry(redo=["pages"])
    taken = desk.take()
    desk.settle(taken["bad"])
    desk.settle(taken["pages"], "fatal", value=b'{"type":"E","message":"no"}')
    assert desk.take() == {}
    desk.check()
    assert (desk.header().state, states(desk, "pages", "all")) == (RunState.FAILED, "F2 U0")
    assert facts(desk) == {"pages", "bad", "all"}


def test_what_a_stopped_run_left_to_clear_is_cleared_by_the_next_retry(desk: Desk) -> None:
    """Elements of a longer list are being cleared when the run has to stop: they are found again."""
    steps = (step("pages", is_list=True), step("word", each("pages"), level=("pages",)), step("bad"))
    desk.start(desk.plan(*steps, on_failure="stop"))
    taken = desk.take()
    desk.settle_list(taken["pages"], *[b"0"] * 40)
    work(desk)
    desk.settle(taken["bad"], "fatal")
    desk.retry(redo=["pages"])
    taken = desk.take()
    desk.settle_list(taken["pages"], b"1", budget=3)
    desk.settle(taken["bad"], "fatal", budget=1)
    work(desk)
    assert (desk.header().state, len(facts(desk)) > 30) == (RunState.FAILED, True)
    desk.retry()
    work(desk)
    assert (desk.header().state, facts(desk)) == (RunState.SUCCEEDED, {"pages", "word-0", "bad"})


def test_a_stopped_run_decides_what_was_not_reached(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b"), step("c", result("b")), on_failure="stop"))
    taken = desk.take()
    desk.settle(taken["a"], "fatal")
    desk.settle(taken["b"])
    assert (desk.header().state, states(desk, "a", "b", "c")) == (RunState.FAILED, "F1 D1 P0")
    desk.retry()
    assert states(desk, "a", "b", "c") == "Q2 D1 Q2"
    work(desk)
    assert desk.header().state is RunState.SUCCEEDED


def test_a_failure_that_stays_does_not_stop_a_run_that_stops_at_failures(desk: Desk) -> None:
    """Only a failure of this life stops it, so what was asked for is worked wherever the other failure stands."""
    desk.start(desk.plan(step("a"), step("b"), step("c", result("b")), on_failure="stop"))
    for held in desk.take().values():
        desk.settle(held, "fatal")
    desk.retry(only=["b"])
    assert list(work(desk)) == ["b", "c"]
    assert (desk.header().state, states(desk, "a", "b", "c")) == (RunState.FAILED, "F1 D2 D2")


def test_what_was_cancelled_is_worked_again(desk: Desk) -> None:
    fail_a_keep_b(desk)
    desk.conn.hset(keys.header(desk.queue, RUN), "state", "cancelled")
    desk.conn.hset(keys.states(desk.queue, RUN), "d", "X1")
    desk.conn.hset(keys.tallies(desk.queue, RUN), mapping={"d:X": 1, "d:D": 0})
    desk.retry()
    assert sorted(desk.take()) == ["a", "d"]


def test_the_run_is_live_again_and_its_group_has_its_limit(desk: Desk) -> None:
    """Its retention clock stops; the group that went with its end is made again."""
    desk.start(desk.plan(step("a"), step("b"), max_parallel=3))
    for held in desk.take().values():
        desk.settle(held, "fatal")
    limit = desk.key("g", RUN, "limit")
    assert desk.conn.zscore(keys.ended(desk.queue), RUN) is not None
    assert not desk.conn.exists(limit)
    desk.retry()
    assert desk.conn.zscore(keys.ended(desk.queue), RUN) is None
    assert desk.conn.zscore(keys.live(desk.queue), RUN) is not None
    assert desk.conn.get(limit) == b"3"


def test_superseded_failed_jobs_go_with_the_run(desk: Desk) -> None:
    fail_a_keep_b(desk)
    for epoch in (2, 3):
        desk.retry()
        desk.settle(desk.take()["a"], "fatal")
        assert desk.fact("a").epoch == epoch
    assert desk.conn.lrange(desk.key("failed"), 0, -1) == [desk.job_id("a", e).encode() for e in (3, 2, 1)]
    # One of them was taken by somebody else meanwhile: it is not the purge's.
    desk.omniq("retry_failed", desk.job_id("a", 2), desk.now)
    desk.now += 8 * 86_400_000
    while desk.purge().has_more:
        pass
    assert desk.conn.llen(desk.key("failed")) == 0
    left = [name for name in desk.everything() if RUN in name]
    assert sorted(left) == sorted([desk.job("a", 2), *(n for n in left if ":g:" in n)])


def test_a_success_behind_a_recorded_failure_is_done_again_when_that_is_retried(desk: Desk) -> None:
    steps = (step("a", is_list=True), step("m", each("a"), level=("a",)), step("j", gather("m", record=True)), step("z"))
    desk.start(desk.plan(*steps))
    taken = desk.take()
    desk.settle(taken["z"], "fatal")
    desk.settle_list(taken["a"], b"1", b"2")
    for name, held in desk.take().items():
        desk.settle(held, "fatal" if name == "m-1" else "ok")
    work(desk)
    assert states(desk, "m-0", "m-1", "j") == "D1 F1 D1"
    desk.retry()
    assert sorted(work(desk)) == ["j", "m-1", "z"]
    assert states(desk, "m-0", "m-1", "j") == "D1 D2 D2"


def test_a_zombie_of_an_earlier_life_is_lost(desk: Desk) -> None:
    """What ended before the retry is not applied to what came after it."""
    desk.start(desk.plan(step("a"), step("b")))
    taken = desk.take()
    desk.settle(taken["a"], "fatal")
    desk.settle(taken["b"])
    desk.retry(redo=["b"])
    assert (desk.settle(taken["a"]), desk.settle(taken["b"])) == ("LOST", "LOST")
    assert states(desk, "a", "b") == "Q2 Q2"
    desk.check()


def test_the_history_tells_of_the_retry(desk: Desk) -> None:
    two_failures(desk)
    desk.retry(only=["a"], redo=["b"])
    assert desk.events()[-4:] == ["run running", "retried 2 only redo b", "Q a 2 F", "Q b 2 F"]
    desk.check()
