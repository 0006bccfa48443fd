"""What the lanes of a worker share."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.handlers import Handlers
from omniq_flow.engine.jobs import BoundJob
from omniq_flow.engine.lease import Leases
from omniq_flow.engine.plans import Plans
from omniq_flow.engine.polling import Polling
from omniq_flow.engine.runlog import RunLog
from omniq_flow.engine.slots import Slots
from omniq_flow.engine.tools import Tools

if TYPE_CHECKING:
    from omniq_flow.engine.lane import Lane

AGAIN_MS = 100
AGAIN_CAP_MS = 2_000


@dataclass
class Shop:
    """One of each, for all queues of a worker.

    `unknown` are the steps that came by and have no code here, `jobs` the handlers of plain jobs by queue.
    Leases are extended every third of them, and every `beat_ms` if that is more often.
    """

    name: str
    client: AsyncClient
    plans: Plans
    slots: Slots
    handlers: Handlers
    leases: Leases
    run_log: RunLog
    polling: Polling
    unknown: set[str]
    tools: Tools
    jobs: dict[str, BoundJob] = field(default_factory=dict)
    beat_ms: int = 0
    lanes: list[Lane] = field(default_factory=list)

    @property
    def hungry(self) -> int:
        """How many queues want more than they have."""
        return sum(lane.is_hungry for lane in self.lanes)


def again_ms(tries: int) -> float:
    """The pause before a call is tried again, with jitter under a cap."""
    return min(AGAIN_MS << min(tries, 10), AGAIN_CAP_MS) * (0.5 + random.random() / 2)
