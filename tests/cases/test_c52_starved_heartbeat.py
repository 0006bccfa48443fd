"""C52: a handler that leaves the heartbeat no time to run, so that another worker starts its job."""

from __future__ import annotations

import os

from omniq_flow.model.states import RunState
from tests.cases.rig import Rig
from tests.support.until import wait_until

BUSY = """
flow = Flow("case", lease="1s", retry=QUICK)

@flow.step
def computes(ctx: StepContext) -> int:
    effect(ctx)
    ends_at, n = time.monotonic() + 2.1, 0
    while time.monotonic() < ends_at:
        n += 1
    return ctx.attempt

@flow.step
async def blocks(ctx: StepContext) -> int:
    effect(ctx)
    time.sleep(2.1)
    return ctx.attempt

@flow.step
def join(ctx: StepContext, a: int = result(computes), b: int = result(blocks)) -> list[int]:
    effect(ctx)
    return [a, b]
"""
HOLDS = """
import ctypes

flow = Flow("case", lease="1s", retry=QUICK)
# A function of a PyDLL is called with the interpreter's lock held, as a huge regular expression would hold it.
libc = ctypes.PyDLL(None)

@flow.step(process=True)
def in_child(ctx: StepContext) -> int:
    effect(ctx)
    libc.usleep(1_500_000)
    return ctx.attempt

@flow.step
def in_worker(ctx: StepContext, before: int = result(in_child)) -> int:
    effect(ctx)
    if ctx.attempt == 1:
        libc.read(os.open("gate", os.O_RDWR), ctypes.create_string_buffer(1), 1)
    return ctx.attempt

@flow.step
def join(ctx: StepContext, a: int = result(in_child), b: int = result(in_worker)) -> list[int]:
    effect(ctx)
    return [a, b]
"""


def test_c52_a_busy_handler_does_not_cost_its_lease(rig: Rig) -> None:
    """A Python loop in a thread, and a handler that blocks the event loop, are started once: leases are extended from a thread of its own.

    Both run at once in one worker for two leases, beside an idle one.
    """
    rig.write(BUSY)
    rig.worker()
    run = rig.start()
    wait_until(lambda: len(rig.effects()) == 2, "both run")
    rig.worker()
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.starts(run) == {"computes": 1, "blocks": 1, "join": 1}
    assert rig.output(run, "join") == [1, 1]


def test_c52_whoever_holds_the_interpreter_loses_the_lease_and_is_told(rig: Rig) -> None:
    """A call that holds the interpreter costs no lease in a process of its own; in the worker it does, and the late report is refused.

    Then the step is started twice and committed once, and the loser's log has one line with run and step.
    """
    rig.write(HOLDS)
    os.mkfifo(rig.folder / "gate")
    gate = os.open(rig.folder / "gate", os.O_RDWR)
    first = rig.worker()
    run = rig.start()
    wait_until(lambda: rig.starts(run)["in_child"], "the child works")
    crew = {worker.pid: worker for worker in (first, rig.worker())}
    wait_until(lambda: rig.starts(run)["in_worker"] == 2, "the lease is lost, and another one starts it", 20)
    os.write(gate, b"!")
    os.close(gate)
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.starts(run) == {"in_child": 1, "in_worker": 2, "join": 1}
    assert rig.output(run, "join") == [1, 2]
    loser, winner = (crew[e.pid] for e in rig.effects() if e.id == "in_worker")
    assert loser is not winner
    wait_until(lambda: "lease lost" in loser.said(), "the loser is told")
    assert loser.stop() == 0
    (line,) = [line for line in loser.said().splitlines() if "lease lost" in line]
    assert run in line
    assert "in_worker" in line
    assert "lease lost" not in winner.said()
    assert rig.output(run, "in_worker") == 2
    assert [e.event for e in rig.events(run) if e.event.startswith("D in_worker ")] == ["D in_worker 1"]
