"""What we do where OmniQ 4.0.0 does something else: one test for each difference that the vectors cannot show.

The names of the tests begin with the difference; `docs/omniq.md` lists them all.
"""

from __future__ import annotations

import time
from typing import Any, cast

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.errors import OperationRefused, ServerUnavailable, ValueNotJson
from omniq_flow.model.jobs import JobOptions, Lease
from omniq_flow.ops import admin, counters, jobs, keys
from omniq_flow.ops.replies import BatchResultItem
from tests.conformance import exported, kit

T0 = 1_800_000_000_000
Q = "q"
STATS = "{q}:stats"


@pytest.fixture
def conn(redis_conn: redis.Redis) -> Any:
    """The empty server, seen as it is; typed loosely, since only dumps and damage pass here."""
    return redis_conn


@pytest.fixture(params=[admin, exported], ids=["ours", "omniq"])
def steer(request: pytest.FixtureRequest) -> Any:
    """Retries and removals, as our clients send them and as others do."""
    return request.param


def publish(client: Client, job_id: str, at: int = 0, **options: Any) -> None:
    assert client.execute(jobs.publish(Q, {"job": job_id}, job_id=job_id, options=JobOptions(**options), now_ms=T0 + at)) == job_id


def take(client: Client, at: int = 0) -> Lease:
    lease = client.execute(jobs.reserve(Q, now_ms=T0 + at))
    assert isinstance(lease, Lease), lease
    return lease


def fail(client: Client, lease: Lease, at: int = 0, error: str = "boom") -> jobs.AttemptEnd:
    return client.execute(jobs.ack_fail(lease, error, now_ms=T0 + at))


def field(conn: Any, job_id: str, name: str) -> str | None:
    value = conn.hget(keys.job(Q, job_id), name)
    return None if value is None else cast("bytes", value).decode()


def is_present(ms: bytes | str | None) -> bool:
    return ms is not None and abs(time.time() * 1000 - int(ms)) < 60_000


# D1 ------------------------------------------------------------------------------------------------------------


def test_d1_without_a_clock_the_servers_time_counts(client: Client, conn: Any) -> None:
    client.execute(jobs.publish(Q, {}, job_id="a", options=JobOptions(timeout_ms=1000)))
    lease = client.execute(jobs.reserve(Q))
    assert isinstance(lease, Lease)
    assert is_present(field(conn, "a", "created_ms"))
    assert is_present(str(lease.until_ms - 1000))
    assert is_present(conn.hget(STATS, "last_reserve_ms"))


@pytest.mark.parametrize("now", [[], [""], ["0"], ["-5"]])
def test_d1_defaults_of_the_script(client: Client, conn: Any, script: Any, now: list[str]) -> None:
    assert script("enqueue", "a", "free text", *(["", "", "", *now] if now else [])) == [b"OK", b"a"]
    job = conn.hgetall(keys.job(Q, "a"))
    assert (job[b"payload"], job[b"max_attempts"], job[b"timeout_ms"], job[b"backoff_ms"]) == (b"free text", b"1", b"60000", b"5000")
    assert is_present(job[b"queued_ms"])


def test_d1_a_removal_notes_the_servers_time(client: Client, conn: Any, steer: Any) -> None:
    publish(client, "a")
    client.execute(steer.remove_job(Q, "a", "wait"))
    assert is_present(conn.hget(STATS, "last_activity_ms"))


# D2 ------------------------------------------------------------------------------------------------------------


def to_wait(client: Client) -> None:
    publish(client, "a")


def to_group(client: Client) -> None:
    publish(client, "a", gid="g")


def to_delayed(client: Client) -> None:
    publish(client, "a", due_ms=T0 + 50)


def to_active(client: Client) -> None:
    publish(client, "a", max_attempts=1)
    take(client, 1)


def to_failed(client: Client) -> None:
    publish(client, "a", max_attempts=1)
    fail(client, take(client, 1), 2)


def to_completed(client: Client) -> None:
    publish(client, "a")
    client.execute(jobs.ack_success(take(client, 1), now_ms=T0 + 2))


@pytest.mark.parametrize("arrange", [to_wait, to_group, to_delayed, to_active, to_failed, to_completed])
def test_d2_a_known_id_is_left_as_it_is(client: Client, conn: Any, arrange: Any) -> None:
    """In whatever lane it is, with whatever it is published again; the id comes back as if it were new."""
    arrange(client)
    before = kit.dump(conn)
    other = JobOptions(max_attempts=9, timeout_ms=1, gid="other", group_limit=7)
    assert client.execute(jobs.publish(Q, {"other": 1}, job_id="a", options=other, now_ms=T0 + 9)) == "a"
    assert kit.dump(conn) == before


