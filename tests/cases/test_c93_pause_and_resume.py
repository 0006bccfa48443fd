"""C93: a resume soon after a pause does nothing, and the worker stays paused for good."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time

from omniq_flow.client.client import Client
from omniq_flow.model.jobs import JobOptions
from omniq_flow.observe.queues import read_queue
from omniq_flow.ops import admin, keys
from tests.cases.plain import PLAIN, publish
from tests.cases.rig import ROOT, Rig
from tests.support.until import wait_until

CLIENTS, EACH, JOBS = 3, 130, 300
APP = f"""
{PLAIN}
@app.handler(queue="case")
def work(ctx: JobContext) -> None:
    job_effect(ctx)
"""


def test_c93_the_last_word_counts(rig: Rig) -> None:
    """Three clients pause and resume a busy queue some hundred times, 0 to 5 ms apart, and one resumes it in the end: it is not
    paused, and every job is done once. 390 times stand for 1,000.
    """
    rig.write(APP)
    rig.workers(2)

    def toggle(seed: int) -> None:
        rng = random.Random(seed)
        with Client.open(rig.url) as client:
            for _ in range(EACH):
                client.execute(admin.pause("case")) if rng.random() < 0.5 else client.execute(admin.resume("case"))
                time.sleep(rng.uniform(0, 0.005))

    threads = [threading.Thread(target=toggle, args=(seed,)) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for n in range(JOBS):
        publish(rig, f"job-{n}", JobOptions(timeout_ms=5_000))
    for thread in threads:
        thread.join()
    rig.client.execute(admin.pause("case"))
    assert rig.client.execute(admin.resume("case"))
    assert not rig.conn.exists(keys.queue_key("case", "paused"))
    wait_until(lambda: read_queue(rig.client, "case").last_finish_ms and len(rig.effects()) == JOBS, "all jobs are done", 15)
    assert set(rig.starts("case").values()) == {1}
    wait_until(lambda: not read_queue(rig.client, "case").active, "and reported")


def test_c93_the_command_line_says_what_holds_now(rig: Rig) -> None:
    """Each command prints the state that it leaves behind, and whether that is news."""
    rig.write(APP)
    assert said(rig, "pause") == (True, False)
    assert said(rig, "pause") == (True, True)
    assert said(rig, "resume") == (False, True)
    assert said(rig, "resume") == (False, False)
    assert not read_queue(rig.client, "case").is_paused


def said(rig: Rig, verb: str) -> tuple[bool, bool]:
    """What the command line prints: paused now, paused before."""
    argv = [sys.executable, "-m", "omniq_flow.cli.main", "--url", rig.url, "queues", verb, "case", "--json"]
    done = subprocess.run(argv, cwd=rig.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=30, check=True)
    found = json.loads(done.stdout)
    return found["is_paused"], found["was_paused"]
