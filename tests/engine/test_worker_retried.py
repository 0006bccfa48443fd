"""A worker takes up a run that failed and was retried."""

from __future__ import annotations

from omniq_flow import Flow, Retry, StepContext, each, gather, result
from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.worker import Worker
from omniq_flow.model.states import RunState
from omniq_flow.ops.runs import run_retry
from tests.engine.life import begin, working
from tests.support.server import Server


async def test_a_retried_run_is_worked_to_success(server: Server, aclient: AsyncClient) -> None:
    """Who is merely tried again keeps its idempotency key, at whatever retry; who has other inputs gets a new one.

    `page[1]` fails in two lives of the run. `title` needs a value that is made again, `cover` keeps its own.
    """
    flow = Flow("retried", retry=Retry(attempts=1))
    keys: dict[str, list[str]] = {}
    failures = {"page-1": 2}

    def note(ctx: StepContext) -> None:
        keys.setdefault(ctx.step_run.id, []).append(ctx.idempotency_key.removeprefix(f"{ctx.run_id}."))
        if failures.get(ctx.step_run.id, 0) >= len(keys[ctx.step_run.id]):
            raise ValueError("not yet")

    @flow.step
    def cover(ctx: StepContext) -> str:
        note(ctx)
        return f"cover {len(keys['cover'])}"

    @flow.step
    def title(ctx: StepContext, on: str = result(cover)) -> str:
        note(ctx)
        return f"title on {on}"

    @flow.step
    def pages() -> list[int]:
        return [0, 1, 2]

    @flow.step
    async def page(ctx: StepContext, n: int = each(pages)) -> int:
        note(ctx)
        return n

    @flow.step
    def bind(ctx: StepContext, first: str = result(title), then: list[int] = gather(page)) -> str:
        note(ctx)
        return f"{first}, {then}"

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).ends()
        assert await run.state() is RunState.FAILED
        await aclient.execute(run_retry("retried", run.run_id, epoch=1))
        await run.ends()
        assert await run.state() is RunState.FAILED
        await aclient.execute(run_retry("retried", run.run_id, epoch=2, redo=["cover"]))
        await run.succeeds()
    assert await run.value("bind") == "title on cover 2, [0, 1, 2]"
    assert keys == {
        "cover": ["cover", "cover.r3"],
        "title": ["title", "title.r3"],
        "page-0": ["page-0"],
        "page-1": ["page-1"] * 3,
        "page-2": ["page-2"],
        "bind": ["bind.r3"],
    }
