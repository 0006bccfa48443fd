"""An idle worker is woken by us, finds foreign jobs by itself, and costs next to nothing."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import redis

from omniq_flow import App, Flow, Retry, each, gather
from omniq_flow.client.client import AsyncClient, Client
from omniq_flow.engine.intake import Intake
from omniq_flow.engine.polling import SLOW_MS
from omniq_flow.engine.worker import Worker
from omniq_flow.ops import jobs, keys
from omniq_flow.ops.ticks import TickReply
from tests.engine.life import begin, working
from tests.support.proxy import Proxy
from tests.support.server import Server
from tests.support.until import until


def chain(name: str) -> Flow:
    flow = Flow(name)

    @flow.step
    def one() -> int:
        return 1

    return flow


def foreign_job(conn: redis.Redis, queue: str, job_id: str) -> None:
    """A plain job, laid down as a client does that knows nothing of wake-ups."""
    fields: dict[Any, Any] = {
        "id": job_id,
        "payload": "{}",
        "state": "wait",
        "attempt": "0",
        "max_attempts": "3",
        "timeout_ms": "30000",
        "backoff_ms": "0",
    }
    conn.hset(f"{{{queue}}}:job:{job_id}", mapping=fields)
    conn.rpush(f"{{{queue}}}:wait", job_id)


async def test_a_start_wakes_an_idle_worker(server: Server, aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    flow = chain("woken")
    async with working(Worker([flow], url=server.url, poll_ms=60_000, name="w")):
        for _ in range(3):
            await until(lambda: redis_conn.zscore("{woken}:flow:idle", "w"), "it sleeps")
            began = time.monotonic()
            await (await begin(aclient, flow)).succeeds()
            assert time.monotonic() - began < 1


async def test_an_error_of_ours_after_a_wake_up_ends_the_worker(
    server: Server, client: Client, redis_conn: redis.Redis, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its ears a worker would seem to serve, and be late for ever."""
    app = App()
    app.handler(queue=queue)(lambda: None)
    receive = Intake.receive

    async def broken(self: Intake, reply: TickReply, asked_at: int) -> None:
        if reply.taken:
            raise RuntimeError("broken")
        await receive(self, reply, asked_at)

    monkeypatch.setattr(Intake, "receive", broken)
    task = asyncio.create_task(Worker([app], url=server.url, name="w", poll_ms=60_000).run())
    await until(lambda: redis_conn.zscore(f"{{{queue}}}:flow:idle", "w"), "it sleeps")
    client.execute(jobs.publish(queue, {}))
    with pytest.raises(RuntimeError, match="broken"):
        await asyncio.wait_for(task, 10)


async def test_a_worker_that_settles_wakes_another(server: Server, aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    """A list that opens is more than one worker can take: both elements wait for each other."""
    flow = Flow("spread")
    running: set[int] = set()

    @flow.step
    def source() -> list[int]:
        return [1, 2]

    @flow.step
    async def work(x: int = each(source)) -> int:
        running.add(x)
        await until(lambda: len(running) == 2, "the other element runs as well", timeout=5)
        return x

    @flow.step
    def join(xs: list[int] = gather(work)) -> int:
        return sum(xs)

    async with (
        working(Worker([flow], url=server.url, poll_ms=60_000, name="a", concurrency=1)),
        working(Worker([flow], url=server.url, poll_ms=60_000, name="b", concurrency=1)),
    ):
        await until(lambda: redis_conn.zcard("{spread}:flow:idle") == 2, "both sleep")
        await (await begin(aclient, flow)).succeeds()


async def test_a_delayed_attempt_is_taken_when_it_is_due(server: Server, aclient: AsyncClient) -> None:
    flow = Flow("delayed", retry=Retry(attempts=2, backoff="fixed", delay="300ms"))
    times: list[float] = []

    @flow.step
    def work() -> int:
        times.append(time.monotonic())
        if len(times) == 1:
            raise ValueError("again")
        return 1

    async with working(Worker([flow], url=server.url, poll_ms=60_000)):
        await (await begin(aclient, flow)).succeeds()
    assert 0.28 <= times[1] - times[0] < 1.5


async def test_a_foreign_job_is_found_and_then_looked_for_often(server: Server, redis_conn: redis.Redis) -> None:
    flow = chain("foreign")
    async with working(worker := Worker([flow], url=server.url, name="w")):
        await until(lambda: redis_conn.zscore("{foreign}:flow:idle", "w"), "it sleeps")
        foreign_job(redis_conn, "foreign", "p1")
        await until(lambda: redis_conn.hget("{foreign}:job:p1", "state") == b"delayed", "it is found", timeout=5)
        job = redis_conn.hgetall("{foreign}:job:p1")
        assert job[b"attempt"] == b"0", "given back, and no attempt counted"
        assert int(job[b"due_ms"]) - int(job[b"updated_ms"]) == 5_000
        began = time.monotonic()
        foreign_job(redis_conn, "foreign", "p2")
        await until(lambda: redis_conn.hget("{foreign}:job:p2", "state") == b"delayed", "it is found", timeout=5)
        assert time.monotonic() - began < SLOW_MS / 1000 * 0.75
        assert worker.unknown == ("plain jobs of foreign",)


async def test_an_idle_worker_sends_little(server: Server, redis_conn: redis.Redis) -> None:
    flow = chain("quiet")
    with Proxy(server.url, tcp=False) as proxy:
        async with working(Worker([flow], url=proxy.url, name="w")):
            await until(lambda: redis_conn.zscore("{quiet}:flow:idle", "w"), "it sleeps")
            await until(lambda: redis_conn.exists(keys.worker("quiet", "w")), "it has said that it is there")
            heard = (0, 0.0)

            def is_still() -> bool:
                nonlocal heard
                if proxy.count != heard[0]:
                    heard = proxy.count, time.monotonic()
                return time.monotonic() - heard[1] > 0.5

            await until(is_still, "its first round is over")
            proxy.forget()
            began = time.monotonic()
            await until(lambda: time.monotonic() - began > 1.5, "a while passes")
            assert proxy.count <= 2, [seen.args[:3] for seen in proxy.seen]


async def test_a_job_without_a_wake_up_is_not_lost_when_all_slots_are_busy(server: Server, aclient: AsyncClient) -> None:
    """The limit of a group is respected, and what it holds back goes on by itself."""
    flow = Flow("limited", max_parallel=2)
    running: list[int] = []
    peak: list[int] = []

    @flow.step
    def source() -> list[int]:
        return list(range(20))

    @flow.step
    async def work(x: int = each(source)) -> int:
        running.append(x)
        peak.append(len(running))
        await asyncio.sleep(0.01)
        running.remove(x)
        return x

    async with working(Worker([flow], url=server.url)), working(Worker([flow], url=server.url)):
        await (await begin(aclient, flow)).succeeds()
    assert max(peak) == 2
