"""C79: a queue keeps its newest hundred completed jobs, and what older ones gave is gone with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from typing import Any

from omniq_flow.model.names import StepRun
from omniq_flow.model.states import RunState, StepState
from omniq_flow.ops import keys
from tests.cases.rig import ROOT, Rig

FLOW = """
flow = Flow("case", input=N, retry=QUICK)

@flow.step
def source(n: N) -> list[int]:
    return list(range(n.n))

@flow.step
async def item(ctx: StepContext, i: int = each(source)) -> int:
    effect(ctx)
    if i == 0 and ctx.attempt == 1:
        raise ValueError("once more")
    return i * i

@flow.step
def join(ctx: StepContext, squares: list[int] = gather(item)) -> list[int]:
    effect(ctx)
    return squares
"""
LENGTH, OTHERS = 1_000, 150


def shown(rig: Rig, run: str) -> dict[str, Any]:
    """What the command line shows of a run."""
    argv = [sys.executable, "-m", "omniq_flow.cli.main", "--url", rig.url, "runs", "show", run, "--json"]
    done = subprocess.run(argv, cwd=rig.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=20, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_c79_a_run_keeps_what_its_queue_forgets(rig: Rig) -> None:
    """A join gets the values of 1,000 items, and item 0 is known by state and value long after the queue dropped its job."""
    rig.write(FLOW)
    rig.workers(2)
    run = rig.start({"n": LENGTH})
    others = [rig.start({"n": OTHERS}) for _ in range(3)]
    assert [rig.ends(each) for each in (run, *others)] == [RunState.SUCCEEDED] * 4
    for each, n in ((run, LENGTH), *((other, OTHERS) for other in others)):
        assert rig.output(each, "join") == [i * i for i in range(n)]
        assert rig.starts(each) == {"item-0": 2, "join": 1} | {f"item-{i}": 1 for i in range(1, n)}
    jobs = list(rig.conn.scan_iter(match=keys.job(rig.flow.queue, "*"), count=1_000))
    assert len(jobs) == rig.conn.llen(keys.queue_key(rig.flow.queue, "completed")) == 100
    assert rig.facts(run)[StepRun("item", (0,))].state is StepState.SUCCEEDED
    assert rig.output(run, "item[0]") == 0
    assert Counter(rig.states(run).values()) == {"succeeded": LENGTH + 2}


def test_c79_tries_and_durations_outlive_jobs_and_events(rig: Rig) -> None:
    """`runs show` tells tries, beginning and end of each step of a run with more events than a history holds.

    Of an element it tells the state; its tries are part of its step's.
    """
    rig.write(FLOW)
    rig.workers(2)
    for n in (OTHERS, LENGTH):
        run = rig.start({"n": n})
        assert rig.ends(run) is RunState.SUCCEEDED
        show = shown(rig, run)
        found = {step["step"]: step for step in show["steps"]}
        assert [(step["step"], step["succeeded"], step["total"]) for step in show["steps"]] == [
            ("source", 1, 1),
            ("item", n, n),
            ("join", 1, 1),
        ]
        assert {name: step["retries"] for name, step in found.items()} == {"source": 0, "item": 1, "join": 0}
        for step in found.values():
            assert show["created_ms"] <= (step["started_ms"] or 0) <= step["ended_ms"] <= show["ended_ms"]
            assert step["duration_ms"] == step["ended_ms"] - step["started_ms"]
