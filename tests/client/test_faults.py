"""What the network and the server can do to a call, with the proxy and with servers of the test's own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator

import pytest
import redis

from omniq_flow.client.client import AsyncClient, Client
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.errors import ServerUnavailable
from omniq_flow.ops.command import Command
from tests.client.conftest import Opener, add, ask
from tests.support.proxy import BLACKHOLE, DROP_REPLY, DROP_REQUEST, PASS, RESET, Action, OnCommand, Proxy, delay
from tests.support.server import ScratchServer
from tests.support.until import until

LOGGER = "omniq_flow.client"


@pytest.fixture
def scratch() -> Iterator[ScratchServer]:
    with ScratchServer(aof=True, tcp=True) as server:
        yield server


def once() -> Command[int]:
    return add("{q}:n", is_repeatable=False)


def at(number: int, action: Action) -> OnCommand:
    """Does it to the command of that number, counted after the greetings."""
    return lambda n, command: action if n == number else PASS


@pytest.mark.parametrize("fault", [DROP_REPLY, RESET])
async def test_a_lost_reply_is_asked_for_again_if_that_is_safe(opened: Opener, scratch: ScratchServer, fault: Action) -> None:
    """C07 (b): it was carried out; being repeatable it is sent once more."""
    with Proxy(scratch.url, at(3, fault)) as proxy:
        client = await opened(proxy.url)
        await client.execute(add("{q}:n"))
        assert proxy.count == 2, "EVALSHA, then EVAL"
        assert await client.execute(add("{q}:n")) == 3
        assert [seen.name for seen in proxy.seen] == ["EVALSHA", "EVAL", "EVALSHA", "EVALSHA"]


@pytest.mark.parametrize("fault", [DROP_REPLY, RESET])
async def test_a_lost_reply_of_anything_else_is_never_asked_for_again(opened: Opener, scratch: ScratchServer, fault: Action) -> None:
    """H02: nothing below us sends it a second time either."""
    with Proxy(scratch.url, at(3, fault)) as proxy:
        client = await opened(proxy.url)
        assert await client.execute(once()) == 1
        assert proxy.count == 2, "EVALSHA, then EVAL"
        with pytest.raises(ServerUnavailable, match="test/add was answered; it may have been applied or not"):
            await client.execute(once())
        assert proxy.count == 3
        assert scratch.connection().get("{q}:n") == b"2"
        assert await client.execute(once()) == 3


async def test_of_a_pipeline_only_the_safe_part_goes_again(opened: Opener, scratch: ScratchServer) -> None:
    with Proxy(scratch.url, at(4, DROP_REPLY)) as proxy:
        client = await opened(proxy.url)
        await client.execute(add("{q}:warm"))
        with pytest.raises(ServerUnavailable, match="may have been applied"):
            await client.execute_all([once(), once(), ask("SET", "{q}:late", "1")])
        assert scratch.connection().get("{q}:n") == b"2", "the one answered, and the one whose answer was lost"
        assert scratch.connection().get("{q}:late") == b"1"


async def test_a_lost_request_looks_the_same_to_us(opened: Opener, scratch: ScratchServer) -> None:
    """C07 (a): not carried out, which nobody here can know."""
    with Proxy(scratch.url, at(2, DROP_REQUEST)) as proxy:
        client = await opened(proxy.url)
        await client.execute(ask("PING"))
        with pytest.raises(ServerUnavailable, match="may have been applied"):
            await client.execute(once())
        assert await client.execute(once()) == 1


async def test_a_late_reply_is_waited_for_up_to_the_limit(opened: Opener, scratch: ScratchServer) -> None:
    """C07 (c)."""
    with Proxy(scratch.url, at(2, delay(0.5))) as proxy:
        client = await opened(proxy.url, reply_timeout=2)
        await client.execute(ask("PING"))
        assert await client.execute(ask("INCR", "{q}:n")) == 1
        assert proxy.count == 2


@pytest.mark.parametrize("fault", [BLACKHOLE, delay(3)])
async def test_a_silent_connection_is_left_for_a_new_one(opened: Opener, scratch: ScratchServer, fault: Action) -> None:
    """C67: accepted, never answered. The late reply of the old connection is never taken for another's."""
    with Proxy(scratch.url, at(2, fault)) as proxy:
        client = await opened(proxy.url, reply_timeout=0.2)
        await client.execute(ask("PING"))
        began = time.monotonic()
        assert await client.execute(ask("ECHO", "again")) == b"again"
        assert 0.2 <= time.monotonic() - began < 2
        assert await client.execute(ask("ECHO", "next")) == b"next"


async def test_patience_with_a_silent_server_is_bounded(opened: Opener, scratch: ScratchServer) -> None:
    client = await opened(scratch.url, connect_timeout=0.5, reply_timeout=0.2, retry=RetryPolicy(patience_ms=500))
    scratch.pause()
    began = time.monotonic()
    with pytest.raises(ServerUnavailable, match=r"no reply within|no answer in time"):
        await client.execute(ask("PING"))
    assert time.monotonic() - began < 2
    scratch.resume()
    assert await client.execute(ask("PING")) == b"PONG"


