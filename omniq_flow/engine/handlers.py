"""Where handlers run: a slot each, in a thread, on the loop or in a process of their own.

An attempt that was admitted *waits* until its inputs are there and a slot is free, then it *runs*. It may be stopped: an
async handler is cancelled, a process is killed, a thread cannot be stopped and is only told. A slot is free again when
its handler has really ended, whatever was reported of it meanwhile.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from omniq_flow.client.connect import Target
from omniq_flow.engine.attempt import Attempt, Callee
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

    def __init__(self, slots: Slots, listener: Listener, target: Target | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots = slots
        self._listener = listener
        self._ready: deque[Attempt] = deque()
        # Under this lock an attempt stops waiting: a thread may start it while the loop takes it back.
        self._lock = threading.Lock()
        self._threads = Threads(self._loop, self._ended, self._claim, lambda: slots.are_quick)
        self._children = Children(target)

    def admit(self, attempt: Attempt) -> None:
        """Count an attempt as waiting."""
        attempt.is_waiting = True
        self._slots.waiting += 1

    def offer(self, attempt: Attempt) -> None:
        """Run it when a slot is free: its inputs are there."""
        if attempt.is_waiting:
            self._ready.append(attempt)
            self._fill()

    def withdraw(self, attempt: Attempt) -> bool:
        """Never start it, if it has not been started; whether that is so."""
        with self._lock:
            was_waiting = attempt.is_waiting
            attempt.is_waiting = False
        self._slots.waiting -= was_waiting
        return was_waiting

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

    async def close(self) -> None:
        self._threads.close()
        await self._children.close()

    def _fill(self) -> None:
        while self._slots.has_free:
            with self._lock:
                attempt = self._next(lambda bound: True)
            if attempt is None:
                return
            self._slots.waiting -= 1
            self._slots.busy += 1
            self._start(attempt)

    def _claim(self) -> Attempt | None:
        """In a thread: the next attempt, if a thread is all it needs. It takes over the slot of the one that ended."""
        if not self._ready:
            return None
        with self._lock:
            return self._next(_is_plain_call)

    def _next(self, is_wanted: Callable[[Callee], bool]) -> Attempt | None:
        """Take the first that still waits, if it is wanted; from now on it runs. Called under the lock."""
        while self._ready:
            attempt = self._ready[0]
            assert attempt.bound is not None
            if attempt.is_waiting and not is_wanted(attempt.bound):
                return None
            self._ready.popleft()
            if attempt.is_waiting:
                attempt.is_waiting, attempt.is_running = False, True
                attempt.started_at = monotonic_ms()
                return attempt
        return None

    def _start(self, attempt: Attempt) -> None:
        assert attempt.bound is not None
        bound = attempt.bound
        if bound.timeout_ms:
            attempt.alarm = self._loop.call_later(bound.timeout_ms / 1000, self._expire, attempt)
        if bound.is_process:
            attempt.task = self._loop.create_task(self._in_process(attempt))
        elif bound.is_async:
            attempt.task = self._loop.create_task(self._on_loop(attempt))
        else:
            self._threads.submit(attempt)

    async def _on_loop(self, attempt: Attempt) -> None:
        attempt.is_entered = True
        assert attempt.bound is not None
        outcome = await attempt.bound.call_async(attempt.given, attempt.context, random.random(), lambda: attempt.is_stopped)
        self._ended(attempt, outcome)

    async def _in_process(self, attempt: Attempt) -> None:
        attempt.is_entered = True
        outcome: Outcome | None = None
        try:
            outcome = await self._children.call(attempt, random.random())
        except BaseException as error:
            assert attempt.bound is not None
            if not attempt.is_stopped:
                outcome = attempt.bound.failed(error, attempt.context, random.random())
        self._ended(attempt, outcome)

    def _expire(self, attempt: Attempt) -> None:
        assert attempt.bound is not None
        attempt.cancelled.set()
        limit = show_duration(attempt.bound.timeout_ms)
        error = TimeoutError(f"the attempt took longer than its timeout of {limit}")
        self._listener.timed_out(attempt, attempt.bound.failed(error, attempt.context, random.random()))
        self.stop(attempt)

    def _ended(self, attempt: Attempt, outcome: Outcome | None, successor: Attempt | None = None) -> None:
        attempt.is_running = False
        attempt.task = None
        if attempt.alarm is not None:
            attempt.alarm.cancel()
            attempt.alarm = None
        self._slots.ended((attempt.ended_at or monotonic_ms()) - attempt.started_at)
        if successor is not None:
            self._slots.waiting -= 1
            self._slots.busy += 1
        self._fill()
        self._listener.ended(attempt, outcome)


def _is_plain_call(bound: Callee) -> bool:
    """Whether a thread can start it without the loop: nothing to await and no time to watch."""
    return not (bound.is_async or bound.is_process or bound.timeout_ms)
