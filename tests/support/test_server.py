"""The scratch server and the waiting helpers keep their word."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
import redis

from tests.support.server import ScratchServer, connection_to
from tests.support.until import until, wait_until


def test_it_starts_fast_and_leaves_nothing() -> None:
    began = time.monotonic()
    with ScratchServer() as server:
        took = time.monotonic() - began
        pid, folder = server.pid, server.folder
        assert server.connection().ping()
    assert took < 1.0
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_with_aof_the_data_outlives_the_process(how: str) -> None:
    with ScratchServer(aof=True, tcp=True) as server:
        port, pid = server.port, server.pid
        server.connection().set("a", "1")
        if how == "kill":
            server.kill()
            server.start()
        else:
            server.restart()
        assert server.pid != pid
        assert connection_to(f"redis://127.0.0.1:{port}").get("a") == b"1"


def test_without_aof_nothing_outlives_it() -> None:
    with ScratchServer() as server:
        server.connection().set("a", "1")
        server.restart()
        assert server.connection().get("a") is None


def test_a_paused_server_is_silent_until_it_resumes() -> None:
    with ScratchServer() as server:
        impatient = connection_to(server.url, timeout=0.1)
        server.pause()
        with pytest.raises(redis.TimeoutError):
            impatient.ping()
        server.resume()
        assert server.connection().ping()


def test_a_paused_server_can_be_stopped() -> None:
    with ScratchServer() as server:
        server.pause()
        server.stop()
        server.start()
        assert server.connection().ping()


def test_a_user_can_do_what_the_rules_say() -> None:
    with ScratchServer(tcp=True) as server:
        conn = connection_to(server.user("ann", "p@ss/word", "~{q}:*", "+get"))
        assert conn.get("{q}:a") is None
        with pytest.raises(redis.exceptions.NoPermissionError):
            conn.get("other")


@pytest.mark.parametrize("tcp", [False, True])
def test_a_password_is_asked_for_and_stands_in_the_address(tcp: bool) -> None:
    with ScratchServer(password="s e:cret/", tcp=tcp) as server:
        assert connection_to(server.url).ping()
        with pytest.raises(redis.exceptions.AuthenticationError):
            connection_to(f"unix://{server.socket}").ping()


def test_the_shared_server_is_emptied_for_each_test(redis_conn: redis.Redis, queue: str, keys_left: Callable[[], list[str]]) -> None:
    assert keys_left() == []
    redis_conn.set(queue, "1")
    assert keys_left() == [queue]


def test_a_condition_that_never_holds_is_named() -> None:
    with pytest.raises(AssertionError, match="until the moon rises; the condition last gave 0"):
        wait_until(lambda: 0, "the moon rises", timeout=0.02)


async def test_a_condition_may_be_async_and_its_value_comes_back() -> None:
    answers = iter([None, None, "seven"])

    async def ask() -> str | None:
        return next(answers)

    assert await until(ask, "an answer comes") == "seven"
