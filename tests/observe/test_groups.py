"""Groups: all that can be served or hold a slot, and whose slots they are."""

from __future__ import annotations

import redis

from omniq_flow.client.client import Client
from omniq_flow.model.jobs import JobOptions
from omniq_flow.observe.groups import GroupSnapshot, holders, list_groups, read_groups
from omniq_flow.ops import jobs

NOW = 1_800_000_000_000


def _publish(client: Client, queue: str, gid: str, count: int, limit: int = 0) -> None:
    for n in range(count):
        client.execute(jobs.publish(queue, {}, job_id=f"{gid}{n}", options=JobOptions(gid=gid, group_limit=limit), now_ms=NOW + n))


def _reserve(client: Client, queue: str, count: int) -> None:
    for n in range(count):
        assert not isinstance(client.execute(jobs.reserve(queue, now_ms=NOW + 100 + n)), (jobs.Empty, jobs.Paused))


def test_groups_that_can_be_served_come_first_then_those_that_are_full(client: Client, queue: str) -> None:
    _publish(client, queue, "full", 3)
    _reserve(client, queue, 1)
    _publish(client, queue, "free", 2, limit=4)
    _publish(client, queue, "done", 1)
    found = list_groups(client, queue)
    assert [g.gid for g in found.groups] == ["done", "free", "full"]
    assert found.is_whole
    by_gid = {g.gid: g for g in found.groups}
    assert by_gid["full"] == GroupSnapshot(queue, "full", active=1, limit=1, has_limit=False, waiting=2)
    assert by_gid["free"] == GroupSnapshot(queue, "free", 0, 4, True, 2, is_ready=True, ready_since_ms=NOW)
    assert {gid: g.state for gid, g in by_gid.items()} == {"full": "full", "free": "ready", "done": "ready"}


def test_a_list_that_is_cut_says_so(client: Client, queue: str) -> None:
    for n in range(5):
        _publish(client, queue, f"g{n}", 1)
    found = list_groups(client, queue, limit=3)
    assert ([g.gid for g in found.groups], found.is_whole) == (["g0", "g1", "g2"], False)


def test_a_group_that_is_named_need_not_exist(client: Client, queue: str, redis_conn: redis.Redis) -> None:
    redis_conn.rpush(f"{{{queue}}}:g:stray:wait", "x")
    redis_conn.mset({f"{{{queue}}}:g:odd:inflight": "-3", f"{{{queue}}}:g:odd:limit": "0"})
    none, stray, odd = read_groups(client, queue, ["none", "stray", "odd"])
    assert (none, none.state) == (GroupSnapshot(queue, "none"), "idle")
    assert stray.state == "stuck", "a job waits, a slot is free, and nobody will look"
    assert (odd.active, odd.limit, odd.has_limit) == (0, 1, False)


def test_a_group_readied_at_zero_is_ready(client: Client, queue: str, redis_conn: redis.Redis) -> None:
    """OmniQ's removal writes that score (Q12)."""
    redis_conn.zadd(f"{{{queue}}}:groups:ready", {"g": 0})
    (found,) = read_groups(client, queue, ["g"])
    assert (found.is_ready, found.ready_since_ms) == (True, 0)


def test_the_holders_of_slots_are_named(client: Client, queue: str) -> None:
    _publish(client, queue, "a", 3, limit=2)
    _publish(client, queue, "b", 1)
    _reserve(client, queue, 3)
    assert [job.job_id for job in holders(client, queue, "a")] == ["a0", "a1"]
    assert [job.job_id for job in holders(client, queue, "b")] == ["b0"]
    assert holders(client, queue, "none") == []
