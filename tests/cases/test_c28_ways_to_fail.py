"""C28: a failure spreads to what depends on it when the handler raised, but not when the job failed in another way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from omniq_flow.model.jobs import Lease
from omniq_flow.model.states import RunState, StepState
from omniq_flow.ops import admin, jobs, keys
from omniq_flow.ops.command import Command
from omniq_flow.ops.runs import Swept, run_sweep
from tests.cases.rig import Rig
from tests.conformance import exported
from tests.support.until import wait_until

FLOW = """
flow = Flow("case", input=N, retry=NO_RETRY, lease="1s")

def hold(ctx: StepContext) -> None:
    while True:
        time.sleep(0.05)

WAYS = {
    "exception": lambda ctx: {}["boom"],
    "ctx.fail": lambda ctx: ctx.fail("enough"),
    "output": lambda ctx: {"deep": object()},
    "timeout": lambda ctx: time.sleep(1.3),
    "hold": hold,
    "nothing": lambda ctx: 1,
}

@flow.step(timeout=TIMEOUT)
def a(ctx: StepContext, n: N) -> Any:
    effect(ctx)
    return WAYS[n.text](ctx)

@flow.step
def b(ctx: StepContext, x: Any = result(a)) -> int:
    effect(ctx)
    return 2

@flow.step
def c(ctx: StepContext) -> int:
    effect(ctx)
    return 3

@flow.step
def j(ctx: StepContext, x: int = result(b), y: int = result(c)) -> int:
    effect(ctx)
    return x + y
"""
BRIEF, LONG = FLOW.replace("TIMEOUT", '"1s"'), FLOW.replace("TIMEOUT", "None")
DETECTED_MS = 2_000


def job_id(run: str, epoch: int = 1) -> str:
    return f"f.{run}.a.{epoch}"


def job_field(rig: Rig, run: str, field: str) -> str:
    value: Any = rig.conn.hget(keys.job(rig.flow.queue, job_id(run)), field)
    return (value or b"").decode()


def assert_failed(rig: Rig, run: str, kind: str, message: str) -> None:
    """However `a` failed: the same states behind it, no handler of them, one event for each change, the run's end last."""
    assert rig.ends(run) is RunState.FAILED
    assert rig.states(run) == {"a": "failed", "b": "upstream_failed", "c": "succeeded", "j": "upstream_failed"}
    failure = rig.failure(run, "a")
    assert (failure.type, failure.step) == (kind, "a")
    assert message in failure.message
    starts = rig.starts(run)
    assert (starts["b"], starts["c"], starts["j"]) == (0, 1, 0)
    events = [entry.event.split() for entry in rig.events(run)]
    assert sorted(" ".join(e[:2]) for e in events if e[0] in "DFUSX") == ["D c", "F a", "U b", "U j"]
    assert [e[1] for e in events if e[0] == "run" and e[1] != "running"] == ["failing", "failed"]
    assert events[-1] == ["run", "failed"]


def failed_at(rig: Rig, run: str) -> int:
    return next(entry.at_ms for entry in rig.events(run) if entry.event.startswith("F a "))


def leave_running(rig: Rig) -> str:
    """A run whose `a` runs in the only worker, all else of it being done."""
    rig.write(LONG)
    rig.worker()
    run = rig.start({"text": "hold"})
    wait_until(lambda: rig.starts(run)["a"] == 1 and rig.state(run, "c") is StepState.SUCCEEDED, "a runs and c is done")
    return run


def test_c28_what_a_worker_reports(rig: Rig) -> None:
    """An exception, `ctx.fail`, an input that cannot be read, an output that cannot be written, a time-out: all end alike.

    The payload of a flow's job is not read at all, so a broken one does no harm; what is decoded is the run's input.
    """
    rig.write(BRIEF)
    runs = {way: rig.start({"text": way}) for way in ("exception", "ctx.fail", "output", "timeout")}
    runs["input"], unread = rig.start({"text": "nothing"}), rig.start({"text": "nothing"})
    rig.conn.hset(keys.outputs(rig.flow.queue, runs["input"]), ":input", b'={"n": "many", "te')
    rig.conn.hset(keys.job(rig.flow.queue, job_id(unread)), "payload", b'{"run": \xff')
    rig.worker()
    assert_failed(rig, runs["exception"], "KeyError", "'boom'")
    assert_failed(rig, runs["ctx.fail"], "StepFailed", "enough")
    assert_failed(rig, runs["output"], "ValueNotJson", "a: ['deep'] cannot be written as JSON")
    assert_failed(rig, runs["timeout"], "TimeoutError", "longer than its timeout of 1.0s")
    assert_failed(rig, runs["input"], "InputUnreadable", "a: input n: input: the stored value does not fit N")
    assert rig.ends(unread) is RunState.SUCCEEDED
    assert rig.output(unread, "j") == 5


def test_c28_a_lease_that_lapses_on_the_last_attempt(rig: Rig) -> None:
    """When a worker is killed in the last attempt, another one sees the lease lapse and fails the step, within 2 s."""
    run = leave_running(rig)
    (first,) = rig.crew
    rig.worker()
    first.kill()
    lapses_at = int(job_field(rig, run, "lock_until_ms"))
    assert_failed(rig, run, "LeaseLost", "lease lost: attempt 1/1 ended without a report")
    assert lapses_at <= failed_at(rig, run) <= lapses_at + DETECTED_MS


