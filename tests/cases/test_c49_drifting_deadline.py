"""C49: heartbeats that add to the old deadline, so that the job of a killed worker comes back the later the longer it ran."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.cases.rig import Rig
from tests.support.until import wait_until

LEASE_S = 1.0
BACKOFF_S = 0.2
# Two looks of an idle worker at the lanes, and what a busy machine adds.
SLACK_S = 0.8
LONG_S = 2.5
FLOW = """
flow = Flow("case", input=N, lease="1s", retry=QUICK)

@flow.step
def work(ctx: StepContext, n: N) -> int:
    effect(ctx, f"attempt {ctx.attempt}")
    while ctx.attempt == 1:
        time.sleep(0.01)
    return ctx.attempt
"""


@contextlib.contextmanager
def sampled(rig: Rig) -> Iterator[list[float]]:
    """How far the deadlines lie ahead of the server's clock (s), looked at all the time."""
    ahead: list[float] = []
    is_over = threading.Event()

    def sample() -> None:
        with rig.server.connection() as conn:
            while not is_over.wait(0.02):
                leases = conn.zrange(keys.queue_key(rig.flow.queue, "active"), 0, -1, withscores=True)
                seconds, micros = conn.time()
                ahead.extend(score / 1000 - seconds - micros / 1e6 for _, score in leases)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield ahead
    finally:
        is_over.set()
        thread.join()


def test_c49_how_long_a_killed_job_ran_does_not_delay_its_return(rig: Rig) -> None:
    """A killed worker's jobs are with another within lease, backoff and two looks, whether they ran for two leases or for one.

    A lease of 1 s and a run of 2.5 s stand for 2 s and 15 s: with a drifting deadline the longer job would come back 3 s later.
    """
    rig.write(FLOW)
    first = rig.worker("-c", "2")
    with sampled(rig) as ahead:
        long = rig.start({"n": 1})
        began = time.monotonic()
        wait_until(lambda: rig.effects("attempt 1", long), "the long job runs")
        wait_until(lambda: time.monotonic() > began + LONG_S / 2, "it has run for a while")
        short = rig.start({"n": 2})
        rig.worker("-c", "2")
        wait_until(lambda: rig.effects("attempt 1", short) and time.monotonic() > began + LONG_S, "both ran for some time")
        assert {e.pid for e in rig.effects("attempt 1")} == {first.pid}
        first.kill()
        killed = time.monotonic()
        assert [rig.ends(run, 5) for run in (long, short)] == [RunState.SUCCEEDED] * 2
    for run in (long, short):
        assert rig.output(run, "work") == 2
        (again,) = rig.effects("attempt 2", run)
        assert again.pid != first.pid
        assert BACKOFF_S < again.at - killed <= LEASE_S + BACKOFF_S + SLACK_S
    assert len(ahead) > 50
    assert max(ahead) <= LEASE_S + 0.1
