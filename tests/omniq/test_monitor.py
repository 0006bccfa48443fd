"""The monitor by OmniQ's names: every view that the vectors hold, the views of older versions, and what it makes of damage."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.errors import ServerUnavailable
from omniq_flow.model.jobs import JobOptions
from omniq_flow.omniq.client import OmniqClient
from omniq_flow.omniq.monitor import ActiveSample, DelayedSample, FailedSample, GroupReady, QueueCounts, QueueMonitor
from omniq_flow.ops import admin, jobs
from tests.conformance import kit, replay
from tests.conformance.adapter import Adapter
from tests.support.server import ScratchServer, Server

VECTORS = [v for v in replay.vectors() if any(s["op"].startswith("monitor.") for s in v["steps"]) and v["name"] != "ack-fail-error-text"]


@pytest.fixture
def monitor(client: Client) -> QueueMonitor:
    return QueueMonitor(client)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_it_shows_what_the_recorded_one_showed(client: Client, monitor: QueueMonitor, redis_conn: redis.Redis, vector: Any) -> None:
    """The steps between are played by our operations."""
    asked = 0
    for step in vector["steps"]:
        if not step["op"].startswith("monitor."):
            kit.perform(Adapter(client), redis_conn, step["op"], step["args"], {})
            continue
        asked += 1
        view = getattr(monitor, step["op"].removeprefix("monitor."))
        if "error" in step["reply"]:
            with pytest.raises(ValueError, match="queue name"):
                view(**step["args"])
        else:
            assert _plain(view(**step["args"])) == step["reply"]["ok"], step
    assert asked


def _some_jobs(client: Client, queue: str) -> None:
    """One active job in a group, one delayed, two failed, one that waits."""
    one = JobOptions(max_attempts=1)
    for n in (1, 2):
        client.execute(jobs.publish(queue, {}, job_id=f"bad{n}", options=one, now_ms=n))
        lease = client.execute(jobs.reserve(queue, now_ms=10 + n))
        assert not isinstance(lease, (jobs.Empty, jobs.Paused))
        client.execute(jobs.ack_fail(lease, f"no {n}", now_ms=20 + n))
    client.execute(jobs.publish(queue, {}, job_id="run", options=JobOptions(gid="g", timeout_ms=1000), now_ms=30))
    client.execute(jobs.reserve(queue, now_ms=31))
    client.execute(jobs.publish(queue, {}, job_id="late", options=JobOptions(due_ms=99_000), now_ms=32))
    client.execute(jobs.publish(queue, {}, job_id="next", now_ms=33))


def test_the_views_of_older_versions(client: Client, monitor: QueueMonitor, queue: str) -> None:
    _some_jobs(client, queue)
    client.execute(admin.pause(queue))
    assert monitor.counts(queue) == QueueCounts(paused=True, waiting=1, active=1, delayed=1, completed=0, failed=2)
    assert monitor.sample_active(queue) == [ActiveSample("run", "g", 1031, 1)]
    assert monitor.sample_delayed(queue) == [DelayedSample("late", "", 99_000, 0)]
    assert monitor.sample_failed(queue, limit=1) == [FailedSample("bad2", "", 1, 1, 22, "no 2")]
    assert [job.job_id for job in monitor.sample_failed(queue)] == ["bad2", "bad1"]


def test_queues_of_the_old_list_are_listed_too(client: Client, monitor: QueueMonitor, queue: str, redis_conn: redis.Redis) -> None:
    client.execute(jobs.publish(queue, {}))
    redis_conn.sadd("omniq:queues", "{of-old-times}", "{not ok}")
    assert monitor.list_queues() == sorted([queue, "of-old-times"])
    assert monitor.scan_queues() == [queue]


def test_a_text_that_is_no_utf8_hides_no_job(client: Client, monitor: QueueMonitor, queue: str, redis_conn: redis.Redis) -> None:
    """Older clients cut an error inside a character (Q16)."""
    _some_jobs(client, queue)
    redis_conn.hset(f"{{{queue}}}:job:bad1", "last_error", b"caf\xc3")
    job = monitor.get_job(queue, "bad1")
    assert job is not None
    assert job.last_error == "caf\\xc3"
    assert [(j.job_id, j.last_error) for j in monitor.lane_page(queue, "failed")] == [("bad1", "caf\\xc3"), ("bad2", "no 2")]
    assert monitor.sample_failed(queue)[1].last_error == "caf\\xc3"


def test_pages_and_samples_keep_to_their_bounds(monitor: QueueMonitor, queue: str, redis_conn: redis.Redis) -> None:
    redis_conn.zadd(f"{{{queue}}}:groups:ready", {f"g{n:03}": n for n in range(600)})
    assert len(monitor.groups_ready(queue, limit=9_999)) == 500
    assert monitor.groups_ready(queue, limit=-1) == ["g000"]
    assert monitor.groups_ready_with_scores(queue, offset=599) == [GroupReady("g599", 599)]
    assert len(monitor.overview(queue, samples_per_lane=99).ready_groups) == 25
    redis_conn.rpush(f"{{{queue}}}:failed", *(f"j{n}" for n in range(600)))
    assert len(monitor.sample_failed(queue, limit=9_999)) == 500


def test_an_unknown_lane_is_empty(monitor: QueueMonitor, queue: str) -> None:
    assert monitor.lane_page(queue, "gwait") == []
    assert monitor.find_jobs(queue, "gwait", ["a"]) == []


@pytest.mark.parametrize("view", ["stats", "counts", "lane_page", "group_status", "sample_failed", "get_job"])
def test_a_bad_name_of_a_queue_is_refused(monitor: QueueMonitor, view: str) -> None:
    more = {"lane_page": ("wait",), "group_status": ([],), "get_job": ("a",)}.get(view, ())
    with pytest.raises(ValueError, match="queue name"):
        getattr(monitor, view)("a b", *more)


def test_it_looks_through_whatever_has_a_connection(server: Server, client: Client, queue: str) -> None:
    """Of a client of OmniQ's own the address is used, on a connection that the monitor closes."""
    client.execute(jobs.publish(queue, {}))
    with server.connection() as conn:
        foreign = SimpleNamespace(r=conn)
        for x in (foreign, SimpleNamespace(ops=foreign), SimpleNamespace(_ops=foreign)):
            with QueueMonitor(x) as monitor:
                assert monitor.stats(queue).waiting == 1
            with pytest.raises(ServerUnavailable, match="closed"):
                monitor.stats(queue)


def test_a_client_of_ours_is_used_and_stays_open(server: Server, client: Client, queue: str, redis_conn: redis.Redis) -> None:
    with OmniqClient(redis_url=server.url) as omniq:
        omniq.publish(queue=queue, payload={})
        for x in (omniq, omniq.ops):
            with QueueMonitor(x) as monitor:
                assert monitor.stats(queue).waiting == 1
        assert omniq.is_paused(queue=queue) is False


@pytest.mark.parametrize("x", [None, object(), "redis://localhost"])
def test_anything_else_is_refused(x: object) -> None:
    with pytest.raises(ValueError, match="a monitor needs a client"):
        QueueMonitor(x)


def test_a_server_that_is_gone_is_an_error_and_no_empty_queue() -> None:
    """OmniQ's own shows zeros then, which nobody can tell from a queue without jobs."""
    with ScratchServer() as scratch, Client.open(scratch.url, connect_timeout=0.2) as client:
        monitor = QueueMonitor(client)
        assert monitor.scan_queues() == []
        scratch.stop()
        with pytest.raises(ServerUnavailable):
            monitor.stats("q")
