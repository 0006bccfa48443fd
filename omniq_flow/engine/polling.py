"""When an idle worker looks again, and what it learns from what it finds.

Work of ours announces itself: a wake-up, or the time that the last reply named. Clients that do not know of wake-ups do
neither, so an idle worker looks by itself, slowly. Finds it a job that way, such a client lives here, and it looks often
for a while. A fixed interval switches that off.

A worker without a free slot looks as well: it takes nothing, but what is due or has lapsed in its queue must not wait until
its handlers end (H22).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

SLOW_MS = 2_000
OFTEN_MS = 100
OFTEN_FOR_MS = 300_000
FULL_MS = 500
SLACK_MS = 1_000
"""An idle worker stays registered for so much longer than it sleeps."""

Cause = Literal["work", "wake", "due", "poll"]


@dataclass(frozen=True, slots=True)
class Polling:
    """How often to look. Times are of the monotonic clock."""

    fixed_ms: int | None = None
    often_until: int = 0

    def interval_ms(self, now: int, *, is_full: bool = False) -> int:
        interval_ms = self._free_ms(now)
        return min(interval_ms, FULL_MS) if is_full else interval_ms

    def _free_ms(self, now: int) -> int:
        if self.fixed_ms is not None:
            return self.fixed_ms
        return OFTEN_MS if now < self.often_until else SLOW_MS

    def found(self, cause: Cause, now: int) -> Polling:
        """A job was found by a look that had this cause."""
        return replace(self, often_until=now + OFTEN_FOR_MS) if cause == "poll" else self


@dataclass(frozen=True, slots=True)
class Nap:
    """How long to sleep and why it ends."""

    ms: int
    cause: Cause


def nap(interval_ms: int, server_now: int, next_ms: int, elapsed_ms: int) -> Nap:
    """The sleep after a reply that said what is due next; `elapsed_ms` have passed since it came."""
    poll = max(interval_ms - elapsed_ms, 0)
    if next_ms:
        due = max(next_ms - server_now - elapsed_ms, 0)
        if due <= poll:
            return Nap(due, "due")
    return Nap(poll, "poll")