# D3 ------------------------------------------------------------------------------------------------------------


def test_d3_a_heartbeat_counts_from_now_and_does_not_pile_up(client: Client, conn: Any) -> None:
    publish(client, "a", timeout_ms=1000)
    lease = take(client, 10)
    for at in (20, 30, 500, 480):
        lease = client.execute(jobs.heartbeat(lease, now_ms=T0 + at))
        assert lease.until_ms == T0 + at + 1000
        assert field(conn, "a", "lock_until_ms") == str(T0 + at + 1000)
        assert conn.zscore("{q}:active", "a") == T0 + at + 1000


def test_d3_a_lease_past_its_deadline_is_extended(client: Client, conn: Any) -> None:
    publish(client, "a", timeout_ms=1000)
    assert client.execute(jobs.heartbeat(take(client), now_ms=T0 + 5000)).until_ms == T0 + 6000


@pytest.mark.parametrize("timeout", ["0", "-5", "", "soon", None])
def test_d3_without_a_usable_timeout_it_is_a_minute(client: Client, conn: Any, timeout: str | None) -> None:
    publish(client, "a")
    lease = take(client)
    conn.hdel(keys.job(Q, "a"), "timeout_ms") if timeout is None else conn.hset(keys.job(Q, "a"), "timeout_ms", timeout)
    assert client.execute(jobs.heartbeat(lease, now_ms=T0 + 7)).until_ms == T0 + 60_007


def test_d3_a_paused_queue_goes_on_but_for_leases(client: Client, conn: Any) -> None:
    """What `pause-while-running` shows, with our deadline and our text at the reap."""
    publish(client, "a", timeout_ms=100)
    publish(client, "b", 1, due_ms=T0 + 40)
    lease = take(client, 2)
    client.execute(admin.pause(Q))
    publish(client, "c", 3)
    assert client.execute(jobs.heartbeat(lease, now_ms=T0 + 10)).until_ms == T0 + 110
    assert client.execute(admin.promote_delayed(Q, now_ms=T0 + 40)) == 1
    assert client.execute(admin.reap_expired(Q, now_ms=T0 + 110)) == 1
    assert client.execute(jobs.reserve(Q, now_ms=T0 + 111)) == jobs.Paused()
    assert conn.lrange("{q}:wait", 0, -1) == [b"c", b"b"]
    assert client.execute(admin.resume(Q)) is True
    assert take(client, 112).job_id == "c"


# D4 ------------------------------------------------------------------------------------------------------------


def test_d4_a_reaped_job_tells_of_the_lost_lease(client: Client, conn: Any) -> None:
    publish(client, "a", timeout_ms=10, max_attempts=2, backoff_ms=5)
    take(client)
    assert client.execute(admin.reap_expired(Q, now_ms=T0 + 10)) == 1
    assert field(conn, "a", "last_error") == "lease lost: attempt 1/2 ended without a report"
    assert field(conn, "a", "last_error_ms") == str(T0 + 10)
    assert client.execute(admin.promote_delayed(Q, now_ms=T0 + 15)) == 1
    take(client, 15)
    assert client.execute(admin.reap_expired(Q, now_ms=T0 + 30)) == 1
    assert (field(conn, "a", "state"), field(conn, "a", "last_error")) == ("failed", "lease lost: attempt 2/2 ended without a report")
    assert field(conn, "a", "last_error_ms") == str(T0 + 30)


def test_d4_the_text_of_a_reported_failure_stays_until_the_lease_is_lost(client: Client, conn: Any) -> None:
    publish(client, "a", timeout_ms=10, backoff_ms=0)
    assert fail(client, take(client), 1) == jobs.Delayed(T0 + 1)
    client.execute(admin.promote_delayed(Q, now_ms=T0 + 1))
    take(client, 2)
    assert field(conn, "a", "last_error") == "boom"
    client.execute(admin.reap_expired(Q, now_ms=T0 + 12))
    assert field(conn, "a", "last_error") == "lease lost: attempt 2/3 ended without a report"


# D5 ------------------------------------------------------------------------------------------------------------


def full_completed_lane(conn: Any) -> None:
    """A hundred completed jobs, c1 the oldest."""
    conn.rpush("{q}:completed", *(f"c{i}" for i in range(100, 0, -1)))
    conn.zadd("{q}:idx:completed", {f"c{i}": T0 - 1000 + i for i in range(1, 101)})
    for i in range(1, 101):
        conn.hset(keys.job(Q, f"c{i}"), mapping={"id": f"c{i}", "state": "completed"})


