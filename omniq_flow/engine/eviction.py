"""Whether the server may throw keys away: a worker says so once, when it starts (H17, C71).

A server with a memory limit and an eviction policy removes jobs and runs like cache entries. What is lost that way is made
again or failed by name, as far as its run still knows of it; of plain jobs nobody knows. So the policy is to be `noeviction`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from omniq_flow.client.client import AsyncClient
from omniq_flow.errors import OmniqFlowError
from omniq_flow.ops.command import Query, number, text

logger = logging.getLogger("omniq_flow.worker")

SAFE = "noeviction"
MAY_EVICT = "%s may remove jobs and runs when its memory is short: its maxmemory-policy is %s; set it to noeviction"
UNKNOWN = "the maxmemory-policy of %s is unknown (%s); it has to be noeviction"


@dataclass(frozen=True, slots=True)
class Eviction:
    """What the server does when its memory is short; a limit of 0 bytes is none."""

    policy: str
    limit: int

    @property
    def is_safe(self) -> bool:
        return self.policy == SAFE or not self.limit


def eviction() -> Query[Eviction]:
    """Read it by `INFO memory`, which more users may call than `CONFIG`."""

    def parse(reply: Any) -> Eviction:
        fields = dict(line.partition(":")[::2] for line in text(reply).splitlines())
        return Eviction(fields.get("maxmemory_policy", ""), number(fields.get("maxmemory")))

    return Query(("INFO", "memory"), parse)


async def tell_of_eviction(client: AsyncClient) -> None:
    """Warn of a server that may evict; where it cannot be read, say that. It never fails."""
    try:
        found = await client.execute(eviction())
    except OmniqFlowError as error:
        logger.info(UNKNOWN, client.target.where, error)
        return
    if not found.policy:
        logger.info(UNKNOWN, client.target.where, "the server does not tell")
    elif not found.is_safe:
        logger.warning(MAY_EVICT, client.target.where, found.policy)
