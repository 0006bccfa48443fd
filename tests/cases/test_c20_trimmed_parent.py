"""C20: the record of a finished step is trimmed before its dependent is looked at, and the dependent never runs."""

from __future__ import annotations

from omniq_flow.model.jobs import JobOptions, Lease
from omniq_flow.model.names import StepRun
from omniq_flow.model.states import RunState, StepState
from omniq_flow.observe.results import value_of
from omniq_flow.ops import admin, jobs, keys
from tests.cases.rig import Rig
from tests.support.until import wait_until

OTHERS = 150
LARGE = 100_000
# A small value, one that has a key of its own, and a list that is kept per element.
FLOW = f"""
flow = Flow("case", retry=QUICK)

def wait_for_pause(ctx: StepContext) -> None:
    effect(ctx)
    while not os.path.exists("paused"):
        time.sleep(0.01)

@flow.step
def small(ctx: StepContext) -> str:
    wait_for_pause(ctx)
    return "s"

@flow.step
def large(ctx: StepContext) -> str:
    wait_for_pause(ctx)
    return "l" * {LARGE}

@flow.step
def parts(ctx: StepContext) -> list[str]:
    wait_for_pause(ctx)
    return ["p", "q"]

@flow.step
def of_small(ctx: StepContext, given: str = result(small)) -> str:
    effect(ctx)
    return given + "!"

@flow.step
def of_large(ctx: StepContext, given: str = result(large)) -> str:
    effect(ctx)
    return given + "!"

@flow.step
def of_part(ctx: StepContext, given: str = each(parts)) -> str:
    effect(ctx)
    return given + "!"

@flow.step
def of_parts(ctx: StepContext, given: list[str] = result(parts)) -> list[str]:
    effect(ctx)
    return [*given, "!"]
"""
PARENTS = ("small", "large", "parts")
CHILDREN = {"of_small": "s!", "of_large": "l" * LARGE + "!", "of_part[0]": "p!", "of_part[1]": "q!", "of_parts": ["p", "q", "!"]}


def job_key(rig: Rig, run: str, step: str) -> str:
    return keys.job(rig.flow.queue, f"f.{run}.{step}.1")


def pause_between(rig: Rig) -> str:
    """A run whose parents are done and whose children wait in a paused queue; since then 150 other jobs went through it.

    A paused queue leases nothing, but what was leased before may end: so the other jobs are leased first.
    """
    rig.write(FLOW)
    options = JobOptions(timeout_ms=60_000)
    rig.client.execute_all([jobs.publish(rig.flow.queue, {"n": n}, options=options) for n in range(OTHERS)])
    others = rig.client.execute_all([jobs.reserve(rig.flow.queue) for _ in range(OTHERS)])
    assert all(isinstance(lease, Lease) for lease in others)
    rig.worker("--poll", "50ms")
    run = rig.start()
    wait_until(lambda: set(rig.starts(run)) == set(PARENTS), "the parents run")
    rig.client.execute(admin.pause(rig.flow.queue))
    (rig.folder / "paused").touch()
    wait_until(lambda: all(rig.state(run, p) is StepState.SUCCEEDED for p in PARENTS), "the parents are done")
    assert all(rig.conn.exists(job_key(rig, run, p)) for p in PARENTS)
    rig.client.execute_all([jobs.ack_success(lease) for lease in others])
    assert not any(rig.conn.exists(job_key(rig, run, p)) for p in PARENTS), "the list of completed jobs turned over"
    assert all(rig.state(run, c) is StepState.QUEUED for c in CHILDREN)
    return run


def test_c20_outputs_outlive_the_jobs_that_made_them(rig: Rig) -> None:
    """A step whose producer's job record is gone runs with the producer's real output, however that is stored."""
    run = pause_between(rig)
    rig.client.execute(admin.resume(rig.flow.queue))
    assert rig.ends(run) is RunState.SUCCEEDED
    assert {c: value_of(rig.client, rig.flow.queue, run, StepRun.parse(c)) for c in CHILDREN} == CHILDREN
    assert rig.starts(run) == dict.fromkeys((*PARENTS, *(StepRun.parse(c).id for c in CHILDREN)), 1)


def test_c20_an_output_that_is_gone_is_named(rig: Rig) -> None:
    """A step whose input is truly gone fails at once, without a start, and says whose output is missing."""
    run = pause_between(rig)
    # What an evicting server or a foreign hand takes away; it is put back for the last look at the invariants.
    outputs = keys.outputs(rig.flow.queue, run)
    large, parts = (keys.value(rig.flow.queue, run, name, 1) for name in ("large", "parts"))
    was = {key: rig.conn.dump(key) for key in (large, parts)}
    assert rig.conn.hdel(outputs, "small") == rig.conn.delete(large) == rig.conn.hdel(parts, "1") == 1
    rig.client.execute(admin.resume(rig.flow.queue))
    assert rig.ends(run) is RunState.FAILED
    missing = {"of_small": "small", "of_large": "large", "of_part[1]": "parts[1]", "of_parts": "parts[1]"}
    states = rig.states(run)
    assert {c: states[c] for c in CHILDREN} == dict.fromkeys(CHILDREN, "failed") | {"of_part[0]": "succeeded"}
    failures = {child: rig.failure(run, child) for child in missing}
    assert {c: f.message for c, f in failures.items()} == {
        c: f"{StepRun.parse(c).step}: output no longer stored: {parent}" for c, parent in missing.items()
    }
    assert {f.attempt for f in failures.values()} == {1}, "another attempt would find no more"
    assert set(rig.starts(run)) == {*PARENTS, "of_part-0"}
    rig.conn.hset(outputs, "small", b'="s"')
    for key, dump in was.items():
        assert isinstance(dump, bytes)
        rig.conn.restore(key, 0, dump, replace=True)
