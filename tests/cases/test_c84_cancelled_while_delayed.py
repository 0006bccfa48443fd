"""C84: thousands of cancelled delayed jobs still flood through the workers when their time comes."""

from __future__ import annotations

import resource

from omniq_flow.model.states import RunState
from omniq_flow.observe.queues import read_queue
from tests.cases.command import command
from tests.cases.rig import Rig
from tests.support.until import wait_until

ITEMS, WITHIN_S = 900, 2.0
DELAYED = f"""
flow = Flow("case", max_parallel={ITEMS}, retry=Retry(attempts=2, delay="20s", jitter=False))

@flow.step
def source(ctx: StepContext) -> list[int]:
    return list(range({ITEMS}))

@flow.step
def item(ctx: StepContext, n: int = each(source)) -> int:
    effect(ctx)
    raise ValueError("later")
"""


def test_c84_they_are_gone_when_their_time_comes(rig: Rig) -> None:
    """Hundreds in back-off: one command takes all of them out in bounded pieces, within 2 s; nothing starts when they would be due, and
    hardly a line is written.
    """
    rig.write(DELAYED)
    worker = rig.worker("-c", "32")
    run = rig.start()
    wait_until(lambda: read_queue(rig.client, "case").delayed == ITEMS, "all are in back-off", timeout=20)
    wait_until(lambda: worker.said().count("attempt 1 failed") == ITEMS, "it has told of each")
    lines = len(worker.said().splitlines())
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert command(rig, "runs", "cancel", run, "--yes").code == 0
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert rig.header(run).state is RunState.CANCELLED
    queue = read_queue(rig.client, "case")
    assert (queue.delayed, queue.group_waiting, queue.active) == (0, 0, 0)
    # By the clock of the server, and what the command computed for it: the rest is what others of the machine took.
    at = {event.event: event.at_ms for event in rig.events(run)}
    assert at["run cancelled"] - at["run cancelling"] < WITHIN_S * 1_000
    assert ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime < WITHIN_S
    looked = queue.at_ms
    wait_until(lambda: read_queue(rig.client, "case").at_ms > looked + 1_000, "the worker has looked many times")
    assert len(rig.effects(run=run)) == ITEMS
    assert len(worker.said().splitlines()) <= lines + 10
