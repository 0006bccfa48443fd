"""Where handlers run: a slot each, in a thread, on the loop or in a process of their own.

An attempt that was admitted *waits* until its inputs are there and a slot is free, then it *runs*. It may be stopped: an
async handler is cancelled, a process is killed, a thread cannot be stopped and is only told. A slot is free again when
its handler has really ended, whatever was reported of it meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import Protocol

from omniq_flow.engine.attempt import Attempt
from omniq_flow.engine.outcomes import Outcome
from omniq_flow.engine.process import Children
from omniq_flow.engine.slots import Slots
from omniq_flow.engine.threads import Threads
from omniq_flow.model.clock import monotonic_ms, show_duration


class Listener(Protocol):
    """Who hears, on the loop, how attempts go."""

    def timed_out(self, attempt: Attempt, outcome: Outcome) -> None: ...

    def ended(self, attempt: Attempt, outcome: Outcome | None) -> None:
        """The handler has ended; without an outcome if it was stopped."""


class Handlers:
    """Runs attempts, at most as many at once as there are slots."""

    def __init__(self, slots: Slots, listener: Listener) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots = slots
        self._listener = listener
        self._ready: deque[Attempt] = deque()
        self._threads = Threads(self._loop, self._ended, lambda: slots.are_quick)
        self._children = Children()

    def admit(self, attempt: Attempt) -> None:
        """Count an attempt as waiting."""
        attempt.is_waiting = True
        self._slots.waiting += 1

    def offer(self, attempt: Attempt) -> None:
        """Run it when a slot is free: its inputs are there."""
        if attempt.is_waiting:
            self._ready.append(attempt)
            self._fill()

    def withdraw(self, attempt: Attempt) -> None:
        """Never start it, if it has not been started."""
        if attempt.is_waiting:
            attempt.is_waiting = False
            self._slots.waiting -= 1

    def stop(self, attempt: Attempt) -> None:
        """End its handler if that can be done; a thread is told by the context's flags only."""
        if not attempt.is_running or attempt.is_stopped:
            return
        attempt.is_stopped = True
        if attempt.task is not None:
            attempt.task.cancel()
            if not attempt.is_entered:
                # Cancelled before its first step: it would never say that it ended.
                self._ended(attempt, None)

    def tell_cancelled(self, attempt: Attempt) -> None:
        """Pass on what threads and tasks read from the context: a child process has its own."""
        self._children.tell_cancelled(attempt)

    async def close(self) -> None:
        self._threads.close()
        await self._children.close()

    def _fill(self) -> None:
        while self._ready and self._slots.has_free:
            attempt = self._ready.popleft()
            if attempt.is_waiting:
                self.withdraw(attempt)
                self._start(attempt)

    def _start(self, attempt: Attempt) -> None:
        assert attempt.bound is not None
        self._slots.busy += 1
        attempt.is_running = True
        attempt.started_at = monotonic_ms()
        options = attempt.bound.step.options
        if options.timeout_ms:
            attempt.alarm = self._loop.call_later(options.timeout_ms / 1000, self._expire, attempt)
        if options.process:
            attempt.task = self._loop.create_task(self._in_process(attempt))
        elif attempt.bound.code.is_async:
            attempt.task = self._loop.create_task(self._on_loop(attempt))
        else:
            self._threads.submit(attempt)

    async def _on_loop(self, attempt: Attempt) -> None:
        attempt.is_entered = True
        assert attempt.bound is not None
        assert attempt.context is not None
        outcome = await attempt.bound.call_async(attempt.given, attempt.context, random.random(), lambda: attempt.is_stopped)
        self._ended(attempt, outcome)

    async def _in_process(self, attempt: Attempt) -> None:
        attempt.is_entered = True
        outcome: Outcome | None = None
        try:
            outcome = await self._children.call(attempt, random.random())
        except BaseException as error:
            assert attempt.bound is not None
            assert attempt.context is not None
            if not attempt.is_stopped:
                outcome = attempt.bound.failed(error, attempt.context, random.random())
        self._ended(attempt, outcome)

    def _expire(self, attempt: Attempt) -> None:
        assert attempt.bound is not None
        assert attempt.context is not None
        attempt.cancelled.set()
        limit = show_duration(attempt.bound.step.options.timeout_ms)
        error = TimeoutError(f"the attempt took longer than its timeout of {limit}")
        self._listener.timed_out(attempt, attempt.bound.failed(error, attempt.context, random.random()))
        self.stop(attempt)

    def _ended(self, attempt: Attempt, outcome: Outcome | None) -> None:
        attempt.is_running = False
        attempt.task = None
        if attempt.alarm is not None:
            attempt.alarm.cancel()
            attempt.alarm = None
        self._slots.ended(monotonic_ms() - attempt.started_at)
        self._fill()
        self._listener.ended(attempt, outcome)
