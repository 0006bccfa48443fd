"""What a worker does beside its jobs: heal runs, remove old ones, give back what waits too long, send logs."""

from __future__ import annotations

from typing import cast

import pytest
import redis

from omniq_flow import Flow, ServerUnavailable, result
from omniq_flow.client.client import AsyncClient
from omniq_flow.engine import upkeep
from omniq_flow.engine.attempt import Attempt
from omniq_flow.engine.handlers import Handlers
from omniq_flow.engine.lane import Lane
from omniq_flow.engine.lease import Leases
from omniq_flow.engine.outcomes import RELEASED, Outcome
from omniq_flow.engine.polling import Polling
from omniq_flow.engine.runlog import MOST_LINES, RunLog
from omniq_flow.engine.shop import Shop
from omniq_flow.engine.slots import Slots
from omniq_flow.engine.worker import Worker
from omniq_flow.flow.context import NO_TOOLS
from omniq_flow.model.runs import Fact
from omniq_flow.ops import keys
from omniq_flow.ops.ticks import Taken
from tests.engine.life import begin, working
from tests.support.server import Server
from tests.support.until import until


def one_step(name: str, **options: str) -> Flow:
    flow = Flow(name, **options)  # type: ignore[arg-type]

    @flow.step
    def one() -> int:
        return 1

    @flow.step
    def two(n: int = result(one)) -> int:
        return n + 1

    return flow


async def test_a_lost_job_is_made_again(server: Server, aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    flow = one_step("healed")
    run = await begin(aclient, flow)
    job = f"f.{run.run_id}.one.1"
    redis_conn.delete(f"{{healed}}:job:{job}")
    redis_conn.zadd(keys.live("healed"), {run.run_id: 1})
    async with working(Worker([flow], url=server.url)):
        await run.succeeds()
    assert await run.value("two") == 2
    fact = redis_conn.hget(keys.states("healed", run.run_id), "one")
    assert Fact.parse(fact).epoch == 2


async def test_old_runs_are_removed(server: Server, aclient: AsyncClient, redis_conn: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "EVERY_MS", 50)
    flow = one_step("purged", retention="300ms")
    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).succeeds()
        await until(lambda: not redis_conn.exists(keys.header("purged", run.run_id)), "the run is removed")
        await until(lambda: not [k for k in redis_conn.keys("*") if run.run_id.encode() in k], "nothing of it is left")


async def test_more_runs_than_are_kept(
    server: Server, aclient: AsyncClient, redis_conn: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "EVERY_MS", 50)
    flow = one_step("bounded")
    async with working(Worker([flow], url=server.url, retention_runs=3)):
        for _ in range(8):
            await (await begin(aclient, flow)).succeeds()
        await until(lambda: redis_conn.zcard(keys.ended("bounded")) == 3, "three are kept")


async def test_a_new_worker_shows_before_its_next_turn(server: Server, redis_conn: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "TURN_S", 600)
    async with working(Worker([one_step("seen")], url=server.url)):
        await until(lambda: redis_conn.zcard(keys.workers("seen")), "the worker shows")


def attempt(name: str, *, is_waiting: bool, given_at: int = 0) -> Attempt:
    taken = Taken(name, f"token-{name}", 0, 1, 1, "", 0, b"")
    return Attempt("q", taken, 30_000, 0, 30_000, 0, is_waiting=is_waiting, is_running=not is_waiting, given_at=given_at)


class Reported(Lane):
    """A lane that only notes what is reported."""

    def __init__(self, *held: Attempt) -> None:
        handlers = cast(Handlers, type("", (), {"withdraw": staticmethod(lambda attempt: attempt.is_waiting)})())
        shop = Shop("w", cast(AsyncClient, None), None, Slots(4), handlers, Leases(), RunLog(), Polling(), set(), NO_TOOLS)  # type: ignore[arg-type]
        super().__init__(shop, "q")
        self.hold(held)
        self.said: list[tuple[str, Outcome]] = []

    def report(self, attempt: Attempt, outcome: Outcome) -> None:
        self.said.append((attempt.taken.job_id, outcome))


async def test_what_waits_too_long_is_given_back() -> None:
    lane = Reported(
        attempt("runs", is_waiting=False, given_at=1),
        attempt("waits", is_waiting=True, given_at=1_000),
        attempt("new", is_waiting=True, given_at=1_500),
        attempt("has no inputs yet", is_waiting=True),
    )
    upkeep._give_back_stale(lane, 2_400)
    assert lane.said == [("waits", RELEASED)]


async def test_draining_gives_back_what_waits_and_keeps_what_runs() -> None:
    lane = Reported(attempt("runs", is_waiting=False), attempt("waits", is_waiting=True))
    lane.drain()
    assert lane.said == [("waits", RELEASED)]
    assert not lane.is_hungry
    assert not lane.is_done


class Sink:
    """Stands in for a client: takes operations, or is away."""

    def __init__(self) -> None:
        self.is_away = True
        self.lines: list[str] = []

    async def execute_all(self, ops: list[object]) -> None:
        if self.is_away:
            raise ServerUnavailable("away")
        self.lines += [str(line) for op in ops for line in op.args[2:] if op.args[0] == "RPUSH"]  # type: ignore[attr-defined]


async def test_log_lines_wait_for_the_server_in_their_order() -> None:
    log, sink = RunLog(), Sink()
    for n in range(2_500):
        log.write("q", "R", "s", f"line {n}")
    with pytest.raises(ServerUnavailable):
        await log.flush(cast(AsyncClient, sink))
    sink.is_away = False
    await log.flush(cast(AsyncClient, sink))
    assert [line.split("|")[1:] for line in sink.lines] == [["s", f"line {n}"] for n in range(2_500)]


async def test_the_buffer_of_log_lines_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    log, sink = RunLog(), Sink()
    sink.is_away = False
    for n in range(MOST_LINES + 5):
        log.write("q", "R", "s", str(n))
    await log.flush(cast(AsyncClient, sink))
    assert len(sink.lines) == MOST_LINES
    assert sink.lines[0].endswith("|5"), "the oldest went"
    assert "5 lines of run logs were dropped" in caplog.text
