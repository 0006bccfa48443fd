"""C78: a run is removed in part, and one that is submitted under its id waits for what will never end again."""

from __future__ import annotations

import pytest

from omniq_flow.errors import Conflict
from omniq_flow.model.runs import new_run_id
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from omniq_flow.ops.admin import remove_jobs_batch
from tests.cases.rig import Rig
from tests.support.until import wait_until

FLOW = """
from pathlib import Path

flow = Flow("case", input=N, lease="1s", retry=NO_RETRY)

@flow.step
def source(n: N) -> list[int]:
    return list(range(n.n))

@flow.step
def item(ctx: StepContext, n: N, i: int = each(source)) -> int:
    effect(ctx)
    while n.text and not Path(n.text).exists():
        time.sleep(0.01)
    return i

@flow.step
def join(ctx: StepContext, items: list[int] = gather(item)) -> list[int]:
    effect(ctx)
    return items
"""
ONCE = dict.fromkeys([f"item-{i}" for i in range(5)] + ["join"], 1)


def refused(rig: Rig, run: str, value: dict[str, object]) -> None:
    """A start under this id says what is left of it, and changes nothing."""
    before = {name: rig.conn.dump(name) for name in rig.conn.scan_iter(match=f"*{run}*", count=1_000)}
    with pytest.raises(Conflict, match=f"run id {run} .* left") as caught:
        rig.start(value, run_id=run)
    assert keys.states(rig.flow.queue, run) in (caught.value.hint or "")
    assert {name: rig.conn.dump(name) for name in rig.conn.scan_iter(match=f"*{run}*", count=1_000)} == before


def test_c78_a_run_id_with_leftovers_is_refused_and_a_run_key_starts_afresh(rig: Rig) -> None:
    """When the record of an ended run was deleted and its step runs were not, its id is refused by name; its key gives a clean run."""
    rig.write(FLOW)
    rig.worker()
    run = new_run_id()
    rig.start({"n": 5}, run_id=run, key="once")
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.conn.unlink(keys.header(rig.flow.queue, run)) == 1
    refused(rig, run, {"n": 5})
    again = rig.start({"n": 5}, key="once")
    assert again != run
    assert rig.ends(again, 5) is RunState.SUCCEEDED
    assert rig.starts(again) == ONCE
    assert rig.start({"n": 5}, key="once") == again, "the key names the new run from now on"


def test_c78_a_run_that_lost_its_record_while_it_went_on_holds_up_nobody(rig: Rig) -> None:
    """When the record of a run that goes on is deleted, its reports come to nothing, its id is refused, and other runs go on."""
    rig.write(FLOW)
    worker = rig.worker("-c", "8")
    may_end = rig.folder / "may end"
    run = new_run_id()
    rig.start({"n": 5, "text": str(may_end)}, run_id=run)
    wait_until(lambda: len(rig.starts(run)) == 5, "the items are worked")
    assert rig.conn.unlink(keys.header(rig.flow.queue, run)) == 1
    # A heartbeat between the two looks of `refused` would change what it compares.
    worker.freeze()
    rig.conn.ping()
    refused(rig, run, {"n": 5})
    worker.thaw()
    may_end.touch()
    other = rig.start({"n": 5})
    assert rig.ends(other, 5) is RunState.SUCCEEDED
    assert rig.starts(other) == ONCE
    wait_until(lambda: not rig.conn.exists(keys.queue_key(rig.flow.queue, "active")), "nothing is leased")
    assert worker.is_alive
    refused(rig, run, {"n": 5})


def test_c78_once_nothing_is_left_the_id_is_free(rig: Rig) -> None:
    """Where only finished jobs are left in the queue's lanes, the id is refused for their sake; once they are removed it runs afresh."""
    rig.write(FLOW)
    worker = rig.worker()
    run = new_run_id()
    rig.start({"n": 5}, run_id=run)
    assert rig.ends(run) is RunState.SUCCEEDED
    rig.conn.unlink(*rig.conn.scan_iter(match=f"{keys.base(rig.flow.queue)}:flow:*{run}*", count=1_000))
    refused(rig, run, {"n": 5})
    jobs = [f"f.{run}.{name}.1" for name in ("source", *ONCE)]
    removed = rig.client.execute(remove_jobs_batch(rig.flow.queue, "completed", jobs))
    assert [item.status for item in removed] == ["OK"] * len(jobs)
    assert rig.start({"n": 5}, run_id=run) == run
    assert rig.ends(run, 5) is RunState.SUCCEEDED
    assert rig.starts(run) == dict.fromkeys(ONCE, 2)
    assert rig.output(run, "join") == list(range(5))
    assert worker.is_alive
