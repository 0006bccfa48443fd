"""C111: a server that cannot be used is reported within five seconds, in one line: what, where, what to do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from omniq_flow.client.client import CONNECT_TIMEOUT_S
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.errors import ServerUnavailable
from tests.client.conftest import Opener, add, ask, script
from tests.support.proxy import Proxy
from tests.support.server import ScratchServer, free_port
from tests.support.until import until

SECRET = "pw5-secret"


async def refused(opened: Opener, url: str, connect_timeout: float = 1.0) -> ServerUnavailable:
    """The error of opening `url`, checked for what all of them have in common."""
    began = time.monotonic()
    with pytest.raises(ServerUnavailable) as caught:
        await opened(url, connect_timeout=connect_timeout)
    error = caught.value
    shown = f"{error} {error.where} {error.hint} {error.__cause__!r}"
    assert time.monotonic() - began <= connect_timeout + 0.5
    assert error.where
    assert error.hint
    assert "\n" not in shown
    assert SECRET not in shown
    return error


@contextlib.asynccontextmanager
async def something(says: bytes, *, closes: bool = False) -> AsyncIterator[str]:
    """The address of a server of another kind: says something, then stays silent or closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        if not closes:
            await reader.read()
        writer.close()

    front = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://:{SECRET}@127.0.0.1:{front.sockets[0].getsockname()[1]}"
    finally:
        front.close()


def test_the_limit_is_five_seconds_if_nothing_is_said() -> None:
    assert CONNECT_TIMEOUT_S <= 5


async def test_a_wrong_host(opened: Opener) -> None:
    """H25: the name holds "ask", the texts of the errors may hold "moved"."""
    error = await refused(opened, f"redis://ann:{SECRET}@task-redis.invalid:6380")
    assert "no address is known for host 'task-redis.invalid'" in str(error)
    assert error.where == "redis://ann:***@task-redis.invalid:6380"


