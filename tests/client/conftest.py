"""Both clients behind one face, so that each promise is tested on both."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol

import pytest
import pytest_asyncio

from omniq_flow.client.client import AsyncClient, Client
from omniq_flow.client.connect import ServerInfo
from omniq_flow.lua import assemble
from omniq_flow.ops.command import Arg, Command, Operation, Query

SCRIPTS = {
    "test/add": "return redis.call('INCRBY', KEYS[1], ARGV[1])",
    "test/set": "#!lua flags=allow-cross-slot-keys\nredis.call('SET', KEYS[1], ARGV[1]) return 'OK'",
    "test/echo": "return {ARGV[1], #ARGV[1]}",
    "test/other": "return redis.call('GET', 'other')",
    "test/broken": "return redis.call('LPUSH', KEYS[1], ARGV[1])",
    "test/slow": "while true do end",
}


class AnyClient(Protocol):
    """What the blocking and the asyncio client have in common here."""

    @property
    def server(self) -> ServerInfo: ...

    async def execute(self, op: Operation) -> Any: ...

    async def execute_all(self, ops: Sequence[Operation]) -> list[Any]: ...

    async def close(self) -> None: ...


class InThread:
    """The blocking client, each call in a thread."""

    def __init__(self, client: Client) -> None:
        self.client = client

    @property
    def server(self) -> ServerInfo:
        return self.client.server

    async def execute(self, op: Operation) -> Any:
        return await asyncio.to_thread(self.client.execute, op)

    async def execute_all(self, ops: Sequence[Operation]) -> list[Any]:
        return await asyncio.to_thread(self.client.execute_all, ops)

    async def close(self) -> None:
        await asyncio.to_thread(self.client.close)


Opener = Callable[..., Awaitable[AnyClient]]


@pytest_asyncio.fixture(params=["blocking", "asyncio"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Opener]:
    """`await opened(url, …)` gives a client of either kind; closed in the end."""
    clients: list[AnyClient] = []

    async def open_one(url: str, **options: Any) -> AnyClient:
        client: AnyClient
        if request.param == "blocking":
            client = InThread(await asyncio.to_thread(Client.open, url, **options))
        else:
            client = await AsyncClient.open(url, **options)
        clients.append(client)
        return client

    yield open_one
    for client in clients:
        await client.close()


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few scripts of these tests in place of the package's."""

    def load(name: str) -> assemble.Script:
        source = SCRIPTS[name]
        return assemble.Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())

    monkeypatch.setattr(assemble, "load", load)


def add(key: str, by: int = 1, *, is_repeatable: bool = True) -> Command[int]:
    """Adds to a number, so that a second execution shows."""
    return Command("test/add", (key,), (by,), int, is_repeatable)


def script(name: str, key: str, *args: Arg) -> Command[Any]:
    return Command(f"test/{name}", (key,), args, lambda reply: reply)


def ask(*args: Arg) -> Query[Any]:
    return Query(args, lambda reply: reply)
