"""C98: a group's limit is set by whoever publishes first, and later values are ignored without a word."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from omniq_flow.engine.starting import start
from omniq_flow.model.states import RunState
from tests.cases.rig import ROOT, Rig
from tests.support.until import wait_until

RUNS, BEFORE, AFTER = 12, 5, 1
FLOW = """
flow = Flow("case", input=N, group="of:{input.n}", max_parallel=LIMIT, lease="5s")

@flow.step
def work(ctx: StepContext, n: N) -> int:
    effect(ctx)
    while n.text == "held" and not os.path.exists("go"):
        time.sleep(0.01)
    time.sleep(0.05)
    effect(ctx, "end")
    return 1
"""


def deploy(rig: Rig, limit: int) -> None:
    rig.write(FLOW.replace("LIMIT", str(limit)))


def at_once(rig: Rig, since: float) -> int:
    """How many handlers ran at once, of those that started after a moment."""
    ends = {e.run: e.at for e in rig.effects("end")}
    starts = [e for e in rig.effects() if e.at > since]
    return max(sum(o.at <= e.at < ends[o.run] for o in rig.effects()) for e in starts)


def test_c98_who_starts_with_another_limit_is_told(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A flow is deployed with a limit of 5, then with 1: the group keeps its 5, and the first start says so with both numbers and the
    command that changes it.
    """
    deploy(rig, BEFORE)
    rig.start({"n": 1})
    assert caplog.messages == []
    deploy(rig, AFTER)
    for _ in range(3):
        start(rig.client, rig.flow, {"n": 1})
    (said,) = caplog.messages
    assert said == (
        "group of:1 has a limit of 5, which holds; flow case says max_parallel=1: omniq-flow groups limit case 'of:1' 1 changes it"
    )
    start(rig.client, rig.flow, {"n": 2})
    assert caplog.messages == [said], "a new group has the limit that it is given"


def test_c98_a_new_limit_counts_for_the_next_claims(rig: Rig) -> None:
    """Five of a group run when its limit is set to 1 by the command: they finish, and from then on one runs at a time; set to 5 again,
    five do at once, within a second.
    """
    deploy(rig, BEFORE)
    rig.worker("-c", "16")
    held = [rig.start({"n": 1, "text": "held"}) for _ in range(BEFORE)]
    wait_until(lambda: len(rig.effects()) == BEFORE, "five run")
    runs = [rig.start({"n": 1}) for _ in range(RUNS)]
    assert set_limit(rig, AFTER) == f"limit of of:1: {BEFORE} → {AFTER}"
    changed = time.monotonic()
    (rig.folder / "go").touch()
    assert [rig.ends(run) for run in (*held, *runs)] == [RunState.SUCCEEDED] * (BEFORE + RUNS)
    last_held = max(e.at for e in rig.effects("end") if e.run in held)
    assert min(e.at for e in rig.effects() if e.run in runs) >= last_held, "leased ones finish first"
    assert at_once(rig, changed) == AFTER
    (rig.folder / "go").unlink()
    more = [rig.start({"n": 1, "text": "held"}) for _ in range(BEFORE)]
    wait_until(lambda: any(e.run in more for e in rig.effects()), "one runs")
    set_limit(rig, BEFORE)
    wait_until(lambda: sum(e.run in more for e in rig.effects()) == BEFORE, "all five run", 1)
    (rig.folder / "go").touch()
    assert [rig.ends(run) for run in more] == [RunState.SUCCEEDED] * BEFORE


def set_limit(rig: Rig, limit: int) -> str:
    """Change the limit as a person does; the line that is printed."""
    argv = [sys.executable, "-m", "omniq_flow.cli.main", "--url", rig.url, "groups", "limit", "case", "of:1", str(limit)]
    done = subprocess.run(argv, cwd=rig.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=30, check=True)
    return done.stdout.decode().strip()
