"""C68: during a failover reports are refused as READONLY, and finished jobs are lost, run again, or reported nowhere for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from omniq_flow.client.client import Client
from omniq_flow.engine.worker import Worker
from omniq_flow.model.states import RunState
from omniq_flow.ops.runs import run_header
from tests.cases.rig import Rig
from tests.engine.life import working
from tests.invariants.checker import assert_holds
from tests.support.proxy import Proxy
from tests.support.server import ScratchServer
from tests.support.until import until

ITEMS = 20
FLOW = f"""
FOLDER = os.path.dirname(os.environ["CASE_EFFECTS"])
flow = Flow("case", lease="LEASE", retry=Retry(attempts=5, backoff="fixed", delay="50ms"))

@flow.step
def source() -> list[int]:
    return list(range({ITEMS}))

@flow.step
def work(ctx: StepContext, n: int = each(source)) -> int:
    effect(ctx)
    while not os.path.exists(os.path.join(FOLDER, "commit")):
        time.sleep(0.01)
    return n

@flow.step
def join(ctx: StepContext, items: list[int] = gather(work)) -> int:
    effect(ctx)
    return sum(items)
"""
READONLY = "the server is a read-only replica (READONLY)"
ONCE = {f"work-{n}": 1 for n in range(ITEMS)} | {"join": 1}


@pytest.fixture
def case_server() -> Iterator[ScratchServer]:
    with ScratchServer(aof=True, tcp=True) as server:
        yield server


async def about_to_commit(rig: Rig) -> str:
    """A run whose items all run and are going to end now."""
    run = rig.start()
    await until(lambda: len(rig.effects()) == ITEMS, "all handlers run")
    return run


@pytest.mark.parametrize(("lease", "away_s"), [("3s", 0.8), ("1s", 2.5)], ids=["shorter", "longer"])
async def test_c68_reports_wait_for_a_primary(rig: Rig, caplog: pytest.LogCaptureFixture, lease: str, away_s: float) -> None:
    """While the server is read-only nothing is taken as final: 20 reports are made when it is primary again, and the join starts once.

    While the leases last nothing runs again; in a window that is longer than they are it may. 0.8 s and 2.5 s stand for 5 s.
    """
    rig.write(FLOW.replace("LEASE", lease))
    async with working(Worker([rig.flow], url=rig.url, concurrency=2 * ITEMS)):
        run = await about_to_commit(rig)
        rig.conn.replicaof("127.0.0.1", 1)
        (rig.folder / "commit").touch()
        ends_at = time.monotonic() + away_s
        await until(lambda: time.monotonic() > ends_at, "the window is over")
        assert rig.header(run).state is RunState.RUNNING
        rig.conn.replicaof("NO", "ONE")
        await until(lambda: rig.header(run).state.is_ended, "the run ends", 10)
    assert rig.header(run).state is RunState.SUCCEEDED
    assert rig.output(run, "join") == sum(range(ITEMS))
    assert rig.dispatches(run) == ONCE | {"source": 1}
    if lease == "3s":
        assert rig.starts(run) == ONCE
    assert rig.starts(run)["join"] == 1
    said = told(caplog)
    assert [text.split(" after ")[0].split(": ")[-1] for text in said] == [READONLY, f"{rig.url.removesuffix('/0')} takes calls again"]


async def test_c68_another_primary_at_the_same_address(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """The replica is promoted and the address moves to it: the reports that the old primary refuses go there, and nothing runs again."""
    rig.write(FLOW.replace("LEASE", "3s"))
    with ScratchServer(tcp=True) as replica, replica.connection() as its, Proxy(rig.url) as proxy:
        its.replicaof("127.0.0.1", rig.server.port)
        await until(lambda: its.info("replication")["master_link_status"] == "up", "the replica is in step", 20)
        async with working(Worker([rig.flow], url=proxy.url, concurrency=2 * ITEMS)):
            run = await about_to_commit(rig)
            rig.conn.wait(1, 1_000)
            proxy.lead_to(replica.url)
            its.replicaof("NO", "ONE")
            rig.conn.replicaof("127.0.0.1", 1)
            (rig.folder / "commit").touch()
            with Client.open(replica.url) as client:
                await until(lambda: client.execute(run_header("case", run)).state.is_ended, "the run ends at the new primary", 10)
                assert client.execute(run_header("case", run)).state is RunState.SUCCEEDED
        assert_holds(its, "case")
        assert rig.starts(run) == ONCE
    assert any(READONLY in text for text in told(caplog))
    # The old primary keeps what it knew: a run that nobody ends there.
    rig.conn.replicaof("NO", "ONE")
    rig.conn.flushall()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the client of the worker says of the server."""
    return [r.getMessage() for r in caplog.records if r.name == "omniq_flow.client"]
