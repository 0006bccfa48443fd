"""What we do where OmniQ 4.0.0 does something else: D1 to D9, one test for each difference that the vectors cannot show.

The names of the tests begin with the difference; `docs/omniq.md` lists them all. D15 and D16 are in `test_quirks.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

from omniq_flow.client.client import Client
from omniq_flow.errors import OperationRefused
from omniq_flow.model.jobs import JobOptions, Lease
from omniq_flow.ops import admin, jobs, keys
from tests.conformance import kit
from tests.conformance.moves import STATS, T0, Q, fail, field, is_present, publish, take

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
