"""C18: a need that exists but was not queued yet counts as no need, and the child starts early."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from omniq_flow import FlowDefinitionError
from omniq_flow.model.states import RunState, StepState
from tests.cases.rig import ROOT, Rig
from tests.support.until import wait_until

HELD_S = 0.75
WORK_S = 0.25

RUNS = 3
HOLD = """
def hold_back() -> None:
    while not os.path.exists("go"):
        time.sleep(0.01)
"""
# `b` gets its job only when `hold` is over: until then there is no record of it at all.
SINGLE = f"""{HOLD}
flow = Flow("case", retry=NO_RETRY)

@flow.step
def hold() -> None:
    hold_back()

@flow.step
def a() -> int:
    return 1

@flow.step(after=[hold])
def b(ctx: StepContext) -> int:
    time.sleep(0.25)
    effect(ctx, "end")
    return 2

@flow.step
def child(ctx: StepContext, x: int = result(a), y: int = result(b)) -> int:
    effect(ctx)
    return x + y
"""
# A script makes at most 256 elements of a list, and no more of them while the window of one is taken: the rest has no record.
ELEMENTS = 300
WINDOW = f"""{HOLD}
flow = Flow("case", retry=NO_RETRY, window=1)

@flow.step
def a() -> int:
    return 1

@flow.step
def src() -> list[int]:
    return list(range({ELEMENTS}))

@flow.step
def b(ctx: StepContext, i: int = each(src)) -> int:
    if i == 0:
        hold_back()
    effect(ctx, "end")
    return i

@flow.step
def child(ctx: StepContext, x: int = result(a), y: list[int] = gather(b)) -> int:
    effect(ctx)
    return x + sum(y)
"""
SHAPES = {
    "a step before it": (SINGLE, ["b"], 3),
    "a window": (WINDOW, [f"b-{n}" for n in range(ELEMENTS)], 1 + sum(range(ELEMENTS))),
}


def is_done(rig: Rig, run: str) -> Callable[[], bool]:
    return lambda: rig.state(run, "a") is StepState.SUCCEEDED


@pytest.mark.parametrize("shape", SHAPES)
def test_c18_a_need_without_a_job_is_waited_for(rig: Rig, shape: str) -> None:
    """A child of `a` and `b` starts after `b` has ended, also while `a` is done and nothing of `b` stands in the queue.

    A start cannot be delayed here; `b` is held back by a step before it, or by the window of its list.
    """
    source, members, value = SHAPES[shape]
    rig.write(source)
    rig.workers(2, "-c", "8")
    runs = [rig.start() for _ in range(RUNS)]
    for run in runs:
        wait_until(is_done(rig, run), "a is done")
        known = {step_run.id for step_run in rig.facts(run)}
        assert members[-1] not in known, "the last of b has no job and no record yet"
        assert "child" not in known
    released_at = time.monotonic()
    (rig.folder / "go").touch()
    for run in runs:
        assert rig.ends(run) is RunState.SUCCEEDED
        assert rig.output(run, "child") == value
        assert rig.starts(run) == {"child": 1}
        events = [entry.event for entry in rig.events(run)]
        queued = events.index("Q child 1")
        assert {f"D {member} 1" for member in members} <= set(events[:queued])
        (began,) = [e.at for e in rig.effects("start", run)]
        ends = [e.at for e in rig.effects("end", run)]
        assert len(ends) == len(members)
        assert began > max(*ends, released_at)


UNKNOWN = """
flow = Flow("case")

@flow.step
def a() -> int:
    return 1

@flow.step(after=[a, "nowhere"])
def b(ctx: StepContext) -> int:
    effect(ctx)
    return 2
"""


def test_c18_a_need_that_is_not_defined_is_refused(rig: Rig) -> None:
    """A need that no step of the flow answers to is refused by the names of the step and the need, and nothing is written."""
    flow = rig.write(UNKNOWN)
    with pytest.raises(FlowDefinitionError) as refused:
        rig.start()
    (fault,) = refused.value.faults
    assert fault.message.startswith("b: ")
    assert "nowhere" in fault.message
    assert fault.where.rpartition("/")[2].startswith("case.py:")
    command = [sys.executable, "-m", "omniq_flow.cli.main", "--url", rig.url, "start", flow.name]
    said = subprocess.run(command, cwd=rig.folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=20)
    assert said.returncode == 3
    assert "nowhere" in said.stderr
    assert rig.conn.dbsize() == 0
