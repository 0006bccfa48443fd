"""Completion counters that stand for themselves, under `{cc:key}` (wire §8): how many reported, and who; not who is missing.

There is no index of them. Our clients note what they begin (`keys.COUNTERS`), the newest thousand; of those a listing shows
the ones that are there still. What other clients began is found by its key alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from omniq_flow.client.client import Client
from omniq_flow.errors import NotFound, ReplyError, ServerUnavailable
from omniq_flow.ops import counters, lanes
from omniq_flow.ops.command import Operation

MOST_LISTED = 100
A_TICK = 70
"""So many counters are looked at in one tick, two commands each."""
GONE_LATER = 30
"""One that was over is looked at so many ticks later than the others."""


@dataclass(frozen=True, slots=True)
class PlainCounter:
    """A counter of anybody. `members` are some of those that reported; `begun_ms` is 0 where it is not known."""

    key: str
    left: int
    done: int
    members: tuple[str, ...] = ()
    begun_ms: int = 0

    @property
    def expected(self) -> int:
        return self.left + self.done


@dataclass(frozen=True, slots=True)
class PlainCounters:
    """Counters that are known, the newest first. `trouble` says why there may be more: the notes, or a counter, cannot be read."""

    found: tuple[PlainCounter, ...] = ()
    trouble: str = ""
    at_ms: int = 0


def read_counter(client: Client, key: str, most: int = 100) -> PlainCounter:
    """A plain counter; `NotFound` if there is none of this key, or all of its members have reported."""
    base = counters.counter_base(key)
    left, done, some = client.execute_all([counters.left(base), counters.count_done(base), counters.some_done(base, most)])
    if left is None:
        raise NotFound(
            f"there is no counter {key!r}: it was never begun, or all have reported",
            where=base,
            hint="counters of a run are named RUN/NAME; omniq-flow counters list shows them",
        )
    return PlainCounter(key, left, done, tuple(sorted(some)[:most]))


def plain_counters(client: Client) -> PlainCounters:
    """All that are known, in two round trips."""
    return PlainCounterReader(counters.MOST_NOTED).read(client)


class PlainCounterReader:
    """Looks at some of the counters that were noted, in turn: those that were not looked at for longest, the newest first."""

    def __init__(self, at_once: int = A_TICK) -> None:
        self._at_once = at_once
        self._known: dict[str, PlainCounter] = {}
        self._due: dict[str, int] = {}
        self._turn = 0

    def read(self, client: Client) -> PlainCounters:
        """What is known, and a little more than before; two round trips."""
        try:
            noted, at_ms = client.execute_all([counters.noted(), lanes.server_time()])
            self._look(client, [key for key, _ in noted])
        except (ReplyError, ServerUnavailable) as error:
            if isinstance(error, ServerUnavailable) and "(NOPERM)" not in error.message:
                raise
            return PlainCounters(trouble=error.message)
        found = (replace(self._known[key], begun_ms=ms) for key, ms in noted if key in self._known)
        return PlainCounters(tuple(found), at_ms=at_ms)

    def _look(self, client: Client, noted: Sequence[str]) -> None:
        self._turn += 1
        self._due = {key: self._due.get(key, 0) for key in noted}
        some = sorted(noted, key=self._due.__getitem__)[: self._at_once]
        asked: list[Operation] = [
            op for base in map(counters.counter_base, some) for op in (counters.left(base), counters.count_done(base))
        ]
        answers = client.execute_all(asked) if asked else []
        for key, left, done in zip(some, answers[::2], answers[1::2], strict=True):
            self._known.pop(key, None)
            if left is not None:
                self._known[key] = PlainCounter(key, left, done)
            self._due[key] = self._turn + (GONE_LATER if left is None else 0)
