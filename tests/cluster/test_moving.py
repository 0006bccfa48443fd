"""Hash slots that move, and nodes that go and come back, while jobs flow: nothing is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from omniq_flow.client.client import AsyncClient, Client
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.errors import ServerUnavailable
from omniq_flow.model.jobs import Lease
from omniq_flow.ops import lanes
from omniq_flow.ops.jobs import ack_success, publish, reserve
from tests.support.cluster import ScratchCluster
from tests.support.until import until, wait_until

PATIENT = RetryPolicy(attempts=1_000, cap_ms=100, patience_ms=20_000)


class Stream:
    """Jobs of one queue, published by one client and worked by another, all the time."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.published = 0
        self.worked: Counter[str] = Counter()
        self._is_over = False

    @asynccontextmanager
    async def flowing(self, url: str) -> AsyncIterator[Stream]:
        async with await AsyncClient.open(url, retry=PATIENT) as client, await AsyncClient.open(url, retry=PATIENT) as other:
            tasks = [asyncio.create_task(self._publish(client)), asyncio.create_task(self._work(other))]
            await self.goes_on()
            yield self
            await self.goes_on()
            self._is_over = True
            await asyncio.gather(*tasks)
            assert self.worked == Counter(f"job{n}" for n in range(self.published))
            assert await client.execute_all([lanes.lane_length(self.queue, lane) for lane in ("wait", "active", "failed")]) == [0, 0, 0]

    async def goes_on(self) -> None:
        """Wait until jobs that are published from now on have been worked."""
        last = f"job{self.published + 20}"
        await until(lambda: self.worked[last], f"{last} is worked", 20)

    async def _publish(self, client: AsyncClient) -> None:
        while not self._is_over:
            await client.execute(publish(self.queue, {}, job_id=f"job{self.published}"))
            self.published += 1

    async def _work(self, client: AsyncClient) -> None:
        while not self._is_over or self.worked.total() < self.published:
            job = await client.execute(reserve(self.queue))
            if isinstance(job, Lease):
                self.worked[job.job_id] += 1
                await client.execute(ack_success(job))


async def test_a_hash_slot_moves_key_by_key(cluster: ScratchCluster, caplog: pytest.LogCaptureFixture) -> None:
    """`ASK`, then `MOVED`."""
    queue = cluster.queue(0)
    async with Stream(queue).flowing(cluster.url) as stream:

        def move() -> None:
            with cluster.moving(queue, 0, 1) as some:
                some(*cluster.keys_of(0, queue)[:3])
                wait_until(lambda: caplog.text.count("takes no calls for now: the cluster is moving") == 2, "both clients wait")

        await asyncio.to_thread(move)
    assert cluster.keys_of(0, queue) == []
    assert stream.published > 40


async def test_a_hash_slot_moves_at_once(cluster: ScratchCluster) -> None:
    queue = cluster.queue(1)
    with Client.open(cluster.url) as client:
        if client.server.product != "valkey" or client.server.version < (9,):
            pytest.skip(f"{client.server} moves hash slots key by key only")
    async with Stream(queue).flowing(cluster.url):
        await asyncio.to_thread(cluster.move_at_once, queue, 1, 2)
    assert cluster.keys_of(1, queue) == []


def test_no_script_runs_while_the_keys_of_its_queue_are_apart(cluster: ScratchCluster) -> None:
    """It would see half of them: the call is refused after its patience, nothing is changed, and single values are read."""
    queue = cluster.queue(2)
    short = RetryPolicy(attempts=3, first_ms=1)
    with Client.open(cluster.url, retry=short) as client:
        client.execute(publish(queue, {"n": 1}, job_id="a"))
        client.execute(publish(queue, {"n": 2}, job_id="b"))
        before = cluster.keys_of(2, queue)
        with cluster.moving(queue, 2, 0) as move:
            move(f"{{{queue}}}:job:a".encode())
            with pytest.raises(ServerUnavailable, match="moving these keys") as caught:
                client.execute(publish(queue, {}, job_id="c"))
            assert caught.value.hint
            assert client.execute_all([lanes.payload(queue, "a"), lanes.payload(queue, "b")]) == ['{"n":1}', '{"n":2}']
            assert sorted(cluster.keys_of(2, queue) + cluster.keys_of(0, queue)) == before
        assert client.execute(publish(queue, {}, job_id="c")) == "c"
        assert len(cluster.keys_of(0, queue)) == len(before) + 1


async def test_a_node_that_was_restarted_is_found_again(cluster: ScratchCluster) -> None:
    """Its queue goes on afterwards, those of other nodes go on meanwhile."""
    queue, other = cluster.queue(2), cluster.queue(0)
    async with Stream(other).flowing(cluster.url) as stream:
        with Client.open(cluster.url, retry=PATIENT) as client:
            client.execute(publish(queue, {}, job_id="before"))
            cluster.nodes[2].kill()
            await stream.goes_on()
            cluster.nodes[2].start()
            # Nothing was on its way when it was killed, so the append-only file has all.
            assert await asyncio.to_thread(client.execute, publish(queue, {}, job_id="after")) == "after"
            assert client.execute(lanes.lane_ids(queue, "wait", 0, 9)) == ["before", "after"]
    cluster.is_well()


async def test_a_replica_takes_over() -> None:
    """The others are asked who serves now; here the node is gone by whose address the clients came, and its socket."""
    with ScratchCluster(primaries=1, replicas=1) as cluster:
        url, file = cluster.nodes[0].tcp_url, cluster.nodes[0].unix_url
        with Client.open(url, retry=PATIENT) as client, Client.open(file) as late:
            async with await AsyncClient.open(url, retry=PATIENT) as aclient:
                client.execute(publish("q", {}, job_id="a"))
                assert await aclient.execute(lanes.lane_ids("q", "wait", 0, 9)) == ["a"]
                await until(lambda: cluster.keys_of(1, "q"), "the replica has it")
                cluster.nodes[0].kill()
                cluster.say(1, "CLUSTER", "FAILOVER", "TAKEOVER")
                await aclient.execute(publish("q", {}, job_id="b"))
                client.execute(publish("q", {}, job_id="c"))
                assert late.execute(lanes.lane_ids("q", "wait", 0, 9)) == ["a", "b", "c"]
