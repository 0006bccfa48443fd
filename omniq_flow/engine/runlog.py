"""What handlers write with `ctx.log`, on its way to the runs' logs.

Lines are taken from any thread and sent together a few times a second. The buffer is bounded: a handler that writes
faster than the server takes loses its oldest lines, and the worker's log says how many.
"""

from __future__ import annotations

import logging
from collections import deque
from itertools import groupby
from operator import itemgetter

from omniq_flow.client.client import AsyncClient
from omniq_flow.errors import OmniqFlowError
from omniq_flow.model.clock import now_ms
from omniq_flow.ops.command import Operation
from omniq_flow.ops.runs import LOG_LINES, log_append

logger = logging.getLogger("omniq_flow.worker")

MOST_LINES = 10_000
MOST_CHARS = 8_192


def line(at_ms: int, step_run: str, text: str) -> str:
    """A line as stored: `ms|step run|text`."""
    return f"{at_ms}|{step_run}|{text[:MOST_CHARS]}"


class RunLog:
    """The buffer between handlers and the server."""

    def __init__(self) -> None:
        self._lines: deque[tuple[str, str, str]] = deque()
        self._lost = 0

    def write(self, queue: str, run_id: str, step_run: str, text: str) -> None:
        """Add a line; safe from any thread."""
        if len(self._lines) >= MOST_LINES:
            self._lines.popleft()
            self._lost += 1
        self._lines.append((queue, run_id, line(now_ms(), step_run, text)))

    async def flush(self, client: AsyncClient) -> None:
        """Send what is there. Raises `ServerUnavailable` and keeps the lines if they could not be sent."""
        if self._lost:
            logger.warning("%d lines of run logs were dropped: they came faster than the server took them", self._lost)
            self._lost = 0
        while self._lines:
            part = [self._lines.popleft() for _ in range(min(len(self._lines), LOG_LINES))]
            ops: list[Operation] = []
            for (queue, run_id), rows in groupby(sorted(part, key=itemgetter(0, 1)), key=itemgetter(0, 1)):
                ops += log_append(queue, run_id, tuple(row[2] for row in rows))
            try:
                await client.execute_all(ops)
            except OmniqFlowError:
                self._lines.extendleft(reversed(part))
                raise
