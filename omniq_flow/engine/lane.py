"""The beat of a worker in one queue: report what ended, take what is next, sleep when there is nothing.

One call (`tick`) does all of it, so a busy lane costs one round trip for many steps. Two *channels* take turns: while the
reply of one is on its way, what ended meanwhile goes out with the other; a third one looks what there is when a wake-up
comes. Each channel has its own name towards the server, for a tick that must be sent again gives back exactly the leases of
that channel's last one.

An attempt that ended stays held, with its lease extended, until a reply says what became of the report. So nothing is
lost when the server is away: the reports wait, the tick is sent again, and what was applied already says so (DUP).
Decisions are in `slots`, `polling`, `lease` and `outcomes`; here they are only asked.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

from omniq_flow.engine.attempt import Attempt
from omniq_flow.engine.intake import Intake
from omniq_flow.engine.outcomes import RELEASED, Outcome
from omniq_flow.engine.polling import SLACK_MS, Cause, Nap, nap
from omniq_flow.engine.shop import AGAIN_CAP_MS, Shop, again_ms
from omniq_flow.engine.staging import stage
from omniq_flow.errors import LeaseLost, OmniqFlowError, ServerUnavailable
from omniq_flow.model.clock import monotonic_ms
from omniq_flow.ops import keys
from omniq_flow.ops.ticks import MAX_ITEMS, SettleCode, TickReply, tick

logger = logging.getLogger("omniq_flow.worker")

CHANNELS = 2
WORTH_SHARING = 32
WOKEN = 2
MOST_BYTES = 4 << 20
POP_S = 20.0
SHORTEST_NAP_MS = 1
MOST_STAGINGS = 3
GONE = "it is held by nobody or by another worker"


class Lane:
    """One queue that a worker serves."""

    def __init__(self, shop: Shop, queue: str) -> None:
        self.shop = shop
        self.queue = queue
        self.held: dict[str, Attempt] = {}
        self.to_sweep: set[str] = set()
        self.last_failed = ""
        self.has_more = False
        self.server_now = 0
        self.is_draining = False
        self.done = asyncio.Event()
        self._finished: deque[Attempt] = deque()
        self._is_empty = False
        self._is_registered = False
        self._next_ms = 0
        self.replied_at = 0
        self._cause: Cause = "work"
        self._takes = 0
        self._beats = 0
        self._is_woken = False
        self._waiters: list[asyncio.Future[bool]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._intake = Intake(shop, self)
        self._salt = secrets.token_hex(8)
        self._requests = 0
        self._refusal = ""

    # what others ask and say

    @property
    def is_hungry(self) -> bool:
        return not self._is_empty and not self.is_draining

    @property
    def is_done(self) -> bool:
        return self.is_draining and not self.held and not self._is_woken

    def notify(self) -> None:
        """Something happened that a channel may want to act on."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(True)

    def report(self, attempt: Attempt, outcome: Outcome) -> None:
        """Settle an attempt with the next beat; only the first word on it counts."""
        if attempt.is_reported:
            return
        attempt.is_reported = True
        self.shop.handlers.withdraw(attempt)
        if attempt.is_gone:
            self._lose(attempt, GONE)
            return
        attempt.outcome = outcome
        if outcome.elements:
            self.spawn(self._stage(attempt))
        else:
            self._finish(attempt)

    def ended(self, attempt: Attempt, outcome: Outcome | None) -> None:
        """A handler has ended; one that was stopped for a lease in doubt is given back."""
        self.report(attempt, outcome or RELEASED)

    def told(self, attempt: Attempt) -> None:
        """The heartbeat found a lease lost, or its run cancelled."""
        if attempt.is_reported or attempt.token not in self.held:
            return
        if not attempt.lease_lost.is_set():
            self._cancel(attempt)
            return
        if attempt.is_gone:
            attempt.is_reported = True
            self.shop.handlers.withdraw(attempt)
            self._lose(attempt, GONE)
            self.shop.handlers.stop(attempt)
            return
        logger.warning("lease in doubt: %s: no heartbeat came through in time", attempt.title, extra=attempt.extra)
        if self.shop.handlers.withdraw(attempt):
            self.report(attempt, RELEASED)
        else:
            self.shop.handlers.stop(attempt)

    def _cancel(self, attempt: Attempt) -> None:
        """Nobody wants the work any more. What can be stopped is; a thread reads it from `ctx.cancelled`."""
        logger.info("%s is no longer wanted: it is told to stop", attempt.title, extra=attempt.extra)
        if self.shop.handlers.withdraw(attempt):
            self.report(attempt, RELEASED)
        else:
            self.shop.handlers.stop(attempt)

    def drain(self) -> None:
        """Take nothing any more; give back what was not started."""
        self.is_draining = True
        for attempt in list(self.held.values()):
            if not attempt.is_reported and self.shop.handlers.withdraw(attempt):
                self.report(attempt, RELEASED)
        self._check_done()
        self.notify()

    def hand_back(self) -> None:
        """Stop what runs and give all of it back, without waiting for any handler."""
        for attempt in list(self.held.values()):
            if not attempt.is_reported:
                attempt.cancelled.set()
                self.report(attempt, RELEASED)
                self.shop.handlers.stop(attempt)

    async def run(self) -> None:
        """Serve the queue until it is drained."""
        watch = asyncio.create_task(self._watch())
        channels = asyncio.gather(*(self._channel(n) for n in range(CHANNELS)))
        try:
            await asyncio.wait((watch, channels), return_when=asyncio.FIRST_COMPLETED)
            # It has no end of its own: only an error of ours ends it.
            if watch.done():
                watch.result()
            await channels
            await self._leave()
        finally:
            channels.cancel()
            for task in (watch, *self._tasks):
                task.cancel()

    # the loop

    async def _channel(self, channel: int) -> None:
        while not self.is_done:
            if self._finished or self._may_take():
                await self._beat(channel)
            elif channel == 0 and not self.is_draining:
                await self._rest()
            else:
                await self._pause(None)
        self.notify()

    def _may_take(self) -> bool:
        """Unless one channel is seeing what there is after a wake-up or a sleep: a second look would find the same."""
        is_looking = self._takes > 0 and self._cause != "work"
        return self.is_hungry and not is_looking and self._want() > 0

    async def _rest(self) -> None:
        """Sleep until something happens, is due, or it is time to look. Who can take registers for a wake-up first."""
        if self._is_empty and not self._is_registered and self._want():
            await self._beat(0)
            return
        if not await self._pause((sleep := self._nap()).ms):
            self._cause = sleep.cause
            await self._beat(0)

    def _nap(self) -> Nap:
        now = monotonic_ms()
        interval_ms = self.shop.polling.interval_ms(now, is_full=not self._want())
        sleep = nap(interval_ms, self.server_now, self._next_ms, now - self.replied_at)
        return Nap(max(sleep.ms, SHORTEST_NAP_MS), sleep.cause)

    async def _pause(self, ms: int | None) -> bool:
        """Wait for `notify`; False if the time passed first."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        alarm = loop.call_later(ms / 1000, _wake, waiter) if ms is not None else None
        self._waiters.append(waiter)
        try:
            return await waiter
        finally:
            self._waiters.remove(waiter)
            if alarm is not None:
                alarm.cancel()

    async def _watch(self) -> None:
        """Wait for wake-ups, all the time: they only come when this lane has registered."""
        while True:
            try:
                await self.shop.client.pop_blocking([keys.wake(self.queue, self.shop.name)], POP_S)
            except ServerUnavailable:
                await asyncio.sleep(again_ms(5) / 1000)
            # Without a hint it is looked as well: one may have been lost with a connection.
            self._is_registered, self._is_empty, self._cause = False, False, "wake"
            if self._may_take():
                await self._look()
            else:
                self.notify()

    async def _look(self) -> None:
        """The beat of a wake-up. The lane is not done before its reply is here, which may bring jobs."""
        self._is_woken = True
        try:
            await self._beat(WOKEN)
        finally:
            self._is_woken = False
            self._check_done()

    def _want(self) -> int:
        return 0 if self.is_draining else self.shop.slots.want(len(self.held), self.shop.hungry)

    # a beat

    async def _beat(self, channel: int) -> None:
        batch, take = self._load(channel)
        idle_ms = self._idle_ms() if take else 0
        self.shop.slots.asked += take
        self._takes += take > 0
        self._beats += 1
        try:
            reply, asked_at = await self._send(channel, batch, take, idle_ms)
        finally:
            self.shop.slots.asked -= take
            self._takes -= take > 0
            self._beats -= 1
        if reply is None:
            return
        for attempt, code in zip(batch, reply.codes, strict=True):
            self._settled(attempt, code)
        self._learn(reply, take, idle_ms)
        await self._intake.receive(reply, asked_at)
        if channel or not self._is_empty:
            # The other channel may sleep by what an older reply said, or wait for what this look finds.
            self.notify()
        if reply.taken:
            # A turn of the loop, after which handlers that end at once have ended: they are reported without another wait.
            await asyncio.sleep(0)

    def _idle_ms(self) -> int:
        return self.shop.polling.interval_ms(monotonic_ms()) + SLACK_MS

    def _load(self, channel: int) -> tuple[list[Attempt], int]:
        """What a beat reports and how many jobs it asks for. If all that is held has ended, and is much, half of it is left to the other
        channel: the server works on one half while this process works on what came for the other."""
        take, n = self._want(), len(self._finished)
        if channel < CHANNELS and not self._beats and n >= WORTH_SHARING and n == len(self.held):
            return self._collect(n // 2), (take + 1) // 2
        return self._collect(MAX_ITEMS), take

    def _collect(self, most: int) -> list[Attempt]:
        """What is to be reported, at most so many and as much as one beat carries."""
        batch: list[Attempt] = []
        size = 0
        while self._finished and len(batch) < min(most, MAX_ITEMS):
            outcome = self._finished[0].outcome
            assert outcome is not None
            size += outcome.size
            if batch and size > MOST_BYTES:
                break
            batch.append(self._finished.popleft())
        return batch

    async def _send(self, channel: int, batch: list[Attempt], take: int, idle_ms: int) -> tuple[TickReply | None, int]:
        """One tick, sent again until it is answered; and when the call that was answered began."""
        settled = [a.outcome.settled(a.taken.job_id, a.token) for a in batch if a.outcome is not None]
        self._requests += 1
        op = tick(
            self.queue,
            worker=self._channel_name(channel),
            request=f"{self._salt}-{self._requests}",
            salt=secrets.token_hex(8),
            settled=settled,
            take=take,
            idle_ms=idle_ms,
        )
        tries = 0
        while True:
            asked_at = monotonic_ms()
            try:
                return await self.shop.client.execute(op), asked_at
            except ServerUnavailable:
                # The client has told of it; here it is only waited for.
                tries += 1
                await asyncio.sleep(again_ms(tries) / 1000)
            except OmniqFlowError as error:
                await self._isolate(channel, batch, take, error)
                return None, asked_at

    async def _isolate(self, channel: int, batch: list[Attempt], take: int, error: OmniqFlowError) -> None:
        """A beat was refused as a whole: report its items one by one, so that one bad item does not hold up the others."""
        if len(batch) > 1 or (batch and take):
            for attempt in batch:
                reply, _ = await self._send(channel, [attempt], 0, 0)
                if reply is not None:
                    self._settled(attempt, reply.codes[0])
        elif batch:
            (attempt,) = batch
            logger.error("report of %s refused, its lease will lapse: %s", attempt.title, error, extra=attempt.extra)
            self._forget(attempt)
        else:
            if str(error) != self._refusal:
                self._refusal = str(error)
                logger.error("queue %s refuses to hand out jobs: %s", self.queue, error, extra={"queue": self.queue})
            await asyncio.sleep(AGAIN_CAP_MS / 1000)

    def _learn(self, reply: TickReply, take: int, idle_ms: int) -> None:
        now = monotonic_ms()
        self.server_now, self.replied_at = reply.now_ms, now
        self.to_sweep.update(reply.to_sweep)
        self.has_more = bool(reply.taken or reply.next_ms)
        if not take:
            self._is_empty, self._next_ms = False, reply.next_ms
            return
        self._is_empty, self._next_ms = len(reply.taken) < take, reply.next_ms
        if idle_ms:
            self._is_registered = len(reply.taken) < take
        if reply.taken:
            self.shop.polling = self.shop.polling.found(self._cause, now)
        self._cause = "work"

    def _settled(self, attempt: Attempt, code: SettleCode) -> None:
        """What became of a report."""
        if code == "BAD_LIST" and attempt.stagings < MOST_STAGINGS:
            self.spawn(self._stage(attempt))
            return
        self._forget(attempt)
        outcome = attempt.outcome
        assert outcome is not None
        if code == "FAILED":
            logger.warning("%s failed: %s", attempt.title, outcome.error, extra=attempt.extra)
        elif code == "RETRY":
            said = outcome.error.split("\n", 1)[0]
            logger.info("%s: attempt %d failed: %s", attempt.title, attempt.taken.attempt, said, extra=attempt.extra)
        elif code == "LOST" and outcome.kind == "fail":
            # A failure that was reported before, in a tick whose reply was lost, says the same.
            logger.info("%s: its failure is known, or its lease lost", attempt.title, extra=attempt.extra)
        elif code == "LOST" and outcome.kind != "release":
            self._lose(attempt, "its report was refused")
        elif code == "CANCELLED":
            logger.info("%s is cancelled with its run", attempt.title, extra=attempt.extra)
        elif code in ("STALE", "GONE", "BAD_LIST"):
            logger.warning("the report of %s came to nothing: %s", attempt.title, code, extra=attempt.extra)

    # an attempt, from the take to the word on its report

    def hold(self, attempts: Sequence[Attempt]) -> None:
        """Extend their leases from now on, until they are settled."""
        self.held.update((a.token, a) for a in attempts)
        self.shop.leases.add(attempts)

    async def _stage(self, attempt: Attempt) -> None:
        """Lay down the elements of a list before its length is reported."""
        assert attempt.outcome is not None
        attempt.stagings += 1
        while attempt.token in self.held:
            try:
                await stage(self.shop.client, self.queue, attempt.taken.job_id, attempt.token, attempt.outcome.elements)
                self._finish(attempt)
                return
            except ServerUnavailable:
                await asyncio.sleep(again_ms(3) / 1000)
            except LeaseLost:
                self._lose(attempt, "its list was refused")
            except OmniqFlowError as error:
                logger.error("the list of %s is refused: %s", attempt.title, error, extra=attempt.extra)
                self._forget(attempt)

    def _finish(self, attempt: Attempt) -> None:
        self._finished.append(attempt)
        self.notify()

    def _lose(self, attempt: Attempt, why: str) -> None:
        logger.warning("lease lost: %s: %s", attempt.title, why, extra=attempt.extra)
        self._forget(attempt)

    def _forget(self, attempt: Attempt) -> None:
        self.held.pop(attempt.token, None)
        self.shop.leases.drop(attempt)
        self._check_done()

    def _check_done(self) -> None:
        if self.is_done:
            self.done.set()
            self.notify()

    async def _leave(self) -> None:
        """No wake-up for a lane that is gone."""
        if self._is_registered:
            await self.shop.client.execute(
                tick(self.queue, worker=self._channel_name(0), request=f"{self._salt}-end", salt=self._salt, idle_ms=1)
            )

    def _channel_name(self, channel: int) -> str:
        return f"{self.shop.name}.{channel}"

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """At most one task per held attempt, so their number is bounded."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("queue %s: a task of the worker failed", self.queue, exc_info=error)


def _wake(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)
