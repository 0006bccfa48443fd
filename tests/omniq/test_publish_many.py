"""Many jobs in one call: the same queue as by publishing them one by one, all of a call or none, and safe to send twice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.client.publishing import publish_many_commands
from omniq_flow.errors import OperationRefused, ReplyError, ServerUnavailable, ValueNotJson
from omniq_flow.lua import assemble
from omniq_flow.model.jobs import NewJob
from omniq_flow.ops import jobs, keys
from omniq_flow.ops.publishing import MAX_JOBS, new_job_ids, publish_many
from omniq_flow.ops.replies import BatchResultItem
from tests.conformance import kit
from tests.omniq.conftest import AnyOmniq, Maker
from tests.support.proxy import DROP_REPLY, PASS, Proxy
from tests.support.server import ScratchServer, Server

T0 = 1_800_000_000_000
Q = "q"


@pytest.fixture
def conn(redis_conn: redis.Redis) -> Any:
    return redis_conn


def job(job_id: str, **options: Any) -> NewJob:
    return NewJob(payload={"job": job_id}, job_id=job_id, **options)


def statuses(results: list[BatchResultItem]) -> list[str]:
    return [f"{item.job_id}:{item.reason or item.status}" for item in results]


def some_jobs(seed: int) -> list[NewJob]:
    """Ids that repeat, groups with and without limits, delays, odd settings."""
    rng = random.Random(seed)
    return [
        job(
            f"j{rng.randrange(60)}",
            gid=(gid := rng.choice(["", "", "a", "b", "c"])),
            group_limit=rng.choice([0, 3]) if gid in "ab" else 0,
            due_ms=0 if gid == "c" else rng.choice([0, 0, T0 - 5, T0, T0 + 1, T0 + 5000]),
            max_attempts=rng.choice([0, 1, 3]),
            timeout_ms=rng.choice([1000, 30_000]),
            backoff_ms=rng.choice([-1, 0, 5000]),
        )
        for _ in range(rng.randrange(1, 120))
    ]


def damaged(conn: Any) -> None:
    """A queue that is used already: a group without a free slot, one with slots, and known ids in every lane."""
    conn.mset({"{q}:g:a:inflight": 1, "{q}:g:a:limit": 4, "{q}:g:c:inflight": 1, "{q}:lease:seq": 9})
    for job_id in ("j1", "j2", "j3"):
        conn.hset(keys.job(Q, job_id), mapping={"id": job_id, "state": "completed", "payload": "[]"})
    conn.zadd("{q}:groups:ready", {"b": T0 - 9})


@pytest.mark.parametrize("seed", range(8))
def test_the_queue_is_as_if_they_were_published_one_by_one(client: Client, conn: Any, seed: int) -> None:
    batch = some_jobs(seed)
    damaged(conn)
    for one in batch:
        client.execute(jobs.publish(Q, one.payload, job_id=one.job_id, options=one, now_ms=T0))
    expected = kit.dump(conn)
    conn.flushall()
    damaged(conn)
    client.execute(publish_many(Q, batch, now_ms=T0))
    assert kit.dump(conn) == expected


@pytest.mark.parametrize("spread", ["one set of options", "a set for each"])
def test_a_full_call(client: Client, conn: Any, spread: str) -> None:
    """Its arguments are many; the server takes them, and the jobs come in the order of the call."""
    batch = [job(f"j{n}", backoff_ms=n if spread == "a set for each" else 7) for n in range(MAX_JOBS)]
    assert statuses(client.execute(publish_many(Q, batch))) == [f"j{n}:OK" for n in range(MAX_JOBS)]
    assert conn.lrange("{q}:wait", 0, -1) == [f"j{n}".encode() for n in range(MAX_JOBS)]
    assert conn.hget("{q}:stats", "waiting") == str(MAX_JOBS).encode()
    with pytest.raises(ValueError, match="at most 256 jobs a call, 257 were given"):
        publish_many(Q, [*batch, job("one more")])


class TestKnownIds:
    """A known id is left as it is (D2), in every lane, and told from a new one."""

    def test_a_known_job_is_left_as_it_is(self, client: Client, conn: Any) -> None:
        client.execute(jobs.publish(Q, {"old": 1}, job_id="a", now_ms=T0))
        results = client.execute(publish_many(Q, [job("a", gid="g"), job("b")], now_ms=T0 + 5))
        assert results == [BatchResultItem("a", "OK", "EXISTS"), BatchResultItem("b", "OK")]
        assert conn.hmget(keys.job(Q, "a"), "payload", "gid", "created_ms") == [b'{"old":1}', None, str(T0).encode()]
        assert conn.lrange("{q}:wait", 0, -1) == [b"a", b"b"]

    def test_the_first_of_two_in_one_call_counts(self, client: Client, conn: Any) -> None:
        results = client.execute(publish_many(Q, [job("a"), job("a", max_attempts=9), job("a")]))
        assert statuses(results) == ["a:OK", "a:EXISTS", "a:EXISTS"]
        assert conn.hget(keys.job(Q, "a"), "max_attempts") == b"3"
        assert conn.llen("{q}:wait") == 1

    def test_a_call_may_be_sent_twice(self, client: Client, conn: Any) -> None:
        batch = publish_many(Q, [*some_jobs(3), NewJob(payload={})], now_ms=T0)
        client.execute(batch)
        before = kit.dump(conn)
        assert {item.reason for item in client.execute(batch)} == {"EXISTS"}
        assert kit.dump(conn) == before
        assert batch.is_repeatable

    def test_only_known_ids_change_nothing(self, client: Client, conn: Any) -> None:
        client.execute(publish_many(Q, [job("a")], now_ms=T0))
        before = kit.dump(conn)
        client.execute(publish_many(Q, [job("a")], now_ms=T0 + 5))
        assert kit.dump(conn) == before


class TestNothingIsWritten:
    """Everything is checked before the first write."""

    @pytest.fixture
    def script(self, conn: Any) -> Iterator[Any]:
        """Sends arguments as they are; the queue must stay as it was."""
        before = kit.dump(conn)
        yield lambda *argv: conn.eval(assemble.load("flow/jobs_publish").source, 1, "{q}:meta", *argv)
        assert kit.dump(conn) == before

    OPTIONS = ("3", "1000", "10", "0", "", "0")

    @pytest.mark.parametrize(
        ("argv", "reply"),
        [
            ((), [b"ERR", b"BAD_ARGS"]),
            (("1e15", "0"), [b"ERR", b"BAD_NUMBER"]),
            (("0", "-1"), [b"ERR", b"BAD_ARGS"]),
            (("0", "1", *OPTIONS[:5]), [b"ERR", b"BAD_ARGS"]),
            (("0", "1", *OPTIONS, "a", "{}"), [b"ERR", b"BAD_ARGS"]),
            (("0", "1", *OPTIONS, "a", "{}", "1", "b", "{}", "2"), [b"ERR", b"BAD_ARGS"]),
            (("0", "1", *OPTIONS, "a", "{}", "first"), [b"ERR", b"BAD_ARGS"]),
            (("0", "2", *OPTIONS, *OPTIONS[:3], "soon", "", "0", "a", "{}", "1"), [b"ERR", b"BAD_NUMBER"]),
            (("0", "1", *OPTIONS, *("a", "{}", "1") * 257), [b"ERR", b"TOO_MANY", b"256"]),
        ],
    )
    def test_arguments_that_are_none(self, script: Any, argv: tuple[str, ...], reply: list[bytes]) -> None:
        assert script(*argv) == reply

    def test_no_jobs(self, script: Any, client: Client) -> None:
        assert script("0", "0") == [b"OK"]
        assert client.execute(publish_many(Q, [])) == []

    def test_a_number_that_cannot_be_kept(self, script: Any, client: Client) -> None:
        with pytest.raises(OperationRefused, match="PUBLISH_MANY failed: BAD_NUMBER"):
            client.execute(publish_many(Q, [job("a"), job("b", backoff_ms=10**15)]))

    @pytest.mark.parametrize("key", ["{q}:wait", "{q}:delayed", "{q}:stats", "{q}:idx:wait", "{q}:g:g:wait", "{q}:job:b"])
    def test_a_key_of_another_type(self, conn: Any, client: Client, key: str) -> None:
        conn.set(key, "text")
        before = kit.dump(conn)
        with pytest.raises(ReplyError, match="WRONGTYPE"):
            client.execute(publish_many(Q, [job("a"), job("b", gid="g"), job("c", due_ms=2 * T0)]))
        assert kit.dump(conn) == before

    def test_a_server_without_memory(self) -> None:
        with ScratchServer(options=("--maxmemory-policy", "noeviction")) as scratch, Client.open(scratch.url) as client:
            with scratch.connection() as admin:
                admin.config_set("maxmemory", "1")
            with pytest.raises(ServerUnavailable, match="OOM"):
                client.execute(publish_many(Q, [job("a")]))
            assert scratch.connection().dbsize() == 0


class TestWaking:
    """Idle workers are told, and no more of them than there is work for."""

    @pytest.fixture(autouse=True)
    def idle(self, conn: Any) -> None:
        conn.zadd("{q}:flow:idle", {f"w{n}": T0 + 10_000 for n in range(20)})

    @pytest.mark.parametrize(
        ("batch", "woken"),
        [
            ([job("a"), job("b"), job("c")], 3),
            ([job(f"j{n}") for n in range(40)], 16),
            ([job(f"j{n}", gid=f"g{n % 2}") for n in range(9)], 2),
            ([job("a", due_ms=T0 + 50), job("b", due_ms=T0 + 60)], 1),
            ([job("a"), job("a")], 1),
        ],
        ids=["three", "many", "two groups", "later", "a known id"],
    )
    def test_as_many_as_can_take_one(self, client: Client, conn: Any, batch: list[NewJob], woken: int) -> None:
        client.execute(publish_many(Q, batch, now_ms=T0))
        assert len(conn.keys("{q}:flow:wake:*")) == woken


class TestClients:
    """`publish_many` of both OmniQ clients."""

    async def test_jobs_are_given_as_values_or_by_the_arguments_of_publish(self, omniq: AnyOmniq, conn: Any) -> None:
        batch = [NewJob(payload={"n": 1}, job_id="a", gid=" g "), {"payload": [2], "job_id": "b", "timeout_ms": "700"}, {"payload": {}}]
        results = await omniq.publish_many(queue=Q, jobs=batch, now_ms_override=T0)
        assert [item.status for item in results] == ["OK", "OK", "OK"]
        assert conn.hmget(keys.job(Q, "a"), "payload", "gid", "max_attempts") == [b'{"n":1}', b"g", b"3"]
        assert conn.hmget(keys.job(Q, "b"), "timeout_ms", "created_ms") == [b"700", str(T0).encode()]
        assert conn.exists(keys.job(Q, results[2].job_id)) == 1

    async def test_more_than_one_call_takes_are_sent_in_slices(self, omniq: AnyOmniq, conn: Any) -> None:
        results = await omniq.publish_many(queue=Q, jobs=[{"payload": {"n": n}} for n in range(600)])
        ids = [item.job_id for item in results]
        assert conn.lrange("{q}:wait", 0, -1) == [job_id.encode() for job_id in ids]
        assert len(set(ids)) == 600
        assert ids == sorted(ids)
        assert await omniq.publish_many(queue=Q, jobs=[]) == []

    @pytest.mark.parametrize(
        ("bad", "error"),
        [
            ({"payload": 1}, TypeError),
            ({"payload": {}, "max_attempts": "many"}, ValueError),
            ({"payload": {}, "job_id": " a"}, ValueError),
            ({"payload": {}, "job_id": "ERR"}, ValueError),
            ({"payload": {"a": float("nan")}}, ValueNotJson),
            ({"payload": {}, "priority": 1}, TypeError),
            ({}, TypeError),
            (replace(job("x"), payload=(1,)), TypeError),  # type: ignore[arg-type]
            (7, TypeError),
        ],
        ids=str,
    )
    async def test_a_bad_job_is_named_and_nothing_is_sent(self, omniq: AnyOmniq, conn: Any, bad: Any, error: type[Exception]) -> None:
        """Even if slices before it could have been."""
        with pytest.raises(error, match=r"^jobs\[300\]: "):
            await omniq.publish_many(queue=Q, jobs=[*({"payload": {}} for _ in range(300)), bad])
        assert conn.dbsize() == 0

    async def test_a_bad_queue_name(self, omniq: AnyOmniq) -> None:
        batches: list[list[dict[str, Any]]] = [[], [{"payload": {}}]]
        for batch in batches:
            with pytest.raises(ValueError, match="queue name"):
                await omniq.publish_many(queue="a b", jobs=batch)

    async def test_a_lost_reply_doubles_nothing(self, made: Maker, conn: Any, server: Server) -> None:
        """The call is sent again; what it had published itself reads EXISTS then."""
        lost = iter([DROP_REPLY])
        with Proxy(server.url, lambda n, command: next(lost, PASS) if command.is_script else PASS) as proxy:
            client = await made(redis_url=proxy.url)
            results = await client.publish_many(queue=Q, jobs=[{"payload": {}, "job_id": f"j{n}"} for n in range(300)])
        assert [item.reason for item in results] == ["EXISTS"] * 256 + [None] * 44
        assert conn.llen("{q}:wait") == 300


def test_new_ids_are_ulids_that_rise_and_never_repeat() -> None:
    from ulid import ULID

    ids = new_job_ids()
    some = [next(ids) for _ in range(3000)]
    assert some == sorted(set(some))
    assert all(str(ULID.from_str(job_id)) == job_id for job_id in some[::100])
    assert next(new_job_ids())[:22] != some[0][:22]


def test_settings_that_jobs_share_are_sent_once() -> None:
    commands = publish_many_commands(queue=Q, jobs=[{"payload": {}, "gid": "g"}] * 2 + [{"payload": {}}])
    assert [command.args[1] for command in commands] == [2]
