"""Flows and a handler of plain jobs that only count, all on one queue, so that only the engine is measured.

With the variant `threads` the handlers are sync functions, which a worker runs in threads.
"""

from __future__ import annotations

from typing import Any

import probe
from pydantic import BaseModel

from omniq_flow import App, Flow, each, gather, result

QUEUE = "bench"
STEPS = 50
NEWCOMER = 1_000
"""Noted by runs of one step, so that they are told from the steps of a chain."""
IS_SYNC = probe.VARIANT == "threads"


class Size(BaseModel):
    n: int = 0
    bytes: int = 0


chain = Flow("chain", input=Size, queue=QUEUE)
fan = Flow("fan", input=Size, queue=QUEUE, max_parallel=1_000)
short = Flow("short", input=Size, queue=QUEUE)
app = App()


def noop(payload: dict[str, Any]) -> None:
    if "t" in payload:
        probe.stamp(payload["t"])
    else:
        probe.tick()


async def noop_async(payload: dict[str, Any]) -> None:
    noop(payload)


app.handler(queue=QUEUE)(noop if IS_SYNC else noop_async)


def link(i: int, before: Any) -> Any:
    """Step i of the chain; each takes the number of its run from the one before."""
    if before is None:

        def first(size: Size) -> int:
            probe.stamp(size.n, 0)
            return size.n

        async def first_async(size: Size) -> int:
            return first(size)

        return first if IS_SYNC else first_async

    def step(run: int = result(before)) -> int:
        probe.stamp(run, i)
        return run

    async def step_async(run: int = result(before)) -> int:
        return step(run)

    return step if IS_SYNC else step_async


def grow() -> None:
    """A chain is a loop over definitions."""
    before: Any = None
    for i in range(STEPS):
        before = chain.step(name=f"s{i}")(link(i, before))


grow()


@fan.step
async def sizes(size: Size) -> list[int]:
    return [size.bytes] * size.n


@fan.step
async def child(size: int = each(sizes)) -> str:
    probe.tick()
    return "x" * max(size - 2, 0)


@fan.step
async def total(values: list[str] = gather(child)) -> int:
    probe.stamp(1)
    return len(values)


@short.step
async def only(size: Size) -> int:
    probe.stamp(size.n, NEWCOMER)
    return size.n
