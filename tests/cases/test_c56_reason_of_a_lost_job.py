"""C56: a job that ended because its lease ran out stands among the failed ones without any reason."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import cast

from omniq_flow.model.states import RunState
from omniq_flow.observe.reading import read_run
from omniq_flow.ops import keys
from tests.cases.rig import ROOT, Rig
from tests.support.until import wait_until

FLOW = """
flow = Flow("case", lease="1s", retry=Retry(attempts=ATTEMPTS, delay=0))

@flow.step
def work(ctx: StepContext) -> int:
    effect(ctx, f"attempt {ctx.attempt}")
    if ctx.attempt < ctx.max_attempts:
        raise ValueError("bad luck")
    time.sleep(30)
    return 1

@flow.step
def after(ctx: StepContext, n: int = result(work)) -> int:
    return n
"""


def lose(rig: Rig, attempts: int) -> str:
    """A run whose step is lost in its last attempt, all before that having raised."""
    rig.write(FLOW.replace("ATTEMPTS", str(attempts)))
    first = rig.worker()
    run = rig.start()
    wait_until(lambda: rig.effects(f"attempt {attempts}", run), "the last attempt runs")
    rig.worker()
    first.kill()
    assert rig.ends(run, 5) is RunState.FAILED
    return run


def told(rig: Rig, run: str, *options: str) -> str:
    """What the command line shows of a run."""
    argv = [sys.executable, "-m", "omniq_flow.cli.main", "--url", rig.url, "runs", "show", run, *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(argv, cwd=rig.folder, env=environment, capture_output=True, timeout=20, check=True, text=True).stdout


def test_c56_a_lost_job_says_so_wherever_one_looks(rig: Rig) -> None:
    """The job's record, the stored failure, the picture for programs, the command line, its JSON: lease lost, attempt 1/1, by whom."""
    run = lose(rig, 1)
    job = keys.job(rig.flow.queue, f"f.{run}.work.1")
    said = (cast("bytes | None", rig.conn.hget(job, "last_error")) or b"").decode()
    (holder,) = rig.crew[:1]
    told_of = rf"lease lost: attempt 1/1 ended without a report; held by \S+-{holder.pid}-\w+ for \d+\.\d s, last extended \d+\.\d s ago"
    assert re.fullmatch(told_of, said)
    failure = rig.failure(run, "work")
    assert (failure.type, failure.message, failure.attempt) == ("LeaseLost", said, 1)
    (seen,) = read_run(rig.client, rig.flow.queue, run).failures
    assert str(seen) == f"work: LeaseLost: {said}"
    lines = told(rig, run).splitlines()
    assert f"work: LeaseLost: {said}" in lines
    assert "after upstream_failed because of work" in lines
    shown = json.loads(told(rig, run, "--json"))
    assert [(f["step_run"], f["type"], f["message"], f["attempt"]) for f in shown["failures"]] == [("work", "LeaseLost", said, 1)]


def test_c56_the_latest_cause_is_told_and_the_earlier_attempt_is_known(rig: Rig) -> None:
    """Of a step that raised and was then lost, the loss is the failure, with attempt 2/2; that attempt 1 had ended is told beside it."""
    run = lose(rig, 2)
    said = rig.failure(run, "work").message
    assert said.startswith("lease lost: attempt 2/2 ended without a report; held by ")
    assert (rig.failure(run, "work").message, rig.failure(run, "work").attempt) == (said, 2)
    events = [event.event for event in rig.events(run) if " work" in event.event]
    assert events == ["Q work 1", "retry work 1 1", "F work 1"]
    assert f"work: LeaseLost: {said} (attempt 2)" in told(rig, run).splitlines()
    step = json.loads(told(rig, run, "--json"))["steps"][0]
    assert (step["state"], step["retries"]) == ("failed", 1)
    assert "attempt 1 failed: ValueError: bad luck" in rig.crew[0].said()
