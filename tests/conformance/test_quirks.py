"""Quirks of OmniQ 4.0.0 that we do not share: what is safe to do better (D15), and what our client does not send (D16).

The names of the tests begin with the difference, then with the quirk of the wire contract.
"""

from __future__ import annotations

from typing import Any

import pytest

from omniq_flow.client.client import Client
from omniq_flow.errors import OperationRefused, ServerUnavailable, ValueNotJson
from omniq_flow.model.jobs import Lease
from omniq_flow.ops import counters, jobs, keys
from omniq_flow.ops.replies import BatchResultItem
from tests.conformance import kit
from tests.conformance.moves import STATS, T0, Q, fail, publish, take

# D15 -----------------------------------------------------------------------------------------------------------


def test_d15_q11_a_refused_removal_changes_nothing(client: Client, conn: Any, steer: Any) -> None:
    """Not the slots, though the job looks as if it held one, and not who is ready."""
    publish(client, "a", gid="g")
    publish(client, "b", 1, gid="g")
    conn.lrem("{q}:g:g:wait", 0, "a")
    conn.hset(keys.job(Q, "a"), mapping={"lease_token": "stale", "lock_until_ms": str(T0)})
    conn.set("{q}:g:g:inflight", "2")
    conn.zrem("{q}:groups:ready", "g")
    before = kit.dump(conn)
    with pytest.raises(OperationRefused, match="NOT_IN_LANE"):
        client.execute(steer.remove_job(Q, "a", "gwait"))
    assert client.execute(steer.remove_jobs_batch(Q, "gwait", ["a", "a"])) == [BatchResultItem("a", "ERR", "NOT_IN_LANE")] * 2
    assert kit.dump(conn) == before


def test_d15_q11_a_removal_that_succeeds_gives_a_left_over_slot_back(client: Client, conn: Any, steer: Any) -> None:
    publish(client, "a", gid="g", group_limit=3)
    conn.hset(keys.job(Q, "a"), "lease_token", "stale")
    conn.set("{q}:g:g:inflight", "2")
    client.execute(steer.remove_job(Q, "a", "gwait"))
    assert conn.get("{q}:g:g:inflight") == b"1"


def test_d15_q12_a_removal_does_not_put_its_group_before_others(client: Client, conn: Any, steer: Any) -> None:
    publish(client, "a", gid="g")
    publish(client, "b", 1, gid="g")
    publish(client, "c", 2, gid="h")
    conn.zrem("{q}:groups:ready", "g")
    client.execute(steer.remove_job(Q, "a", "gwait", now_ms=T0 + 9))
    assert conn.zrange("{q}:groups:ready", 0, -1, withscores=True) == [(b"h", T0 + 2), (b"g", T0 + 9)]


def test_d15_q12_a_group_is_ready_exactly_if_another_job_can_be_taken(client: Client, conn: Any, steer: Any) -> None:
    """What `remove-job-gwait` shows up to its last step: the older place is kept, an empty or full group goes."""
    for n, job_id in enumerate(("a", "b", "c")):
        publish(client, job_id, n, gid="g")
    client.execute(steer.remove_job(Q, "b", "gwait", now_ms=T0 + 5))
    assert conn.zrange("{q}:groups:ready", 0, -1, withscores=True) == [(b"g", T0)]
    lease = take(client, 6)
    publish(client, "d", 7, gid="g")
    client.execute(steer.remove_job(Q, "d", "gwait", now_ms=T0 + 8))
    assert conn.exists("{q}:groups:ready") == 0
    client.execute(jobs.ack_success(lease, now_ms=T0 + 9))
    assert conn.zrange("{q}:groups:ready", 0, -1, withscores=True) == [(b"g", T0 + 9)]
    client.execute(steer.remove_jobs_batch(Q, "gwait", ["c"], now_ms=T0 + 10))
    assert conn.exists("{q}:groups:ready") == 0
    assert conn.hmget(STATS, "groups_ready", "group_waiting", "waiting_total") == [b"0", b"0", b"0"]


def test_d15_q14_a_retry_clears_all_that_the_job_left_elsewhere(client: Client, conn: Any, steer: Any) -> None:
    for n, (job_id, gid) in enumerate({"a": "", "b": "", "c": "g"}.items()):
        publish(client, job_id, n, gid=gid, max_attempts=1)
    for at in (3, 4, 5):
        fail(client, take(client, at), at)
    for key in ("{q}:active", "{q}:idx:active", "{q}:delayed", "{q}:idx:delayed"):
        conn.zadd(key, {"a": T0, "b": T0, "c": T0})
    conn.rpush("{q}:wait", "a", "b", "a", "c")
    conn.rpush("{q}:g:g:wait", "c", "x", "c")
    client.execute(steer.retry_failed(Q, "a", now_ms=T0 + 10))
    assert client.execute(steer.retry_failed_batch(Q, ["b", "c"], now_ms=T0 + 11)) == [
        BatchResultItem("b", "OK"),
        BatchResultItem("c", "OK"),
    ]
    assert conn.exists("{q}:active", "{q}:idx:active", "{q}:delayed", "{q}:idx:delayed", "{q}:failed", "{q}:idx:failed") == 0
    assert conn.lrange("{q}:wait", 0, -1) == [b"a", b"b"]
    assert conn.lrange("{q}:g:g:wait", 0, -1) == [b"x", b"c"]
    assert conn.zrange("{q}:idx:wait", 0, -1) == [b"a", b"b", b"c"]