async def test_an_idle_connection_that_was_closed_costs_nothing(opened: Opener, scratch: ScratchServer) -> None:
    """Nothing had left, so even what must not be repeated is simply sent over a new one."""
    client = await opened(scratch.url)
    for number in range(1, 6):
        scratch.connection().client_kill_filter(_type="normal", skipme=True)
        assert await client.execute(once()) == number


async def test_a_restart_is_survived(opened: Opener, scratch: ScratchServer) -> None:
    """C70: new server, no scripts, same data."""
    client = await opened(scratch.url)
    for number in range(1, 4):
        assert await client.execute(once()) == number
        scratch.restart()


async def test_a_server_that_is_away_for_a_while_is_waited_for(opened: Opener, scratch: ScratchServer) -> None:
    client = await opened(scratch.url, connect_timeout=10)
    await client.execute(once())
    scratch.kill()
    call = asyncio.create_task(client.execute(once()))
    done, _ = await asyncio.wait([call], timeout=0.5)
    assert not done
    scratch.start()
    assert await call == 2


async def test_a_server_that_stays_away_is_reported_in_time(opened: Opener, scratch: ScratchServer) -> None:
    client = await opened(scratch.url, connect_timeout=0.5)
    scratch.stop()
    began = time.monotonic()
    with pytest.raises(ServerUnavailable, match="connection is refused") as caught:
        await asyncio.gather(*(client.execute(ask("PING")) for _ in range(5)))
    assert time.monotonic() - began < 3
    assert caught.value.where == scratch.url.removesuffix("/0")


async def test_scripts_may_be_forgotten_at_any_time(opened: Opener, scratch: ScratchServer) -> None:
    """C70: flushed all the time under load; each call is carried out once."""
    client = await opened(scratch.url)
    with scratch.connection() as admin:

        async def flush() -> None:
            while True:
                admin.script_flush()
                await asyncio.sleep(0.002)

        async def work() -> None:
            for _ in range(100):
                await client.execute_all([once(), once()])

        flushing = asyncio.create_task(flush())
        await asyncio.gather(*(work() for _ in range(4)))
        flushing.cancel()
        assert admin.get("{q}:n") == b"800"


async def test_two_servers_in_one_process_have_scripts_of_their_own(opened: Opener, scratch: ScratchServer) -> None:
    """C70: nothing about scripts is remembered per process."""
    with ScratchServer() as other:
        first, second = await opened(scratch.url), await opened(other.url)
        assert [await first.execute(once()), await second.execute(once()), await first.execute(once())] == [1, 1, 2]


async def test_a_failover_is_sat_out(opened: Opener, scratch: ScratchServer) -> None:
    """C68: READONLY for a while, then primary again; each call is carried out once."""
    client = await opened(scratch.url)
    await client.execute(once())
    with scratch.connection() as admin:
        admin.replicaof("127.0.0.1", 1)
        calls = [asyncio.create_task(client.execute(once())) for _ in range(20)]
        done, _ = await asyncio.wait(calls, timeout=0.3)
        assert not done
        admin.replicaof("NO", "ONE")
        assert sorted(await asyncio.gather(*calls)) == list(range(2, 22))


async def test_a_failover_moves_the_endpoint(opened: Opener, scratch: ScratchServer) -> None:
    """C68, variant: READONLY makes a new connection, which leads to the new primary."""
    with ScratchServer(tcp=True) as other, Proxy(scratch.url) as proxy:
        client = await opened(proxy.url)
        await client.execute(once())
        scratch.connection().replicaof("127.0.0.1", 1)
        proxy.lead_to(other.url)
        assert await client.execute(once()) == 1
        assert other.connection().get("{q}:n") == b"1"


async def test_a_replica_that_stays_one_is_reported(opened: Opener, scratch: ScratchServer) -> None:
    client = await opened(scratch.url, retry=RetryPolicy(attempts=3, first_ms=1))
    scratch.connection().replicaof("127.0.0.1", 1)
    with pytest.raises(ServerUnavailable, match=r"read-only replica \(READONLY\)") as caught:
        await client.execute(once())
    assert caught.value.hint == "use the address of the primary"


async def test_a_busy_server_is_waited_for(opened: Opener, scratch: ScratchServer) -> None:
    client = await opened(scratch.url)
    await client.execute(once())
    with scratch.connection() as admin:
        admin.config_set("busy-reply-threshold", 20)
        blocker = asyncio.create_task(asyncio.to_thread(_spin, scratch))
        await until(lambda: _is_busy(scratch), "the server is busy")
        call = asyncio.create_task(client.execute(once()))
        done, _ = await asyncio.wait([call], timeout=0.2)
        assert not done
        admin.script_kill()
        assert await call == 2
        await blocker


