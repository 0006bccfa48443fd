"""The proxy does to a command what it was told, and nothing to the others."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from tests.support.proxy import BLACKHOLE, DROP_REPLY, DROP_REQUEST, PASS, RESET, Action, Proxy, Seen, delay, then
from tests.support.server import ScratchServer, connection_to
from tests.support.until import wait_until


@pytest.fixture
def scratch() -> Iterator[ScratchServer]:
    with ScratchServer(tcp=True) as server:
        yield server


@pytest.mark.parametrize("tcp", [True, False])
@pytest.mark.parametrize("behind", ["tcp", "unix"])
def test_it_carries_and_counts_commands_of_any_size(scratch: ScratchServer, tcp: bool, behind: str) -> None:
    big = b"x\r\n" * 500_000
    with Proxy(scratch.tcp_url if behind == "tcp" else scratch.unix_url, tcp=tcp) as proxy, connection_to(proxy.url) as conn:
        conn.set("a", big)
        assert conn.get("a") == big
        pipe = conn.pipeline(transaction=False)
        for i in range(100):
            pipe.rpush("l", i)
        pipe.execute()
        assert conn.lrange("l", 0, -1) == [str(i).encode() for i in range(100)]
    assert [seen.name for seen in proxy.seen[:2]] == ["SET", "GET"]
    assert proxy.count == 103
    assert proxy.seen[0] == Seen((b"SET", b"a", big))


def test_a_dropped_request_never_arrives(scratch: ScratchServer) -> None:
    with Proxy(scratch.url, lambda n, command: DROP_REQUEST if n == 2 else PASS) as proxy, connection_to(proxy.url) as conn:
        conn.incr("a")
        with pytest.raises(redis.ConnectionError):
            conn.incr("a")
        assert conn.incr("a") == 2


@pytest.mark.parametrize("action", [DROP_REPLY, RESET])
def test_a_command_whose_reply_is_dropped_is_carried_out(scratch: ScratchServer, action: Action) -> None:
    with Proxy(scratch.url, lambda n, command: action if n == 2 else PASS) as proxy, connection_to(proxy.url) as conn:
        conn.incr("a")
        with pytest.raises(redis.ConnectionError) as caught:
            conn.incr("a")
        assert ("reset" in str(caught.value)) == (action is RESET)
        assert conn.incr("a") == 3


def test_a_reply_comes_late(scratch: ScratchServer) -> None:
    with Proxy(scratch.url, lambda n, command: delay(0.2)) as proxy, connection_to(proxy.url) as conn:
        began = time.monotonic()
        conn.incr("a")
        assert time.monotonic() - began >= 0.2


def test_a_hole_swallows_one_connection_only(scratch: ScratchServer) -> None:
    with (
        Proxy(scratch.url, lambda n, command: BLACKHOLE if b"hole" in command.args else PASS) as proxy,
        connection_to(proxy.url, timeout=0.2) as conn,
        connection_to(proxy.url) as other,
    ):
        other.incr("a")
        with pytest.raises(redis.TimeoutError):
            conn.incr("hole")
        assert other.incr("a") == 2
        assert scratch.connection().get("hole") == b"1"


def test_a_hole_under_open_connections_lets_nothing_through(scratch: ScratchServer) -> None:
    with Proxy(scratch.url) as proxy, connection_to(proxy.url, timeout=0.2) as conn:
        conn.incr("a")
        proxy.blackhole()
        with pytest.raises(redis.TimeoutError):
            conn.incr("a")
        assert scratch.connection().get("a") == b"1"
        assert conn.incr("a") == 2, "a new connection is no hole"


def test_something_happens_between_command_and_reply(scratch: ScratchServer) -> None:
    with Proxy(scratch.url, lambda n, command: then(scratch.kill) if n == 2 else PASS) as proxy, connection_to(proxy.url) as conn:
        conn.incr("a")
        assert conn.incr("a") == 2
        with pytest.raises(redis.ConnectionError):
            conn.incr("a")


def test_all_connections_are_cut_and_new_ones_are_welcome_or_not(scratch: ScratchServer) -> None:
    with Proxy(scratch.url) as proxy, connection_to(proxy.url) as conn:
        conn.ping()
        proxy.cut()
        wait_until(lambda: len(scratch.connection().client_list()) == 1, "the server sees the end")
        assert conn.ping()
        proxy.refuse()
        with pytest.raises(redis.ConnectionError):
            conn.ping()
        proxy.accept()
        assert conn.ping()


def test_greetings_count_only_if_wanted(scratch: ScratchServer) -> None:
    with Proxy(scratch.url, counts_greetings=True) as proxy, connection_to(proxy.url) as conn:
        conn.ping()
        assert {seen.name for seen in proxy.seen} > {"PING"}
        proxy.forget()
        conn.ping()
        assert [seen.name for seen in proxy.seen] == ["PING"]
