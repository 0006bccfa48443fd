"""C77: the same id is submitted again, and the record, the queue and the worker that holds it are overrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from omniq_flow.errors import Conflict
from omniq_flow.model.jobs import Lease
from omniq_flow.model.runs import new_run_id
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from omniq_flow.ops.jobs import ack_success, enqueue, publish, reserve
from tests.cases.rig import ROOT, Rig
from tests.support.until import wait_until

FLOW = """
flow = Flow("case", input=N)

@flow.step
def source(n: N) -> list[int]:
    return list(range(n.n))

@flow.step
def item(ctx: StepContext, i: int = each(source)) -> int:
    effect(ctx)
    time.sleep(0.4)
    return i

@flow.step
def join(ctx: StepContext, items: list[int] = gather(item)) -> list[int]:
    effect(ctx)
    return items
"""
# Twice at once, then once in each later phase: five times from each of four processes.
PHASES = ("at once", "at once", "during", "after", "trimmed")
PROCESSES = 4
SUBMITTER = """
import json, sys, time
from pathlib import Path

from omniq_flow.client.client import Client
from omniq_flow.engine.registry import load_file
from omniq_flow.engine.starting import start

url, run_id, me, *phases = sys.argv[1:]
module = load_file("flows/case.py")
with Client.open(url) as client:
    Path(f"ready {me}").touch()
    for phase in phases:
        while not Path(phase).exists():
            time.sleep(0.002)
        by_id = start(client, module.flow, {"n": 5}, run_id=run_id)
        by_key = start(client, module.flow, {"n": 5}, key="once")
        print(json.dumps([phase, [by_id.run_id, by_id.is_new], [by_key.run_id, by_key.is_new]]), flush=True)
"""


class Submitters:
    """Processes that submit the same two runs in each phase, one by run id and one by run key."""

    def __init__(self, rig: Rig, run: str) -> None:
        self._rig = rig
        argv = [sys.executable, "-c", SUBMITTER, rig.url, run]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._logs = [rig.folder / f"submitter-{n}.log" for n in range(PROCESSES)]
        self._processes = []
        for n, log in enumerate(self._logs):
            with log.open("wb") as out:
                self._processes.append(subprocess.Popen([*argv, str(n), *PHASES], cwd=rig.folder, env=environment, stdout=out, stderr=out))

    def wait(self) -> None:
        wait_until(lambda: all((self._rig.folder / f"ready {n}").exists() for n in range(PROCESSES)), "the submitters are ready", 20)

    def said(self) -> list[list[Any]]:
        return [json.loads(line) for log in self._logs for line in log.read_text().splitlines()]

    def submit(self, phase: str) -> None:
        """Let all of them submit, at once."""
        (self._rig.folder / phase).touch()
        count = PHASES.count(phase) * PROCESSES
        wait_until(lambda: [line[0] for line in self.said()].count(phase) == count, f"all have submitted {phase}")

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(10)


def refused(rig: Rig, run: str, **name: str) -> None:
    """Another input under the same id or key is an error that names the run; nothing of it changes."""
    with pytest.raises(Conflict, match=f"{run}.* different input") as caught:
        rig.start({"n": 6}, **name)  # type: ignore[arg-type]
    assert caught.value.hint


def picture(rig: Rig, run: str) -> dict[bytes, bytes | None]:
    """All keys of a run, byte by byte."""
    return {name: rig.conn.dump(name) for name in rig.conn.scan_iter(match=f"*{run}*", count=1_000)}


def trim(rig: Rig) -> None:
    """Let a hundred other jobs complete, so that the queue forgets those that were."""
    queue = rig.flow.queue
    rig.client.execute_all([publish(queue, {}) for _ in range(100)])
    leases = rig.client.execute_all([reserve(queue) for _ in range(100)])
    rig.client.execute_all([ack_success(lease) for lease in leases if isinstance(lease, Lease)])
    assert not list(rig.conn.scan_iter(match=keys.job(queue, "f.*"), count=1_000))


def test_c77_a_run_submitted_again_is_the_run_that_there_is(rig: Rig) -> None:
    """Submitted 20 times by four processes, at once, later, after its end and after its jobs are forgotten, a run is done once.

    By run id as well as by run key, all callers get the same run. Another input is refused; other code is no conflict, as a
    deploy may lie between two submits, and a run follows the plan that it started with.
    """
    rig.write(FLOW)
    run = new_run_id()
    submitters = Submitters(rig, run)
    try:
        worker = rig.worker()
        submitters.wait()
        submitters.submit("at once")
        keyed = submitters.said()[0][2][0]
        wait_until(lambda: len(rig.effects()) == 10, "the items of both runs are worked")
        submitters.submit("during")
        for again in (run, keyed):
            # What publishes a job by its id changes nothing either, whatever lane it is in.
            jobs = [f"f.{again}.{name}.1" for name in ("source", *(f"item-{i}" for i in range(5)))]
            assert rig.client.execute_all([enqueue(rig.flow.queue, job, b"{}") for job in jobs]) == jobs
        refused(rig, run, run_id=run)
        refused(rig, keyed, key="once")
        assert [rig.ends(each) for each in (run, keyed)] == [RunState.SUCCEEDED] * 2
        before = picture(rig, run) | picture(rig, keyed)
        submitters.submit("after")
        refused(rig, run, run_id=run)
        refused(rig, keyed, key="once")
        assert picture(rig, run) | picture(rig, keyed) == before
        assert worker.stop() == 0
        trim(rig)
        submitters.submit("trimmed")
        refused(rig, run, run_id=run)
        refused(rig, keyed, key="once")
    finally:
        submitters.close()
    assert len(submitters.said()) == 20
    for n, asked in ((1, run), (2, keyed)):
        assert {line[n][0] for line in submitters.said()} == {asked}
        assert [line[n][1] for line in submitters.said()].count(True) == 1
    for each in (run, keyed):
        assert rig.starts(each) == dict.fromkeys([f"item-{i}" for i in range(5)] + ["join"], 1)
        assert rig.dispatches(each) == dict.fromkeys(["source", *(f"item-{i}" for i in range(5)), "join"], 1)
        assert rig.output(each, "join") == list(range(5))
    for lane in ("wait", "active", "delayed", "failed"):
        assert not rig.conn.exists(keys.queue_key(rig.flow.queue, lane))
