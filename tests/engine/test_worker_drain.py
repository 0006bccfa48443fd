"""A worker that leaves finishes what it runs, gives back what it has not started, and never burns an attempt."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
import redis

from omniq_flow import App, Client, Flow, Retry, StepContext, UsageError, each
from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.intake import Intake
from omniq_flow.engine.worker import Ending, Worker
from omniq_flow.ops import jobs, keys
from omniq_flow.ops.ticks import TickReply
from tests.engine.life import begin, no_active_jobs, working
from tests.support.server import Server
from tests.support.until import until


async def test_draining_finishes_what_runs_and_takes_nothing_new(server: Server, aclient: AsyncClient) -> None:
    """C53: the lease is extended all the while."""
    flow = Flow("drain", lease="1s", retry=Retry(attempts=1))
    starts: list[int] = []

    @flow.step
    def source() -> list[int]:
        return list(range(4))

    @flow.step
    async def work(x: int = each(source)) -> int:
        starts.append(x)
        await asyncio.sleep(2)
        return x

    worker = Worker([flow], url=server.url, concurrency=2)
    task = asyncio.create_task(worker.run())
    run = await begin(aclient, flow)
    await until(lambda: worker.busy == 2, "two run")
    worker.stop()
    assert await asyncio.wait_for(task, 5) is Ending.DRAINED
    assert len(starts) == 2
    assert sorted((await run.letters()).values()) == ["D", "D", "D", "Q", "Q"]
    assert await no_active_jobs(aclient, "drain")
    async with working(Worker([flow], url=server.url)):
        await run.succeeds()
    assert sorted(starts) == [0, 1, 2, 3], "each was started once"


async def test_what_was_not_started_is_given_back_without_an_attempt(server: Server, aclient: AsyncClient) -> None:
    """A job that waits behind a long handler goes to another worker soon."""
    flow = Flow("behind", input=None, retry=Retry(attempts=1))
    attempts: list[tuple[int, int]] = []
    may_end = threading.Event()

    @flow.step
    def source() -> list[int]:
        return list(range(40))

    @flow.step
    def work(ctx: StepContext, x: int = each(source)) -> int:
        attempts.append((x, ctx.attempt))
        if x == 30:
            may_end.wait(10)
        return x

    async with working(slow := Worker([flow], url=server.url, concurrency=1)):
        run = await begin(aclient, flow)
        await until(lambda: any(x == 30 for x, _ in attempts), "the long one runs")
        async with working(Worker([flow], url=server.url, concurrency=1)):
            await until(lambda: len(attempts) == 40, "the others are worked elsewhere")
        assert slow.busy == 1
        may_end.set()
        await run.succeeds()
    assert sorted(attempts) == [(n, 1) for n in range(40)]


@pytest.mark.parametrize("how", ["second stop", "deadline"])
async def test_handing_back_at_once(server: Server, aclient: AsyncClient, how: str) -> None:
    flow = Flow("back", lease="30s", retry=Retry(attempts=1))
    attempts: list[tuple[str, int]] = []
    is_over = threading.Event()

    @flow.step
    def in_thread(ctx: StepContext) -> int:
        attempts.append(("thread", ctx.attempt))
        if len(attempts) <= 2:
            is_over.wait(10)
        return 1

    @flow.step
    async def on_loop(ctx: StepContext) -> int:
        attempts.append(("loop", ctx.attempt))
        if len(attempts) <= 2:
            await asyncio.sleep(10)
        return 2

    worker = Worker([flow], url=server.url, drain_timeout_ms=200 if how == "deadline" else 30_000)
    task = asyncio.create_task(worker.run())
    run = await begin(aclient, flow)
    await until(lambda: len(attempts) == 2, "both run")
    began = time.monotonic()
    worker.stop()
    if how == "second stop":
        worker.stop()
    assert await asyncio.wait_for(task, 5) is Ending.HANDED_BACK
    assert time.monotonic() - began < 1.5
    assert await no_active_jobs(aclient, "back")
    async with working(Worker([flow], url=server.url)):
        await run.succeeds(3)
    is_over.set()
    assert sorted(attempts) == [("loop", 1), ("loop", 1), ("thread", 1), ("thread", 1)], "no attempt was counted"


async def test_a_worker_waits_for_its_server_and_can_be_stopped_meanwhile(tmp_path: Path) -> None:
    flow = Flow("nobody")

    @flow.step
    def one() -> int:
        return 1

    worker = Worker([flow], url=f"unix://{tmp_path}/none")
    task = asyncio.create_task(worker.run())
    await asyncio.sleep(0)
    worker.stop()
    assert await asyncio.wait_for(task, 10) is Ending.DRAINED


async def test_an_idle_worker_leaves_nothing_behind(server: Server, redis_conn: redis.Redis) -> None:
    flow = Flow("idle_end")

    @flow.step
    def one() -> int:
        return 1

    async with working(worker := Worker([flow], url=server.url, name="w 1")):
        await until(lambda: redis_conn.hgetall(keys.worker("idle_end", "w-1")), "it says that it is there")
        told = redis_conn.hgetall(keys.worker("idle_end", "w-1"))
        assert told[b"state"] == b"working"
        assert told[b"queues"] == b'["idle_end"]'
        assert told[b"serves"] == b'{"idle_end":["one"]}'
        assert (told[b"concurrency"], told[b"busy"], told[b"held"], told[b"unknown"]) == (b"16", b"0", b"0", b"[]")
        expiry = redis_conn.zscore(keys.workers("idle_end"), worker.name)
        assert expiry is not None
        assert 10_000 < expiry - redis_conn.time()[0] * 1000 < 17_000
        await until(lambda: redis_conn.smembers(keys.QUEUES) == {b"idle_end"}, "its queue is known")
        await until(lambda: redis_conn.zscore("{idle_end}:flow:idle", "w-1"), "it waits for a wake-up")
    left = set(redis_conn.keys("*"))
    assert left <= {b"{idle_end}:flow:idle", keys.QUEUES.encode()}
    seconds, micros = redis_conn.time()
    assert (redis_conn.zscore("{idle_end}:flow:idle", "w-1") or 0) <= seconds * 1000 + micros / 1000 + 1


def test_a_worker_needs_slots_and_queues() -> None:
    with pytest.raises(UsageError, match="at least one slot"):
        Worker([], url="redis://x", concurrency=0)
    with pytest.raises(UsageError, match="needs a queue"):
        Worker([], url="redis://x")


@pytest.mark.parametrize("is_woken", [False, True])
async def test_what_comes_with_a_reply_after_the_end_is_given_back_in_peace(
    server: Server, client: Client, redis_conn: redis.Redis, queue: str, monkeypatch: pytest.MonkeyPatch, *, is_woken: bool
) -> None:
    """A take was on its way when the worker was told to drain, be it its own or one that a wake-up began: nothing was started, so
    nothing is unfinished.
    """
    app, arrived, may_go_on = App(), asyncio.Event(), asyncio.Event()
    app.handler(queue=queue)(lambda: None)
    receive = Intake.receive

    async def late(self: Intake, reply: TickReply, asked_at: int) -> None:
        if reply.taken:
            arrived.set()
            await may_go_on.wait()
        await receive(self, reply, asked_at)

    monkeypatch.setattr(Intake, "receive", late)
    task = asyncio.create_task((worker := Worker([app], url=server.url, name="w", poll_ms=60_000)).run())
    if is_woken:
        await until(lambda: redis_conn.zscore(f"{{{queue}}}:flow:idle", "w"), "it sleeps")
    job_id = client.execute(jobs.publish(queue, {}))
    await asyncio.wait_for(arrived.wait(), 10)
    worker.stop()
    ended, _ = await asyncio.wait({task}, timeout=0.3)
    assert not ended, "it waits for the reply"
    may_go_on.set()
    assert await asyncio.wait_for(task, 10) is Ending.DRAINED
    assert redis_conn.hmget(keys.job(queue, job_id), "state", "attempt") == [b"wait", b"0"]
