"""Beginning a completion counter, and noting it for listings in the same round trip.

All ways to begin one lead through here. The note is a hint: the counter counts without it, so what becomes of the note is
never what the caller is told. After one that failed the client writes none for a minute: a server that refuses it, or a
node that is away, should not cost time with each counter. A note that was written for a counter that was not begun does
no harm, since only counters that are there are listed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from omniq_flow.errors import OmniqFlowError
from omniq_flow.model.clock import monotonic_ms, now_ms
from omniq_flow.ops import counters
from omniq_flow.ops.command import Command, Operation

logger = logging.getLogger("omniq_flow.counters")

REST_MS = 60_000
"""So long a client writes no notes after one that failed."""

Begin = Callable[[str, int], Command[None]]


class ExecutesAll(Protocol):
    """Carries out operations in one round trip, as `Client` does."""

    def execute_all(self, ops: Sequence[Operation]) -> list[Any]: ...


class AsyncExecutesAll(Protocol):
    """Carries out operations in one round trip, as `AsyncClient` does."""

    async def execute_all(self, ops: Sequence[Operation]) -> list[Any]: ...


_rests_until: WeakKeyDictionary[object, int] = WeakKeyDictionary()


def begin_counter(client: ExecutesAll, key: str, expected: int, begin: Begin = counters.childs_init) -> None:
    """Start a counter for `expected` children, and note it; raises what `begin` refuses, and nothing else."""
    with _beginning(client, key, int(expected), begin) as ops:
        client.execute_all(ops)


async def begin_counter_async(client: AsyncExecutesAll, key: str, expected: int, begin: Begin = counters.childs_init) -> None:
    """As `begin_counter`."""
    with _beginning(client, key, int(expected), begin) as ops:
        await client.execute_all(ops)


@contextmanager
def _beginning(client: object, key: str, expected: int, begin: Begin) -> Iterator[list[Operation]]:
    """What is to be sent; then tells the failure of the counter from that of its note."""
    op = begin(key, expected)
    is_begun = False

    def parse(reply: Any) -> None:
        nonlocal is_begun
        op.parse(reply)
        is_begun = True

    # A number that is refused leaves no trace.
    is_noted = expected > 0 and monotonic_ms() >= _rests_until.get(client, 0)
    try:
        yield [replace(op, parse=parse), *(counters.note(key, now_ms()) if is_noted else ())]
    except OmniqFlowError as error:
        if not is_begun:
            raise
        _rests_until[client] = monotonic_ms() + REST_MS
        logger.info("counter %s has begun, but listings will not show it: %s", key, error)
