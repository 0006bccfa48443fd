"""How many jobs a worker may hold, shared between its queues.

A slot is one handler that runs. A worker whose handlers take milliseconds asks for up to twice its free slots, so that
the next job is at hand when a handler ends; one whose handlers take long asks for as many as it can start at once, for a
job that waits here cannot be worked elsewhere. Queues that have more work than they get share the slots evenly.

A few slots for handlers of microseconds would wait for the server most of their time. Where it is allowed (`ahead`), so many
jobs may be held then, all of which start within milliseconds. Each of them loses an attempt if this process dies, so
steps of flows do without.
"""

from __future__ import annotations

from dataclasses import dataclass

from omniq_flow.ops.ticks import MAX_ITEMS

SHORT_MS = 20
QUICK_MS = 2
INSTANT_MS = 0.5
WEIGHT = 0.1


@dataclass(slots=True)
class Slots:
    """The counts. `busy` handlers run, `waiting` jobs stand before them, `asked` may come with replies that are on their way."""

    capacity: int
    ahead: int = 0
    busy: int = 0
    waiting: int = 0
    asked: int = 0
    typical_ms: float = SHORT_MS * 2.0

    @property
    def has_free(self) -> bool:
        return self.busy < self.capacity

    @property
    def are_quick(self) -> bool:
        """Whether handlers take no longer than it takes to wake a thread."""
        return self.typical_ms < QUICK_MS

    def ended(self, duration_ms: int) -> None:
        """A handler ended after so long: its slot is free, and it shows how long handlers take here."""
        self.busy -= 1
        self.typical_ms += (duration_ms - self.typical_ms) * WEIGHT

    def want(self, held: int, hungry: int) -> int:
        """How many jobs a queue that holds `held` may ask for, while `hungry` queues (itself included) want more."""
        free = self.capacity - self.busy
        most = self.capacity
        room = 2 * free if self.typical_ms < SHORT_MS else free
        if free and self.typical_ms < INSTANT_MS:
            most, room = max(most, self.ahead), max(room, self.ahead)
        room -= self.waiting + self.asked
        if hungry > 1:
            room = min(room, max(1, most // hungry) - held)
        return max(0, min(room, most, MAX_ITEMS))
