"""Flows that do nothing, so that only the engine is measured."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from omniq_flow import Flow, each, gather, result


class Size(BaseModel):
    n: int = 0


CHAIN = 50
chain = Flow("chain", input=Size)
chain_threads = Flow("chain_threads", input=Size)
fan = Flow("fan", input=Size, max_parallel=1_000)


@chain.step(name="s0")
async def _first(size: Size) -> int:
    return size.n


@chain_threads.step(name="s0")
def _first_sync(size: Size) -> int:
    return size.n


def _grow() -> None:
    """A chain is a loop over definitions; each step takes the one before."""
    before: Any = _first
    before_sync: Any = _first_sync
    for i in range(1, CHAIN):

        async def step(value: int = result(before)) -> int:
            return value

        def step_sync(value: int = result(before_sync)) -> int:
            return value

        before = chain.step(name=f"s{i}")(step)
        before_sync = chain_threads.step(name=f"s{i}")(step_sync)


_grow()


@fan.step
async def numbers(size: Size) -> list[int]:
    return list(range(size.n))


@fan.step
async def child(number: int = each(numbers)) -> int:
    return number


@fan.step
async def total(values: list[int] = gather(child)) -> int:
    return sum(values)
