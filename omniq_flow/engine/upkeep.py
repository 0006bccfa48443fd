"""What a worker does beside its jobs: look after runs, remove old ones, say that it is there, send the runs' logs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import takewhile

from omniq_flow.engine.eviction import tell_of_eviction
from omniq_flow.engine.lane import Lane
from omniq_flow.engine.outcomes import RELEASED
from omniq_flow.engine.presence import EVERY_MS, Presence
from omniq_flow.engine.shop import Shop
from omniq_flow.engine.starting import announce_queue
from omniq_flow.errors import ServerUnavailable
from omniq_flow.model.clock import monotonic_ms
from omniq_flow.model.names import FlowJobId
from omniq_flow.ops.command import Command, Operation
from omniq_flow.ops.jobs import is_of_old_layout, some_jobs
from omniq_flow.ops.runs import Purged, newest_failed, run_purge, run_sweep

logger = logging.getLogger("omniq_flow.worker")

TURN_S = 0.2
SOON_S = 0.01
"""Between turns until a lane has heard of the server, so that a new worker shows at once."""
MOST_PURGES = 20
FAILED_MS = 1_000
FAILED_HEAD = 64
STALE_MS = 1_000
SAMPLE = 8
MIXED = (
    "queue %s is shared with an OmniQ client before 3.0 (job %s is of its layout, this worker keeps that of 4.0): "
    "jobs are safe, statistics and index sets drift"
)


class Upkeep:
    """Goes round all lanes again and again; trouble with one turn never ends it."""

    def __init__(self, shop: Shop, presence: Callable[[], Presence], keep_runs: int) -> None:
        self._shop = shop
        self._presence = presence
        self._keep_runs = keep_runs
        self._next_at: dict[str, int] = {}
        self._next_look_at = 0
        self._mixed: set[str] = set()

    async def run(self) -> None:
        await tell_of_eviction(self._shop.client)
        while True:
            try:
                await self._turn()
            except ServerUnavailable:
                # The client has told of it, and the next turn tries again.
                await asyncio.sleep(1)
            except Exception:
                logger.exception("upkeep failed, it goes on")
                await asyncio.sleep(1)
            await asyncio.sleep(TURN_S if any(lane.server_now for lane in self._shop.lanes) else SOON_S)

    async def leave(self) -> None:
        """The last words: the rest of the logs, and that nobody is here any more."""
        await self._shop.run_log.flush(self._shop.client)
        presence = self._presence()
        for lane in self._shop.lanes:
            await self._shop.client.execute_all(presence.leave(lane.queue))

    async def _turn(self) -> None:
        now = monotonic_ms()
        for lane in self._shop.lanes:
            _give_back_stale(lane, now)
        await self._shop.run_log.flush(self._shop.client)
        for lane in self._shop.lanes:
            await self._sweep(lane)
        if now >= self._next_look_at:
            self._next_look_at = now + FAILED_MS
            for lane in self._shop.lanes:
                # Where nothing goes on, nothing can have failed.
                if lane.has_more or lane.held:
                    await self._look_at_failed(lane)
        for lane in self._shop.lanes:
            # Before its first reply a lane does not know the server's time.
            if lane.server_now and now >= self._next_at.get(lane.queue, 0):
                self._next_at[lane.queue] = now + EVERY_MS
                await self._round(lane)

    async def _sweep(self, lane: Lane) -> None:
        while lane.to_sweep:
            run_id = lane.to_sweep.pop()
            found = await self._shop.client.execute(run_sweep(lane.queue, run_id))
            if found.lost or found.failed:
                logger.warning(
                    "run %s: %d jobs were lost and made again, %d had failed elsewhere",
                    run_id,
                    found.lost,
                    found.failed,
                    extra={"queue": lane.queue, "run": run_id},
                )

    async def _look_at_failed(self, lane: Lane) -> None:
        """Jobs of ours that a client without flows failed: a hint, the turn of their runs would find them later."""
        ids = await self._shop.client.execute(newest_failed(lane.queue, FAILED_HEAD))
        found: dict[str, list[str]] = {}
        for job in map(FlowJobId.parse, takewhile(lambda job_id: job_id != lane.last_failed, ids)):
            if job is not None:
                found.setdefault(job.run_id, []).append(job.step_run.id)
        for run_id, names in found.items():
            await self._shop.client.execute(run_sweep(lane.queue, run_id, only=names))
        lane.last_failed = ids[0] if ids else ""

    async def _round(self, lane: Lane) -> None:
        """All of it in one round trip, as far as nothing is found."""
        server_now = lane.server_now + monotonic_ms() - lane.replied_at
        looks = some_jobs(lane.queue, SAMPLE) if lane.queue not in self._mixed else []
        words: list[Operation] = [*self._presence().announce(lane.queue, server_now), announce_queue(lane.queue), self._purge_piece(lane)]
        replies = await self._shop.client.execute_all([*words, *looks])
        await self._look_for_old_clients(lane, [job_id for lane_ids in replies[len(words) :] for job_id in lane_ids])
        purged: Purged = replies[len(words) - 1]
        for _ in range(MOST_PURGES):
            if not purged.has_more:
                return
            purged = await self._shop.client.execute(self._purge_piece(lane))

    def _purge_piece(self, lane: Lane) -> Command[Purged]:
        return run_purge(lane.queue, keep_runs=self._keep_runs)

    async def _look_for_old_clients(self, lane: Lane, ids: list[str]) -> None:
        """Tell once that an old client shares the queue: nothing is lost by it, but its figures drift (H24)."""
        found = await self._shop.client.execute_all([is_of_old_layout(lane.queue, job_id) for job_id in ids]) if ids else []
        if old := next((job_id for job_id, is_old in zip(ids, found, strict=True) if is_old), None):
            self._mixed.add(lane.queue)
            logger.warning(MIXED, lane.queue, old, extra={"queue": lane.queue})


def _give_back_stale(lane: Lane, now: int) -> None:
    """A job that waits here behind long handlers may be worked elsewhere."""
    for attempt in list(lane.held.values()):
        is_stale = attempt.is_waiting and attempt.given_at and now - attempt.given_at > STALE_MS
        if is_stale and lane.shop.handlers.withdraw(attempt):
            lane.report(attempt, RELEASED)
