"""Threads for sync handlers: few of them for short handlers, one each for long ones, results in bursts.

A handler that takes microseconds is not worth waking a thread for. While handlers are that quick, what is submitted in
one turn of the loop waits for a thread that is awake already, and that one works through all of it. Should a handler turn
out to be slow after all, a timer wakes more threads for those behind it, twice as many each time. A thread that ends
a handler takes the next without asking anybody; its result waits in a list until the loop looks, and only the first
result of a burst wakes the loop. The threads are daemons: a handler that never returns does not keep the process alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from omniq_flow.engine.attempt import Attempt
from omniq_flow.engine.outcomes import Outcome
from omniq_flow.model.clock import monotonic_ms

Done = Callable[[Attempt, Outcome, Attempt | None], None]
More = Callable[[], Attempt | None]

NUDGE_S = 0.001


class Threads:
    """Runs handlers of attempts; `done` is called on the loop. The caller bounds how many are submitted at once.

    `more` is called in a thread that ended a handler: what it gives takes the place of that one, and `done` is told of
    both. `are_quick` says whether handlers of late were too short to be worth a thread each.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, done: Done, more: More, are_quick: Callable[[], bool]) -> None:
        self._loop = loop
        self._done = done
        self._more = more
        self._are_quick = are_quick
        self._todo: deque[Attempt] = deque()
        self._results: deque[tuple[Attempt, Outcome, Attempt | None]] = deque()
        self._is_announced = False
        self._is_closed = False
        # Under this lock: who is awake, who is asleep, and that nobody falls asleep over a job.
        self._changed = threading.Lock()
        self._awake = 0
        self._busy = 0
        self._asleep = 0
        self._called = 0
        # One word for each that is called: who sleeps, waits for one.
        self._calls: SimpleQueue[None] = SimpleQueue()
        self._nudging: asyncio.TimerHandle | None = None

    def submit(self, attempt: Attempt) -> None:
        with self._changed:
            self._todo.append(attempt)
            if not self._awake or not self._are_quick():
                self._wake(1)
        if self._nudging is None:
            self._nudging = self._loop.call_later(NUDGE_S, self._nudge)

    def close(self) -> None:
        """Let idle threads end, busy ones when their handler returns."""
        if self._nudging is not None:
            self._nudging.cancel()
        with self._changed:
            self._is_closed = True
            self._call(self._asleep - self._called)

    def _wake(self, n: int) -> None:
        """Have more threads at work, of those asleep or new ones, but never more than there are jobs; called under the lock."""
        n = max(0, min(n, len(self._todo) + self._busy - self._awake))
        self._awake += n
        rested = min(n, self._asleep - self._called)
        self._call(rested)
        for _ in range(n - rested):
            threading.Thread(target=self._work, name="omniq-flow-handler", daemon=True).start()

    def _call(self, n: int) -> None:
        self._called += n
        for _ in range(n):
            self._calls.put(None)

    def _nudge(self) -> None:
        """Jobs that still wait after a while have a slow handler before them."""
        self._nudging = None
        with self._changed:
            waiting = len(self._todo)
            if waiting:
                self._wake(min(waiting, max(self._awake, 1)))
        if waiting:
            self._nudging = self._loop.call_later(NUDGE_S, self._nudge)

    def _wait_for_next(self) -> Attempt | None:
        """The next job, slept for if need be; None when it is over."""
        while True:
            with self._changed:
                if self._todo:
                    self._busy += 1
                    return self._todo.popleft()
                if self._is_closed:
                    return None
                self._awake -= 1
                self._asleep += 1
            self._calls.get()
            with self._changed:
                self._asleep -= 1
                self._called -= 1

    def _work(self) -> None:
        attempt = self._wait_for_next()
        while attempt is not None:
            assert attempt.bound is not None
            outcome = attempt.bound.call(attempt.given, attempt.context, random.random())
            attempt.ended_at = monotonic_ms()
            attempt = self._end(attempt, outcome) or self._wait_for_next()

    def _end(self, attempt: Attempt, outcome: Outcome) -> Attempt | None:
        """Hand over a result; gives the next job if one is there."""
        successor = self._more()
        with self._changed:
            self._busy -= 1
            # Before another thread can end the successor: the loop hears first whose place it took.
            self._results.append((attempt, outcome, successor))
            if successor is not None:
                self._todo.append(successor)
            following = self._todo.popleft() if self._todo else None
            self._busy += following is not None
        if not self._is_announced:
            self._is_announced = True
            # The loop may be over: then nobody waits for this result.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._deliver)
        return following

    def _deliver(self) -> None:
        # First the flag, then the list: a result that comes in between announces itself again.
        self._is_announced = False
        while self._results:
            self._done(*self._results.popleft())
