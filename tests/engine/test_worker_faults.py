"""What the network and the server do to a worker: nothing is lost, nothing is counted twice, and the log stays short."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
import redis
from pydantic import BaseModel

from omniq_flow import Flow, Retry, each, gather, result
from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.worker import Worker
from omniq_flow.lua.assemble import load
from tests.engine.life import begin, no_active_jobs, working
from tests.support.proxy import DROP_REPLY, DROP_REQUEST, PASS, Action, Proxy, Seen, delay
from tests.support.server import ScratchServer, Server
from tests.support.until import until


class Count(BaseModel):
    n: int = 3


def fan(name: str, starts: Counter[str]) -> Flow:
    flow = Flow(name, input=Count, retry=Retry(attempts=3, delay=0))

    @flow.step
    def source(count: Count) -> list[int]:
        starts["source"] += 1
        return list(range(count.n))

    @flow.step
    async def work(x: int = each(source)) -> int:
        starts[f"work{x}"] += 1
        return x

    @flow.step
    def join(xs: list[int] = gather(work)) -> int:
        starts["join"] += 1
        return sum(xs)

    @flow.step
    def last(n: int = result(join)) -> int:
        starts["last"] += 1
        return n

    return flow


def is_script(name: str) -> Callable[[Seen], bool]:
    script = load(name)
    return lambda seen: seen.is_script and seen.args[1] in (script.sha.encode(), script.source.encode())


def settles(seen: Seen) -> bool:
    """A tick that reports something: its eighth argument is the number of items."""
    return is_script("flow/tick")(seen) and seen.args[4 + 7] != b"0"


@pytest.mark.parametrize("action", [DROP_REQUEST, DROP_REPLY, delay(0.3)], ids=["request", "reply", "delay"])
@pytest.mark.parametrize("which", [1, 2, 3, 4, 5])
async def test_a_lost_report_is_applied_once(
    server: Server, aclient: AsyncClient, caplog: pytest.LogCaptureFixture, action: Action, which: int
) -> None:
    """C07: each report of a run in turn."""
    starts: Counter[str] = Counter()
    flow = fan("lost_reply", starts)
    reports = 0

    def judge(n: int, seen: Seen) -> Action:
        nonlocal reports
        reports += settles(seen)
        return action if settles(seen) and reports == which else PASS

    with Proxy(server.url, judge, tcp=False) as proxy:
        async with working(Worker([flow], url=proxy.url)):
            run = await (await begin(aclient, flow, {})).succeeds()
    assert starts == {"source": 1, "work0": 1, "work1": 1, "work2": 1, "join": 1, "last": 1}
    assert await run.value("last") == 3
    assert await no_active_jobs(aclient, "lost_reply")
    lines = [r for r in caplog.records if r.levelno >= logging.WARNING and "connection to" in r.getMessage()]
    assert len(lines) <= 2, [r.getMessage() for r in lines]


@pytest.mark.parametrize("action", [DROP_REQUEST, DROP_REPLY], ids=["request", "reply"])
async def test_a_lost_take_gives_the_same_leases(server: Server, aclient: AsyncClient, redis_conn: redis.Redis, action: Action) -> None:
    """Every tenth tick loses its way; no attempt is burned."""
    starts: Counter[str] = Counter()
    flow = fan("lost_take", starts)
    ticks = 0

    def judge(n: int, seen: Seen) -> Action:
        nonlocal ticks
        ticks += is_script("flow/tick")(seen)
        return action if is_script("flow/tick")(seen) and ticks % 10 == 0 else PASS

    with Proxy(server.url, judge, tcp=False) as proxy:
        async with working(Worker([flow], url=proxy.url, concurrency=2)):
            run = await (await begin(aclient, flow, {"n": 60})).succeeds()
    assert set(starts.values()) == {1}
    assert await run.value("last") == sum(range(60))


async def test_a_failure_whose_reply_was_lost_counts_once(server: Server, aclient: AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    """Sent again it is refused, as the lease is gone: no loss to tell of."""
    flow = Flow("lost_failure", retry=Retry(attempts=2, delay=0))
    attempts: list[int] = []

    @flow.step
    def work() -> int:
        attempts.append(1)
        raise ValueError("no")

    def judge(n: int, seen: Seen) -> Action:
        return DROP_REPLY if settles(seen) and len(attempts) == 1 and b"fail" in seen.args and n < 30 else PASS

    with Proxy(server.url, judge, tcp=False) as proxy:
        async with working(Worker([flow], url=proxy.url)):
            run = await (await begin(aclient, flow)).ends()
    assert len(attempts) == 2
    assert (await run.failure("work")).attempt == 2
    assert "lease lost" not in caplog.text


async def test_a_lost_staging_is_done_again(server: Server, aclient: AsyncClient) -> None:
    starts: Counter[str] = Counter()
    flow = fan("lost_stage", starts)
    stagings = 0

    def judge(n: int, seen: Seen) -> Action:
        nonlocal stagings
        stagings += is_script("flow/list_stage")(seen)
        return DROP_REPLY if stagings == 2 else PASS

    with Proxy(server.url, judge, tcp=False) as proxy:
        async with working(Worker([flow], url=proxy.url)):
            run = await (await begin(aclient, flow, {"n": 2_500})).succeeds(45)
    assert await run.value("last") == sum(range(2_500))
    assert starts["source"] == 1


async def test_a_list_that_vanished_is_laid_down_again(server: Server, aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    """The report says BAD_LIST; the worker still has the elements."""
    starts: Counter[str] = Counter()
    flow = fan("bad_list", starts)
    run_id: list[str] = []

    def judge(n: int, seen: Seen) -> Action:
        if settles(seen) and b"list" in seen.args and redis_conn.exists(f"{{bad_list}}:flow:v:{run_id[0]}:source:1") and n < 40:
            redis_conn.delete(f"{{bad_list}}:flow:v:{run_id[0]}:source:1")
            run_id[0] = "once is enough"
        return PASS

    run = await begin(aclient, flow, {})
    run_id.append(run.run_id)
    with Proxy(server.url, judge, tcp=False) as proxy:
        async with working(Worker([flow], url=proxy.url)):
            await run.succeeds()
    assert run_id == ["once is enough"]
    assert starts["source"] == 1


def _more_than(starts: Counter[str], n: int) -> bool:
    return len(starts) > n


async def test_a_restart_in_the_middle(caplog: pytest.LogCaptureFixture) -> None:
    """C66: with AOF on nothing is lost, and the log has one pair of lines a fault."""
    starts: Counter[str] = Counter()
    flow = fan("restart", starts)
    with ScratchServer(aof=True, options=("--appendfsync", "always")) as own:
        async with await AsyncClient.open(own.url) as client, working(Worker([flow], url=own.url, concurrency=4)):
            run = await begin(client, flow, {"n": 2_000})
            for reached in (300, 900):
                await until(partial(_more_than, starts, reached), "some work is done")
                await asyncio.to_thread(own.restart)
            await run.succeeds(40)
            assert await run.value("last") == sum(range(2_000))
            assert await no_active_jobs(client, "restart")
    assert all(starts[f"work{n}"] >= 1 for n in range(2_000))
    again = sum(starts.values()) - len(starts)
    assert again <= 32, "only what was in flight may have been started again"
    told = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(told) <= 16, told


async def test_a_worker_hears_again_after_every_kind_of_cut(server: Server, aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    """C66."""
    starts: Counter[str] = Counter()
    flow = fan("cuts", starts)
    with Proxy(server.url, tcp=True) as proxy:
        async with working(Worker([flow], url=proxy.url, poll_ms=60_000, name="w")):
            for cut in ("orderly", "reset", "kill", "away"):
                if cut == "kill":
                    redis_conn.client_kill_filter(_type="normal", skipme=True)
                elif cut == "away":
                    proxy.refuse()
                    await asyncio.sleep(0.5)
                    proxy.accept()
                else:
                    proxy.cut(reset=cut == "reset")
                await (await begin(aclient, flow, {})).succeeds(5)


async def test_a_run_that_is_broken_does_not_hold_up_the_others(
    server: Server, aclient: AsyncClient, redis_conn: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A tick that a script refuses is taken apart: only the report of the broken run is dropped."""
    starts: Counter[str] = Counter()
    flow = Flow("poison", lease="30s")
    may_go = asyncio.Event()

    @flow.step
    async def work() -> int:
        starts["work"] += 1
        await may_go.wait()
        return 1

    async with working(Worker([flow], url=server.url)):
        runs = [await begin(aclient, flow) for _ in range(4)]
        await until(lambda: starts["work"] == 4, "all run")
        broken = runs[1]
        redis_conn.rename(f"{{poison}}:flow:t:{broken.run_id}", "gone") if redis_conn.exists(f"{{poison}}:flow:t:{broken.run_id}") else None
        redis_conn.set(f"{{poison}}:flow:t:{broken.run_id}", "no hash")
        may_go.set()
        for run in (runs[0], runs[2], runs[3]):
            await run.succeeds(5)
        await until(lambda: "its lease will lapse" in caplog.text, "the broken one is told")
    assert caplog.text.count("its lease will lapse") == 1
    assert broken.run_id in caplog.text
