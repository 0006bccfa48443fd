"""From a taken job to a handler that can start: its plan, its code, its inputs.

Nearly always all of it is at hand and the handler is offered at once. A plan that is not known, or inputs that the take
did not carry, are fetched meanwhile; the job waits, with its lease extended like any other. A job that has no code here
is given back, not failed: another worker has it, or the next deployment.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, Protocol

from omniq_flow.engine.attempt import Attempt
from omniq_flow.engine.binding import Bound
from omniq_flow.engine.inputs import Reader, inline
from omniq_flow.engine.lease import beat_every_ms, extend
from omniq_flow.engine.outcomes import RELEASED, UNKNOWN, Outcome
from omniq_flow.engine.shop import Shop, again_ms
from omniq_flow.errors import NotFound, OmniqFlowError, ServerUnavailable
from omniq_flow.flow.context import JobContext, StepContext
from omniq_flow.model.clock import monotonic_ms
from omniq_flow.model.plan import Plan
from omniq_flow.ops.ticks import MAX_BEATS, Taken, TickReply, lease_beat

logger = logging.getLogger("omniq_flow.worker")

MOST_UNKNOWN = 1_000


class Holder(Protocol):
    """The lane, as far as a taken job needs it."""

    queue: str
    is_draining: bool

    def hold(self, attempts: Sequence[Attempt]) -> None: ...
    def report(self, attempt: Attempt, outcome: Outcome) -> None: ...
    def spawn(self, work: Coroutine[Any, Any, None]) -> None: ...


class Intake:
    """Makes taken jobs ready."""

    def __init__(self, shop: Shop, lane: Holder) -> None:
        self._shop = shop
        self._lane = lane

    async def receive(self, reply: TickReply, asked_at: int) -> None:
        now = monotonic_ms()
        attempts = []
        for taken in reply.taken:
            lease_ms = max(taken.until_ms - reply.now_ms, 1)
            attempts.append(
                Attempt(
                    self._lane.queue,
                    taken,
                    lease_ms,
                    asked_at,
                    asked_at + lease_ms,
                    now,
                    beat_ms=self._shop.beat_ms and min(self._shop.beat_ms, beat_every_ms(lease_ms)),
                )
            )
        if not attempts:
            return
        late = [a for a in attempts if now - asked_at > beat_every_ms(a.lease_ms)]
        if late and not await self._prove(late):
            attempts = [a for a in attempts if a not in late]
        self._lane.hold(attempts)
        for attempt in attempts:
            self._admit(attempt)

    async def _prove(self, attempts: list[Attempt]) -> bool:
        """Extend leases whose reply took so long that they may be over; without that nothing is started."""
        asked_at = monotonic_ms()
        leases = [(a.taken.job_id, a.token) for a in attempts]
        assert len(leases) <= MAX_BEATS, "a take is smaller than a heartbeat"
        try:
            beats = await self._shop.client.execute(lease_beat(self._lane.queue, leases))
        except OmniqFlowError:
            return False
        for attempt, beat in zip(attempts, beats, strict=True):
            attempt.is_gone = beat.is_lost
            extend(attempt, asked_at)
        return True

    def _admit(self, attempt: Attempt) -> None:
        taken = attempt.taken
        self._shop.handlers.admit(attempt)
        if self._lane.is_draining or attempt.is_gone:
            self._lane.report(attempt, RELEASED)
        elif taken.flow is None:
            self._bind_job(attempt)
        elif plan := self._shop.plans.known(taken.plan_sha):
            self._bind(attempt, plan)
        else:
            self._lane.spawn(self._fetch_plan(attempt))

    def _bind(self, attempt: Attempt, plan: Plan) -> None:
        taken = attempt.taken
        assert taken.flow is not None
        bound = self._shop.plans.bound(plan, taken.flow.step_run.step)
        if bound is None:
            self._unknown(attempt, f"{plan.flow}.{taken.flow.step_run.step}")
            return
        attempt.bound, attempt.context = bound, self._context(attempt, taken, plan.flow)
        given = inline(bound, taken)
        if given is None:
            self._lane.spawn(self._read(attempt, plan, bound))
            return
        attempt.given = given
        self._offer(attempt)

    def _bind_job(self, attempt: Attempt) -> None:
        taken, queue = attempt.taken, self._lane.queue
        bound = self._shop.jobs.get(queue)
        if bound is None:
            self._unknown(attempt, f"plain jobs of {queue}")
            return
        attempt.bound, attempt.given = bound, taken.payload
        attempt.context = JobContext(
            queue,
            taken.job_id,
            taken.payload,
            attempt=taken.attempt,
            max_attempts=taken.max_attempts,
            lock_until_ms=taken.until_ms,
            lease_token=taken.token,
            gid=taken.gid,
            cancelled=attempt.cancelled,
            lease_lost=attempt.lease_lost,
            tools=self._shop.tools,
        )
        self._offer(attempt)

    def _offer(self, attempt: Attempt) -> None:
        attempt.given_at = monotonic_ms()
        self._shop.handlers.offer(attempt)

    def _context(self, attempt: Attempt, taken: Taken, flow: str) -> StepContext:
        assert taken.flow is not None
        return StepContext(
            run_id=taken.flow.run_id,
            flow=flow,
            step_run=taken.flow.step_run,
            attempt=taken.attempt,
            max_attempts=taken.max_attempts,
            idempotency_key=taken.idempotency_key,
            fence=taken.fence,
            job_id=taken.job_id,
            gid=taken.gid,
            cancelled=attempt.cancelled,
            lease_lost=attempt.lease_lost,
            write_log=partial(self._shop.run_log.write, self._lane.queue, taken.flow.run_id, taken.flow.step_run.id),
            tools=self._shop.tools,
        )

    def _unknown(self, attempt: Attempt, what: str) -> None:
        """There is no code for it here: given back for a while, its attempt not counted."""
        if what not in self._shop.unknown and len(self._shop.unknown) < MOST_UNKNOWN:
            self._shop.unknown.add(what)
            logger.warning("no code here for %s; given back to whoever has it", what, extra=attempt.extra)
        self._lane.report(attempt, UNKNOWN)

    async def _fetch_plan(self, attempt: Attempt) -> None:
        taken = attempt.taken
        while not attempt.is_reported:
            try:
                self._bind(attempt, await self._shop.plans.read(self._lane.queue, taken.plan_sha))
                return
            except ServerUnavailable:
                await asyncio.sleep(again_ms(3) / 1000)
            except (NotFound, ValueError) as error:
                self._unknown(attempt, f"plan {taken.plan_sha[:12]} ({error})")

    async def _read(self, attempt: Attempt, plan: Plan, bound: Bound) -> None:
        """Inputs that the take did not carry."""
        reader = Reader(self._shop.client, self._lane.queue, plan, bound, attempt.taken)
        while not attempt.is_reported:
            try:
                attempt.given = await reader.read()
                self._offer(attempt)
                return
            except ServerUnavailable:
                await asyncio.sleep(again_ms(3) / 1000)
            except Exception as error:
                self._lane.report(attempt, bound.failed(error, attempt.context, random.random()))
