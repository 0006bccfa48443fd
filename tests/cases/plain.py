"""Plain jobs in the cases: worked by worker processes, or by hand.

`PLAIN` opens a flow file whose `app` gets handlers; `job_effect` is their `effect`, with the queue as run and the job as id.
By hand is one client's operations on one queue, by a clock that only the case moves:

    by_hand = ByHand(rig)
    by_hand.publish("a", gid="g", limit=1)
    assert by_hand.take() == "a"
    by_hand.fail("a")
    by_hand.wait_ms(3_000)
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any, cast

from omniq_flow import JobContext
from omniq_flow.model.jobs import JobOptions, Lease
from omniq_flow.ops import jobs, keys
from omniq_flow.ops.admin import promote_delayed, reap_expired
from tests.cases import effects
from tests.cases.effects import Effect
from tests.cases.rig import Rig

START_MS = 1_700_000_000_000
LEASE_MS = 30_000
# A flow that gives the rig its queue; nobody starts it.
BARE = """
flow = Flow("case")

@flow.step
def nothing() -> int:
    return 0
"""
PLAIN = f"""
from omniq_flow import App, JobContext
from tests.cases.plain import job_effect
{BARE}
app = App()
"""


def job_effect(ctx: JobContext, what: str = "start") -> None:
    """Note one effect of a plain job."""
    effects.note(Effect(what, ctx.queue, ctx.job_id, "", ctx.attempt, os.getpid(), time.monotonic()))


def publish(rig: Rig, job_id: str, options: JobOptions, payload: dict[str, Any] | None = None, *, in_ms: int = 0) -> None:
    """Publish a job to the rig's queue, to be worked by its workers; `in_ms` from now."""
    due_ms = int(time.time() * 1000) + in_ms if in_ms else 0
    rig.client.execute(jobs.publish(rig.flow.queue, payload or {}, job_id=job_id, options=replace(options, due_ms=due_ms)))


class ByHand:
    """Who publishes, takes and ends jobs step by step; `held` is what it has leased."""

    def __init__(self, rig: Rig) -> None:
        if not hasattr(rig, "flow"):
            rig.write(BARE)
        self.rig, self.queue = rig, rig.flow.queue
        self.now = START_MS
        self.held: dict[str, Lease] = {}

    def publish(self, job_id: str, *, gid: str = "", limit: int = 0, backoff_ms: int = 0, attempts: int = 3, in_ms: int = 0) -> None:
        due = self.now + in_ms if in_ms else 0
        options = JobOptions(attempts, LEASE_MS, backoff_ms, due, gid, limit)
        self.rig.client.execute(jobs.publish(self.queue, {}, job_id=job_id, options=options, now_ms=self.now))

    def take(self) -> str:
        """Lease the next job; its id, or "" if none may be taken."""
        found = self.rig.client.execute(jobs.reserve(self.queue, now_ms=self.now))
        if not isinstance(found, Lease):
            return ""
        self.held[found.job_id] = found
        return found.job_id

    def take_all(self) -> list[str]:
        """Lease, in order, all that may be leased now."""
        return list(iter(self.take, ""))

    def ack(self, job_id: str) -> None:
        self.rig.client.execute(jobs.ack_success(self.held.pop(job_id), now_ms=self.now))

    def fail(self, job_id: str, error: str = "") -> None:
        self.rig.client.execute(jobs.ack_fail(self.held.pop(job_id), error, now_ms=self.now))

    def wait_ms(self, ms: int) -> None:
        """Let time pass, and do what is due then: promote, reap."""
        self.now += ms
        self.rig.client.execute_all([promote_delayed(self.queue, now_ms=self.now), reap_expired(self.queue, now_ms=self.now)])

    def inflight(self, gid: str) -> int:
        return int(cast("bytes | None", self.rig.conn.get(keys.queue_key(self.queue, "g", gid, "inflight"))) or 0)

    def field(self, job_id: str, name: str) -> str:
        return (cast("bytes | None", self.rig.conn.hget(keys.job(self.queue, job_id), name)) or b"").decode()

    def names(self, *lane: str) -> list[str]:
        """The ids of a list: `names("g", "one", "wait")`."""
        return [raw.decode() for raw in cast("list[bytes]", self.rig.conn.lrange(keys.queue_key(self.queue, *lane), 0, -1))]

    def leased(self) -> list[str]:
        return [raw.decode() for raw in cast("list[bytes]", self.rig.conn.zrange(keys.queue_key(self.queue, "active"), 0, -1))]

    def due(self) -> list[str]:
        return [raw.decode() for raw in cast("list[bytes]", self.rig.conn.zrange(keys.queue_key(self.queue, "delayed"), 0, -1))]
