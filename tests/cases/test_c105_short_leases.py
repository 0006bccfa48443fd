"""C105: heartbeats that come too late for a short lease, so that healthy workers lose it."""

from __future__ import annotations

import time

import pytest

from omniq_flow import FlowDefinitionError
from omniq_flow.flow.definition import Flow
from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.cases.plain import PLAIN, ByHand, publish
from tests.cases.rig import Rig
from tests.support.until import wait_until

DAY_MS = 86_400_000
FLOW = """
flow = Flow("case", retry=NO_RETRY)

def work(ctx: StepContext) -> int:
    effect(ctx)
    time.sleep(2.5)
    return ctx.attempt

@flow.step(lease="1s")
def a(ctx: StepContext) -> int:
    return work(ctx)

@flow.step(lease="1.5s")
def b(ctx: StepContext) -> int:
    return work(ctx)
"""
LONG = """
flow = Flow("case", lease="24h")

@flow.step
def work(ctx: StepContext) -> int:
    effect(ctx)
    while True:
        time.sleep(0.05)
"""
APP = f"""
{PLAIN}
@app.handler(queue="case")
def work(ctx: JobContext) -> None:
    job_effect(ctx)
    time.sleep(1.5)
"""


@pytest.mark.parametrize("lease", ["0.3s", 0.5, "999ms", "24h1s"])
def test_c105_what_no_heartbeat_can_keep_is_refused(lease: str | float) -> None:
    """A lease below 1 s, or above a day, is refused when the flow is checked, for a flow or a step, and both limits are named."""
    of_flow = Flow("case", lease=lease)
    of_step = Flow("case")

    @of_flow.step
    def one() -> int:
        return 1

    @of_step.step(lease=lease)
    def other() -> int:
        return 1

    for flow, owner in ((of_flow, "flow case"), (of_step, "other")):
        with pytest.raises(FlowDefinitionError) as caught:
            flow.check()
        (fault,) = caught.value.faults
        assert fault.message == f"{owner}: lease: {lease!r} is not allowed; a duration from 1s to 24h, such as '30s'"


def test_c105_the_shortest_leases_hold(rig: Rig) -> None:
    """Steps with leases of 1 s and 1.5 s that take longer than both run once, with another worker waiting. 2.5 s stand for 3."""
    rig.write(FLOW)
    rig.workers(2, "-c", "2")
    run = rig.start()
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.starts(run) == {"a": 1, "b": 1}
    assert all("lease" not in worker.said() for worker in rig.crew)


def test_c105_a_day_is_a_day(rig: Rig) -> None:
    """With a lease of 24 h a killed worker's job stays with it for 24 h: nobody else can know. The docs of `lease` say what it means.

    The clock of a foreign client, which is believed, shows that the lease does end.
    """
    rig.write(LONG)
    worker = rig.worker()
    run = rig.start()
    wait_until(lambda: rig.starts(run), "it runs")
    worker.kill()
    until_ms = float(rig.conn.zscore(keys.queue_key("case", "active"), f"f.{run}.work.1") or 0)
    left_ms = until_ms - time.time() * 1000
    assert "a killed worker's job comes back when its lease has ended" in " ".join((Flow.__doc__ or "").split())
    assert DAY_MS - 60_000 < left_ms <= DAY_MS
    hand = ByHand(rig)
    hand.now = int(until_ms) + 1
    hand.wait_ms(0)
    assert hand.leased() == []
    assert hand.field(f"f.{run}.work.1", "last_error").startswith("lease lost: attempt 1/3")
    rig.conn.flushall()


def test_c105_plain_jobs_with_a_short_lease(rig: Rig) -> None:
    """A plain job's lease is its publisher's choice: one of 1 s is kept while its handler takes longer, and the job runs once."""
    rig.write(APP)
    rig.workers(2)
    publish(rig, "short", JobOptions(timeout_ms=1_000, max_attempts=1))
    wait_until(lambda: rig.conn.llen("{case}:completed") == 1, "it is done", 10)
    assert rig.starts("case") == {"short": 1}