def test_d15_q19_a_full_group_waits_for_its_slot_outside_the_ready_set(client: Client, conn: Any) -> None:
    for n in range(9):
        conn.set(f"{{q}}:g:full{n}:inflight", "1")
        conn.rpush(f"{{q}}:g:full{n}:wait", f"f{n}")
        conn.zadd("{q}:groups:ready", {f"full{n}": T0 + n})
        conn.hset(keys.job(Q, f"f{n}"), mapping={"id": f"f{n}", "payload": "{}", "gid": f"full{n}", "state": "wait"})
    publish(client, "x", 20, gid="free")
    assert take(client, 21).job_id == "x"
    assert conn.exists("{q}:groups:ready") == 0
    conn.hset(keys.job(Q, "held"), mapping={"gid": "full3", "lease_token": "t", "state": "active"})
    conn.zadd("{q}:active", {"held": T0})
    client.execute(jobs.ack_success(Lease(Q, "held", "t", 0, 0, 0), now_ms=T0 + 22))
    assert take(client, 23).job_id == "f3"


@pytest.mark.parametrize("limit", ["0", "-3", "many", "", "0.5", "nan"])
def test_d15_q23_a_limit_that_is_no_number_above_zero_counts_as_one(client: Client, conn: Any, limit: str) -> None:
    conn.set("{q}:g:g:limit", limit)
    publish(client, "a", gid="g")
    publish(client, "b", 1, gid="g", group_limit=5)
    assert conn.zrange("{q}:groups:ready", 0, -1) == [b"g"]
    take(client, 2)
    assert client.execute(jobs.reserve(Q, now_ms=T0 + 3)) == jobs.Empty()
    assert conn.get("{q}:g:g:limit") == limit.encode()


@pytest.mark.parametrize("inflight", ["many", "", "-2", "nan"])
def test_d15_q23_a_slot_count_that_is_no_number_counts_as_none(client: Client, conn: Any, inflight: str) -> None:
    conn.set("{q}:g:g:inflight", inflight)
    publish(client, "a", gid="g")
    lease = take(client, 1)
    assert conn.get("{q}:g:g:inflight") == b"1"
    client.execute(jobs.ack_success(lease, now_ms=T0 + 2))
    assert conn.get("{q}:g:g:inflight") == b"0"


def test_d15_q26_a_lost_connection_raises_and_is_no_answer() -> None:
    from tests.support.server import ScratchServer

    with ScratchServer() as server, Client.open(server.url, connect_timeout=0.3) as client:
        client.execute(counters.childs_init("k", 2))
        server.kill()
        with pytest.raises(ServerUnavailable):
            client.execute(counters.child_ack("k", "a"))


def test_d15_q26_a_report_is_never_sent_twice() -> None:
    """After the report that brought the zero, the counter is gone: an answer to a second one would be no answer."""
    assert not counters.child_ack("k", "a").is_repeatable
    assert not counters.childs_init("k", 1).is_repeatable


# D16 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [{"a": float("nan")}, [float("inf")], {"a": -float("inf")}, {"a": "\ud800"}, {"a": object()}])
def test_d16_q33_what_other_languages_cannot_read_is_not_sent(payload: Any) -> None:
    with pytest.raises(ValueNotJson):
        jobs.publish(Q, payload)


@pytest.mark.parametrize("job_id", [" a", "a ", "\ta", " ", "ERR"])
def test_d16_odd_ids_are_not_sent(job_id: str) -> None:
    with pytest.raises(ValueError, match=r"blank|ERR"):
        jobs.publish(Q, {}, job_id=job_id)


def test_d16_q24_a_job_called_err_is_no_error_of_the_batch(client: Client, conn: Any, script: Any, steer: Any) -> None:
    script("enqueue", "ERR", "{}", "1", "1000", "0", str(T0))
    fail(client, take(client), 1)
    assert client.execute(steer.retry_failed_batch(Q, ["ERR"], now_ms=T0 + 2)) == [BatchResultItem("ERR", "OK")]
    assert client.execute(steer.retry_failed_batch(Q, ["ERR"], now_ms=T0 + 3)) == [BatchResultItem("ERR", "ERR", "NOT_FAILED")]
    assert client.execute(steer.remove_jobs_batch(Q, "wait", ["ERR", "none"])) == [
        BatchResultItem("ERR", "OK"),
        BatchResultItem("none", "ERR", "NO_JOB"),
    ]


def test_d16_the_plain_client_keeps_omniqs_latitude(client: Client, conn: Any) -> None:
    """Attempts and leases that a flow refuses are a plain job's own affair."""
    publish(client, "a", max_attempts=0, timeout_ms=1)
    assert take(client).until_ms == T0 + 1
