"""Whole flows through a real worker and a real server: values arrive as they were, in order, wherever they come from."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
import redis
from pydantic import BaseModel

from omniq_flow import Flow, Retry, StepContext, each, gather, result
from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.attempt import Attempt
from omniq_flow.engine.inline import run_inline
from omniq_flow.engine.lane import Lane
from omniq_flow.engine.registry import Registry
from omniq_flow.engine.worker import Worker
from omniq_flow.model.states import RunState
from tests.engine.life import Count, begin, working
from tests.support.server import Server


@pytest.mark.parametrize("concurrency", [1, 16])
async def test_the_example_flows(server: Server, aclient: AsyncClient, concurrency: int) -> None:
    registry = Registry.load(Path(__file__).parents[2] / "flows")
    registry.raise_faults()
    async with working(Worker(registry, url=server.url, concurrency=concurrency)):
        hello = await begin(aclient, registry.flows["hello"], {"name": "Ada"})
        nested = await begin(aclient, registry.flows["nested"], {})
        await hello.succeeds()
        await nested.succeeds()
    assert await hello.value("letter") == {"to": "Ada", "lines": ["Hello, Ada!", "Hello, Ada! Have a good day."]}
    assert await nested.value("poem") == run_inline(registry.flows["nested"], {}).result.model_dump()


class Kept(BaseModel):
    naive: datetime
    aware: datetime
    uuid: UUID
    amount: Decimal
    raw: bytes
    large: int
    nested: Count


KEPT = Kept(
    naive=datetime(2024, 2, 29, 1, 2, 3, 456_789),
    aware=datetime(2024, 2, 29, tzinfo=UTC),
    uuid=UUID(int=7),
    amount=Decimal("0.1"),
    raw=b"abc",
    large=130_775_545_883_395_173,
    nested=Count(n=2**63),
)


async def test_typed_values_pass_steps_and_elements_unchanged(server: Server, aclient: AsyncClient) -> None:
    """C47."""
    flow = Flow("typed")
    seen: list[object] = []

    @flow.step
    def make() -> list[Kept]:
        return [KEPT, KEPT]

    @flow.step
    async def per_element(one: Kept = each(make)) -> Kept:
        seen.append(one)
        return one

    @flow.step
    def collect(all_: list[Kept] = gather(per_element), whole: list[Kept] = result(make)) -> bool:
        seen.extend([*all_, *whole])
        return all_ == whole

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).succeeds()
    assert seen == [KEPT] * 6
    assert await run.value("collect") is True


async def test_large_values_live_in_their_own_keys(server: Server, aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    flow = Flow("large", retry=Retry(attempts=3, delay=0.01))

    @flow.step
    def big() -> str:
        return "x" * 70_000

    @flow.step
    def bigs(text: str = result(big)) -> list[str]:
        return [text[:69_000] + str(n) for n in range(6)]

    @flow.step
    def one(text: str = each(bigs)) -> str:
        return text[-1] + text[:-1]

    @flow.step
    def join(texts: list[str] = gather(one), whole: list[str] = result(bigs)) -> str:
        assert [t[0] for t in texts] == [w[-1] for w in whole] == list("012345")
        return "".join(t[0] for t in texts)

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow, None)).succeeds()
    assert await run.value("join") == "012345"
    outputs = await run.outputs()
    assert (outputs["big"], outputs["bigs"]) == (b"@1", b"#1:6")
    assert redis_conn.strlen(f"{{large}}:flow:v:{run.run_id}:big:1") == 70_002


async def test_a_value_above_the_limit_fails_for_good(server: Server, aclient: AsyncClient) -> None:
    flow = Flow("too_large")
    calls: list[int] = []

    @flow.step
    def huge(ctx: StepContext) -> dict[str, list[str]]:
        calls.append(ctx.attempt)
        return {"pages": ["x" * 600_000, "y" * 600_000]}

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).ends()
    assert await run.state() is RunState.FAILED
    failure = await run.failure("huge")
    assert failure.type == "ValueTooLarge"
    assert "huge:" in failure.message
    assert "1.0 MiB is the limit" in failure.message
    assert calls == [1]


async def test_a_worker_may_set_a_lower_limit(server: Server, aclient: AsyncClient) -> None:
    flow = Flow("limited")

    @flow.step
    def text() -> str:
        return "x" * 2_000

    async with working(Worker([flow], url=server.url, value_limit=1_000)):
        run = await (await begin(aclient, flow)).ends()
    assert (await run.failure("text")).type == "ValueTooLarge"


async def test_the_context_says_where_it_runs(server: Server, aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    flow = Flow("context", retry=Retry(attempts=2, delay=0))
    seen: list[StepContext] = []

    @flow.step
    def source() -> list[int]:
        return [1]

    @flow.step
    async def work(ctx: StepContext, x: int = each(source)) -> int:
        seen.append(ctx)
        ctx.log(f"attempt {ctx.attempt}")
        if not ctx.is_last_attempt:
            raise ValueError("again")
        return x

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).succeeds()
    first, second = seen
    assert (first.run_id, first.flow, first.step, first.index) == (run.run_id, "context", "work", (0,))
    assert (first.attempt, second.attempt, second.max_attempts) == (1, 2, 2)
    assert first.idempotency_key == second.idempotency_key == f"{run.run_id}.work-0"
    assert first.fence < second.fence
    assert first.gid == run.run_id
    assert not second.is_cancelled
    lines = [line.decode().split("|") for line in cast("list[bytes]", redis_conn.lrange(f"{{context}}:flow:l:{run.run_id}", 0, -1))]
    assert [line[1:] for line in lines] == [["work-0", "attempt 1"], ["work-0", "attempt 2"]]
    assert abs(int(lines[0][0]) / 1000 - time.time()) < 60


async def test_two_workers_share_a_run(server: Server, aclient: AsyncClient) -> None:
    flow = Flow("shared", input=Count)
    done: list[int] = []

    @flow.step
    def source(count: Count) -> list[int]:
        return list(range(count.n))

    @flow.step
    async def work(x: int = each(source)) -> int:
        done.append(x)
        return x

    @flow.step
    def join(xs: list[int] = gather(work)) -> int:
        return sum(xs)

    async with working(Worker([flow], url=server.url, concurrency=4)), working(Worker([flow], url=server.url, concurrency=4)):
        run = await (await begin(aclient, flow, {"n": 500})).succeeds()
    assert await run.value("join") == sum(range(500))
    assert sorted(done) == list(range(500)), "each was started once"


async def test_one_worker_serves_several_queues(server: Server, aclient: AsyncClient) -> None:
    flows = []
    for name in ("q_one", "q_two", "q_three"):
        flow = Flow(name, input=Count)

        @flow.step
        def source(count: Count) -> list[int]:
            return list(range(count.n))

        @flow.step
        def work(x: int = each(source)) -> int:
            return x

        flows.append(flow)
    async with working(Worker(flows, url=server.url, concurrency=2)):
        runs = [await begin(aclient, flow, {"n": 30}) for flow in flows for _ in range(2)]
        for run in runs:
            await run.succeeds()


async def test_what_ends_at_once_is_shared_between_the_channels(
    server: Server, aclient: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all goes back and forth in one piece, and the server waits for the worker and the worker for the server."""
    count, running, all_run = 32, 0, asyncio.Event()
    flow = Flow("shared_beats")

    @flow.step
    async def wait() -> None:
        nonlocal running
        running += 1
        if running == count:
            all_run.set()
            # The others go on in the loop's next turn, and so does the last one.
            await asyncio.sleep(0)
        await all_run.wait()

    beats: list[tuple[int, int]] = []
    send = Lane._send

    async def note(self: Lane, channel: int, batch: list[Attempt], take: int, idle_ms: int) -> Any:
        if batch:
            beats.append((channel, len(batch)))
        return await send(self, channel, batch, take, idle_ms)

    monkeypatch.setattr(Lane, "_send", note)
    followed = [await begin(aclient, flow) for _ in range(count)]
    async with working(Worker([flow], url=server.url, concurrency=count)):
        for run in followed:
            await run.succeeds()
    assert sorted(beats) == [(0, count // 2), (1, count // 2)]
