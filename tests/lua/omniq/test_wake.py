"""Idle workers are told of work by whoever brings it; nobody waits, nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

T0 = 1_800_000_000_000
Script = Callable[..., Any]


@pytest.fixture
def conn(redis_conn: redis.Redis) -> Any:
    return redis_conn


def idle(conn: Any, *workers: str, until: int = T0 + 10_000) -> None:
    conn.zadd("{q}:flow:idle", dict.fromkeys(workers, until))


def woken(conn: Any) -> set[str]:
    return {key.decode().removeprefix("{q}:flow:wake:") for key in conn.keys("{q}:flow:wake:*")}


def publish(script: Script, job_id: str, gid: str = "", due: int = 0, attempts: int = 1, limit: int = 0) -> None:
    script("omniq/enqueue", job_id, "{}", str(attempts), "1000", "10", str(T0), str(due), gid, str(limit))


def take(script: Script, at: int = T0) -> tuple[str, str]:
    reply = script("omniq/reserve", str(at))
    return reply[1].decode(), reply[7].decode()


@pytest.mark.parametrize("gid", ["", "g"])
def test_a_new_job_wakes_one_worker(conn: Any, script: Script, gid: str) -> None:
    idle(conn, "w1", "w2")
    publish(script, "a", gid)
    assert len(woken(conn)) == 1
    assert conn.zcard("{q}:flow:idle") == 1
    [worker] = woken(conn)
    assert conn.llen(f"{{q}}:flow:wake:{worker}") == 1
    assert conn.pttl(f"{{q}}:flow:wake:{worker}") > 0


def test_a_delayed_job_wakes_one_worker_lest_it_sleeps_past_the_time(conn: Any, script: Script) -> None:
    idle(conn, "w1", "w2")
    publish(script, "a", due=T0 + 50)
    assert len(woken(conn)) == 1


def test_a_job_of_a_full_group_wakes_nobody(conn: Any, script: Script) -> None:
    publish(script, "a", "g")
    take(script)
    idle(conn, "w1")
    publish(script, "b", "g")
    assert woken(conn) == set()


@pytest.mark.parametrize("report", ["ack_success", "ack_fail"])
def test_a_freed_slot_wakes_a_worker(conn: Any, script: Script, report: str) -> None:
    publish(script, "a", "g")
    publish(script, "b", "g")
    job_id, token = take(script)
    idle(conn, "w1")
    script(f"omniq/{report}", job_id, str(T0 + 1), token)
    assert woken(conn) == {"w1"}


def test_a_lapsed_lease_wakes_a_worker_for_the_next_of_its_group(conn: Any, script: Script) -> None:
    publish(script, "a", "g")
    publish(script, "b", "g")
    take(script)
    idle(conn, "w1")
    script("omniq/reap_expired", str(T0 + 5000))
    assert woken(conn) == {"w1"}


def test_as_many_workers_as_jobs_are_woken_when_they_are_due(conn: Any, script: Script) -> None:
    publish(script, "a", due=T0 + 5)
    publish(script, "b", due=T0 + 5)
    idle(conn, "w1", "w2", "w3")
    script("omniq/promote_delayed", str(T0 + 5))
    assert len(woken(conn)) == 2


@pytest.mark.parametrize("batch", [False, True])
def test_a_retry_wakes_a_worker(conn: Any, script: Script, batch: bool) -> None:
    publish(script, "a")
    job_id, token = take(script)
    script("omniq/ack_fail", job_id, str(T0), token)
    idle(conn, "w1")
    script("omniq/retry_failed_batch", str(T0), "1", "a") if batch else script("omniq/retry_failed", "a", str(T0))
    assert woken(conn) == {"w1"}


def test_a_resumed_queue_wakes_those_that_waited(conn: Any, script: Script) -> None:
    script("omniq/pause")
    idle(conn, "w1", "w2", until=T0 + 10**12)
    assert script("omniq/resume") == 1
    assert woken(conn) == {"w1", "w2"}


def test_what_changes_nothing_wakes_nobody(conn: Any, script: Script) -> None:
    publish(script, "a")
    job_id, token = take(script)
    idle(conn, "w1", until=T0 + 10**12)
    publish(script, "a")
    script("omniq/heartbeat", job_id, str(T0), token)
    script("omniq/reserve", str(T0))
    script("omniq/promote_delayed", str(T0))
    script("omniq/reap_expired", str(T0))
    assert script("omniq/resume") == 0
    assert woken(conn) == set()
    assert conn.zcard("{q}:flow:idle") == 1


def test_a_worker_that_is_gone_is_not_woken(conn: Any, script: Script) -> None:
    idle(conn, "w1", until=T0 - 1)
    publish(script, "a")
    assert conn.keys("{q}:flow:*") == []