async def test_a_resolver_that_hangs(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit of a socket covers the look-up of a name."""
    released = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        released.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        error = await refused(opened, f"redis://:{SECRET}@slow.invalid", connect_timeout=0.3)
    finally:
        released.set()
    assert "no answer in time" in str(error)


async def test_a_wrong_port(opened: Opener) -> None:
    port = free_port()
    began = time.monotonic()
    error = await refused(opened, f"redis://:{SECRET}@127.0.0.1:{port}/2", connect_timeout=30)
    assert time.monotonic() - began < 2, "nobody there is known at once, whatever the limit"
    assert "nobody listens there" in str(error)
    assert error.where == f"redis://:***@127.0.0.1:{port}/2"


async def test_a_wrong_socket(opened: Opener) -> None:
    error = await refused(opened, f"unix://:{SECRET}@/nowhere/redis.sock")
    assert "no such socket" in str(error)


@pytest.mark.parametrize("login", [f"{SECRET}", f"default:{SECRET}", f"ann:{SECRET}"])
async def test_a_wrong_password(opened: Opener, login: str) -> None:
    with ScratchServer(password="right", tcp=True) as scratch:
        login = login if ":" in login else f":{login}"
        error = await refused(opened, f"redis://{login}@127.0.0.1:{scratch.port}")
    assert "user name or password is wrong (WRONGPASS)" in str(error)


async def test_no_password(opened: Opener) -> None:
    with ScratchServer(password=SECRET, tcp=True) as scratch:
        error = await refused(opened, f"redis://127.0.0.1:{scratch.port}")
    assert "wants a password (NOAUTH)" in str(error)


async def test_the_right_password_in_any_characters(opened: Opener) -> None:
    with ScratchServer(password="s e:c@r/e%t#?ü", tcp=True) as scratch:
        client = await opened(scratch.url)
        assert await client.execute(ask("PING")) == b"PONG"


async def test_tls_to_a_plain_port(opened: Opener) -> None:
    with ScratchServer(tcp=True) as scratch:
        error = await refused(opened, f"rediss://:{SECRET}@127.0.0.1:{scratch.port}")
    assert "redis://" in error.hint


async def test_a_web_server(opened: Opener) -> None:
    async with something(b"HTTP/1.1 400 Bad Request\r\n\r\n", closes=True) as url:
        began = time.monotonic()
        error = await refused(opened, url, connect_timeout=30)
    assert "not as Redis or Valkey does" in str(error)
    assert time.monotonic() - began < 2


async def test_something_that_hangs_up(opened: Opener) -> None:
    async with something(b"", closes=True) as url:
        error = await refused(opened, url, connect_timeout=0.5)
    assert "closed the connection" in str(error) or "reset" in str(error)


async def test_something_that_never_answers(opened: Opener) -> None:
    async with something(b"") as url:
        error = await refused(opened, url)
    assert "no reply within" in str(error) or "no answer in time" in str(error)


async def test_a_server_that_is_too_old_to_greet(opened: Opener) -> None:
    """It repeats the arguments of a command it does not know, our password among them."""
    with ScratchServer(tcp=True, options=("--rename-command", "HELLO", "")) as scratch:
        error = await refused(opened, f"redis://:{SECRET}@127.0.0.1:{scratch.port}")
    assert "does not know HELLO" in str(error)


async def test_a_cluster_is_asked_and_refused(opened: Opener) -> None:
    """H25: by what it says of itself; one that serves nothing is no use, and neither is another database than 0."""
    cluster = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with ScratchServer(tcp=True, options=cluster) as scratch:
        error = await refused(opened, scratch.url)
        assert "no node of the cluster serves any hash slot" in str(error)
        error = await refused(opened, f"redis://127.0.0.1:{scratch.port}/3")
        assert "only database 0 is used, not 3" in str(error)


async def test_a_database_that_does_not_exist(opened: Opener) -> None:
    with ScratchServer(tcp=True) as scratch:
        error = await refused(opened, f"redis://127.0.0.1:{scratch.port}/99")
    assert "database 99 does not exist there" in str(error)


async def test_a_server_without_a_free_connection(opened: Opener) -> None:
    with ScratchServer(tcp=True) as scratch, scratch.connection() as admin:
        admin.config_set("maxclients", 1)
        error = await refused(opened, scratch.url, connect_timeout=0.5)
        assert "no connection left for us" in str(error)
        admin.config_set("maxclients", 100)
        assert await (await opened(scratch.url)).execute(ask("PING")) == b"PONG"


async def test_a_server_that_is_just_starting_is_waited_for(opened: Opener) -> None:
    with ScratchServer(tcp=True) as scratch:
        scratch.stop()
        opening = asyncio.create_task(_open(opened, scratch.url))
        done, _ = await asyncio.wait([opening], timeout=0.2)
        assert not done
        scratch.start()
        assert await (await opening).execute(ask("PING")) == b"PONG"


async def test_a_loading_server(opened: Opener) -> None:
    with ScratchServer(tcp=True, aof=True) as scratch:
        with scratch.connection() as admin:
            admin.execute_command("DEBUG", "POPULATE", 30_000)
            admin.bgrewriteaof()
            await until(lambda: _is_rewritten(admin.info("persistence")), "the file is written")
        scratch.stop()
        scratch.start_loading("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
        client = await opened(scratch.url, retry=RetryPolicy(patience_ms=500))
        began = time.monotonic()
        with pytest.raises(ServerUnavailable, match=r"still loading its data \(LOADING\)"):
            await client.execute(ask("PING"))
        assert time.monotonic() - began <= 1


class TestUsers:
    """A user limited to its queue can do all that flows do, and is told what it may not."""

    @pytest.mark.parametrize(
        "rules",
        [("~{q}:*", "+evalsha", "+eval", "+incrby", "+blpop"), ("~{q}:*", "+@all", "-@dangerous")],
        ids=["scripts", "usual"],
    )
    async def test_few_rights_are_enough(self, opened: Opener, rules: tuple[str, ...]) -> None:
        with ScratchServer(tcp=True) as scratch:
            client = await opened(scratch.user("ann", SECRET, *rules))
            assert await client.execute(add("{q}:n")) == 1
            assert await client.execute_all([add("{q}:n"), script("echo", "{q}:x", "x")]) == [2, [b"x", 1]]

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (lambda: add("{other}:n"), "permissions to access "),
            (lambda: script("other", "{q}:n"), "script"),
            (lambda: ask("CONFIG", "GET", "dir"), "no permissions to run the 'config|get' command"),
        ],
        ids=["key", "inside", "command"],
    )
    async def test_what_is_missing_is_told(self, opened: Opener, call: Callable[[], Any], words: str) -> None:
        with ScratchServer(tcp=True) as scratch:
            client = await opened(scratch.user("ann", SECRET, "~{q}:*", "+@all", "-@dangerous"))
            with pytest.raises(ServerUnavailable, match=r"the user may not do this \(NOPERM\)") as caught:
                await client.execute(call())
            assert words in str(caught.value)
            assert "ACL SETUSER" in caught.value.hint
            assert await client.execute(add("{q}:n")) == 1

    async def test_a_user_that_is_removed_is_told(self, opened: Opener) -> None:
        with ScratchServer(tcp=True) as scratch:
            client = await opened(scratch.user("ann", SECRET, "~*", "+@all"))
            assert await client.execute(add("{q}:n")) == 1
            scratch.connection().acl_deluser("ann")
            with pytest.raises(ServerUnavailable, match="WRONGPASS") as caught:
                await client.execute(add("{q}:n"))
            assert SECRET not in f"{caught.value} {caught.value.where}"


async def test_the_password_stays_out_of_everything_that_is_shown(opened: Opener, caplog: pytest.LogCaptureFixture) -> None:
    with ScratchServer(tcp=True, password=SECRET) as scratch, Proxy(scratch.url) as proxy:
        client = await opened(proxy.url, connect_timeout=0.3)
        assert SECRET not in repr(client)
        scratch.kill()
        with pytest.raises(ServerUnavailable) as caught:
            await client.execute(ask("PING"))
        assert SECRET not in f"{caught.value!r} {caught.value.where}"
        assert "lost" in caplog.text
        assert SECRET not in caplog.text


def _open(opened: Opener, url: str) -> Coroutine[Any, Any, Any]:
    async def run() -> Any:
        return await opened(url)

    return run()


def _is_rewritten(info: dict[str, Any]) -> bool:
    is_running = info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"]
    return not is_running and str(info["aof_last_bgrewrite_status"]) == "ok"
