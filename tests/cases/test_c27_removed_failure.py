"""C27: a failed child leaves its parent waiting for ever, and all the more so when the child's record is removed."""

from __future__ import annotations

from omniq_flow.model.states import RunState
from omniq_flow.observe.causes import causes
from omniq_flow.observe.reading import read_run
from omniq_flow.ops import admin, keys
from omniq_flow.ops.runs import Swept, run_sweep
from tests.cases.rig import Rig
from tests.support.until import wait_until

ITEMS, BAD, HELD = 100, 42, 4
# The last elements wait until the record of the failed one is gone.
FLOW = f"""
flow = Flow("case", retry=Retry(attempts=2, backoff="fixed", delay="50ms"), max_parallel=200)

@flow.step
def src() -> list[int]:
    return list(range({ITEMS}))

@flow.step
def m(ctx: StepContext, i: int = each(src)) -> int:
    effect(ctx)
    if i == {BAD}:
        raise ValueError(f"item {{i}} is bad")
    while i >= {ITEMS - HELD} and not os.path.exists("removed"):
        time.sleep(0.01)
    effect(ctx, "end")
    return i

@flow.step
def j(ctx: StepContext, found: list[int] = gather(m)) -> int:
    effect(ctx)
    return sum(found)

@flow.step
def k(ctx: StepContext, total: int = result(j)) -> int:
    effect(ctx)
    return total
"""


def test_c27_a_failure_outlives_its_job(rig: Rig) -> None:
    """An element that failed for good ends its join at once, and is named as the reason though its job record is long gone.

    Failed jobs have no retention here; a foreign client removes the record as soon as it stands in the failed lane.
    """
    rig.write(FLOW)
    rig.workers(2)
    run = rig.start()
    queue, job = rig.flow.queue, f"f.{run}.m-{BAD}.1"
    failed_lane = keys.queue_key(queue, "failed")
    wait_until(lambda: rig.conn.lrange(failed_lane, 0, -1) == [job.encode()], "the element has failed")
    rig.client.execute(admin.remove_job(queue, job, "failed"))
    assert not rig.conn.exists(keys.job(queue, job))
    done = ITEMS - HELD
    wait_until(lambda: read_run(rig.client, queue, run).step("m").done == done, "the other elements are decided")
    # Who looks after the run now does not take the removed record for a lost job.
    assert rig.client.execute(run_sweep(queue, run)) == Swept(checked=HELD)
    assert rig.header(run).state is RunState.FAILING
    (rig.folder / "removed").touch()
    assert rig.ends(run) is RunState.FAILED
    ended = [entry.at_ms for entry in rig.events(run) if entry.event.startswith("D m-")]
    assert rig.header(run).ended_ms - max(ended) <= 2_000
    starts = rig.starts(run)
    assert {f"m-{n}": starts[f"m-{n}"] for n in range(ITEMS)} == dict.fromkeys((f"m-{n}" for n in range(ITEMS)), 1) | {f"m-{BAD}": 2}
    assert starts["j"] == starts["k"] == 0
    snapshot = read_run(rig.client, queue, run)
    assert {s.step: (s.state, s.succeeded, s.failed, s.upstream_failed) for s in snapshot.steps} == {
        "src": ("succeeded", 1, 0, 0),
        "m": ("failed", ITEMS - 1, 1, 0),
        "j": ("upstream_failed", 0, 0, 1),
        "k": ("upstream_failed", 0, 0, 1),
    }
    found = causes(snapshot, snapshot.failures)
    reason = f"m[{BAD}]: ValueError: item {BAD} is bad"
    assert {step: " ".join(map(str, failures)) for step, failures in found.items()} == {"j": reason, "k": reason}
    assert rig.counters() == []
