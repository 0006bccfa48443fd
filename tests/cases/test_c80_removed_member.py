"""C80: removing a child by the queue's own command leaves the counter of its join at one, so that the join never starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from omniq_flow.errors import OperationRefused
from omniq_flow.model.states import RunState, StepState
from omniq_flow.observe.causes import causes
from omniq_flow.observe.reading import read_run
from omniq_flow.ops import admin, keys
from omniq_flow.ops.command import Command
from omniq_flow.ops.runs import run_retry
from tests.cases.rig import Rig
from tests.conformance import exported
from tests.support.until import wait_until

FLOW = """
flow = Flow("case", retry=NO_RETRY, lease="5s")

@flow.step
def source() -> list[int]:
    return [0, 1, 2]

@flow.step
def item(ctx: StepContext, i: int = each(source)) -> int:
    effect(ctx)
    while i == HELD and not os.path.exists("go"):
        time.sleep(0.01)
    if i == 1 and not os.path.exists("mended"):
        raise ValueError("item 1 is bad")
    return i

@flow.step
def join(ctx: StepContext, items: list[int] = gather(item)) -> int:
    effect(ctx)
    return sum(items)
"""
Remove = Callable[[str, str, admin.Lane], Command[Any]]
BY_ANYBODY = pytest.mark.parametrize("remove", [admin.remove_job, exported.remove_job], ids=["ours", "foreign"])


def job(run: str) -> str:
    return f"f.{run}.item-1.1"


def hold_while_it_waits(rig: Rig) -> str:
    """A run whose only worker is busy with element 0, so that the others wait; element 1 would succeed."""
    rig.write(FLOW.replace("HELD", "0"))
    (rig.folder / "mended").touch()
    rig.worker("-c", "1")
    run = rig.start()
    wait_until(lambda: rig.starts(run)["item-0"], "element 0 is held")
    assert rig.state(run, "item[1]") is StepState.QUEUED
    assert not rig.starts(run)["item-1"]
    return run


def test_c80_our_own_removal_settles_the_join(rig: Rig) -> None:
    """Removed by us while it waits, the element fails at once, named as removed, and the run ends when the others are done."""
    run = hold_while_it_waits(rig)
    rig.client.execute(admin.remove_job("case", job(run), "gwait"))
    assert rig.state(run, "item[1]") is StepState.FAILED
    assert rig.header(run).state is RunState.FAILING
    (rig.folder / "go").touch()
    assert rig.ends(run) is RunState.FAILED
    assert rig.starts(run) == {"item-0": 1, "item-2": 1}
    snapshot = read_run(rig.client, "case", run)
    reason = "item[1]: JobRemoved: its job was removed from the gwait lane"
    assert {step: " ".join(map(str, found)) for step, found in causes(snapshot, snapshot.failures).items()} == {"join": reason}
    assert rig.counters() == []
    rig.client.execute(run_retry("case", run, epoch=1))
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.starts(run) == {"item-0": 1, "item-1": 1, "item-2": 1, "join": 1}


def test_c80_a_removal_outside_the_tool_is_noticed_and_made_good(rig: Rig) -> None:
    """Removed by another client while it waits, the job is missed when the run is looked after, at the latest 5 s later, and made again.

    The history tells of it. Removed a fourth time it fails its step as lost (C28). The moment of the look is moved to now.
    """
    run = hold_while_it_waits(rig)
    due_ms = float(rig.conn.zscore(keys.live("case"), run) or 0)
    assert due_ms - rig.header(run).created_ms <= 6_000
    rig.client.execute(exported.remove_job("case", job(run), "gwait"))
    rig.conn.zadd(keys.live("case"), {run: 1}, xx=True)
    wait_until(lambda: "lost item-1 1" in [entry.event for entry in rig.events(run)], "the loss is noticed", 5)
    (rig.folder / "go").touch()
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.starts(run) == {"item-0": 1, "item-1": 1, "item-2": 1, "join": 1}
    assert rig.dispatches(run)["item-1"] == 2
    assert rig.counters() == []


@BY_ANYBODY
def test_c80_a_failed_job_that_is_removed_holds_up_nothing(rig: Rig, remove: Remove) -> None:
    """Element 1 failed for good and its job is removed, by us or by another client, while the run goes on: it ends as it would have.

    Its failure is a fact of the run, so it is retried all the same. The job itself cannot be retried any more.
    """
    rig.write(FLOW.replace("HELD", "2"))
    rig.worker("-c", "1")
    run = rig.start()
    wait_until(
        lambda: rig.starts(run)["item-2"] and rig.header(run).state is RunState.FAILING, "element 1 has failed, the last one is held"
    )
    rig.client.execute(remove("case", job(run), "failed"))
    assert rig.state(run, "item[1]") is StepState.FAILED
    with pytest.raises(OperationRefused, match="NO_JOB"):
        rig.client.execute(admin.retry_failed("case", job(run)))
    (rig.folder / "go").touch()
    assert rig.ends(run) is RunState.FAILED
    assert rig.failure(run, "item[1]").message == "item 1 is bad"
    assert rig.starts(run)["join"] == 0
    assert rig.counters() == []
    (rig.folder / "mended").touch()
    rig.client.execute(run_retry("case", run, epoch=1, only=["item-1"]))
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.starts(run) == {"item-0": 1, "item-1": 2, "item-2": 1, "join": 1}
    assert rig.output(run, "join") == 3
    assert rig.counters() == []
