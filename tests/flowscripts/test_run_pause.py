"""run_pause, run_resume: nothing of a paused run is begun, everything else goes on, and nothing is lost by it."""

from __future__ import annotations

import pytest

from omniq_flow.errors import Conflict, NotFound
from omniq_flow.model.runs import RunPause
from omniq_flow.model.states import RunState
from omniq_flow.ops import admin, keys
from omniq_flow.ops.runs import PauseChanged
from tests.flowscripts.desk import NOW, OTHER, RUN, Desk, result, step


def two_steps(desk: Desk, run_id: str = RUN, gid: str = "", limit: int = 10) -> None:
    desk.start(desk.plan(step("a"), step("b"), step("c", result("a")), max_parallel=limit), run_id, gid=gid)


def test_nothing_of_a_paused_run_is_begun_and_others_are(desk: Desk) -> None:
    two_steps(desk)
    assert desk.pause(by="ann@host", reason="look at it") == PauseChanged(False, RunPause(NOW, "ann@host", "look at it"))
    two_steps(desk, OTHER)
    assert {t.flow.run_id for t in desk.tick(take=64).taken if t.flow} == {OTHER}
    assert desk.header().paused == RunPause(NOW, "ann@host", "look at it")
    assert desk.header().state is RunState.RUNNING
    desk.check()


def test_what_is_worked_goes_on_and_what_follows_waits(desk: Desk) -> None:
    two_steps(desk)
    taken = desk.take(1)
    desk.pause()
    assert desk.settle(taken["a"], take=4) == "OK"
    assert desk.fact("c").state.value == "Q"
    assert not desk.take()
    desk.check()
    assert desk.resume(by="ann").was_paused
    assert sorted(desk.take()) == ["b", "c"]
    desk.check()
    assert [e for e in desk.events() if e.startswith("steered")] == ["steered pause -", "steered resume ann"]


def test_a_job_whose_time_comes_waits_with_the_others(desk: Desk) -> None:
    two_steps(desk)
    held = desk.take(1)["a"]
    desk.settle(held, "fail", number=1_000)
    desk.pause()
    desk.now += 1_001
    assert not desk.take()
    assert desk.conn.llen(desk.key("g", RUN, "wait")) == 2
    desk.check()
    desk.resume()
    assert desk.take()["a"].attempt == 2


def test_a_client_that_knows_no_flows_takes_nothing_of_it_either(desk: Desk) -> None:
    two_steps(desk)
    desk.pause()
    assert desk.omniq("reserve", desk.now) == [b"EMPTY"]


def test_in_a_group_of_many_its_jobs_are_put_off_and_hold_up_nobody(desk: Desk) -> None:
    two_steps(desk, gid="shared", limit=1)
    desk.pause()
    desk.publish("other", gid="shared")
    taken = [desk.tick(take=4) for _ in range(3)]
    assert [t.job_id for reply in taken for t in reply.taken] == ["other"]
    assert [reply.next_ms == NOW for reply in taken] == [True, True, False]
    assert desk.conn.zcard(desk.key("delayed")) == 2
    assert desk.field(desk.job("a"), "attempt") == "0"
    desk.check()


def test_its_jobs_in_a_shared_group_begin_after_the_resume(desk: Desk) -> None:
    two_steps(desk, gid="shared")
    desk.pause()
    assert not desk.take()
    desk.resume()
    desk.now += 5_000
    taken = desk.take()
    assert {name: t.attempt for name, t in taken.items()} == {"a": 1, "b": 1}
    desk.check()


def test_a_second_pause_keeps_the_note_and_a_second_resume_does_nothing(desk: Desk) -> None:
    two_steps(desk)
    desk.pause(by="ann", reason="first")
    before = desk.everything()
    assert desk.pause(by="bob", reason="second") == PauseChanged(True, RunPause(NOW, "ann", "first"))
    assert desk.everything() == before
    assert desk.resume().note == RunPause(NOW, "ann", "first")
    before = desk.everything()
    assert desk.resume() == PauseChanged(False, None)
    assert desk.everything() == before


def test_only_a_run_that_goes_on_is_paused(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    taken = desk.take()["a"]
    desk.cancel()
    with pytest.raises(Conflict, match="is being cancelled"):
        desk.pause()
    desk.settle(taken)
    with pytest.raises(Conflict, match="has ended: it was cancelled"):
        desk.resume()
    with pytest.raises(NotFound):
        desk.pause("1" * 26)


def test_a_paused_run_whose_last_work_ends_has_ended_and_is_paused_no_more(desk: Desk) -> None:
    desk.start(desk.plan(step("a", attempts=1)))
    taken = desk.take()["a"]
    desk.pause()
    desk.settle(taken, "fail", value=b'{"type":"E","message":"no"}')
    assert (desk.header().state, desk.header().paused) == (RunState.FAILED, None)
    desk.retry()
    assert list(desk.take()) == ["a"]
    desk.check()


def test_a_paused_run_can_be_cancelled(desk: Desk) -> None:
    two_steps(desk)
    desk.pause()
    assert desk.cancel().state is RunState.CANCELLED
    assert desk.header().paused is None
    desk.check()


def test_lost_jobs_of_a_paused_run_are_made_again_and_wait(desk: Desk) -> None:
    two_steps(desk)
    desk.pause()
    desk.conn.delete(desk.job("a"))
    desk.conn.lrem(desk.key("g", RUN, "wait"), 1, desk.job_id("a"))
    assert desk.sweep().lost == 1
    assert not desk.take()
    desk.resume()
    assert desk.take()["a"].flow is not None


def test_the_pause_of_the_queue_and_that_of_a_run_know_nothing_of_each_other(desk: Desk) -> None:
    two_steps(desk)
    desk.execute(admin.pause(desk.queue))
    desk.pause()
    desk.execute(admin.resume(desk.queue))
    assert not desk.take()
    desk.resume()
    assert sorted(desk.take()) == ["a", "b"]


def test_an_idle_worker_is_woken_by_the_resume(desk: Desk) -> None:
    two_steps(desk)
    desk.pause()
    desk.tick(take=4, idle_ms=5_000)
    desk.resume()
    assert desk.conn.llen(keys.wake(desk.queue, "w")) == 1
