"""C51: jobs that are due later than the visibility time-out are delivered several times."""

from __future__ import annotations

import time
from typing import cast

from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.cases.consumers import Plain
from tests.cases.rig import Rig
from tests.support.until import wait_until

JOBS = 50
DELAY_S = 4.0
# A second, and what a busy machine adds.
LATE_S = 2.0
FLOW = """
flow = Flow("case", lease="2s", retry=Retry(attempts=2, backoff="fixed", delay="4s"))

@flow.step
def source() -> list[int]:
    return list(range(50))

@flow.step
def later(ctx: StepContext, n: int = each(source)) -> int:
    effect(ctx, f"attempt {ctx.attempt}")
    if ctx.attempt == 1:
        raise ValueError("not yet")
    return n

@flow.step
def join(ctx: StepContext, all: list[int] = gather(later)) -> int:
    effect(ctx)
    return len(all)
"""


def test_c51_attempts_that_wait_for_two_leases_start_once_and_in_time(rig: Rig) -> None:
    """A step waits in a queue only for its next attempt: 50 of them start once each, not before they are due and soon after.

    Half of the workers are replaced meanwhile, one by a kill: nobody holds what is delayed.
    """
    rig.write(FLOW)
    crew = rig.workers(4)
    run = rig.start()
    delayed = keys.queue_key(rig.flow.queue, "delayed")
    wait_until(lambda: rig.conn.zcard(delayed) == JOBS, "all wait for their second attempt", 8)
    found = cast("list[tuple[bytes, float]]", rig.conn.zrange(delayed, 0, -1, withscores=True))
    due = {job.decode().split(".")[2]: score / 1000 for job, score in found}
    crew[0].kill()
    assert crew[1].stop() == 0
    rig.workers(2)
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.output(run, "join") == JOBS
    ahead = time.time() - time.monotonic()
    second = rig.effects("attempt 2", run)
    assert sorted(e.id for e in second) == sorted(due)
    waits = [e.at + ahead - due[e.id] for e in second]
    # The server counts in whole milliseconds, and its clock is this machine's.
    assert -0.002 <= min(waits) <= max(waits) <= LATE_S
    assert len(rig.effects("attempt 1", run)) == JOBS
    assert rig.starts(run) == {"join": 1}


def test_c51_plain_jobs_that_are_due_later_start_once_and_in_time(rig: Rig) -> None:
    """50 jobs for a time two leases ahead: one start each, not before it and soon after, though half of the consumers change."""
    plain = Plain(rig, "def handler(ctx): note(ctx)")
    crew = plain.consumers(4)
    due = time.time() + DELAY_S
    options = JobOptions(timeout_ms=2_000, due_ms=int(due * 1000))
    plain.publish_all(((f"job-{n}", n) for n in range(JOBS)), options=options)
    crew[0].kill()
    assert crew[1].stop() == 0
    plain.consumers(2)
    plain.ends()
    ahead = time.time() - time.monotonic()
    waits = [e.at + ahead - due for e in rig.effects()]
    assert rig.starts() == {f"job-{n}": 1 for n in range(JOBS)}
    assert -0.002 <= min(waits) <= max(waits) <= LATE_S
