"""C65: the job that a worker runs when it dies is gone, or workers live on and take nothing any more."""

from __future__ import annotations

import random
import time
from functools import partial
from itertools import pairwise

import pytest

from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.states import RunState
from omniq_flow.observe.queues import read_queue
from omniq_flow.ops.jobs import publish
from tests.cases.plain import PLAIN
from tests.cases.rig import Rig
from tests.support.until import wait_until

JOBS, WORKERS, KILLS, EVERY_S = 600, 3, 5, 0.5
DEAF_S = 2.0
APP = f"""
{PLAIN}
import random

def run() -> None:
    time.sleep(0.05)
    if random.random() < 0.1:
        raise ValueError("by chance")

@app.handler(queue="case")
def work_job(ctx: JobContext) -> None:
    job_effect(ctx)
    run()

flow = Flow("case", lease="1s", retry=Retry(attempts=30, backoff="fixed", delay="50ms"))

@flow.step
def source() -> list[int]:
    return list(range({JOBS}))

@flow.step
def work(ctx: StepContext, n: int = each(source)) -> int:
    effect(ctx)
    run()
    return n
"""


def is_past(moment: float) -> bool:
    return time.monotonic() > moment


@pytest.mark.parametrize("is_plain", [False, True], ids=["flow", "plain"])
def test_c65_nothing_is_lost_and_nobody_goes_deaf(rig: Rig, is_plain: bool) -> None:
    """Every half second a worker is killed and replaced, a tenth of all attempts fail: each job ends well, each live worker goes on.

    600 jobs stand for 1,000. While there is work to be had, a worker that has begun starts something at least every 2 s.
    """
    rng = random.Random(65)
    rig.write(APP)
    options = JobOptions(30, 1_000, 50)
    rig.client.execute_all([publish("case", {}, job_id=f"job-{n}", options=options) for n in range(JOBS * is_plain)])
    run = "" if is_plain else rig.start()

    def left() -> int:
        seen = read_queue(rig.client, "case")
        return seen.waiting + seen.group_waiting + seen.delayed + seen.active

    rig.workers(WORKERS, "-c", "3")
    killed: dict[int, float] = {}
    had_work_at = time.monotonic()
    while len(killed) < KILLS and left() > JOBS / 5:
        had_work_at = time.monotonic()
        next_at = had_work_at + EVERY_S
        wait_until(partial(is_past, next_at), "it is time to kill again")
        victim = rng.choice([worker for worker in rig.crew if worker.is_alive])
        victim.kill()
        killed[victim.pid] = time.monotonic()
        rig.worker("-c", "3", wait=False)
    assert len(killed) >= KILLS / 2
    wait_until(lambda: left() == 0, "all jobs have ended", 30)
    assert read_queue(rig.client, "case").failed == 0
    assert len(rig.starts(run)) == JOBS
    if run:
        assert rig.ends(run) is RunState.SUCCEEDED
    for pid in {e.pid for e in rig.effects()}:
        moments = sorted(e.at for e in rig.effects() if e.pid == pid and e.at <= had_work_at)
        gaps = [later - earlier for earlier, later in pairwise([*moments, killed.get(pid, had_work_at)])]
        assert max(gaps, default=0) < DEAF_S, pid
