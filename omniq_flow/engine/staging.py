"""Laying down a list that is mapped, in pieces that a server takes without a hiccup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from omniq_flow.client.client import AsyncClient
from omniq_flow.ops.ticks import MAX_STAGED, list_stage

MOST_BYTES = 1 << 20
PIPELINE = 8


def pieces(elements: Sequence[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    """(index of the first, elements): at most 1,000 elements, and at most a MiB unless one alone is more."""
    start = size = 0
    for n, element in enumerate(elements):
        if n > start and (n - start == MAX_STAGED or size + len(element) > MOST_BYTES):
            yield start, elements[start:n]
            start, size = n, 0
        size += len(element)
    if elements:
        yield start, elements[start:]


async def stage(client: AsyncClient, queue: str, job_id: str, token: str, elements: Sequence[bytes]) -> None:
    """Lay all elements down, in order: the first piece throws away what an earlier attempt left."""
    ops = [list_stage(queue, job_id, token, start, piece) for start, piece in pieces(elements)]
    for start in range(0, len(ops), PIPELINE):
        await client.execute_all(ops[start : start + PIPELINE])
