"""Counters that our clients begin are noted for listings, whoever begins them; a note that fails is nobody's failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import redis

from omniq_flow.client import counting
from omniq_flow.client.client import AsyncClient, Client
from omniq_flow.client.exec import Aio, CheckCompletion, Exec
from omniq_flow.errors import OperationRefused, ServerUnavailable
from omniq_flow.model.clock import now_ms
from omniq_flow.omniq.async_client import AsyncOmniqClient
from omniq_flow.omniq.client import OmniqClient
from omniq_flow.ops import counters, keys
from omniq_flow.ops.command import Command, Operation
from tests.support.proxy import DROP_REPLY, PASS, Action, Proxy, Seen
from tests.support.server import ScratchServer, Server

Door = Callable[[str, str, int], Awaitable[None]]
"""Begins a counter: address, key, how many children."""


def blocking(begin: Callable[[str, str, int], None]) -> Door:
    return lambda url, key, expected: asyncio.to_thread(begin, url, key, expected)


def omniq(name: str) -> Door:
    def begin(url: str, key: str, expected: int) -> None:
        with OmniqClient(redis_url=url) as client:
            getattr(client, name)(key=key, expected=expected)

    return blocking(begin)


def async_omniq(name: str) -> Door:
    async def begin(url: str, key: str, expected: int) -> None:
        async with AsyncOmniqClient(redis_url=url) as client:
            await getattr(client, name)(key=key, expected=expected)

    return begin


def handler(tools: Callable[[Client, str], Any], name: str) -> Door:
    def begin(url: str, key: str, expected: int) -> None:
        with Client.open(url) as client:
            getattr(tools(client, "job"), name)(key, expected)

    return blocking(begin)


def async_handler(part: str, name: str) -> Door:
    async def begin(url: str, key: str, expected: int) -> None:
        async with await AsyncClient.open(url) as client:
            await getattr(getattr(Aio(client, "job"), part), name)(key, expected)

    return begin


DOORS: dict[str, Door] = {
    "OmniqClient": omniq("childs_init"),
    "OmniqClient, 1.4": omniq("check_completion_init_job_counter"),
    "AsyncOmniqClient": async_omniq("childs_init"),
    "AsyncOmniqClient, 1.4": async_omniq("check_completion_init_job_counter"),
    "ctx.exec": handler(Exec, "childs_init"),
    "ctx.check_completion": handler(CheckCompletion, "init_job_counter"),
    "ctx.aio.exec": async_handler("exec", "childs_init"),
    "ctx.aio.check_completion": async_handler("check_completion", "init_job_counter"),
}


def notes(conn: Any) -> dict[str, float]:
    return {key.decode(): score for key, score in conn.zrange(keys.COUNTERS, 0, -1, withscores=True)}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
async def test_each_way_to_begin_a_counter_notes_it(door: Door, server: Server, redis_conn: redis.Redis) -> None:
    before = now_ms()
    await door(server.url, " order/42 ", 3)
    assert redis_conn.get("{cc:order/42}:count") == b"3"
    (noted,) = notes(redis_conn).items()
    assert (noted[0], before <= noted[1] <= now_ms()) == ("order/42", True)


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
async def test_a_note_costs_two_commands(door: Door, server: Server, redis_conn: redis.Redis) -> None:
    sent: list[str] = []

    def see(n: int, command: Seen) -> Action:
        sent.append(command.name)
        return PASS

    await door(server.url, "warm", 1)
    with Proxy(server.url, see) as proxy:
        await door(proxy.url, "k", 1)
    assert sent == ["EVALSHA", "ZADD", "ZREMRANGEBYRANK"]


class Recorder:
    """Notes what is to be carried out together, and answers as a server does."""

    def __init__(self) -> None:
        self.trips: list[list[str]] = []

    def execute_all(self, ops: Sequence[Operation]) -> list[Any]:
        self.trips.append([op.script if isinstance(op, Command) else str(op.args[0]) for op in ops])
        return [op.parse(reply) for op, reply in zip(ops, ([b"OK"], 1, 0), strict=True)]


def test_counter_and_note_are_one_round_trip() -> None:
    client = Recorder()
    counting.begin_counter(client, "k", 1)
    assert client.trips == [["omniq/childs_init", "ZADD", "ZREMRANGEBYRANK"]]


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("kind", ["other type", "no right"])
async def test_a_note_that_cannot_be_written_harms_nothing(door: Door, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The counter has begun, the caller hears nothing of it, and the log says why it is not listed."""
    caplog.set_level(logging.INFO, "omniq_flow.counters")
    with ScratchServer() as server:
        conn = server.connection()
        conn.set(keys.COUNTERS, "something else")
        url = server.url if kind == "other type" else server.user("app", "secret", "~{cc:*", "+@all")
        await door(url, "k", 2)
        assert (conn.get("{cc:k}:count"), conn.get(keys.COUNTERS)) == (b"2", b"something else")
    (told,) = (record.getMessage() for record in caplog.records)
    assert told.startswith("counter k has begun, but listings will not show it: ")
    assert ("WRONGTYPE" if kind == "other type" else "(NOPERM)") in told


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
async def test_what_is_refused_is_raised_and_leaves_no_note(door: Door, server: Server, redis_conn: redis.Redis) -> None:
    with pytest.raises(OperationRefused, match="BAD_EXPECTED"):
        await door(server.url, "k", 0)
    with pytest.raises(ValueError, match="brace"):
        await door(server.url, "{k}", 1)
    assert redis_conn.dbsize() == 0


async def test_a_refusal_is_raised_also_where_the_note_fails(client: Client, redis_conn: redis.Redis) -> None:
    redis_conn.set(keys.COUNTERS, "something else")
    client.execute(counters.childs_init("k", 1))
    with pytest.raises(OperationRefused, match="ALREADY_INIT"):
        counting.begin_counter(client, "k", 1)


def test_only_the_newest_thousand_are_noted(client: Client, redis_conn: redis.Redis) -> None:
    redis_conn.zadd(keys.COUNTERS, {f"old{n}": n for n in range(1_005)})
    counting.begin_counter(client, "new", 1)
    assert redis_conn.zcard(keys.COUNTERS) == 1_000
    found = notes(redis_conn)
    assert ("new" in found, "old6" in found, "old5" in found) == (True, True, False)


def test_after_a_note_that_failed_a_client_rests(client: Client, redis_conn: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that refuses notes is not asked with each counter; a minute later it is asked again."""
    clock = [1_000_000]
    monkeypatch.setattr(counting, "monotonic_ms", lambda: clock[0])
    redis_conn.set(keys.COUNTERS, "something else")
    counting.begin_counter(client, "a", 1)
    redis_conn.delete(keys.COUNTERS)
    counting.begin_counter(client, "b", 1)
    assert redis_conn.mget("{cc:a}:count", "{cc:b}:count") == [b"1", b"1"]
    assert notes(redis_conn) == {}
    clock[0] += counting.REST_MS
    counting.begin_counter(client, "c", 1)
    assert list(notes(redis_conn)) == ["c"]


def test_a_lost_reply_is_still_an_error(server: Server, redis_conn: redis.Redis) -> None:
    """The counter may have begun: that the note got through says nothing about it."""
    with (
        Proxy(server.url, lambda n, command: DROP_REPLY if command.is_script else PASS) as proxy,
        Client.open(proxy.url) as client,
        pytest.raises(ServerUnavailable, match="may have been applied or not"),
    ):
        counting.begin_counter(client, "k", 1)
    assert redis_conn.get("{cc:k}:count") == b"1"
