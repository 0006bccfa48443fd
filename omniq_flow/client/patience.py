"""Patience while a connection is made: one decision for both clients, and one pair of log lines for a fault."""

from __future__ import annotations

import logging
import random
import threading
from dataclasses import dataclass, field

from omniq_flow.client.connect import Target
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.client.trouble import Unreachable
from omniq_flow.model.clock import Clock, monotonic_ms

logger = logging.getLogger("omniq_flow.client")

ABSENT_PATIENCE_MS = 1_000
"""How long a first connection waits for a server that is not there: it may just be starting, or the address is wrong."""


@dataclass(slots=True)
class Attempts:
    """The attempts at one connection, together at most `timeout_ms` long."""

    target: Target
    policy: RetryPolicy
    timeout_ms: int
    is_first: bool
    clock: Clock = monotonic_ms
    _failures: int = 0
    _began_ms: int = field(init=False)

    def __post_init__(self) -> None:
        self._began_ms = self.clock()

    def left_ms(self) -> int:
        return max(self._began_ms + self.timeout_ms - self.clock(), 1)

    def pause_ms(self, trouble: Unreachable) -> int:
        """How long to wait before the next attempt; raises `ServerUnavailable` if there is to be none."""
        self._failures += 1
        pause_ms = self.policy.delay_ms(self._failures, random.random())
        limit_ms = min(self.timeout_ms, ABSENT_PATIENCE_MS) if self.is_first and trouble.is_absent else self.timeout_ms
        if not trouble.is_passing or self.clock() - self._began_ms + pause_ms >= limit_ms:
            raise trouble.as_error(self.target.where) from trouble
        return pause_ms


@dataclass(slots=True)
class Journal:
    """Says once that the server was lost and once that it is back, however many connections and calls notice.

    The same of a server that is there and takes no calls for a while: one that is loading, busy, or no primary now.
    Each connection belongs to an era, and a loss ends the era: a call that finds out later, by an older
    connection, brings no news. Safe to share between threads.
    """

    target: Target
    clock: Clock = monotonic_ms
    level: int = logging.WARNING
    _era: int = 0
    _lost_at_ms: int | None = None
    _refused_at_ms: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def connected(self) -> int:
        """Note a new connection; gives its era."""
        with self._lock:
            if (lost_at_ms := self._lost_at_ms) is not None:
                self._era += 1
                self._lost_at_ms = None
                logger.log(self.level, "connection to %s restored after %.1f s", self.target.where, (self.clock() - lost_at_ms) / 1000)
            return self._era

    def lost(self, reason: str, era: int) -> None:
        """Note that a connection of this era broke."""
        with self._lock:
            if era == self._era and self._lost_at_ms is None:
                self._lost_at_ms = self.clock()
                logger.log(self.level, "connection to %s lost: %s", self.target.where, reason)

    def answered(self, refused: str, is_served: bool) -> None:
        """Note why the server takes no calls for now (`refused`), or that it carried out a script.

        Only a script ends it: a replica answers whoever reads.
        """
        if not refused and not (is_served and self._refused_at_ms is not None):
            return
        with self._lock:
            if refused and self._refused_at_ms is None:
                self._refused_at_ms = self.clock()
                logger.log(self.level, "%s takes no calls for now: %s", self.target.where, refused)
            elif not refused and (refused_at_ms := self._refused_at_ms) is not None:
                self._refused_at_ms = None
                logger.log(self.level, "%s takes calls again after %.1f s", self.target.where, (self.clock() - refused_at_ms) / 1000)
