"""What the tests of the worker share: a worker that runs for a while, a run that is followed to its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.starting import start_async
from omniq_flow.engine.worker import Ending, Worker
from omniq_flow.flow.definition import Flow
from omniq_flow.model.runs import Fact, Failure
from omniq_flow.model.states import RunState
from omniq_flow.ops import runs
from omniq_flow.ops.command import Query
from tests.support.until import until


class Count(BaseModel):
    """The input of a flow that makes a list: how long that is."""

    n: int = 3


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[Worker]:
    """The worker runs inside the block, and is drained after it."""
    task = asyncio.create_task(worker.run())
    try:
        yield worker
        worker.stop()
        assert await asyncio.wait_for(task, 10) is Ending.DRAINED
    finally:
        task.cancel()


@dataclass(frozen=True)
class Followed:
    """A run, as it is read back."""

    client: AsyncClient
    flow: Flow
    run_id: str

    async def state(self) -> RunState:
        return (await self.client.execute(runs.run_header(self.flow.queue, self.run_id))).state

    async def ends(self, timeout: float = 20.0) -> Followed:
        async def is_ended() -> bool:
            return (await self.state()).is_ended

        await until(is_ended, f"run {self.run_id} ends", timeout=timeout)
        return self

    async def succeeds(self, timeout: float = 20.0) -> Followed:
        await self.ends(timeout)
        assert await self.state() is RunState.SUCCEEDED, await self.outputs()
        return self

    async def outputs(self) -> dict[str, bytes]:
        """Everything that is stored, raw."""
        found: dict[str, bytes] = await self.client.execute(
            Query(("HGETALL", f"{{{self.flow.queue}}}:flow:o:{self.run_id}"), lambda r: {k.decode(): v for k, v in _pairs(r)})
        )
        return found

    async def value(self, step_run: str) -> Any:
        """One inline value."""
        raw = (await self.outputs())[step_run]
        assert raw[:1] == b"=", raw[:80]
        return json.loads(raw[1:])

    async def failure(self, step_run: str) -> Failure:
        raw = (await self.outputs())[step_run]
        assert raw[:1] == b"!", raw[:80]
        return Failure.parse(raw[1:])

    async def letters(self) -> dict[str, str]:
        """Step run -> the letter of its state, for all that have one."""
        found: dict[str, str] = await self.client.execute(
            Query(
                ("HGETALL", f"{{{self.flow.queue}}}:flow:s:{self.run_id}"),
                lambda r: {k.decode(): str(Fact.parse(v).state) for k, v in _pairs(r)},
            )
        )
        return found


def _pairs(reply: Any) -> Any:
    return reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)


async def begin(client: AsyncClient, flow: Flow, value: Any = None, *, key: str = "") -> Followed:
    started = await start_async(client, flow, value, key=key)
    return Followed(client, flow, started.run_id)


async def no_active_jobs(client: AsyncClient, queue: str) -> bool:
    return await client.execute(Query(("ZCARD", f"{{{queue}}}:active"), int)) == 0
