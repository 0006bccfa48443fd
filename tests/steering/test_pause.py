"""A pause with a note: who, when, why."""

from __future__ import annotations

import pytest
import redis

from omniq_flow.ops import admin
from omniq_flow.ops.steering import PauseChange, PauseNote, queue_pause, queue_resume
from tests.flowscripts.desk import NOW, Desk


def test_a_pause_is_noted_and_is_the_pause_of_every_client(desk: Desk) -> None:
    desk.publish("a")
    change = desk.execute(queue_pause(desk.queue, by="ann@host", reason="deploy", now_ms=NOW))
    assert change == PauseChange(False, PauseNote("ann@host", NOW, "deploy"))
    assert desk.conn.get(desk.key("paused")) == b"1"
    assert desk.execute(admin.is_paused(desk.queue))
    assert desk.omniq("reserve", NOW) == [b"PAUSED"]
    desk.check()


def test_a_queue_that_is_paused_keeps_its_note(desk: Desk) -> None:
    first = desk.execute(queue_pause(desk.queue, by="ann", reason="deploy", now_ms=NOW)).note
    assert desk.execute(queue_pause(desk.queue, by="bob", reason="me too", now_ms=NOW + 5)) == PauseChange(True, first)
    told = desk.execute(queue_pause(desk.queue, by="bob", reason="it goes on", replace=True, now_ms=NOW + 9))
    assert told == PauseChange(True, PauseNote("bob", NOW + 9, "it goes on"))


def test_a_pause_of_another_client_gets_a_note(desk: Desk) -> None:
    desk.omniq("pause")
    assert desk.execute(queue_pause(desk.queue, by="ann", now_ms=NOW)) == PauseChange(True, PauseNote("ann", NOW, ""))


def test_the_note_of_a_pause_that_another_client_lifted_does_not_count(desk: Desk) -> None:
    desk.execute(queue_pause(desk.queue, by="ann", reason="old", now_ms=NOW))
    desk.omniq("resume")
    assert desk.execute(queue_pause(desk.queue, by="bob", reason="new", now_ms=NOW + 1)) == PauseChange(
        False, PauseNote("bob", NOW + 1, "new")
    )


def test_resuming_takes_the_note_away_and_tells_it(desk: Desk) -> None:
    desk.publish("a")
    note = desk.execute(queue_pause(desk.queue, by="ann", reason="deploy", now_ms=NOW)).note
    assert desk.execute(queue_resume(desk.queue)) == PauseChange(True, note)
    assert desk.conn.exists(desk.key("paused"), desk.key("flow", "pause")) == 0
    assert desk.omniq("reserve", NOW)[:2] == [b"JOB", b"a"]
    assert desk.execute(queue_resume(desk.queue)) == PauseChange(False, PauseNote())


def test_resuming_wakes_those_who_wait(desk: Desk) -> None:
    desk.execute(queue_pause(desk.queue))
    far = 4_000_000_000_000
    desk.conn.zadd(desk.key("flow", "idle"), {"w1": far, "w2": far})
    desk.execute(queue_resume(desk.queue))
    assert desk.conn.exists(desk.key("flow", "wake", "w1"), desk.key("flow", "wake", "w2")) == 2


def test_a_damaged_note_stops_a_pause_before_anything_is_written(desk: Desk, redis_conn: redis.Redis) -> None:
    redis_conn.set(desk.key("flow", "pause"), "x")
    before = desk.everything()
    for command in (queue_pause(desk.queue, by="ann"), queue_resume(desk.queue)):
        with pytest.raises(redis.ResponseError, match="nothing was changed"):
            desk.execute(command)
    assert desk.everything() == before


def test_a_long_note_is_cut() -> None:
    by, reason = queue_pause("q", by="b" * 600, reason="r" * 600).args[1:3]
    assert (len(str(by)), len(str(reason))) == (500, 500)
