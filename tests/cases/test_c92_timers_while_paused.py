"""C92: after a resume all delayed jobs start at once, beyond the limit; during the pause jobs vanish from the counts."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from omniq_flow.model.jobs import JobOptions
from omniq_flow.observe.queues import QueueSnapshot, read_queue
from omniq_flow.ops import admin
from tests.cases.plain import PLAIN, publish
from tests.cases.rig import ROOT, Rig
from tests.support.until import wait_until

JOBS, LIMIT, LAST_MS, PAUSED_S = 40, 2, 1_500, 2.0
APP = f"""
{PLAIN}
@app.handler(queue="case")
def work(ctx: JobContext) -> None:
    job_effect(ctx)
    time.sleep(0.02)
    job_effect(ctx, "end")
"""


def test_c92_timers_run_on_and_limits_hold(rig: Rig) -> None:
    """40 delayed jobs of a group with limit 2 become due during a pause: due times are absolute, so after the resume all wait at once,
    and two run at a time. During the pause waiting and delayed are 40 at each moment, in API and command line.

    Due within 1.5 s and paused for 2 s stand for 3 s and 5 s.
    """
    rig.write(APP)
    rig.workers(2)
    rig.client.execute(admin.pause("case"))
    began = time.monotonic()
    for n in range(JOBS):
        options = JobOptions(timeout_ms=5_000, gid="g", group_limit=LIMIT)
        publish(rig, f"job-{n}", options, in_ms=300 + n * LAST_MS // JOBS)
    with watched(rig) as seen:
        wait_until(lambda: seen, "somebody looks")
        shown = json.loads(_shown(rig))
        assert shown["waiting"] + shown["group_waiting"] + shown["delayed"] == JOBS
        wait_until(lambda: time.monotonic() > began + PAUSED_S and not seen[-1].delayed, "all are due")
    assert {s.waiting + s.group_waiting + s.delayed for s in seen} == {JOBS}
    assert seen[0].delayed > 0
    assert seen[-1].group_waiting == JOBS
    assert rig.effects() == []
    rig.client.execute(admin.resume("case"))
    resumed = time.monotonic()
    wait_until(lambda: len(rig.effects("end")) == JOBS, "all are done", 10)
    ends = {e.id: e.at for e in rig.effects("end")}
    assert max(sum(o.at <= e.at < ends[o.id] for o in rig.effects()) for e in rig.effects()) == LIMIT
    assert rig.effects()[0].at - resumed < 3, "nothing waits for its delay again"


@contextlib.contextmanager
def watched(rig: Rig) -> Iterator[list[QueueSnapshot]]:
    """Pictures of the queue, taken all the time."""
    seen: list[QueueSnapshot] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.02):
            seen.append(read_queue(rig.client, "case"))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        is_over.set()
        watching.join()


def _shown(rig: Rig) -> str:
    """What the command line shows of the queue."""
    argv = [sys.executable, "-m", "omniq_flow.cli.main", "--url", rig.url, "queues", "list", "case", "--json"]
    done = subprocess.run(argv, cwd=rig.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=20, check=True)
    return done.stdout.decode()
