"""C01: a branch of a join fails somewhere in the middle, and whoever watches only its last step waits for ever."""

from __future__ import annotations

from omniq_flow.model.states import RunState
from omniq_flow.observe.causes import causes
from omniq_flow.observe.reading import read_run
from omniq_flow.ops import keys
from tests.cases.rig import Rig

FLOW = """
flow = Flow("case", input=N, retry=NO_RETRY)

def work(ctx: StepContext, n: N) -> str:
    effect(ctx)
    if ctx.step == n.text:
        raise ValueError(f"bad {ctx.step}")
    return ctx.step

@flow.step
def x1(ctx: StepContext, n: N) -> str:
    return work(ctx, n)

@flow.step
def x2(ctx: StepContext, n: N, before: str = result(x1)) -> str:
    return work(ctx, n)

@flow.step
def x3(ctx: StepContext, n: N, before: str = result(x2)) -> str:
    return work(ctx, n)

@flow.step
def y1(ctx: StepContext, n: N) -> str:
    return work(ctx, n)

@flow.step
def j(ctx: StepContext, n: N, x: str = result(x3), y: str = result(y1)) -> str:
    return work(ctx, n)

@flow.step
def k(ctx: StepContext, n: N, before: str = result(j)) -> str:
    return work(ctx, n)
"""
# A pop changes nothing where nothing waits; where something does, other writes follow.
POPS = {"LPOP", "BLPOP", "ZPOPMIN"}


def writes_over(rig: Rig, looks: int) -> list[str]:
    """All that is written while idle workers look so many times for work."""
    writing = {name.upper() for name, about in rig.conn.command().items() if "write" in about["flags"]} - POPS
    found = []
    with rig.conn.monitor() as monitor:  # type: ignore[no-untyped-call]
        while looks:
            command = str(monitor.next_command()["command"])
            looks -= command.startswith(("EVALSHA", "EVAL "))
            if command.split(" ", 1)[0].upper() in writing:
                found.append(command)
    return found


def test_c01_a_failure_anywhere_in_a_branch_settles_the_join(rig: Rig) -> None:
    """Wherever a branch fails, all after it is decided at once, the true culprit is named, and then nothing is written any more."""
    rig.write(FLOW)
    rig.workers(3, "--poll", "100ms")
    runs = {step: rig.start({"text": step}) for step in ("x1", "x2", "x3")}
    for culprit, run in runs.items():
        assert rig.ends(run, 5) is RunState.FAILED
        steps = ("x1", "x2", "x3")
        place = steps.index(culprit)
        expected = dict.fromkeys((*steps[:place], "y1"), "succeeded") | {culprit: "failed"}
        expected |= dict.fromkeys((*steps[place + 1 :], "j", "k"), "upstream_failed")
        assert rig.states(run) == dict(sorted(expected.items()))
        assert rig.starts(run) == dict.fromkeys((*steps[: place + 1], "y1"), 1)
        snapshot = read_run(rig.client, rig.flow.queue, run)
        assert all(step.is_settled for step in snapshot.steps)
        said = {step: [str(failure) for failure in found] for step, found in causes(snapshot, snapshot.failures).items()}
        assert said == {step: [f"{culprit}: ValueError: bad {culprit}"] for step in (*steps[place + 1 :], "j", "k")}
    written = [command.split()[1] for command in writes_over(rig, looks=30)]
    of_workers = (keys.flow_key(rig.flow.queue, "idle"), keys.workers(rig.flow.queue), keys.QUEUES)
    assert of_workers[0] in written, "what scripts write is seen"
    assert [key for key in written if key not in of_workers and not key.startswith(keys.worker(rig.flow.queue, ""))] == []
