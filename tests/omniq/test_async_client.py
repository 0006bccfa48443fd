"""What is the asyncio client's own: it needs no server to be made, and belongs to one loop."""

from __future__ import annotations

import asyncio

import pytest
import redis

from omniq_flow.errors import ServerUnavailable
from omniq_flow.omniq.async_client import AsyncOmniqClient
from omniq_flow.omniq.results import ReserveJob
from tests.support.server import ScratchServer, Server
from tests.support.until import until


async def test_it_connects_at_the_first_call() -> None:
    with ScratchServer() as scratch, scratch.connection() as admin:
        client = AsyncOmniqClient(redis_url=scratch.url)
        assert len(admin.client_list()) == 1
        assert await client.is_paused(queue="q") is False
        assert len(admin.client_list()) == 2
        await client.close()
        await until(lambda: len(admin.client_list()) == 1, "the connection is gone")


async def test_it_connects_with_the_block() -> None:
    with ScratchServer() as scratch, scratch.connection() as admin:
        async with AsyncOmniqClient(redis_url=scratch.url):
            assert len(admin.client_list()) == 2
        await until(lambda: len(admin.client_list()) == 1, "the connection is gone")


async def test_a_server_that_is_not_there_is_told_by_both() -> None:
    client = AsyncOmniqClient(host="127.0.0.1", port=1, connect_timeout=0.2)
    with pytest.raises(ServerUnavailable):
        await client.publish(queue="q", payload={})
    with pytest.raises(ServerUnavailable):
        async with client:
            pass


async def test_tasks_share_it(server: Server, redis_conn: redis.Redis) -> None:
    async with AsyncOmniqClient(redis_url=server.url) as client:
        ids = await asyncio.gather(*(client.publish(queue="q", payload={"n": n}) for n in range(50)))
        jobs = await asyncio.gather(*(client.ops.reserve(queue="q") for _ in range(51)))
    assert sorted(job.job_id for job in jobs if isinstance(job, ReserveJob)) == sorted(ids)
    assert jobs.count(None) == 1


def test_it_can_be_made_outside_a_loop(server: Server, redis_conn: redis.Redis) -> None:
    client = AsyncOmniqClient(redis_url=server.url)

    async def use() -> str:
        async with client:
            return await client.publish(queue="q", payload={}, job_id="a")

    assert asyncio.run(use()) == "a"
