"""C94: a pause stops all flows of a queue, and nobody knows who paused it or why once its author is gone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from typing import Any

from omniq_flow.model.clock import now_ms
from omniq_flow.model.states import RunState
from omniq_flow.observe.queues import read_queue
from omniq_flow.observe.run_watch import Focus, look_closely
from omniq_flow.ops import keys
from omniq_flow.ops.steering import queue_pause
from omniq_flow.tui.run_text import step_lines
from omniq_flow.tui.text import plain
from tests.cases.rig import ROOT, Rig
from tests.tui.conftest import app_of, live, shows
from tests.tui.shots import screen_text

REASON = "the printer [bold]burns[/bold]"
FLOW = """
flow = Flow("NAME", queue="shared")

@flow.step
def work(ctx: StepContext) -> int:
    effect(ctx)
    return 1
"""
MANY = """
flow = Flow("NAME", queue="shared", max_parallel=4)

@flow.step
def items() -> list[int]:
    return list(range(60))

@flow.step
def work(ctx: StepContext, i: int = each(items)) -> int:
    effect(ctx)
    time.sleep(0.02)
    return i
"""


def test_c94_who_when_and_why_outlive_the_pauser(rig: Rig) -> None:
    """A process pauses the queue of two flows and ends: everybody who looks is told who did, when and why; both flows wait. Another
    one that pauses it again hears of the first, which stays; the resume names it a last time.
    """
    other = rig.write(FLOW.replace("NAME", "other"), "other")
    rig.write(FLOW.replace("NAME", "case"))
    rig.worker()
    before_ms = time.time() * 1000
    (paused,) = command(rig, "queues", "pause", "shared", "--reason", REASON)
    note = paused["pause"]
    assert (paused["was_paused"], note["reason"]) == (False, REASON)
    assert "@" in note["by"]
    assert before_ms <= note["at_ms"] <= time.time() * 1000
    runs = [rig.start(), rig.start(flow=other)]
    again = rig.client.execute(queue_pause("shared", by="somebody else", reason="lunch"))
    assert (again.was_paused, again.note.reason) == (True, REASON)
    (shown,) = command(rig, "queues", "show", "shared")
    assert (shown["is_paused"], shown["state"], shown["pause"]) == (True, "paused", note)
    assert shown["group_waiting"] == len(runs)
    text = said(rig, "queues", "show", "shared")
    (state,) = [line for line in text.splitlines() if line.startswith("state ")]
    assert "paused" in state
    assert note["by"] in state
    assert REASON in state
    assert note["by"] in said(rig, "queues", "list", "shared")
    assert REASON in said(rig, "queues", "list", "shared")
    for run in runs:
        (why,) = command(rig, "runs", "why", run, "work")[0]["reasons"]
        assert re.fullmatch(rf"queue shared is paused by {re.escape(note['by'])} \S+ ago: {re.escape(REASON)}", why)
        view = look_closely(rig.client, "shared", run, Focus("work"))
        assert f"queue shared is paused by {note['by']}" in "".join(plain(row) for row in step_lines(view, 300, now_ms(), 60))
    assert rig.effects() == []
    (resumed,) = command(rig, "queues", "resume", "shared")
    assert (resumed["was_paused"], resumed["pause"]) == (True, note)
    assert [rig.ends(run) for run in runs] == [RunState.SUCCEEDED] * 2
    seen = read_queue(rig.client, "shared")
    assert (seen.is_paused, seen.pause) == (False, None)


async def test_c94_the_screens_tell_who_when_and_why(rig: Rig) -> None:
    """The list of queues tells it of the one under the cursor, its jobs in their head."""
    rig.conn.sadd(keys.QUEUES, "shared")
    rig.write(FLOW.replace("NAME", "case"))
    rig.client.execute(queue_pause("shared", by="ann@host", reason=REASON))
    async with live(rig.url, size=(170, 40)) as pilot:
        await shows(pilot, "shared is paused by ann@host ")
        assert f" ago: {REASON}" in screen_text(pilot.app)
        app_of(pilot).open_queue("shared")
        await shows(pilot, "paused by ann@host ")
        assert f" ago: {REASON}" in screen_text(pilot.app)


def test_c94_a_run_that_is_paused_leaves_the_other_flow_alone(rig: Rig) -> None:
    """Two flows share a queue and a worker; with a run of one paused, the other does all its jobs as if it were alone, and the paused one
    tells who holds it. Whole runs stand for the 95 % of the throughput.
    """
    other = rig.write(MANY.replace("NAME", "other"), "other")
    rig.write(MANY.replace("NAME", "case"))
    held = rig.start()
    assert command(rig, "runs", "pause", held, "--reason", REASON)[0]["status"] == "OK"
    rig.worker()
    began = time.monotonic()
    assert rig.ends(rig.start(flow=other)) is RunState.SUCCEEDED
    beside = time.monotonic() - began
    assert rig.starts(held) == {}
    (why,) = command(rig, "runs", "why", held, "items")[0]["reasons"]
    assert re.fullmatch(rf"the run is paused by \S+@\S+ \S+ ago: {re.escape(REASON)}", why)
    command(rig, "runs", "resume", held)
    assert rig.ends(held) is RunState.SUCCEEDED
    began = time.monotonic()
    assert rig.ends(rig.start(flow=other)) is RunState.SUCCEEDED
    alone = time.monotonic() - began
    assert beside < max(alone / 0.95, alone + 1), "as fast as without it"


def said(rig: Rig, *words: str) -> str:
    """What a command prints for people."""
    argv = [sys.executable, "-m", "omniq_flow.cli.main", "--url", rig.url, *words]
    done = subprocess.run(argv, cwd=rig.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=30, check=True)
    return done.stdout.decode()


def command(rig: Rig, *words: str) -> list[dict[str, Any]]:
    """What a command prints for programs."""
    return [json.loads(line) for line in said(rig, *words, "--json").splitlines()]