@pytest.mark.parametrize("state", ["wait", "active", "delayed", "failed"])
def test_d5_a_job_that_lives_again_is_not_trimmed(client: Client, conn: Any, state: str) -> None:
    """Other clients publish an id of the completed lane again; its entry goes, the job stays."""
    full_completed_lane(conn)
    conn.hset(keys.job(Q, "c1"), "state", state)
    publish(client, "new")
    client.execute(jobs.ack_success(take(client, 1), now_ms=T0 + 2))
    assert conn.exists(keys.job(Q, "c1")) == 1
    assert conn.zscore("{q}:idx:completed", "c1") is None
    assert (conn.llen("{q}:completed"), conn.lindex("{q}:completed", 0), conn.lindex("{q}:completed", -1)) == (100, b"new", b"c2")


def test_d5_a_job_that_is_still_completed_goes(client: Client, conn: Any) -> None:
    full_completed_lane(conn)
    publish(client, "new")
    client.execute(jobs.ack_success(take(client, 1), now_ms=T0 + 2))
    assert conn.exists(keys.job(Q, "c1")) == 0
    assert conn.hget(STATS, "completed_kept") == b"100"


# D6 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x" * 4096, "x" * 4096),
        ("x" * 4097, "x" * 4096),
        ("x" * 4095 + "é", "x" * 4095),
        ("x" * 4094 + "é!", "x" * 4094 + "é"),
        ("x" * 4093 + "🙂", "x" * 4093),
        ("x" * 4092 + "🙂", "x" * 4092 + "🙂"),
        ("🙂" * 2000, "🙂" * 1024),
        ("日" * 2000, "日" * 1365),
    ],
    ids=["fits", "ascii", "inside two", "after two", "inside four", "fits four", "all four", "all three"],
)
def test_d6_an_error_text_is_cut_between_characters(client: Client, conn: Any, text: str, kept: str) -> None:
    publish(client, "a")
    fail(client, take(client), 1, text)
    assert field(conn, "a", "last_error") == kept


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_d6_a_blank_text_leaves_what_was_noted(client: Client, conn: Any, text: str) -> None:
    publish(client, "a", backoff_ms=0)
    fail(client, take(client), 1, "boom")
    client.execute(admin.promote_delayed(Q, now_ms=T0 + 1))
    fail(client, take(client, 2), 3, text)
    assert (field(conn, "a", "last_error"), field(conn, "a", "last_error_ms")) == ("boom", str(T0 + 1))


def test_d6_a_text_that_is_no_utf8_is_still_reported(client: Client, conn: Any) -> None:
    """A lone surrogate in an exception must not keep the failure from being sent (H20)."""
    publish(client, "a")
    fail(client, take(client), 1, "bad \ud800 name")
    assert field(conn, "a", "last_error") == "bad \\ud800 name"


# D7 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["max_attempts", "timeout_ms", "backoff_ms", "due_ms", "group_limit"])
@pytest.mark.parametrize("value", [10**14, -(10**14), 10**30])
def test_d7_a_setting_that_clients_cannot_read_is_refused(client: Client, conn: Any, option: str, value: int) -> None:
    if option == "group_limit" and value < 0:
        value = -value  # a client sends no limit below zero
    op = jobs.enqueue(Q, "a", "{}", JobOptions(gid="g", **{option: value}), now_ms=T0)
    with pytest.raises(OperationRefused, match=r"^ENQUEUE failed: BAD_NUMBER$"):
        client.execute(op)
    assert kit.dump(conn) == {}


@pytest.mark.parametrize("value", ["soon", "nan", "inf", "-inf", "1e400", "100000000000000", "1,5"])
def test_d7_a_clock_that_is_none_is_refused_everywhere(client: Client, conn: Any, script: Any, value: str) -> None:
    publish(client, "a", max_attempts=1)
    lease = take(client)
    before = kit.dump(conn)
    for name, argv in {
        "enqueue": ["b", "{}", "1", "1", "1", value],
        "reserve": [value],
        "heartbeat": ["a", value, lease.token],
        "ack_success": ["a", value, lease.token],
        "ack_fail": ["a", value, lease.token, "boom"],
        "promote_delayed": [value],
        "reap_expired": [value],
        "retry_failed": ["a", value],
        "retry_failed_batch": [value, "1", "a"],
        "remove_job": ["a", "wait", value],
        "remove_jobs_batch": ["wait", "1", "a", value],
    }.items():
        assert script(name, *argv) == [b"ERR", b"BAD_NUMBER"], name
    assert kit.dump(conn) == before


