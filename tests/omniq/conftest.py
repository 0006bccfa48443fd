"""Both OmniQ clients behind one face, so that each promise is tested on both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, cast

import pytest
import pytest_asyncio
import redis

from omniq_flow.omniq.async_client import AsyncOmniqClient
from omniq_flow.omniq.client import OmniqClient
from tests.support.server import Server


class AnyOmniq(Protocol):
    """What both have in common: any method, awaited."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]: ...


class InThread:
    """The blocking client, each call in a thread."""

    def __init__(self, client: OmniqClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(**arguments: Any) -> Any:
            return await asyncio.to_thread(getattr(self._client, name), **arguments)

        return call


Maker = Callable[..., Awaitable[AnyOmniq]]


@pytest_asyncio.fixture(params=["blocking", "asyncio"])
async def made(request: pytest.FixtureRequest) -> AsyncIterator[Maker]:
    """`await made(redis_url=…)` gives a client of either kind, connected; closed in the end."""
    clients: list[AnyOmniq] = []

    async def make(**arguments: Any) -> AnyOmniq:
        client: AnyOmniq
        if request.param == "blocking":
            client = InThread(await asyncio.to_thread(OmniqClient, **arguments))
        else:
            client = cast("AnyOmniq", await AsyncOmniqClient(**arguments).__aenter__())
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()


@pytest_asyncio.fixture
async def omniq(made: Maker, server: Server, redis_conn: redis.Redis) -> AnyOmniq:
    """A client of either kind on the empty server."""
    return await made(redis_url=server.url)
