"""A worker: a lane for each queue, a heartbeat, some upkeep, and an orderly end.

`stop` drains: nothing new is taken, what was not started is given back, what runs is finished and reported, with its
lease extended all the while. A second `stop`, or the end of the drain's time, gives back what still runs without
waiting for it. Neither costs an attempt. If all else fails the leases lapse and other workers take over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import secrets
import socket
from collections.abc import Callable, Coroutine, Iterable
from enum import StrEnum
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from omniq_flow.client.client import AsyncClient
from omniq_flow.client.connect import Target
from omniq_flow.engine.attempt import Attempt
from omniq_flow.engine.handlers import Handlers
from omniq_flow.engine.heartbeat import Heartbeat
from omniq_flow.engine.jobs import BoundJob
from omniq_flow.engine.lane import Lane
from omniq_flow.engine.lease import Leases
from omniq_flow.engine.outcomes import Outcome
from omniq_flow.engine.plans import Plans
from omniq_flow.engine.polling import Polling
from omniq_flow.engine.presence import Presence
from omniq_flow.engine.registry import Registry
from omniq_flow.engine.runlog import RunLog
from omniq_flow.engine.shop import Shop
from omniq_flow.engine.slots import Slots
from omniq_flow.engine.tools import Tools
from omniq_flow.engine.upkeep import Upkeep
from omniq_flow.errors import OmniqFlowError, ServerUnavailable, UsageError
from omniq_flow.flow.app import App
from omniq_flow.flow.definition import Flow
from omniq_flow.flow.values import MAX_VALUE
from omniq_flow.model.clock import now_ms
from omniq_flow.model.names import check_queue

logger = logging.getLogger("omniq_flow.worker")

CONNECT_AGAIN_S = 1.0
GOODBYE_S = 1.0


class Ending(StrEnum):
    """How a worker ended: everything it held was finished, or some of it was given back unfinished."""

    DRAINED = "drained"
    HANDED_BACK = "handed_back"


class Worker:
    """Works the steps of some flows, and the plain jobs of some apps, until it is stopped.

    `queues` are served and nothing else; by default the home queues of the flows and the queues of the apps. `poll_ms`
    fixes how often an idle worker looks by itself, `beat_ms` has leases extended more often than every third of them, and
    `ahead` is how many jobs may be held while handlers take microseconds. A `drain_timeout_ms` of None is no limit. With
    `waits_for_server` it starts before the server does.
    """

    def __init__(
        self,
        served: Registry | Iterable[Flow | App],
        *,
        url: str | Target,
        queues: Iterable[str] | None = None,
        concurrency: int = 16,
        poll_ms: int | None = None,
        drain_timeout_ms: int | None = 30_000,
        beat_ms: int | None = None,
        ahead: int = 0,
        name: str | None = None,
        retention_runs: int = 1_000,
        value_limit: int = MAX_VALUE,
        waits_for_server: bool = True,
    ) -> None:
        if concurrency < 1:
            raise UsageError(f"a worker has at least one slot; concurrency is {concurrency}")
        self.registry = served if isinstance(served, Registry) else _strict(served, value_limit)
        self.queues = tuple(dict.fromkeys(check_queue(q) for q in (self.registry.queues if queues is None else queues)))
        if not self.queues:
            raise UsageError("a worker needs a queue", hint="give it flows or apps, or name queues")
        self.name = re.sub(r"[^A-Za-z0-9._-]", "-", name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}")
        self._target = url if isinstance(url, Target) else Target.parse(url)
        self._slots = Slots(concurrency, ahead)
        self._unknown: set[str] = set()
        self._polling = Polling(poll_ms)
        self._drain_s = None if drain_timeout_ms is None else drain_timeout_ms / 1000
        self._beat_ms = beat_ms or 0
        self._keep_runs = retention_runs
        self._waits = waits_for_server
        self._started_ms = now_ms()
        self._stops = 0
        self._stopped: list[asyncio.Event] = []
        self._lanes: dict[str, Lane] = {}

    @property
    def is_stopping(self) -> bool:
        return self._stops > 0

    @property
    def held(self) -> int:
        """How many jobs it holds."""
        return sum(len(lane.held) for lane in self._lanes.values())

    @property
    def busy(self) -> int:
        """How many handlers run."""
        return self._slots.busy

    @property
    def unknown(self) -> tuple[str, ...]:
        """What came by and has no code here: steps as `flow.step`, and the plain jobs of a queue."""
        return tuple(sorted(self._unknown))

    def stop(self) -> None:
        """Drain; called again, hand back at once. Call it in the loop's thread, as a signal handler of the loop does."""
        self._stops += 1
        for event in self._stopped[: self._stops]:
            event.set()

    async def run(self) -> Ending:
        """Work until `stop`. `ServerUnavailable` if there is no server and it should not be waited for."""
        self._stopped = [asyncio.Event(), asyncio.Event()]
        for event in self._stopped[: self._stops]:
            event.set()
        client = await self._connect()
        if client is None:
            return Ending.DRAINED
        async with client:
            return await self._serve(client)

    async def _connect(self) -> AsyncClient | None:
        said = ""
        while not self.is_stopping:
            try:
                return await AsyncClient.open(self._target)
            except ServerUnavailable as error:
                if not self._waits:
                    raise
                if (text := f"{error} ({error.where})") != said:
                    logger.warning("waiting for the server: %s", text)
                    said = text
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped[0].wait(), CONNECT_AGAIN_S)
        return None

    async def _serve(self, client: AsyncClient) -> Ending:
        loop = asyncio.get_running_loop()
        leases, handlers, tools = Leases(), Handlers(self._slots, self, self._target), Tools(self._target, client)
        shop = Shop(
            name=self.name,
            client=client,
            plans=Plans(client, self.registry),
            slots=self._slots,
            handlers=handlers,
            leases=leases,
            run_log=RunLog(),
            polling=self._polling,
            unknown=self._unknown,
            tools=tools,
            jobs={queue: BoundJob(handler) for queue, handler in self.registry.handlers.items()},
            beat_ms=self._beat_ms,
        )
        shop.lanes = [Lane(shop, queue) for queue in self.queues]
        self._lanes = {lane.queue: lane for lane in shop.lanes}
        heartbeat = Heartbeat(self._target, leases, lambda attempt: _tell(loop, self._told, attempt))
        upkeep = Upkeep(shop, self._presence, self._keep_runs)
        heartbeat.start()
        tending = asyncio.create_task(upkeep.run())
        logger.info("worker %s serves %s", self.name, ", ".join(self.queues))
        try:
            return await self._work(shop)
        finally:
            tending.cancel()
            await _bounded(handlers.close())
            await _bounded(upkeep.leave())
            tools.close()
            await asyncio.to_thread(heartbeat.stop)

    async def _work(self, shop: Shop) -> Ending:
        """Run the lanes to their end, or to ours; a lane that fails fails the worker."""
        lanes = [asyncio.create_task(lane.run()) for lane in shop.lanes]
        orders = asyncio.create_task(self._orders(shop, lanes))
        try:
            await asyncio.wait({*lanes, orders}, return_when=asyncio.FIRST_EXCEPTION)
            for task in lanes:
                if task.done() and not task.cancelled():
                    task.result()
            return orders.result()
        finally:
            for task in lanes:
                task.cancel()
            orders.cancel()

    async def _orders(self, shop: Shop, lanes: list[asyncio.Task[None]]) -> Ending:
        """Wait for `stop` and see it through."""
        await self._stopped[0].wait()
        logger.info("worker %s drains: %d jobs are held", self.name, self.held)
        for lane in shop.lanes:
            lane.drain()
        again = asyncio.create_task(self._stopped[1].wait())
        drained = asyncio.create_task(_all_done(shop.lanes))
        await asyncio.wait({again, drained}, timeout=self._drain_s, return_when=asyncio.FIRST_COMPLETED)
        # What a lane holds after it was done came with a late reply; it is given back and was never started.
        is_drained = drained.done() or not self.held
        again.cancel()
        drained.cancel()
        if is_drained:
            await _end(lanes)
            return Ending.DRAINED
        logger.warning("worker %s hands back %d unfinished jobs", self.name, self.held)
        for lane in shop.lanes:
            lane.hand_back()
        await _end(lanes)
        return Ending.HANDED_BACK

    # what handlers and the heartbeat say

    def timed_out(self, attempt: Attempt, outcome: Outcome) -> None:
        self._lanes[attempt.queue].report(attempt, outcome)

    def ended(self, attempt: Attempt, outcome: Outcome | None) -> None:
        self._lanes[attempt.queue].ended(attempt, outcome)
        for lane in self._lanes.values():
            if lane.is_hungry:
                lane.notify()

    def _told(self, attempt: Attempt) -> None:
        self._lanes[attempt.queue].told(attempt)

    def _presence(self) -> Presence:
        return Presence(
            name=self.name,
            queues=self.queues,
            concurrency=self._slots.capacity,
            busy=self._slots.busy,
            held=self.held,
            state="draining" if self.is_stopping else "working",
            version=_version(),
            started_ms=self._started_ms,
            serves=self.registry.serves,
            unknown=self.unknown,
        )


def _strict(served: Iterable[Flow | App], value_limit: int) -> Registry:
    """Of what was named one by one, nothing may be faulty."""
    registry = Registry.of(served, value_limit=value_limit)
    registry.raise_faults()
    return registry


def _tell(loop: asyncio.AbstractEventLoop, listener: Callable[[Attempt], None], attempt: Attempt) -> None:
    """Pass a word on from another thread; a loop that is over has nobody to hear it."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(listener, attempt)


async def _all_done(lanes: list[Lane]) -> None:
    for lane in lanes:
        await lane.done.wait()


async def _end(lanes: list[asyncio.Task[None]]) -> None:
    """Let the lanes say goodbye. A server that is away would only be told what the leases say by themselves."""
    _, left = await asyncio.wait(lanes, timeout=GOODBYE_S)
    for task in left:
        task.cancel()


async def _bounded(work: Coroutine[Any, Any, None]) -> None:
    """A goodbye that nobody waits for long."""
    with contextlib.suppress(TimeoutError, OmniqFlowError):
        await asyncio.wait_for(work, GOODBYE_S)


@cache
def _version() -> str:
    try:
        return version("omniq-flow")
    except PackageNotFoundError:
        return "0"
