"""C83: there is no way to stop a nested fan-out as a whole."""

from __future__ import annotations

from collections import Counter

from omniq_flow.model.states import RunState
from omniq_flow.observe.queues import read_queue
from tests.cases.command import command
from tests.cases.rig import Rig
from tests.support.until import wait_until

# Which rows are ready first is open, so the first two elements that start fail, whichever they are.
NESTED = """
import itertools

came = itertools.count()
flow = Flow("case", lease="3s", max_parallel=5, retry=Retry(attempts=3, delay="60s", jitter=False))

@flow.step
def rows(ctx: StepContext) -> list[int]:
    effect(ctx)
    return [0, 1, 2]

@flow.step
def cells(ctx: StepContext, row: int = each(rows)) -> list[int]:
    effect(ctx)
    return [row * 4 + n for n in range(4)]

@flow.step
async def work(ctx: StepContext, cell: int = each(cells)) -> int:
    effect(ctx)
    if next(came) < 2:
        raise ValueError("in back-off now")
    try:
        await asyncio.sleep(60)
    finally:
        effect(ctx, "told")
    return cell

@flow.step
def join(ctx: StepContext, found: list[list[int]] = gather(gather(work))) -> int:
    effect(ctx)
    return len(found)
"""


def test_c83_one_call_stops_what_runs_waits_and_is_in_back_off(rig: Rig) -> None:
    """Of 3 x 4 elements some run, some wait, two are in back-off: at once no lane holds a waiting or delayed one, the running are told
    within a beat, nothing more starts, and the run is cancelled.
    """
    rig.write(NESTED)
    rig.worker("-c", "5")
    run = rig.start()

    def stands() -> tuple[int, int, int]:
        queue = read_queue(rig.client, "case")
        return queue.active, queue.delayed, sum(name.startswith("work") for name in rig.starts(run))

    wait_until(lambda: stands() == (5, 2, 7), "five run, two are in back-off, five wait")
    started = rig.starts(run)
    assert command(rig, "runs", "cancel", run, "--yes").code == 0
    queue = read_queue(rig.client, "case")
    assert (queue.waiting, queue.group_waiting, queue.delayed) == (0, 0, 0)
    assert rig.ends(run, timeout=5) is RunState.CANCELLED
    assert rig.starts(run) == started
    assert Counter(rig.states(run).values()) == {"succeeded": 4, "cancelled": 12}
    assert len(rig.effects("told", run)) == 5
    wait_until(lambda: rig.counters() == [], "what was counted is swept away", timeout=20)
