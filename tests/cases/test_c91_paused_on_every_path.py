"""C91: a paused queue still hands out recovered jobs, delayed ones, or one that a pending claim was promised."""

from __future__ import annotations

import time
from typing import cast

from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.states import RunState
from omniq_flow.observe.queues import read_queue
from omniq_flow.ops import admin, keys
from tests.cases.plain import PLAIN, publish
from tests.cases.rig import Rig
from tests.support.until import wait_until

ITEMS, HELD, DELAYED, FAILING = 400, 3, 5, 4
KEPT_S, SOON_MS, FAR_MS = 2.5, 500, 600_000
APP = f"""
{PLAIN}
@app.handler(queue="case")
def work(ctx: JobContext, job: dict[str, Any]) -> None:
    job_effect(ctx)
    if ctx.attempt == 1 and job.get("kind") == "failing":
        raise ValueError("once")
    while ctx.attempt == 1 and job.get("kind") == "held":
        time.sleep(0.01)

flow = Flow("case", max_parallel=500)

@flow.step
def source(ctx: StepContext) -> list[int]:
    effect(ctx)
    while not os.path.exists("go"):
        time.sleep(0.01)
    return list(range({ITEMS}))

@flow.step
def item(ctx: StepContext, n: int = each(source)) -> int:
    effect(ctx)
    return n

@flow.step
def join(ctx: StepContext, items: list[int] = gather(item)) -> int:
    effect(ctx)
    return sum(items)
"""


def test_c91_nothing_starts_on_any_path(rig: Rig) -> None:
    """Paused while a claim is pending, leases are about to lapse, jobs are due soon or back off, and a fan-out is being published.

    Not a single start in the 2.5 s of the pause (at most one, by a take that was on its way); the fan-out is published in full,
    lapsed leases and due jobs come to wait; after the resume all is done. 2.5 s stand for 5.
    """
    rig.write(APP)
    doomed = rig.worker("-c", str(HELD))
    for n in range(HELD):
        publish(rig, f"held-{n}", JobOptions(timeout_ms=2_000, backoff_ms=0), {"kind": "held"})
    wait_until(lambda: len(rig.effects()) == HELD, "the first worker holds all it can")
    rig.worker("-c", "8")
    run = rig.start()
    for n in range(FAILING):
        publish(rig, f"failing-{n}", JobOptions(timeout_ms=5_000, backoff_ms=FAR_MS), {"kind": "failing"})
    wait_until(lambda: rig.starts(run) and read_queue(rig.client, "case").delayed == FAILING, "the second works, four back off")
    for n in range(DELAYED):
        publish(rig, f"delayed-{n}", JobOptions(timeout_ms=5_000), in_ms=FAR_MS)
    doomed.kill()
    rig.client.execute(admin.pause("case"))
    paused_at = time.monotonic()
    # What is due soon is due after the pause, however long it took to get here.
    lane, soon_ms = keys.queue_key("case", "delayed"), read_queue(rig.client, "case").at_ms + SOON_MS
    rig.conn.zadd(lane, dict.fromkeys(cast("list[bytes]", rig.conn.zrange(lane, 0, -1)), soon_ms), xx=True)
    (rig.folder / "go").touch()

    def waiting() -> int:
        seen = read_queue(rig.client, "case")
        return (seen.waiting + seen.group_waiting) * (not seen.active) * (not seen.delayed)

    wait_until(lambda: waiting() == ITEMS + HELD + DELAYED + FAILING, "all of it waits")
    wait_until(lambda: time.monotonic() > paused_at + KEPT_S, "the pause lasts")
    assert len([e for e in rig.effects() if e.at > paused_at]) <= 1
    assert rig.header(run).state is RunState.RUNNING
    rig.client.execute(admin.resume("case"))
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.output(run, "join") == sum(range(ITEMS))
    assert len(rig.starts(run)) == ITEMS + 2
    wait_until(lambda: waiting() == 0 and not read_queue(rig.client, "case").active, "all is done")
    starts = rig.starts("case")
    assert starts == dict.fromkeys([f"held-{n}" for n in range(HELD)] + [f"failing-{n}" for n in range(FAILING)], 2) | dict.fromkeys(
        [f"delayed-{n}" for n in range(DELAYED)], 1
    )
