"""All workers that are present, each once, whatever number of queues it serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omniq_flow.client.client import Client
from omniq_flow.observe.queues import QueueSnapshot, WorkerSnapshot, workers_of
from omniq_flow.ops import lanes

MOST_QUEUES = 70
MOST_WORKERS = 70
CLOSELY = 2
"""The workers of so many queues are looked at closely each time."""


@dataclass(frozen=True, slots=True)
class WorkerView:
    """The workers at one moment; `total` is how many there are."""

    workers: tuple[WorkerSnapshot, ...] = ()
    total: int = 0
    at_ms: int = 0


class WorkerReader:
    """Looks who is there, and at some of them closely, in turn: at most three round trips."""

    def __init__(self) -> None:
        self._known: dict[str, WorkerSnapshot] = {}
        self._turn = 0

    def read(self, client: Client, queues: Sequence[str]) -> WorkerView:
        """The workers as they are known now."""
        some = list(queues)[:MOST_QUEUES]
        now_ms, *answers = client.execute_all([lanes.server_time(), *(lanes.present_workers(queue) for queue in some)])
        first: dict[str, str] = {}
        for queue, present in zip(some, answers, strict=True):
            for name, until in present:
                if until > now_ms:
                    first.setdefault(name, queue)
        names = sorted(first)[:MOST_WORKERS]
        self._known = {name: self._known.get(name, WorkerSnapshot(name)) for name in names}
        asking = list(dict.fromkeys(first[name] for name in names))
        self._turn += CLOSELY
        for queue in [asking[(self._turn + n) % len(asking)] for n in range(min(CLOSELY, len(asking)))]:
            own = tuple(name for name in names if first[name] == queue)
            self._known |= {worker.name: worker for worker in workers_of(client, QueueSnapshot(queue, workers=own))}
        return WorkerView(tuple(self._known.values()), len(first), now_ms)