def test_d7_fourteen_digits_are_kept(client: Client, conn: Any) -> None:
    most = 10**14 - 1
    publish(client, "a", max_attempts=most, timeout_ms=most - T0, backoff_ms=most)
    lease = take(client)
    assert (lease.max_attempts, lease.until_ms) == (most, most)
    assert field(conn, "a", "lock_until_ms") == "99999999999999"


def test_d7_no_digit_is_lost_where_a_sum_is_longer(client: Client, conn: Any) -> None:
    publish(client, "a", timeout_ms=10**14 - 1)
    assert take(client, 1).until_ms == T0 + 10**14
    assert field(conn, "a", "lock_until_ms") == str(T0 + 10**14)


def test_d7_exponents_that_others_left_are_read(client: Client, conn: Any) -> None:
    """A job written by another client with a lease of 15 digits is leased, shown and acknowledged."""
    publish(client, "a")
    conn.hset(keys.job(Q, "a"), mapping={"timeout_ms": "1e+14", "max_attempts": "1e+14"})
    lease = take(client)
    assert (lease.until_ms, lease.max_attempts) == (T0 + 10**14, 10**14)
    client.execute(jobs.ack_success(lease, now_ms=T0 + 1))


# D8 ------------------------------------------------------------------------------------------------------------


def test_d8_a_batch_removal_notes_the_time(client: Client, conn: Any, script: Any, steer: Any) -> None:
    for job_id in ("a", "b", "c"):
        publish(client, job_id)
    client.execute(steer.remove_jobs_batch(Q, "wait", ["a"], now_ms=T0 + 7))
    assert conn.hget(STATS, "last_activity_ms") == str(T0 + 7).encode()
    client.execute(steer.remove_jobs_batch(Q, "wait", ["b"]))
    assert is_present(conn.hget(STATS, "last_activity_ms"))
    conn.hset(STATS, "last_activity_ms", "1")
    assert script("remove_jobs_batch", "wait", "1", "c") == [b"c", b"OK"]
    assert is_present(conn.hget(STATS, "last_activity_ms"))


# D9 ------------------------------------------------------------------------------------------------------------


def test_d9_reserve_passes_over_ids_without_a_job_and_takes_no_slot(client: Client, conn: Any) -> None:
    for n, job_id in enumerate(("a", "b", "c")):
        publish(client, job_id, n, gid="g")
    publish(client, "p", 3)
    publish(client, "r", 4)
    conn.delete(*(keys.job(Q, job_id) for job_id in ("a", "b", "p")))
    assert [take(client, 5).job_id, take(client, 6).job_id] == ["c", "r"]
    assert client.execute(jobs.reserve(Q, now_ms=T0 + 7)) == jobs.Empty()
    assert not any(conn.exists(keys.job(Q, job_id)) for job_id in ("a", "b", "p"))
    assert conn.get("{q}:g:g:inflight") == b"1"
    stats = conn.hmget(STATS, "waiting", "group_waiting", "waiting_total", "active", "groups_ready")
    assert stats == [b"0", b"0", b"0", b"2", b"0"]
    assert conn.zrange("{q}:idx:wait", 0, -1) == []


def test_d9_one_call_passes_over_ten_at_most(client: Client, conn: Any) -> None:
    conn.rpush("{q}:wait", *(f"ghost{i}" for i in range(12)))
    publish(client, "a")
    assert client.execute(jobs.reserve(Q, now_ms=T0 + 1)) == jobs.Empty()
    assert conn.lrange("{q}:wait", 0, -1) == [b"ghost10", b"ghost11", b"a"]
    assert take(client, 2).job_id == "a"


def test_d9_a_group_of_ghosts_does_not_block(client: Client, conn: Any) -> None:
    """The slot that OmniQ would lose for good stays free."""
    publish(client, "a", gid="g")
    conn.delete(keys.job(Q, "a"))
    assert client.execute(jobs.reserve(Q, now_ms=T0 + 1)) == jobs.Empty()
    publish(client, "b", 2, gid="g")
    assert take(client, 3).job_id == "b"


def test_d9_an_id_without_a_job_is_dropped_when_it_is_due(client: Client, conn: Any) -> None:
    publish(client, "a", due_ms=T0 + 10)
    publish(client, "b", due_ms=T0 + 10)
    conn.delete(keys.job(Q, "a"))
    assert client.execute(admin.promote_delayed(Q, now_ms=T0 + 10)) == 1
    assert conn.exists(keys.job(Q, "a"), "{q}:delayed", "{q}:idx:delayed") == 0
    assert conn.lrange("{q}:wait", 0, -1) == [b"b"]
    assert conn.hmget(STATS, "delayed", "waiting") == [b"0", b"1"]


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
