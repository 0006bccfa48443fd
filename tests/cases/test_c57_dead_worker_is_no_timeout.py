"""C57: after a hard kill a job is aborted, or hangs until its overall time-out, and what is sent meanwhile is refused."""

from __future__ import annotations

import time

from omniq_flow.model.states import RunState
from tests.cases.rig import Rig
from tests.support.until import wait_until

FLOW = """
flow = Flow("case", input=N, lease="1s", timeout="60s", retry=QUICK)

@flow.step
def work(ctx: StepContext, n: N) -> int:
    effect(ctx)
    while n.text == "hold" and ctx.attempt == 1:
        time.sleep(0.02)
    return ctx.attempt
"""


def test_c57_a_killed_workers_job_is_tried_again_and_new_runs_wait(rig: Rig) -> None:
    """Its lease decides, not its time-out of 60 s: the second attempt starts once a worker is back. Runs started meanwhile succeed."""
    rig.write(FLOW)
    first = rig.worker()
    run = rig.start({"text": "hold"})
    wait_until(lambda: rig.starts(run)["work"], "the job runs")
    first.kill()
    killed = time.monotonic()
    later = [rig.start({"n": n}) for n in range(10)]
    wait_until(lambda: time.monotonic() >= killed + 1, "nobody is there for a while")
    assert [rig.header(r).state for r in (run, *later)] == [RunState.RUNNING] * 11
    rig.worker()
    # Lease and backoff, or when there is a worker again; and two looks.
    latest = max(killed + 1 + 0.2, time.monotonic()) + 2
    assert [rig.ends(r) for r in (run, *later)] == [RunState.SUCCEEDED] * 11
    assert rig.output(run, "work") == 2
    assert [rig.output(r, "work") for r in later] == [1] * 10
    assert [e.attempt for e in rig.effects("start", run)] == [1, 2]
    assert rig.effects("start", run)[1].at <= latest
