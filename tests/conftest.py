"""What every test may ask for: a server, an empty connection to it, a queue of its own, both clients.

`OMNIQ_FLOW_TEST_URL` names a server to use instead of one started here; the tests EMPTY it.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, cast

import pytest
import pytest_asyncio
import redis

from tests.support.server import GivenServer, ScratchServer, Server

if TYPE_CHECKING:
    from omniq_flow.client.client import AsyncClient, Client

_numbers = itertools.count(1)

# Tests start hundreds of processes, each of which would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Begun in the background, a shell's command ignores SIGINT, and so would all that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for the whole session; a test that stops or kills it starts a `ScratchServer` of its own."""
    if url := os.environ.get("OMNIQ_FLOW_TEST_URL"):
        yield GivenServer(url)
        return
    with ScratchServer() as scratch:
        yield scratch


@pytest.fixture
def redis_conn(server: Server) -> Iterator[redis.Redis]:
    """A connection that gives bytes, to an empty server."""
    with server.connection() as connection:
        connection.flushall()
        yield connection


@pytest.fixture
def queue() -> str:
    """A queue name that no other test of the session has."""
    return f"q{next(_numbers)}"


@pytest.fixture
def client(server: Server, redis_conn: redis.Redis) -> Iterator[Client]:
    from omniq_flow.client.client import Client

    with Client.open(server.url) as opened:
        yield opened


@pytest_asyncio.fixture
async def aclient(server: Server, redis_conn: redis.Redis) -> AsyncIterator[AsyncClient]:
    from omniq_flow.client.client import AsyncClient

    async with await AsyncClient.open(server.url) as opened:
        yield opened


@pytest.fixture
def keys_left(redis_conn: redis.Redis) -> Callable[[], list[str]]:
    """Calling it lists, sorted, the keys that are there now; nothing was when the test began."""

    def left() -> list[str]:
        return sorted(key.decode("utf-8", "backslashreplace") for key in cast("list[bytes]", redis_conn.keys("*")))

    return left
