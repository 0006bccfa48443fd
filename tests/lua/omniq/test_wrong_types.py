"""A key of another type stops an operation before its first write: the whole keyspace stays as it was (H18)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from omniq_flow.lua import assemble
from omniq_flow.ops import ticks

T0 = 1_800_000_000_000
TOKEN = "tok"

QUEUE_KEYS = {
    "{q}:wait": "list",
    "{q}:active": "zset",
    "{q}:delayed": "zset",
    "{q}:completed": "list",
    "{q}:failed": "list",
    "{q}:groups:ready": "zset",
    "{q}:stats": "hash",
    "{q}:idx:wait": "zset",
    "{q}:idx:active": "zset",
    "{q}:idx:delayed": "zset",
    "{q}:idx:failed": "zset",
    "{q}:idx:completed": "zset",
    "{q}:flow:idle": "zset",
}
HINTS = {"{q}:flow:idle"}
GROUP_KEYS = {"{q}:g:g:wait": "list", "{q}:g:g:inflight": "string", "{q}:g:g:limit": "string"}
LEASE_KEYS = {"{q}:lane:rr": "string", "{q}:lease:seq": "string"}
COUNTER_KEYS = {"{cc:k}:count": "string", "{cc:k}:done": "set"}


def job(job_id: str) -> dict[str, str]:
    return {f"{{q}}:job:{job_id}": "hash"}


NOW = str(T0 + 100_000)
CASES: dict[str, tuple[list[str], dict[str, str]]] = {
    "enqueue": (["new", "{}", "1", "1", "1", NOW, "0", "g", "2"], {**QUEUE_KEYS, **GROUP_KEYS, **job("new")}),
    "enqueue plain": (["new", "{}", "1", "1", "1", NOW, "0", "", "0"], {**QUEUE_KEYS, **job("new")}),
    "reserve": ([NOW], {**QUEUE_KEYS, **GROUP_KEYS, **LEASE_KEYS}),
    "heartbeat": (["leased", NOW, TOKEN], {"{q}:active": "zset", **job("leased")}),
    "ack_success": (["leased", NOW, TOKEN], {**QUEUE_KEYS, **GROUP_KEYS, **job("leased")}),
    "ack_fail": (["leased", NOW, TOKEN, "boom"], {**QUEUE_KEYS, **GROUP_KEYS, **job("leased")}),
    "promote_delayed": ([NOW], {**QUEUE_KEYS, **GROUP_KEYS, **job("due")}),
    "reap_expired": ([NOW], {**QUEUE_KEYS, **GROUP_KEYS, **job("leased")}),
    "resume": ([], {"{q}:flow:idle": "zset"}),
    "retry_failed": (["failed", NOW], {**QUEUE_KEYS, **GROUP_KEYS, **job("failed")}),
    "retry_failed_batch": ([NOW, "2", "plain", "failed"], {**QUEUE_KEYS, **GROUP_KEYS, **job("failed"), **job("plain")}),
    "remove_job": (["waiting", "gwait", NOW], {**QUEUE_KEYS, **GROUP_KEYS, **job("waiting")}),
    "remove_jobs_batch": (["wait", "2", "ungrouped", "waiting", NOW], {**QUEUE_KEYS, **GROUP_KEYS, **job("waiting"), **job("ungrouped")}),
    "child_ack": (["c"], COUNTER_KEYS),
}
SITUATIONS = [(name, key) for name, (_, keys) in CASES.items() for key in keys]


@pytest.fixture
def conn(redis_conn: redis.Redis) -> Any:
    restore(redis_conn)
    return redis_conn


def restore(conn: Any) -> None:
    """A queue in which every operation of the table has something to do."""
    conn.flushall()
    conn.hset("{q}:job:waiting", mapping={"id": "waiting", "gid": "g", "state": "wait", "payload": "{}", "max_attempts": "3"})
    conn.hset("{q}:job:ungrouped", mapping={"id": "ungrouped", "state": "wait", "payload": "{}", "max_attempts": "3"})
    conn.hset("{q}:job:due", mapping={"id": "due", "gid": "g", "state": "delayed", "payload": "{}"})
    conn.hset("{q}:job:failed", mapping={"id": "failed", "gid": "g", "state": "failed", "payload": "{}"})
    conn.hset("{q}:job:plain", mapping={"id": "plain", "state": "failed", "payload": "{}"})
    conn.hset("{q}:job:leased", mapping={"id": "leased", "gid": "g", "state": "active", "lease_token": TOKEN, "max_attempts": "3"})
    conn.rpush("{q}:g:g:wait", "waiting")
    conn.rpush("{q}:wait", "ungrouped")
    conn.zadd("{q}:delayed", {"due": T0})
    conn.zadd("{q}:active", {"leased": T0})
    conn.rpush("{q}:failed", "failed", "plain")
    conn.zadd("{q}:groups:ready", {"g": T0})
    conn.mset({"{q}:g:g:inflight": "1", "{q}:g:g:limit": "5", "{q}:paused": "1", "{cc:k}:count": "2"})
    conn.zadd("{q}:flow:idle", {"w": T0 + 10**9})


def everything(conn: Any) -> dict[bytes, bytes]:
    """The keyspace as the server itself writes it."""
    names = sorted(conn.keys("*"))
    with conn.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.dump(name)
        return dict(zip(names, pipe.execute(), strict=True))


def call(conn: Any, name: str) -> Any:
    argv, keys = CASES[name]
    if name == "reserve":
        conn.delete("{q}:paused")
    anchor = "{cc:k}:meta" if keys is COUNTER_KEYS else "{q}:meta"
    return lambda: conn.eval(assemble.load(f"omniq/{name.split()[0]}").source, 1, anchor, *argv)


@pytest.mark.parametrize("name", CASES)
def test_each_operation_has_something_to_do_here(conn: Any, name: str) -> None:
    """Else the other test would prove nothing."""
    run = call(conn, name)
    before = everything(conn)
    reply = run()
    assert reply not in ([b"EMPTY"], [b"OK", b"0"], 0)
    assert not isinstance(reply, list) or b"ERR" not in reply or name == "remove_jobs_batch"
    assert everything(conn) != before


def refusal(run: Callable[[], Any]) -> str:
    try:
        run()
    except redis.ResponseError as error:
        return str(error)
    return ""


def spoil(conn: Any, name: str, key: str) -> None:
    conn.delete(key)
    if CASES[name][1][key] == "string":
        conn.rpush(key, "odd")
    else:
        conn.set(key, "odd")


@pytest.mark.parametrize(("name", "key"), SITUATIONS)
def test_a_key_of_another_type_stops_who_writes_it_and_nobody_else(conn: Any, name: str, key: str) -> None:
    """Whoever would have written the key is refused and leaves all as it was; whoever would not does all it has to.

    Who is to be woken is a hint: without it everything else is done.
    """
    was = conn.dump(key)
    call(conn, name)()
    is_written = conn.dump(key) != was
    restore(conn)
    run = call(conn, name)
    spoil(conn, name, key)
    before = everything(conn)
    if said := refusal(run):
        assert key not in HINTS
        assert "WRONGTYPE" in said
        assert everything(conn) == before
        return
    assert key in HINTS or not is_written
    after = everything(conn)
    assert after[key.encode()] == before[key.encode()]
    restore(conn)
    run = call(conn, name)
    run()
    whole = everything(conn)
    aside = {key.encode(), *([b"{q}:flow:wake:w"] if key in HINTS else [])}
    assert {k: v for k, v in after.items() if k not in aside} == {k: v for k, v in whole.items() if k not in aside}


def test_a_counter_is_not_started_over_a_key_of_another_type(conn: Any) -> None:
    conn.delete("{cc:k}:count")
    conn.set("{cc:k}:done", "odd")
    before = everything(conn)
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        conn.eval(assemble.load("omniq/childs_init").source, 1, "{cc:k}:meta", "2")
    assert everything(conn) == before


@pytest.mark.parametrize(
    ("name", "key"),
    [("reserve", "{q}:lease:seq"), ("child_ack", "{cc:k}:count")],
)
def test_a_text_where_a_number_is_counted_leaves_all_as_it_was(conn: Any, name: str, key: str) -> None:
    run = call(conn, name)
    conn.set(key, "many")
    before = everything(conn)
    with pytest.raises(redis.ResponseError, match="is no number; nothing was changed"):
        run()
    assert everything(conn) == before


def test_statistics_that_are_no_numbers_are_written_anew(conn: Any) -> None:
    """They decide nothing, so they stop nothing."""
    conn.hset("{q}:stats", mapping={"group_waiting": "many", "waiting_total": "", "last_enqueue_ms": "never"})
    call(conn, "enqueue")()
    assert conn.hmget("{q}:stats", "group_waiting", "waiting_total", "last_enqueue_ms") == [b"1", b"1", NOW.encode()]


def test_a_key_that_is_no_job_is_passed_over_by_reserve(conn: Any) -> None:
    """As an id without a job is (D9): it must not stop the queue."""
    run = call(conn, "reserve")
    conn.delete("{q}:job:waiting")
    conn.set("{q}:job:waiting", "odd")
    assert run()[:2] == [b"JOB", b"ungrouped"]
    assert conn.get("{q}:job:waiting") == b"odd"


def test_a_beat_passes_over_a_group_that_is_damaged(conn: Any) -> None:
    """A beat has settled by then and cannot turn back; the other jobs are taken."""
    conn.delete("{q}:paused", "{q}:g:g:wait", "{q}:active", "{q}:delayed")
    conn.set("{q}:g:g:wait", "odd")
    beat = ticks.tick("q", worker="w", request="r", salt="s", take=2, now_ms=int(NOW))
    reply = beat.parse(conn.eval(assemble.load(beat.script).source, 1, *beat.keys, *beat.args))
    assert [job.job_id for job in reply.taken] == ["ungrouped"]
    assert conn.get("{q}:g:g:wait") == b"odd"


def test_a_key_that_is_no_job_is_not_trimmed(conn: Any) -> None:
    conn.rpush("{q}:completed", *(f"c{i}" for i in range(100)))
    conn.set("{q}:job:c99", "odd")
    assert call(conn, "ack_success")() == [b"OK"]
    assert conn.get("{q}:job:c99") == b"odd"
    assert conn.llen("{q}:completed") == 100
