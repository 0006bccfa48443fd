"""C86: a restart of a run that goes on leaves steps between two lives, or tells of failures that nobody had."""

from __future__ import annotations

import pytest

from omniq_flow.model.states import RunState
from omniq_flow.observe.queues import read_queue
from tests.cases.command import command
from tests.cases.rig import Rig
from tests.support.until import wait_until

FIVE = """
flow = Flow("case", lease="3s", max_parallel=3, retry=NO_RETRY)

@flow.step
def items(ctx: StepContext) -> list[int]:
    effect(ctx)
    return [0, 1, 2, 3, 4]

@flow.step
async def work(ctx: StepContext, item: int = each(items)) -> str:
    effect(ctx)
    if not os.path.exists("fast"):
        try:
            await asyncio.sleep(60)
        finally:
            effect(ctx, "told")
    return f"{item} of {ctx.run_id}"

@flow.step
def join(ctx: StepContext, found: list[str] = gather(work)) -> list[str]:
    effect(ctx)
    return found
"""
DEAF = """
flow = Flow("case", lease="3s", retry=NO_RETRY)

@flow.step
def work(ctx: StepContext) -> str:
    effect(ctx)
    while not os.path.exists("go"):
        time.sleep(0.02)
    return ctx.run_id

@flow.step
def after(ctx: StepContext, found: str = result(work)) -> str:
    effect(ctx)
    return found
"""


def restart(rig: Rig, run: str, *more: str) -> str:
    done = command(rig, "runs", "rerun", run, "--cancel", "--yes", *more)
    assert done.code == 0, done
    return done.out.strip()


@pytest.mark.parametrize("options", [(), ("--from", "work")])
def test_c86_what_is_worked_is_told_and_the_new_pass_ends_well(rig: Rig, options: tuple[str, ...]) -> None:
    """Three of five elements are leased when the run is restarted, and again: one new run; each old handler is told within a beat, no
    waiting element of the old run starts, nothing failed, and the new run succeeds with each step run worked once.
    """
    rig.write(FIVE)
    rig.worker("-c", "6")
    run = rig.start()
    wait_until(lambda: (read_queue(rig.client, "case").active, len(rig.starts(run))) == (3, 4), "three of five are worked")
    (rig.folder / "fast").touch()
    new = restart(rig, run, *options)
    assert restart(rig, run, *options) == new != run
    assert rig.ends(run, timeout=5) is RunState.CANCELLED
    assert rig.ends(new) is RunState.SUCCEEDED
    assert len(rig.effects("told", run)) == 3
    assert sum(rig.starts(run).values()) == 4
    elements = {f"work-{n}": 1 for n in range(5)}
    assert rig.starts(new) == elements | {"join": 1} | ({} if options else {"items": 1})
    assert rig.output(new, "join") == [f"{n} of {new}" for n in range(5)]
    assert (rig.header(run).rerun_as, rig.header(new).rerun_of) == (new, run)
    assert [e.event for e in rig.events(run) if e.event.startswith(("F ", "run fail"))] == []
    assert restart(rig, run, *options) == new


def test_c86_what_an_old_attempt_gives_does_not_reach_the_new_pass(rig: Rig) -> None:
    """A handler that hears nothing ends well after the restart: that stays with the old run, from which nothing follows."""
    rig.write(DEAF)
    rig.worker("-c", "1")
    run = rig.start()
    wait_until(lambda: rig.starts(run) == {"work": 1}, "it is worked")
    new = restart(rig, run)
    assert rig.header(run).state is RunState.CANCELLING
    (rig.folder / "go").touch()
    assert rig.ends(run) is RunState.CANCELLED
    assert rig.ends(new) is RunState.SUCCEEDED
    assert rig.output(new, "after") == new
    assert rig.starts(run) == {"work": 1}
    assert rig.starts(new) == {"work": 1, "after": 1}
