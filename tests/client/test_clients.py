"""Both clients keep the same promises to those who call them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis

from omniq_flow.client.client import AsyncClient, Client
from omniq_flow.errors import ReplyError, ServerUnavailable
from omniq_flow.ops.command import Query
from tests.client.conftest import Opener, add, ask, script
from tests.support.server import ScratchServer, Server
from tests.support.until import until


async def test_a_script_is_called_and_its_reply_parsed(opened: Opener, server: Server, redis_conn: redis.Redis, queue: str) -> None:
    client = await opened(server.url)
    key = f"{{{queue}}}:n"
    assert await client.execute(add(key, 2)) == 2
    assert await client.execute(add(key, 3)) == 5
    assert redis_conn.get(key) == b"5"


async def test_replies_are_bytes_even_if_they_are_no_text(opened: Opener, server: Server) -> None:
    client = await opened(server.url)
    assert await client.execute(script("echo", "{q}", b"\xff\x00")) == [b"\xff\x00", 2]
    assert await client.execute(ask("HGETALL", "{q}:none")) == []
    assert await client.execute(ask("GET", "{q}:none")) is None


async def test_many_operations_travel_together_in_order(opened: Opener, server: Server, redis_conn: redis.Redis) -> None:
    client = await opened(server.url)
    redis_conn.script_flush()
    replies = await client.execute_all([op for i in range(500) for op in (add("{q}:n"), ask("ECHO", str(i)))])
    assert replies == [reply for i in range(500) for reply in (i + 1, str(i).encode())]
    assert await client.execute_all([]) == []


async def test_large_values_go_both_ways(opened: Opener, server: Server) -> None:
    client = await opened(server.url)
    big = b"x" * 3_000_000
    assert await client.execute_all([ask("SET", "{q}:big", big), ask("GET", "{q}:big")]) == [b"OK", big]


async def test_a_failing_member_does_not_stop_the_others(opened: Opener, server: Server, redis_conn: redis.Redis) -> None:
    client = await opened(server.url)
    redis_conn.set("{q}:text", "no number")
    with pytest.raises(ReplyError, match="test/add failed: ERR value is not an integer"):
        await client.execute_all([add("{q}:a"), add("{q}:text"), add("{q}:b")])
    assert redis_conn.mget("{q}:a", "{q}:b") == [b"1", b"1"]
    assert await client.execute(add("{q}:a")) == 2, "the connection is still in step"


async def test_a_failed_parse_leaves_the_connection_in_step(opened: Opener, server: Server) -> None:
    client = await opened(server.url)
    with pytest.raises(ValueError, match="invalid literal"):
        await client.execute(Query(("ECHO", "x"), int))
    assert await client.execute(ask("ECHO", "y")) == b"y"


async def test_a_server_tells_who_it_is(opened: Opener, server: Server) -> None:
    client = await opened(server.url)
    assert client.server.mode == "standalone"
    assert not client.server.is_replica
    assert client.server.version >= (7, 0)


async def test_a_database_is_selected(opened: Opener, redis_conn: redis.Redis) -> None:
    with ScratchServer() as scratch:
        client = await opened(f"{scratch.url}?db=3")
        await client.execute(add("{q}:n"))
        assert {name: entry["keys"] for name, entry in scratch.connection().info("keyspace").items()} == {"db3": 1}


async def test_a_closed_client_says_so(opened: Opener, server: Server) -> None:
    client = await opened(server.url)
    await client.close()
    await client.close()
    with pytest.raises(ServerUnavailable, match="this client was closed"):
        await client.execute(ask("PING"))


async def test_a_closed_client_leaves_no_connection(opened: Opener) -> None:
    with ScratchServer() as scratch:
        client = await opened(scratch.url)
        await asyncio.gather(*(client.execute(ask("PING")) for _ in range(20)))
        await client.close()
        with scratch.connection() as admin:
            await until(lambda: len(admin.client_list()) == 1, "only the admin is left")


async def test_the_server_knows_our_name(opened: Opener) -> None:
    with ScratchServer() as scratch, scratch.connection() as admin:
        client = await opened(scratch.url)
        if client.server.version < (7, 2):
            pytest.skip("a server as old as this keeps no names of libraries")
        assert "omniq-flow" in [entry["lib-name"] for entry in admin.client_list()]


def test_threads_share_the_blocking_client(client: Client) -> None:
    def work() -> None:
        for _ in range(100):
            client.execute(add("{q}:n"))

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.execute(ask("GET", "{q}:n")) == b"1200"
    assert len(client._start._idle) <= 8


async def test_tasks_share_one_connection_and_each_gets_its_own_answers(aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    before = len(redis_conn.client_list())

    async def work(number: int) -> None:
        for turn in range(50):
            text = f"{number}.{turn}"
            assert await aclient.execute_all([ask("ECHO", text), add(f"{{q}}:{number}")]) == [text.encode(), turn + 1]

    await asyncio.gather(*(work(number) for number in range(200)))
    assert len(redis_conn.client_list()) == before


async def test_a_cancelled_call_does_not_disturb_the_others(aclient: AsyncClient) -> None:
    calls = [asyncio.create_task(aclient.execute(ask("ECHO", str(i)))) for i in range(100)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers[1::2] == [str(i).encode() for i in range(1, 100, 2)]
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
    assert await aclient.execute(ask("ECHO", "next")) == b"next"


async def test_a_blocking_pop_wakes_and_names_the_list(aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    pop = asyncio.create_task(aclient.pop_blocking(["{q}:w1", "{q}:w2"], 20))
    await until(lambda: _blocked(redis_conn) == 1, "the pop waits")
    assert await aclient.execute(ask("ECHO", "x")) == b"x", "other calls do not wait for it"
    redis_conn.rpush("{q}:w2", b"\xff")
    assert await pop == ("{q}:w2", b"\xff")


async def test_a_blocking_pop_ends_with_nothing(aclient: AsyncClient, keys_left: Callable[[], list[str]]) -> None:
    assert await aclient.pop_blocking(["{q}:w"], 0.05) is None
    assert keys_left() == []
    with pytest.raises(ValueError, match="a wait has an end"):
        await aclient.pop_blocking(["{q}:w"], 0)


async def test_blocking_pops_use_their_connections_again(aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    await asyncio.gather(*(aclient.pop_blocking(["{q}:w"], 0.02) for _ in range(3)))
    before = len(redis_conn.client_list())
    for _ in range(3):
        await asyncio.gather(*(aclient.pop_blocking(["{q}:w"], 0.02) for _ in range(3)))
    assert len(redis_conn.client_list()) == before


async def test_a_cancelled_pop_takes_nothing_later(aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    pop = asyncio.create_task(aclient.pop_blocking(["{q}:w"], 20))
    await until(lambda: _blocked(redis_conn) == 1, "the pop waits")
    pop.cancel()
    await until(lambda: _blocked(redis_conn) == 0, "the server has noticed")
    redis_conn.rpush("{q}:w", "1")
    assert redis_conn.llen("{q}:w") == 1


async def test_closing_ends_calls_that_wait(server: Server, redis_conn: redis.Redis) -> None:
    aclient = await AsyncClient.open(server.url)
    pop = asyncio.create_task(aclient.pop_blocking(["{q}:w"], 20))
    await until(lambda: _blocked(redis_conn) == 1, "the pop waits")
    await aclient.close()
    assert await asyncio.wait_for(pop, 2) is None


def _blocked(redis_conn: redis.Redis) -> int:
    info: dict[str, Any] = redis_conn.info("clients")
    return int(info["blocked_clients"])
