"""A step without code here is given back, shown and left to whoever has it (a rolling deployment)."""

from __future__ import annotations

import json

import pytest
import redis

from omniq_flow import Flow, result
from omniq_flow.client.client import AsyncClient
from omniq_flow.engine import outcomes
from omniq_flow.engine.outcomes import Outcome
from omniq_flow.engine.worker import Worker
from omniq_flow.ops import keys
from tests.engine.life import begin, working
from tests.support.server import Server
from tests.support.until import until


def old() -> Flow:
    flow = Flow("rolling")

    @flow.step
    def one() -> int:
        return 1

    return flow


def new() -> Flow:
    flow = Flow("rolling")

    @flow.step
    def one() -> int:
        return 1

    @flow.step
    def two(n: int = result(one)) -> int:
        return n + 1

    return flow


async def test_an_old_worker_leaves_new_steps_to_a_new_one(
    server: Server, aclient: AsyncClient, redis_conn: redis.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("omniq_flow.engine.intake.UNKNOWN", Outcome("release", 100))
    assert Outcome("release", 5_000) == outcomes.UNKNOWN
    flow = new()
    async with working(worker := Worker([old()], url=server.url)):
        run = await begin(aclient, flow)
        await until(lambda: worker.unknown, "the old worker meets the new step")
        job = f"{{rolling}}:job:f.{run.run_id}.two.1"
        # It is taken and given back again and again, so both are read at one moment.
        given_back = [b"delayed", b"0"]
        await until(lambda: redis_conn.hmget(job, "state", "attempt") == given_back, "the job is given back, without an attempt")
        assert await run.letters() == {"one": "D", "two": "Q"}
        assert worker.unknown == ("rolling.two",)
        async with working(Worker([flow], url=server.url)):
            await run.succeeds()
    assert await run.value("two") == 2
    assert caplog.text.count("no code here for rolling.two") == 1


async def test_what_is_unknown_is_told_to_screens(
    server: Server, aclient: AsyncClient, redis_conn: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omniq_flow.engine.upkeep.EVERY_MS", 50)
    async with working(Worker([old()], url=server.url, name="w")):
        await begin(aclient, new())
        await until(lambda: redis_conn.hget(keys.worker("rolling", "w"), "unknown") == b'["rolling.two"]', "it is told")
        assert json.loads(redis_conn.hget(keys.worker("rolling", "w"), "serves") or b"") == {"rolling": ["one"]}


async def test_a_renamed_parameter_is_other_code(server: Server, aclient: AsyncClient) -> None:
    renamed = Flow("rolling")

    @renamed.step
    def one() -> int:
        return 1

    @renamed.step
    def two(m: int = result(one)) -> int:
        return m

    async with working(worker := Worker([renamed], url=server.url)):
        await begin(aclient, new())
        await until(lambda: worker.unknown == ("rolling.two",), "it is not taken for the same step")


async def test_a_run_follows_the_plan_it_began_with(server: Server, aclient: AsyncClient) -> None:
    """The new code wires `three` to `two`; the run goes on as it was planned."""
    flow = Flow("rewired")

    @flow.step
    def one() -> int:
        return 1

    @flow.step
    def two() -> int:
        return 2

    @flow.step
    def three(n: int = result(one)) -> int:
        return n

    rewired = Flow("rewired")

    @rewired.step(name="one")
    def one_again() -> int:
        return 1

    @rewired.step(name="two")
    def two_again() -> int:
        return 2

    @rewired.step(name="three")
    def three_again(n: int = result(two_again)) -> int:
        return n * 100

    run = await begin(aclient, flow)
    async with working(Worker([rewired], url=server.url)):
        await run.succeeds()
        assert await run.value("three") == 100
        other = await (await begin(aclient, rewired)).succeeds()
        assert await other.value("three") == 200
