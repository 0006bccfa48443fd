"""C104: the only worker of a queue is busy with a long handler, and nobody promotes what is due or takes back what lapsed."""

from __future__ import annotations

import re
import time
from typing import cast

from omniq_flow.model.jobs import JobOptions
from omniq_flow.ops import keys
from tests.cases.plain import PLAIN, publish
from tests.cases.rig import Rig
from tests.support.until import wait_until

DUE_MS, LEASE_MS, LATE_S = 600, 1_500, 1.0
APP = f"""
{PLAIN}
@app.handler(queue="case")
def work(ctx: JobContext, job: dict[str, Any]) -> None:
    job_effect(ctx)
    while job.get("is_long") and ctx.attempt == 1 and not os.path.exists("over"):
        time.sleep(0.01)
    job_effect(ctx, "end")

@app.handler(queue="other")
def rest(ctx: JobContext) -> None: ...
"""


def test_c104_a_busy_worker_looks_after_its_queue(rig: Rig) -> None:
    """One worker with one slot, which is taken: a job that becomes due and a lease that lapses in its queue are put back within 1 s
    of their time, and start when the slot is free. A worker of another queue has nothing to do with it.
    """
    rig.write(APP)
    doomed = rig.worker("-q", "case", "-c", "1")
    publish(rig, "held", JobOptions(timeout_ms=LEASE_MS, backoff_ms=0), {"is_long": True})
    wait_until(lambda: rig.starts("case")["held"], "the first worker has one")
    rig.worker("-q", "case", "-c", "1")
    rig.worker("-q", "other", wait=False)
    publish(rig, "long", JobOptions(timeout_ms=30_000), {"is_long": True})
    wait_until(lambda: rig.starts("case")["long"], "the second is busy")
    publish(rig, "due", JobOptions(timeout_ms=5_000), in_ms=DUE_MS)
    due_at = time.monotonic() + DUE_MS / 1000
    doomed.kill()
    lapses_at = time.monotonic() + LEASE_MS / 1000

    def waits(name: str) -> bool:
        return rig.conn.lpos(keys.queue_key("case", "wait"), name) is not None

    wait_until(lambda: waits("due"), "what is due waits", 4)
    assert time.monotonic() - due_at < LATE_S
    wait_until(lambda: waits("held"), "what lapsed waits", 4)
    assert time.monotonic() - lapses_at < LATE_S
    said = cast("bytes", rig.conn.hget(keys.job("case", "held"), "last_error"))
    told = rb"lease lost: attempt 1/3 ended without a report; held by \S+ for \d+\.\d s, last extended \d+\.\d s ago"
    assert re.fullmatch(told, said)
    assert rig.starts("case") == {"held": 1, "long": 1}
    (rig.folder / "over").touch()
    wait_until(lambda: len(rig.effects("end")) == 3, "all are done", 10)
    (long,) = [e.at for e in rig.effects("end") if e.id == "long"]
    assert min(e.at for e in rig.effects() if e.id == "due" or (e.id == "held" and e.attempt == 2)) >= long
