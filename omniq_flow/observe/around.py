"""What is around: the queues that are known, who works them, which are paused. Two round trips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from omniq_flow.client.client import Client
from omniq_flow.observe.reading import home_queues
from omniq_flow.ops import lanes
from omniq_flow.ops.admin import is_paused
from omniq_flow.ops.command import Operation

MOST_QUEUES = 70
"""So many queues are asked who works them; a picture has a bounded number of commands."""


@dataclass(frozen=True, slots=True)
class Around:
    """All of it at one moment; `server` is the product and its version."""

    server: str = ""
    queues: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    paused: tuple[str, ...] = ()
    at_ms: int = 0


def read_around(client: Client, also: Iterable[str] = ()) -> Around:
    """Look around; `also` are queues that are known from elsewhere."""
    queues = sorted({*home_queues(client), *also})
    some = queues[:MOST_QUEUES]
    asked: list[Operation] = [op for queue in some for op in (lanes.present_workers(queue), is_paused(queue))]
    now_ms, *answers = client.execute_all([lanes.server_time(), *asked])
    workers = {name for present in answers[::2] for name, until in present if until > now_ms}
    paused = [queue for queue, is_so in zip(some, answers[1::2], strict=True) if is_so]
    return Around(str(client.server), tuple(queues), tuple(sorted(workers)), tuple(paused), now_ms)
