"""C70: the server has forgotten the scripts, or never had them: after a flush, a restart, or when there are two servers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.worker import Worker
from omniq_flow.model.states import RunState
from tests.cases.rig import Rig
from tests.engine.life import begin, working
from tests.support.proxy import PASS, Action, Proxy, Seen
from tests.support.server import ScratchServer
from tests.support.until import until, wait_until

ITEMS, FLUSH_S = 300, 0.05
FLOW = f"""
flow = Flow("case", lease="10s", retry=NO_RETRY)

@flow.step
def source() -> list[int]:
    return list(range({ITEMS}))

@flow.step
def work(ctx: StepContext, n: int = each(source)) -> int:
    effect(ctx)
    time.sleep(0.05)
    return n

@flow.step
def join(ctx: StepContext, items: list[int] = gather(work)) -> int:
    effect(ctx)
    return sum(items)
"""
ONCE = {f"work-{n}": 1 for n in range(ITEMS)} | {"join": 1}


@pytest.fixture
def case_server() -> Iterator[ScratchServer]:
    with ScratchServer(aof=True) as server:
        yield server


class Sent:
    """Counts what goes by: calls with a script's source, and connections."""

    def __init__(self) -> None:
        self.sources: Counter[bytes] = Counter()
        self.links = 0

    def __call__(self, n: int, command: Seen) -> Action:
        if command.name == "EVAL":
            self.sources[command.args[1]] += 1
        self.links += command.name == "HELLO"
        return PASS


async def test_c70_scripts_are_flushed_under_load(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """All scripts are forgotten every 50 ms: no job is lost or doubled, nobody hears of it, and a source goes out at most once
    for each flush and connection.
    """
    rig.write(FLOW)
    flushes, sent = 0, Sent()

    async def flush() -> None:
        nonlocal flushes
        while True:
            rig.conn.script_flush()
            flushes += 1
            await asyncio.sleep(FLUSH_S)

    with Proxy(rig.url, sent, tcp=False, counts_greetings=True) as proxy:
        async with working(Worker([rig.flow], url=proxy.url, concurrency=4)):
            flushing = asyncio.create_task(flush())
            run = rig.start()
            await until(lambda: rig.header(run).state.is_ended, "the run ends", 20)
            flushing.cancel()
    assert flushes > 20
    assert rig.header(run).state is RunState.SUCCEEDED
    assert rig.starts(run) == ONCE
    assert rig.dispatches(run) == ONCE | {"source": 1}
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert 1 < max(sent.sources.values()) <= (flushes + 1) * sent.links


async def test_c70_two_servers_in_one_process(rig: Rig) -> None:
    """Two workers in one process on two servers: each server is given the scripts that it lacks, whatever the other one has."""
    flow = rig.write(FLOW)
    with ScratchServer() as other:
        async with contextlib.AsyncExitStack() as stack:
            for server in (rig.server, other):
                await stack.enter_async_context(working(Worker([flow], url=server.url)))
            clients = [await stack.enter_async_context(await AsyncClient.open(server.url)) for server in (rig.server, other)]
            runs = [await begin(client, flow) for client in clients]
            for run in runs:
                await run.succeeds()
            # Once more, when one of them has forgotten all it knew.
            other.connection().script_flush()
            again = [await begin(client, flow) for client in clients]
            for run in again:
                await run.succeeds()
    for run in (*runs, *again):
        assert rig.starts(run.run_id) == ONCE


def test_c70_the_server_is_restarted_with_its_data(rig: Rig) -> None:
    """Twice in the middle of a map: what was queued, leased and done is there again, the scripts are not, and every item is done once."""
    rig.write(FLOW)
    rig.workers(2, "-c", "4")
    run = rig.start()
    for part in (1, 2):
        wait_until(partial(is_done, rig, part * ITEMS // 3), "a part of it is done")
        rig.server.restart()
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.starts(run) == ONCE
    assert rig.output(run, "join") == sum(range(ITEMS))


def is_done(rig: Rig, count: int) -> bool:
    return len(rig.effects()) > count