def test_c28_a_lease_that_a_foreign_client_reaps(rig: Rig) -> None:
    """When a client that knows no flows reaps the lease, the job fails unnoticed, and the worker that looks after the run finds it.

    A run is looked after every 5 s here (its shortest lease, at least 5 s and at most 60 s): that moment is moved to now.
    """
    run = leave_running(rig)
    rig.crew[0].kill()
    wait_until(lambda: rig.client.execute(admin.reap_expired(rig.flow.queue)) == 1, "the foreign client reaps the lease", 4)
    assert job_field(rig, run, "state") == "failed"
    assert rig.state(run, "a") is StepState.QUEUED
    rig.conn.zadd(keys.live(rig.flow.queue), {run: 1})
    rig.worker()
    assert_failed(rig, run, "JobFailed", "lease lost: attempt 1/1 ended without a report")


FOREIGN: dict[str, tuple[Callable[[Lease], Command[Any]], str, str]] = {
    "failed": (lambda lease: jobs.ack_fail(lease, "no handler for this"), "JobFailed", "no handler for this"),
    "acked": (jobs.ack_success, "CompletedOutside", "its job was completed outside the flow"),
}


@pytest.mark.parametrize("how", FOREIGN)
def test_c28_what_a_foreign_worker_reports(rig: Rig, how: str) -> None:
    """A job that a foreign worker took and failed fails its step with that worker's words; one it merely acked fails it too.

    Either waits to be found; the sweep that finds it is called directly instead of waiting for its turn.
    """
    report, kind, message = FOREIGN[how]
    rig.write(LONG)
    queue = rig.flow.queue
    run = rig.start({"text": "nothing"})
    lease = rig.client.execute(jobs.reserve(queue))
    assert isinstance(lease, Lease)
    assert lease.job_id == job_id(run)
    rig.client.execute(report(lease))
    assert rig.state(run, "a") is StepState.QUEUED
    assert rig.client.execute(run_sweep(queue, run)) == Swept(checked=2, failed=1)
    assert rig.client.execute(run_sweep(queue, run)) == Swept(checked=1)
    rig.worker()
    assert_failed(rig, run, kind, message)
    assert rig.starts(run)["a"] == 0


def test_c28_a_job_that_is_removed(rig: Rig) -> None:
    """A waiting job that another client removes is made again, three times; removed once more, it fails its step as lost.

    The sweep that notices is called directly instead of waiting for its turn.
    """
    rig.write(LONG)
    queue = rig.flow.queue
    stubborn, unlucky = runs = [rig.start({"text": "nothing"}) for _ in range(2)]

    def remove(run: str, epoch: int) -> Swept:
        rig.client.execute(exported.remove_job(queue, job_id(run, epoch), "gwait"))
        return rig.client.execute(run_sweep(queue, run))

    for epoch in (1, 2, 3):
        assert [remove(run, epoch) for run in runs] == [Swept(checked=2, lost=1)] * 2
        assert [rig.state(run, "a") for run in runs] == [StepState.QUEUED] * 2
        assert all(rig.conn.exists(keys.job(queue, job_id(run, epoch + 1))) for run in runs)
    assert remove(unlucky, 4) == Swept(checked=2, lost=1)
    assert rig.state(unlucky, "a") is StepState.FAILED
    assert not rig.conn.exists(keys.job(queue, job_id(unlucky, 5)))
    rig.worker()
    assert_failed(rig, unlucky, "JobLost", "job lost 4 times: its record was removed or evicted")
    assert rig.starts(unlucky)["a"] == 0
    assert rig.ends(stubborn) is RunState.SUCCEEDED
    assert rig.starts(stubborn) == dict.fromkeys("abcj", 1)
    for run in runs:
        lost = [entry.event for entry in rig.events(run) if entry.event.startswith("lost ")]
        assert lost == [f"lost a {epoch}" for epoch in range(1, 4 + (run is unlucky))]


CROWD = """
flow = Flow("case", retry=NO_RETRY, max_parallel=400)

@flow.step
def src() -> list[int]:
    return list(range(300))

@flow.step
def m(i: int = each(src)) -> int:
    while not os.path.exists("go"):
        time.sleep(0.01)
    return i
"""


def test_c28_a_failure_by_a_foreign_client_is_found_out_of_turn(rig: Rig) -> None:
    """A job that another client failed for good fails its step within 2 s, long before the run's turn to be looked after."""
    rig.write(CROWD)
    rig.worker("-c", "4")
    run = rig.start()
    wait_until(lambda: len(rig.facts(run)) >= 250, "the elements are made")
    lease = rig.client.execute(jobs.reserve("case"))
    assert isinstance(lease, Lease)
    rig.conn.zadd(keys.live("case"), {run: 9_000_000_000_000})
    rig.client.execute(jobs.ack_fail(lease, "not here"))
    wait_until(lambda: rig.header(run).state is RunState.FAILING, "the failure is found", 2)
    (rig.folder / "go").touch()
    assert rig.ends(run) is RunState.FAILED
