"""C94: a pause stops all flows of a queue, and nobody knows who paused it or why once its author is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

from omniq_flow.model.states import RunState
from omniq_flow.observe.queues import read_queue
from omniq_flow.ops.steering import queue_pause
from tests.cases.rig import ROOT, Rig

REASON = "the printer [bold]burns[/bold]"
FLOW = """
flow = Flow("NAME", queue="shared")

@flow.step
def work(ctx: StepContext) -> int:
    effect(ctx)
    return 1
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
    assert rig.effects() == []
    (resumed,) = command(rig, "queues", "resume", "shared")
    assert (resumed["was_paused"], resumed["pause"]) == (True, note)
    assert [rig.ends(run) for run in runs] == [RunState.SUCCEEDED] * 2
    seen = read_queue(rig.client, "shared")
    assert (seen.is_paused, seen.pause) == (False, None)


def said(rig: Rig, *words: str) -> str:
    """What a command prints for people."""
    argv = [sys.executable, "-m", "omniq_flow.cli.main", "--url", rig.url, *words]
    done = subprocess.run(argv, cwd=rig.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=30, check=True)
    return done.stdout.decode()


def command(rig: Rig, *words: str) -> list[dict[str, Any]]:
    """What a command prints for programs."""
    return [json.loads(line) for line in said(rig, *words, "--json").splitlines()]
