"""What a worker tells of itself, in every queue it serves, so that screens can show who is there.

A hash per worker and a sorted set of all, scored by when the word of a worker expires. It is written again well before
that; a worker that leaves takes itself out, one that dies is seen by its score and forgotten ten minutes later.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from typing import Any

from omniq_flow.ops import keys
from omniq_flow.ops.command import Arg, Operation, Query

EVERY_MS = 5_000
VALID_MS = 15_000
FORGOTTEN_MS = 600_000


@dataclass(frozen=True, slots=True)
class Presence:
    """One worker at one moment. `serves` is flow -> steps; `unknown` are steps that came by and have no code here."""

    name: str
    queues: tuple[str, ...]
    concurrency: int
    busy: int
    held: int
    state: str
    version: str
    started_ms: int
    serves: dict[str, list[str]]
    unknown: tuple[str, ...] = ()

    def fields(self, now_ms: int) -> dict[str, Arg]:
        return {
            "name": self.name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": self.version,
            "state": self.state,
            "queues": json.dumps(self.queues),
            "concurrency": self.concurrency,
            "busy": self.busy,
            "held": self.held,
            "started_ms": self.started_ms,
            "seen_ms": now_ms,
            "serves": json.dumps(self.serves, separators=(",", ":")),
            "unknown": json.dumps(self.unknown),
        }

    def announce(self, queue: str, now_ms: int) -> list[Operation]:
        """The commands that write it down, at a time of the server's clock."""
        key, everybody = keys.worker(queue, self.name), keys.workers(queue)
        pairs = [part for pair in self.fields(now_ms).items() for part in pair]
        return [
            _write("HSET", key, *pairs),
            _write("PEXPIRE", key, FORGOTTEN_MS),
            _write("ZADD", everybody, now_ms + VALID_MS, self.name),
            _write("ZREMRANGEBYSCORE", everybody, "-inf", now_ms - FORGOTTEN_MS),
        ]

    def leave(self, queue: str) -> list[Operation]:
        """The commands that take it out."""
        return [_write("UNLINK", keys.worker(queue, self.name)), _write("ZREM", keys.workers(queue), self.name)]


def _write(*args: Arg) -> Query[Any]:
    return Query(args, lambda reply: reply)