async def test_no_memory_is_reported_at_once(opened: Opener, scratch: ScratchServer) -> None:
    client = await opened(scratch.url)
    scratch.connection().config_set("maxmemory", 1)
    with pytest.raises(ServerUnavailable, match="out of memory") as caught:
        await client.execute(once())
    assert "maxmemory" in caught.value.hint
    scratch.connection().config_set("maxmemory", 0)
    assert await client.execute(once()) == 1


async def test_a_fault_is_told_once_and_its_end_once(opened: Opener, scratch: ScratchServer, caplog: pytest.LogCaptureFixture) -> None:
    """C66."""
    caplog.set_level(logging.INFO, LOGGER)
    client = await opened(scratch.url)
    await asyncio.gather(*(client.execute(ask("PING")) for _ in range(10)))
    assert caplog.messages == [], "connecting for the first time is no news"
    scratch.kill()
    calls = [asyncio.create_task(client.execute(ask("PING"))) for _ in range(10)]
    await until(lambda: caplog.messages, "the loss is told")
    scratch.start()
    await asyncio.gather(*calls)
    where = scratch.url.removesuffix("/0")
    assert caplog.messages[0] == f"connection to {where} lost: the server closed the connection"
    assert caplog.messages[1].startswith(f"connection to {where} restored after ")
    assert len(caplog.messages) == 2


async def test_rounds_of_faults_leave_nobody_deaf(opened: Opener, scratch: ScratchServer) -> None:
    """C66, small: kills of connections, resets and restarts under load; nothing is lost, nobody stops."""
    with Proxy(scratch.url) as proxy:
        client = await opened(proxy.url)
        answered = 0
        is_over = False

        async def work(number: int) -> None:
            nonlocal answered
            while not is_over:
                assert await client.execute(ask("ECHO", str(number))) == str(number).encode()
                answered += 1

        workers = [asyncio.create_task(work(number)) for number in range(4)]
        kill = lambda: scratch.connection().client_kill_filter(_type="normal", skipme=True)  # noqa: E731
        for fault in (kill, lambda: proxy.cut(reset=True), scratch.restart, proxy.cut, kill, scratch.restart):
            await asyncio.to_thread(fault)
            before = answered
            await until(lambda before=before: answered > before + 20, "calls are answered again", timeout=3)  # type: ignore[misc]
        is_over = True
        await asyncio.gather(*workers)


async def test_a_blocking_pop_tells_to_look_when_its_connection_breaks(scratch: ScratchServer) -> None:
    async with await AsyncClient.open(scratch.url) as client:
        with scratch.connection() as admin:
            pop = asyncio.create_task(client.pop_blocking(["{q}:w"], 30))
            await until(lambda: admin.info("clients")["blocked_clients"] == 1, "the pop waits")
            admin.client_kill_filter(_type="normal", skipme=True)
            assert await asyncio.wait_for(pop, 2) is None
            admin.rpush("{q}:w", "1")
            assert await client.pop_blocking(["{q}:w"], 5) == ("{q}:w", b"1")


async def test_a_blocking_pop_into_a_hole_ends_with_its_margin(scratch: ScratchServer) -> None:
    """C67."""
    with Proxy(scratch.url, lambda n, command: BLACKHOLE if command.name == "BLPOP" else PASS) as proxy:
        async with await AsyncClient.open(proxy.url, reply_timeout=0.2) as client:
            began = time.monotonic()
            assert await client.pop_blocking(["{q}:w"], 0.1) is None
            assert 0.3 <= time.monotonic() - began < 2


async def test_closing_does_not_wait_for_a_server_that_is_away(scratch: ScratchServer) -> None:
    client = await AsyncClient.open(scratch.url, connect_timeout=60)
    scratch.kill()
    call = asyncio.create_task(client.execute(ask("PING")))
    done, _ = await asyncio.wait([call], timeout=0.2)
    assert not done
    await asyncio.wait_for(client.close(), 1)
    with pytest.raises(ServerUnavailable, match="closed"):
        await call


def test_an_interrupted_call_leaves_no_half_read_connection(scratch: ScratchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between request and reply: the reply must not be taken for the next call's."""
    with Client.open(scratch.url) as client:
        link = client._start._idle[0]

        def interrupt(**_: object) -> object:
            raise KeyboardInterrupt

        monkeypatch.setattr(link._connection, "read_response", interrupt)
        with pytest.raises(KeyboardInterrupt):
            client.execute(ask("ECHO", "first"))
        assert client.execute(ask("ECHO", "second")) == b"second"


def _spin(scratch: ScratchServer) -> None:
    with scratch.connection() as conn, pytest.raises(redis.ResponseError):
        conn.eval("while true do end", 0)


def _is_busy(scratch: ScratchServer) -> bool:
    with scratch.connection() as conn:
        try:
            return not conn.ping()
        except redis.ResponseError as error:
            return "BUSY" in str(error)
