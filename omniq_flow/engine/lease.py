"""Leases that this worker holds, and how long it may believe in them.

A lease is the right to work a job until a time of the *server's* clock, which we do not share. So we never compare
clocks: we count from the moment before the call that gave or extended it. Whenever the server handled that call, it was
later; so our time is over before the server's (`trusted_until`), however slow a reply was.

Each lease is extended when a third of it has gone; two beats may fail before it is in danger. If none came through until
`trusted_until`, the lease counts as lost: another worker may hold the job now, and the handler is told to stop. Should
the server come back while the lease is still ours, what was finished is reported all the same, and what was stopped is
given back: the token decides, not our clock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from omniq_flow.engine.attempt import Attempt

SHORTEST_BEAT_MS = 300


def beat_every_ms(lease_ms: int) -> int:
    """How often a lease is extended: every third of it."""
    return max(lease_ms // 3, SHORTEST_BEAT_MS)


def due_at(attempt: Attempt) -> int:
    return attempt.extended_at + (attempt.beat_ms or beat_every_ms(attempt.lease_ms))


def is_near(attempt: Attempt, now: int) -> bool:
    """Whether a beat that goes out now should carry this lease as well."""
    return now >= attempt.extended_at + (attempt.beat_ms or beat_every_ms(attempt.lease_ms)) // 2


def extend(attempt: Attempt, asked_at: int) -> None:
    """Note that the server extended a lease, in a call that began at `asked_at`."""
    attempt.extended_at = max(attempt.extended_at, asked_at)
    attempt.trusted_until = max(attempt.trusted_until, asked_at + attempt.lease_ms)


class Leases:
    """All leases held, shared between the loop and the heartbeat's thread."""

    def __init__(self) -> None:
        self._held: dict[str, Attempt] = {}
        self._wanted = threading.Condition()
        self._wakes_at = 0
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._held)

    def add(self, attempts: Iterable[Attempt]) -> None:
        """Hold leases; the heartbeat is woken only if one is due before it would look again."""
        soonest = 0
        for attempt in attempts:
            self._held[attempt.token] = attempt
            due = due_at(attempt)
            soonest = min(soonest or due, due)
        if soonest and soonest < self._wakes_at:
            with self._wanted:
                self._wanted.notify()

    def drop(self, attempt: Attempt) -> None:
        self._held.pop(attempt.token, None)

    def all(self) -> list[Attempt]:
        """A picture of what is held; the loop may go on changing it."""
        return list(self._held.values())

    def wait(self, until_ms: int, now: int) -> bool:
        """Sleep until a time, until a shorter lease is added or until `close`; whether to go on."""
        with self._wanted:
            if not self._is_closed and until_ms > now:
                self._wakes_at = until_ms
                self._wanted.wait((until_ms - now) / 1000)
            return not self._is_closed

    def close(self) -> None:
        with self._wanted:
            self._is_closed = True
            self._wanted.notify()
