"""A run is cancelled while its handlers run: each kind of handler hears of it at the next heartbeat, and none is tried again."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from pathlib import Path

import pytest

from omniq_flow import Flow, Retry, StepContext, each, gather, result
from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.worker import Worker
from omniq_flow.model.states import RunState
from omniq_flow.ops import runs
from tests.engine.life import Followed, begin, no_active_jobs, working
from tests.engine.test_worker_process import flows
from tests.support.server import Server
from tests.support.until import until

LEASE = "3s"
BEAT_S = 1.0
SLACK_S = 1.0


async def cancel(run: Followed) -> runs.Cancelled:
    return await run.client.execute(runs.run_cancel(run.flow.queue, run.run_id, by="ann@host", reason="enough"))


async def is_cancelled(run: Followed, letters: dict[str, str]) -> None:
    await run.ends(10)
    assert await run.state() is RunState.CANCELLED
    assert await run.letters() == letters
    assert await no_active_jobs(run.client, run.flow.queue)


async def test_an_async_handler_is_cancelled_at_the_next_heartbeat(server: Server, aclient: AsyncClient) -> None:
    flow = Flow("stop_async", lease=LEASE, retry=Retry(attempts=3, delay=0))
    attempts: list[int] = []
    told_at: list[float] = []

    @flow.step
    async def work(ctx: StepContext) -> int:
        attempts.append(ctx.attempt)
        try:
            await asyncio.sleep(60)
        finally:
            told_at.append(time.monotonic())
        return 1

    @flow.step
    def behind(n: int = result(work)) -> int:
        return n

    async with working(Worker([flow], url=server.url)):
        run = await begin(aclient, flow)
        await until(lambda: attempts, "the handler runs")
        began = time.monotonic()
        assert (await cancel(run)).state is RunState.CANCELLING
        await is_cancelled(run, {"work": "X"})
    assert told_at[0] - began < BEAT_S + SLACK_S
    assert attempts == [1]


async def test_a_thread_is_told_and_what_it_returns_counts(server: Server, aclient: AsyncClient) -> None:
    """C23: the late result is kept, and nothing is made of it."""
    flow = Flow("tell_thread", lease=LEASE)
    began, told = threading.Event(), threading.Event()

    @flow.step
    def work(ctx: StepContext) -> str:
        began.set()
        while not ctx.cancelled.is_set():
            time.sleep(0.01)
        told.set()
        return "what I had"

    @flow.step
    def behind(text: str = result(work)) -> str:
        raise AssertionError("never begun")

    async with working(Worker([flow], url=server.url)):
        run = await begin(aclient, flow)
        await until(began.is_set, "the handler runs")
        await cancel(run)
        await until(told.is_set, "the thread is told", timeout=BEAT_S + SLACK_S)
        await is_cancelled(run, {"work": "D"})
    assert await run.value("work") == "what I had"


async def test_a_thread_that_raises_because_it_was_told_is_no_failure(
    server: Server, aclient: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "omniq_flow.worker")
    flow = Flow("raise_thread", lease=LEASE, retry=Retry(attempts=5, delay=0))
    attempts: list[int] = []

    @flow.step
    def work(ctx: StepContext) -> str:
        attempts.append(ctx.attempt)
        while not ctx.is_cancelled:
            time.sleep(0.01)
        raise InterruptedError("told to stop")

    async with working(Worker([flow], url=server.url)):
        run = await begin(aclient, flow)
        await until(lambda: attempts, "the handler runs")
        await cancel(run)
        await is_cancelled(run, {"work": "X"})
    assert attempts == [1]
    assert [r.levelname for r in caplog.records if "failed" in r.getMessage()] == []


async def test_a_process_is_killed(server: Server, aclient: AsyncClient, tmp_path: Path) -> None:
    async with flows(server, tmp_path, concurrency=2) as (_, flow):
        run = await begin(aclient, flow, {"folder": str(tmp_path), "mode": "sleep"})
        await until(lambda: len(list(tmp_path.glob("?-1"))) == 2, "both slots are busy")
        await until(lambda: all(path.read_text() for path in tmp_path.glob("?-1")), "they have told their processes")
        children = [int(path.read_text()) for path in tmp_path.glob("?-1")]
        await cancel(run)
        await is_cancelled(run, {"source": "D", **{f"heavy-{n}": "X" for n in range(3)}})
        await until(lambda: not any(_is_there(pid) for pid in children), "the children are gone")
    assert len(list(tmp_path.glob("?-*"))) == 2, "nothing was begun after the cancel"


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_map_half_done_is_cancelled_as_a_whole(server: Server, aclient: AsyncClient) -> None:
    """C83: those that run are told, those that wait are begun no more, those that were done keep what they gave."""
    flow = Flow("map_cancel", lease=LEASE, max_parallel=3)
    begun: list[int] = []

    @flow.step
    def numbers() -> list[int]:
        return list(range(10))

    @flow.step
    async def work(n: int = each(numbers)) -> int:
        begun.append(n)
        if n < 2:
            return n
        await asyncio.sleep(60)
        return n

    @flow.step
    def total(ns: list[int] = gather(work)) -> int:
        return sum(ns)

    async with working(Worker([flow], url=server.url)):
        run = await begin(aclient, flow)
        await until(lambda: len(begun) == 5, "two are done and three run")
        answer = await cancel(run)
        assert (answer.open, answer.has_more) == (3, False)
        await is_cancelled(run, {"numbers": "D", "work-0": "D", "work-1": "D", **{f"work-{n}": "X" for n in range(2, 10)}})
    assert len(begun) == 5
