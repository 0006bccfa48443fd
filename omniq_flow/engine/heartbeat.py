"""The thread that extends leases. It shares nothing with the event loop but the leases, and has a client of its own.

So a handler that blocks the loop, or a loop that is busy, does not cost a lease. Only code that holds the interpreter
itself for longer than a lease (a huge C call that does not let go of the GIL) starves this thread; such a step says
`process=True`. If it happens all the same, the loss is seen: the server refuses the report.

Each round: leases that are due, and those nearly due, one call per queue and at most 256 a call. A refused lease is lost,
one that says *cancelled* is held on, and the handler is told. Trouble with the server never ends the thread; it tries
again soon, and what nobody extended in time is lost (see `engine/lease.py`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from itertools import groupby
from operator import attrgetter

from omniq_flow.client.client import Client
from omniq_flow.client.connect import Target
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.engine.attempt import Attempt
from omniq_flow.engine.lease import Leases, due_at, extend, is_near
from omniq_flow.errors import OmniqFlowError, ServerUnavailable
from omniq_flow.model.clock import Clock, monotonic_ms
from omniq_flow.ops.command import Command
from omniq_flow.ops.ticks import MAX_BEATS, Beat, lease_beat

logger = logging.getLogger("omniq_flow.worker")

LONGEST_NAP_MS = 10_000
AGAIN_MS = 250
LONGEST_CALL_MS = 2_000
SHORTEST_CALL_MS = 200

Told = Callable[[Attempt], None]


class Heartbeat:
    """Extends the leases of a worker until `stop`. `tell` hears, in this thread, of each lease that was lost or cancelled."""

    def __init__(self, target: Target, leases: Leases, tell: Told, clock: Clock = monotonic_ms) -> None:
        # The client of the loop tells of each fault; twice is no better.
        self._client = Client(target, LONGEST_CALL_MS / 1000, LONGEST_CALL_MS / 1000, RetryPolicy(), log_level=logging.DEBUG)
        self._leases = leases
        self._tell = tell
        self._clock = clock
        self._thread = threading.Thread(target=self._run, name="omniq-flow-heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; waits for a call that is on its way."""
        self._leases.close()
        self._thread.join(LONGEST_CALL_MS * 3 / 1000)

    def _run(self) -> None:
        pause_until = 0
        while self._leases.wait(max(self._next_at(), pause_until), self._clock()):
            try:
                pause_until = 0 if self.round() else self._clock() + AGAIN_MS
            except Exception:
                # Whatever it was: without this thread every lease is lost.
                logger.exception("heartbeat failed; it goes on")
                pause_until = self._clock() + AGAIN_MS
        self._client.close()

    def _next_at(self) -> int:
        now = self._clock()
        held = self._leases.all()
        return min([now + LONGEST_NAP_MS, *map(due_at, held), *(a.trusted_until for a in held if not a.lease_lost.is_set())])

    def round(self) -> bool:
        """Beat what is due; whether all calls came through."""
        now = self._clock()
        held = self._leases.all()
        is_well = True
        if any(due_at(a) <= now for a in held):
            near = sorted((a for a in held if is_near(a, now)), key=attrgetter("queue"))
            for queue, group in groupby(near, key=attrgetter("queue")):
                attempts = list(group)
                for start in range(0, len(attempts), MAX_BEATS):
                    is_well = self._beat(queue, attempts[start : start + MAX_BEATS]) and is_well
        now = self._clock()
        for attempt in held:
            if attempt.trusted_until <= now:
                self._lose(attempt)
        return is_well

    def _beat(self, queue: str, attempts: list[Attempt]) -> bool:
        asked_at = self._clock()
        timeout_ms = max(SHORTEST_CALL_MS, min(LONGEST_CALL_MS, min(a.lease_ms for a in attempts) // 4))
        try:
            beats = self._execute(lease_beat(queue, [(a.taken.job_id, a.token) for a in attempts]), timeout_ms)
        except ServerUnavailable as error:
            logger.debug("heartbeat not sent: %s", error)
            return False
        except OmniqFlowError:
            logger.exception("heartbeat of queue %s was refused", queue)
            return False
        for attempt, beat in zip(attempts, beats, strict=True):
            if beat.is_lost:
                attempt.is_gone = True
                self._leases.drop(attempt)
                self._lose(attempt)
                continue
            extend(attempt, asked_at)
            if beat.is_cancelled and not attempt.cancelled.is_set():
                attempt.cancelled.set()
                self._tell(attempt)
        return True

    def _lose(self, attempt: Attempt) -> None:
        if not attempt.lease_lost.is_set():
            attempt.lease_lost.set()
            self._tell(attempt)

    def _execute(self, op: Command[tuple[Beat, ...]], timeout_ms: int) -> tuple[Beat, ...]:
        """One call with a time limit of its own, sent once: the next round is the second try."""
        return self._client.execute_once(op, timeout_ms)
