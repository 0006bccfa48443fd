"""H08, H09, H10, H22: clocks that are wrong, leases that are too short, and upkeep that waits for a free worker."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest
import redis

from omniq_flow import Flow, FlowDefinitionError, Retry, StepContext
from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.lease import beat_every_ms
from omniq_flow.engine.worker import Worker
from omniq_flow.ops import keys
from omniq_flow.ops.ticks import Settled, tick
from tests.engine.life import begin, working
from tests.flowscripts.desk import Desk
from tests.support.server import Server
from tests.support.until import until

HOUR_S = 3_600


@pytest.mark.parametrize("lease", ["500ms", 0.999])
def test_h08_a_lease_is_never_shorter_than_three_beats(lease: str | float) -> None:
    """Less than a second is refused where it is written; of the shortest there is, two beats may fail."""
    with pytest.raises(FlowDefinitionError, match=r"lease: .* is not allowed; a duration from 1s"):
        Flow("short", lease=lease).check()
    assert 1_000 // beat_every_ms(1_000) == 3


@pytest.mark.parametrize("offset", [-HOUR_S, HOUR_S])
async def test_h09_a_workers_wrong_clock_decides_nothing(
    server: Server, aclient: AsyncClient, redis_conn: redis.Redis, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    """An hour before or behind, it steals no lease, burns no attempt and starts nothing early: all times are the server's.

    Another's lease of a second is held beside it all the while by beats, and a second attempt is due in half a second.
    """
    flow = Flow("wrong_clock", lease="1s", retry=Retry(attempts=2, backoff="fixed", delay="500ms"))
    attempts: dict[int, float] = {}

    @flow.step
    async def again(ctx: StepContext) -> int:
        attempts[ctx.attempt] = time.monotonic()
        if ctx.attempt == 1:
            raise ValueError("not yet")
        await asyncio.sleep(1.2)
        return ctx.attempt

    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + offset)
    monkeypatch.setattr(time, "time_ns", lambda: int((real() + offset) * 1e9))
    async with working(Worker([flow], url=server.url)), working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).succeeds()
    assert await run.value("again") == 2
    assert list(attempts) == [1, 2]
    assert 0.5 <= attempts[2] - attempts[1] < 1.5
    job = redis_conn.hgetall(keys.job("wrong_clock", f"f.{run.run_id}.again.1"))
    assert all(abs(int(job[name]) / 1000 - real()) < 60 for name in (b"created_ms", b"last_started_ms", b"completed_ms"))


def test_h10_groups_are_served_in_turn_whatever_the_callers_clock_says(desk: Desk) -> None:
    """Three groups with two slots each: a worker that takes one job a call comes round to all of them before any has its second."""
    desk.now = 0
    for n in range(6):
        desk.publish(f"job-{n}", gid=f"g{n // 2}", attempts=1)
    for gid in ("g0", "g1", "g2"):
        desk.conn.set(desk.key("g", gid, "limit"), "2")
    taken = [next(iter(desk.take(1).values())).gid for _ in range(6)]
    assert sorted(taken[:3]) == ["g0", "g1", "g2"]
    assert sorted(taken[3:]) == ["g0", "g1", "g2"]


async def test_h22_a_worker_without_a_free_slot_still_does_the_upkeep(
    server: Server, aclient: AsyncClient, redis_conn: redis.Redis
) -> None:
    """While its only handler runs, a job becomes due and a dead worker's lease lapses: both are moved in time."""
    flow = Flow("busy", lease="1s", retry=Retry(attempts=2, delay=0))
    may_end = threading.Event()
    first: list[str] = []

    @flow.step
    def long(ctx: StepContext) -> int:
        first.append(ctx.run_id)
        if len(first) == 1:
            may_end.wait(20)
        return ctx.attempt

    def lane_of(job_id: str) -> Callable[[], bool]:
        return lambda: redis_conn.hget(keys.job("busy", job_id), "state") == b"wait"

    async with working(Worker([flow], url=server.url, concurrency=1)) as worker:
        await begin(aclient, flow)
        await until(lambda: worker.busy == 1, "the handler runs")
        lost, late = await begin(aclient, flow), await begin(aclient, flow)
        taken = (await aclient.execute(tick("busy", worker="dies", request="1", salt="s", take=1))).taken
        assert [t.job_id for t in taken] == [f"f.{lost.run_id}.long.1"]
        ids = [f"f.{run.run_id}.long.1" for run in (lost, late)]
        later = (await aclient.execute(tick("busy", worker="delays", request="1", salt="s", take=1))).taken
        assert [t.job_id for t in later] == ids[1:]
        delayed = Settled(ids[1], later[0].token, "fail", 500, b"{}", "later")
        assert (await aclient.execute(tick("busy", worker="delays", request="2", salt="s", settled=[delayed]))).codes == ("RETRY",)
        await until(lane_of(ids[1]), "what was due waits", 2)
        await until(lane_of(ids[0]), "what was lost waits", 3)
        assert worker.busy == 1
        assert len(first) == 1
        may_end.set()
        for run in (lost, late):
            await run.succeeds()
            assert await run.value("long") == 2
