"""C134: two apps, or two environments, on one server see or purge each other's runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from omniq_flow.engine.starting import start
from omniq_flow.flow.definition import Flow
from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.runs import new_run_id
from omniq_flow.model.states import RunState
from omniq_flow.ops import admin, jobs, keys
from omniq_flow.ops.runs import run_purge, runs_of
from tests.cases.rig import FAR_MS, ROOT, Rig
from tests.support.server import ScratchServer

# The same names of flow and step; only the queue tells the two apart.
FLOW = """
flow = Flow("case", queue="QUEUE")

@flow.step
def work(ctx: StepContext) -> int:
    effect(ctx)
    return 1
"""
OURS, THEIRS = "a.case", "b.case"
READS = ("+@read", "+@connection", "+time")


def deploy(rig: Rig, queue: str) -> Flow:
    return rig.write(FLOW.replace("QUEUE", queue))


def keys_of(rig: Rig, queue: str) -> dict[bytes, bytes | None]:
    """All keys of a queue with their contents."""
    return {key: rig.conn.dump(key) for key in rig.conn.scan_iter(match=keys.base(queue) + "*", count=1_000)}


def test_c134_queues_are_worlds_apart(rig: Rig) -> None:
    """Two projects with the same flow, step and run ids on one server, told apart by their queues: whatever one does in its own – pause,
    remove, retry, purge – the other's keys stay byte for byte.
    """
    theirs, ours = deploy(rig, THEIRS), deploy(rig, OURS)
    ended, waiting = new_run_id(), new_run_id()
    deploy(rig, THEIRS)
    worker = rig.worker()
    start(rig.client, theirs, run_id=ended)
    assert rig.ends(ended) is RunState.SUCCEEDED
    assert worker.stop() == 0
    start(rig.client, theirs, run_id=waiting)
    rig.client.execute(jobs.publish(THEIRS, {"n": 1}, job_id="same", options=JobOptions(gid="same", group_limit=3)))
    before = keys_of(rig, THEIRS)
    assert len(before) > 10
    deploy(rig, OURS)
    rig.worker()
    for run in (ended, waiting):
        start(rig.client, ours, run_id=run)
        assert rig.ends(run) is RunState.SUCCEEDED
    rig.client.execute(admin.pause(OURS))
    for job_id in ("same", "failing"):
        rig.client.execute(jobs.publish(OURS, {"n": 2}, job_id=job_id, options=JobOptions(gid="same", group_limit=1)))
    rig.client.execute(admin.remove_job(OURS, "same", "gwait"))
    rig.client.execute(admin.remove_job(OURS, "failing", "gwait"))
    rig.client.execute(admin.resume(OURS))
    while rig.client.execute(run_purge(OURS, keep_runs=0, now_ms=FAR_MS)).has_more:
        pass
    assert rig.client.execute(runs_of(OURS, "ended", 10)) == []
    assert rig.client.execute(runs_of(THEIRS, "ended", 10)) == [ended]
    assert keys_of(rig, THEIRS) == before


@pytest.fixture
def reader(rig: Rig, case_server: ScratchServer) -> str:
    """The address of a user who may read, and only what is ours."""
    deploy(rig, OURS)
    run = rig.start()
    rig.worker()
    assert rig.ends(run) is RunState.SUCCEEDED
    return case_server.user("reader", "secret", f"%R~{keys.base(OURS)}*", f"%R~{keys.QUEUES}", *READS)


LOOKS = (("runs", "list"), ("queues", "show", OURS), ("groups", "list", OURS))


def test_c134_who_may_read_may_look_and_nothing_else(rig: Rig, reader: str) -> None:
    """A user with read access to one project's keys sees its runs, queues and groups; what would change something is refused in three
    lines that name the server's reason, without a traceback, and nothing changes; of another project's keys it sees nothing.
    """
    for words in LOOKS:
        done = cli(rig.folder, reader, *words)
        assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), (words, done.stderr)
    assert "succeeded" in cli(rig.folder, reader, "runs", "list").stdout
    before = keys_of(rig, OURS)
    for words in (("queues", "pause", OURS), ("start", "case")):
        done = cli(rig.folder, reader, *words)
        assert done.returncode == 4, words
        assert "the user may not do this (NOPERM)" in done.stderr
        assert "Traceback" not in done.stderr
        assert "secret" not in done.stderr
    done = cli(rig.folder, reader, "queues", "show", THEIRS)
    assert done.returncode == 4
    assert "NOPERM" in done.stderr
    after = keys_of(rig, OURS)
    live = {key for key in before if b":flow:w" in key or b":flow:idle" in key}
    assert {k: v for k, v in after.items() if k not in live} == {k: v for k, v in before.items() if k not in live}


def cli(folder: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one command against the address."""
    argv = [sys.executable, "-m", "omniq_flow.cli.main", "--url", url, *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=40, check=False)
