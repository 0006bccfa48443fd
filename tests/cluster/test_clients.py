"""Both clients on a cluster: each operation goes to the node that has its keys, and nobody needs to know."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis
import redis.asyncio

from omniq_flow.client.client import AsyncClient, Client
from omniq_flow.errors import ServerUnavailable
from omniq_flow.observe.plain_counters import plain_counters
from omniq_flow.observe.queues import read_queues, scan_queues
from omniq_flow.omniq.async_client import AsyncOmniqClient
from omniq_flow.omniq.client import OmniqClient
from omniq_flow.omniq.monitor import QueueMonitor
from omniq_flow.omniq.results import ReserveJob
from omniq_flow.ops import keys, lanes
from omniq_flow.ops.command import Operation, Query
from omniq_flow.ops.jobs import publish
from tests.omniq.conftest import Maker
from tests.support.cluster import NODES, PASSWORD, ScratchCluster
from tests.support.until import until


def ask(*args: str) -> Query[Any]:
    return Query(args, lambda reply: reply)


async def test_jobs_of_queues_on_all_nodes(cluster: ScratchCluster, made: Maker) -> None:
    """The password that opened the first node opens the others."""
    omniq = await made(redis_url=cluster.url)
    queues = [cluster.queue(at) for at in range(NODES)]
    for queue in queues:
        await omniq.publish(queue=queue, payload={"of": queue}, job_id="one")
        results = await omniq.publish_many(queue=queue, jobs=[{"payload": {"n": n}} for n in range(300)])
        assert len(results) == 300
    for at, queue in enumerate(queues):
        job = await omniq.reserve(queue=queue)
        assert isinstance(job, ReserveJob)
        assert job.payload == f'{{"of":"{queue}"}}'
        await omniq.ack_success(queue=queue, job_id=job.job_id, lease_token=job.lease_token)
        assert f"{{{queue}}}:wait".encode() in cluster.keys_of(at, queue)


async def test_one_call_for_all_nodes_answers_in_its_order(cluster: ScratchCluster) -> None:
    """Commands without a key travel with the others."""
    queues = [cluster.queue(at) for at in (0, 1, 2, 0, 1, 2)]
    ops: list[Operation] = [lanes.server_time(), *(publish(queue, {}, job_id=f"of {queue}") for queue in queues), lanes.server_time()]
    with Client.open(cluster.url) as client:
        began, *ids, ended = client.execute_all(ops)
        assert ids == [f"of {queue}" for queue in queues]
        assert 0 < began <= ended + 1_000
        assert client.server.is_cluster
    async with await AsyncClient.open(cluster.url) as aclient:
        assert await aclient.execute_all([lanes.lane_ids(queue, "wait", 0, 9) for queue in queues]) == [[one] for one in ids]
        assert aclient.server.is_cluster


def test_a_search_goes_through_all_nodes(cluster: ScratchCluster) -> None:
    queues = [cluster.queue(at) for at in range(NODES)]
    with Client.open(cluster.url) as client:
        for queue in queues:
            client.execute(publish(queue, {}))
        found = scan_queues(client)
        assert found.is_whole
        assert set(queues) <= set(found.queues)
        assert [picture.waiting for picture in read_queues(client, queues)] == [1, 1, 1]
        with OmniqClient(redis_url=cluster.url) as omniq:
            assert set(queues) <= set(QueueMonitor(omniq).list_queues())


async def test_a_blocking_pop_waits_at_the_right_node_and_ends_when_its_keys_move(cluster: ScratchCluster) -> None:
    queue = cluster.queue(1)
    key = keys.wake(queue, "w")
    async with await AsyncClient.open(cluster.url) as client:
        await client.execute(ask("RPUSH", key, "1"))
        assert await client.pop_blocking([key], 5) == (key, b"1")
        pop = asyncio.create_task(client.pop_blocking([key], 30))
        await until(lambda: _blocked(cluster, 1) == 1, "the pop waits")

        def move() -> None:
            with cluster.moving(queue, 1, 2):
                pass

        await asyncio.to_thread(move)
        assert await asyncio.wait_for(pop, 5) is None
        await client.execute(ask("RPUSH", key, "2"))
        assert await client.pop_blocking([key], 5) == (key, b"2")


def test_only_database_0_is_used(cluster: ScratchCluster) -> None:
    with pytest.raises(ServerUnavailable, match="only database 0 is used, not 3") as caught:
        Client.open(cluster.url.removesuffix("/0") + "/3")
    assert PASSWORD not in f"{caught.value} {caught.value.where}"


async def test_a_redis_py_client_of_the_cluster_is_taken_over(cluster: ScratchCluster) -> None:
    """Its address and login are; it is neither used nor closed."""
    queue, port = cluster.queue(2), cluster.nodes[0].port
    given = redis.RedisCluster("127.0.0.1", port, password=PASSWORD)
    with OmniqClient(redis=given) as omniq:
        assert omniq.publish(queue=queue, payload={}, job_id="a") == "a"
    assert given.exists(f"{{{queue}}}:wait") == 1
    given.close()
    # One that has not connected yet knows only where it begins.
    later = redis.asyncio.RedisCluster(host="127.0.0.1", port=port, password=PASSWORD)
    async with AsyncOmniqClient(redis=later) as aomniq:
        assert await aomniq.publish(queue=queue, payload={}, job_id="b") == "b"
    await later.aclose()


def _blocked(cluster: ScratchCluster, at: int) -> int:
    with cluster.nodes[at].connection() as admin:
        info: dict[str, Any] = admin.info("clients")
    return int(info["blocked_clients"])


async def test_a_counter_and_its_note_go_to_their_nodes(cluster: ScratchCluster, made: Maker) -> None:
    omniq = await made(redis_url=cluster.url)
    names = [f"count-{cluster.queue(at)}" for at in (0, 1, 2, 0, 1, 2)]
    for name in names:
        await omniq.childs_init(key=name, expected=2)
        assert await omniq.child_ack(key=name, child_id="a") == 1
    with Client.open(cluster.url) as client:
        found = {counter.key: (counter.expected, counter.left) for counter in plain_counters(client).found}
    assert found.items() >= dict.fromkeys(names, (2, 1)).items()
