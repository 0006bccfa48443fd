"""Pictures of queues: lengths, not counters; who serves them; what is left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.model.jobs import JobOptions
from omniq_flow.observe.queues import Drift, QueueSnapshot, read_queue, read_queues, scan_queues, workers_of
from omniq_flow.ops import admin, jobs, lanes
from omniq_flow.ops.steering import PauseNote, queue_pause

NOW = 1_800_000_000_000


def _fill(client: Client, queue: str) -> None:
    """1 completed, 2 failed, 1 active in a group, 3 waiting, 2 waiting in the group, 1 delayed."""
    for n in range(3):
        client.execute(jobs.publish(queue, {}, job_id=f"old{n}", options=JobOptions(max_attempts=1), now_ms=NOW))
        lease = client.execute(jobs.reserve(queue, now_ms=NOW))
        assert not isinstance(lease, (jobs.Empty, jobs.Paused))
        if n:
            client.execute(jobs.ack_fail(lease, "no", now_ms=NOW))
        else:
            client.execute(jobs.ack_success(lease, now_ms=NOW))
    for n in range(3):
        client.execute(jobs.publish(queue, {}, job_id=f"g{n}", options=JobOptions(gid="g"), now_ms=NOW + n))
    client.execute(jobs.reserve(queue, now_ms=NOW + 5))
    for n in range(3):
        client.execute(jobs.publish(queue, {}, job_id=f"w{n}", now_ms=NOW + 10 + n))
    client.execute(jobs.publish(queue, {}, job_id="late", options=JobOptions(due_ms=NOW + 9_000), now_ms=NOW + 20))


def test_a_queue_with_jobs_in_all_lanes(client: Client, queue: str) -> None:
    _fill(client, queue)
    found = read_queue(client, queue)
    assert (found.waiting, found.group_waiting, found.active, found.delayed, found.failed, found.completed) == (3, 2, 1, 1, 2, 1)
    assert (found.oldest_wait_ms, found.next_due_ms, found.leased_until_ms) == (NOW + 1, NOW + 9_000, NOW + 30_005)
    assert (found.last_enqueue_ms, found.last_reserve_ms, found.last_finish_ms) == (NOW + 20, NOW + 5, NOW)
    assert found.drift == ()
    assert found.is_known


def test_a_queue_that_is_not_there_is_empty(client: Client, queue: str) -> None:
    found = read_queue(client, queue)
    assert found == QueueSnapshot(queue, at_ms=found.at_ms)
    assert found.at_ms > 0
    assert not found.is_known
    assert found.state == "run"
    assert read_queues(client, []) == []


def test_counters_that_have_drifted_are_told_and_not_believed(client: Client, queue: str, redis_conn: redis.Redis) -> None:
    _fill(client, queue)
    redis_conn.hset(f"{{{queue}}}:stats", mapping={"waiting": "7", "failed": "0", "active": "x"})
    found = read_queue(client, queue)
    assert (found.waiting, found.failed, found.active) == (3, 2, 1)
    assert found.drift == (Drift("waiting", 7, 3), Drift("active", 0, 1), Drift("failed", 0, 2))


def test_a_stale_index_does_not_make_a_wait_longer(client: Client, queue: str, redis_conn: redis.Redis) -> None:
    """An old client left a job that is done in the index (Q31)."""
    _fill(client, queue)
    redis_conn.zadd(f"{{{queue}}}:idx:wait", {"old0": 1, "gone": 2})
    assert read_queue(client, queue).oldest_wait_ms == NOW + 1


def test_a_pause_is_shown_with_its_note(client: Client, queue: str, redis_conn: redis.Redis) -> None:
    client.execute(queue_pause(queue, by="ann", reason="deploy", now_ms=NOW))
    found = read_queue(client, queue)
    assert (found.state, found.is_paused, found.pause) == ("paused", True, PauseNote("ann", NOW, "deploy"))
    redis_conn.delete(f"{{{queue}}}:paused")
    assert (read_queue(client, queue).pause, read_queue(client, queue).state) == (None, "run")
    client.execute(admin.pause(f"{queue}b"))
    assert (read_queue(client, f"{queue}b").is_paused, read_queue(client, f"{queue}b").pause) == (True, None)


def _worker(client: Client, redis_conn: redis.Redis, queue: str, name: str, until_ms: int) -> None:
    redis_conn.zadd(f"{{{queue}}}:flow:w", {name: until_ms})
    told: dict[Any, Any] = {
        "name": name,
        "host": "h",
        "pid": 7,
        "queues": f'["{queue}"]',
        "concurrency": 4,
        "busy": 1,
        "seen_ms": 5,
        "state": "running",
    }
    redis_conn.hset(f"{{{queue}}}:flow:w:{name}", mapping=told)


def test_workers_count_while_their_word_holds(client: Client, queue: str, redis_conn: redis.Redis) -> None:
    now = client.execute(lanes.server_time())
    _worker(client, redis_conn, queue, "here", now + 15_000)
    _worker(client, redis_conn, queue, "dead", now - 1)
    found = read_queue(client, queue)
    assert found.workers == ("here",)
    (worker,) = workers_of(client, found)
    assert (worker.name, worker.host, worker.pid, worker.queues, worker.concurrency, worker.busy) == ("here", "h", 7, (queue,), 4, 1)
    redis_conn.hset(f"{{{queue}}}:flow:w:here", "queues", "no json")
    assert workers_of(client, found)[0].queues == ()
    redis_conn.delete(f"{{{queue}}}:flow:w:here")
    assert workers_of(client, found) == []


def test_a_queue_that_nobody_works_says_so(client: Client, queue: str, redis_conn: redis.Redis) -> None:
    """Jobs wait, no worker of ours is there, no lease is alive, and nobody has taken a job for a minute."""
    client.execute(jobs.publish(queue, {}))
    assert read_queue(client, queue).state == "no worker"
    now = client.execute(lanes.server_time())
    redis_conn.hset(f"{{{queue}}}:stats", "last_reserve_ms", now - 5_000)
    assert read_queue(client, queue).state == "run", "another client took a job just now"
    redis_conn.hset(f"{{{queue}}}:stats", "last_reserve_ms", now - 120_000)
    assert read_queue(client, queue).state == "no worker"
    redis_conn.zadd(f"{{{queue}}}:active", {"long": now + 60_000})
    assert read_queue(client, queue).state == "run", "another client works a long job"
    redis_conn.zadd(f"{{{queue}}}:active", {"long": now - 1})
    assert read_queue(client, queue).state == "no worker", "who worked it is gone"
    _worker(client, redis_conn, queue, "w", now + 15_000)
    assert read_queue(client, queue).state == "run"


@pytest.fixture
def calls(redis_conn: redis.Redis) -> Callable[[], dict[str, int]]:
    def read() -> dict[str, int]:
        stats = redis_conn.info("commandstats")
        assert isinstance(stats, dict)
        return {name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in stats.items()}

    return read


def test_many_queues_are_read_in_two_round_trips_and_nothing_is_searched(
    client: Client, redis_conn: redis.Redis, calls: Callable[[], dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"many{n}" for n in range(20)]
    for name in names:
        client.execute(jobs.publish(name, {}))
    trips = 0
    plain = Client.execute_all

    def counted(self: Client, ops: object) -> object:
        nonlocal trips
        trips += 1
        return plain(self, ops)  # type: ignore[arg-type]

    monkeypatch.setattr(Client, "execute_all", counted)
    redis_conn.config_resetstat()
    found = read_queues(client, [*names, names[0]])
    assert [(q.name, q.waiting) for q in found] == [(name, 1) for name in names]
    assert trips == 2
    assert not {"keys", "scan", "smembers"} & set(calls())


def test_queues_of_other_clients_are_found_when_they_are_searched_for(client: Client, queue: str, redis_conn: redis.Redis) -> None:
    for n in range(40):
        redis_conn.set(f"{{{queue}}}:job:{n}:stats", "x")
    client.execute(jobs.publish(queue, {}))
    redis_conn.hset("bare:stats", "waiting", 1)
    redis_conn.hset("{not ok}:stats", "waiting", 1)
    redis_conn.set("{text}:stats", "x")
    found = scan_queues(client)
    assert (found.queues, found.is_whole) == (tuple(sorted(["bare", queue])), True)


def test_a_search_has_an_end(client: Client, redis_conn: redis.Redis) -> None:
    pipe = redis_conn.pipeline()
    for n in range(5_000):
        pipe.set(f"k{n}", 1)
    pipe.execute()
    assert not scan_queues(client, most=1).is_whole
