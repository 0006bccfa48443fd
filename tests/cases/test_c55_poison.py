"""C55: a job that kills its process is delivered for ever, and takes one worker after the other with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.states import RunState
from tests.cases.consumers import Plain
from tests.cases.rig import Rig, WorkerProcess
from tests.support.until import wait_until

HEALTHY = 20
FLOW = """
flow = Flow("case", input=N, lease="1s", retry=QUICK)

@flow.step
def work(ctx: StepContext, n: N) -> int:
    effect(ctx)
    if n.text == "poison":
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)
    return n.n

@flow.step
def after(ctx: StepContext, n: int = result(work)) -> int:
    return n
"""


def supervise(rig: Rig, another: Callable[[], WorkerProcess], is_over: Callable[[], bool], what: str, timeout: float = 30) -> list[int]:
    """Start another worker for each that dies, until it is over; the exit codes of the dead."""
    watched = list(rig.crew)
    codes: list[int] = []

    def look() -> bool:
        for n, worker in enumerate(watched):
            if not worker.is_alive:
                codes.append(worker.process.wait())
                watched[n] = another()
        return is_over()

    wait_until(look, what, timeout)
    return codes


def test_c55_a_job_that_kills_its_worker_is_given_up_after_its_attempts(rig: Rig) -> None:
    """An attempt counts when it is taken, so the third death is the last: the step fails as lost, 3/3, and 20 others of the queue are done.

    Healthy jobs that lie in the same worker when it dies lose an attempt as well; they have three, too.
    """
    rig.write(FLOW)
    rig.workers(3, "-c", "2")
    poison = rig.start({"text": "poison"})
    healthy = [rig.start({"n": n}) for n in range(HEALTHY)]
    everything = (poison, *healthy)
    another = partial(rig.worker, "-c", "2", wait=False)
    codes = supervise(rig, another, lambda: all(rig.header(run).state.is_ended for run in everything), "all have ended")
    assert codes == [-9, -9, -9]
    assert [rig.ends(run) for run in healthy] == [RunState.SUCCEEDED] * HEALTHY
    assert [rig.output(run, "after") for run in healthy] == list(range(HEALTHY))
    assert rig.header(poison).state is RunState.FAILED
    assert rig.states(poison) == {"work": "failed", "after": "upstream_failed"}
    starts = rig.effects("start", poison)
    assert [e.attempt for e in starts] == [1, 2, 3]
    assert len({e.pid for e in starts}) == 3
    failure = rig.failure(poison, "work")
    assert (failure.type, failure.attempt) == ("LeaseLost", 3)
    assert "lease lost: attempt 3/3" in failure.message
    assert sum(worker.is_alive for worker in rig.crew) == 3


def test_c55_a_plain_job_that_kills_its_consumer_is_given_up_as_well(rig: Rig) -> None:
    """Three starts, three deaths, then it stands among the failed with `lease lost: attempt 3/3`; the 20 others are done."""
    plain = Plain(
        rig,
        """
        def handler(ctx):
            note(ctx)
            if ctx.payload == "poison":
                time.sleep(0.3)
                os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    plain.consumers(3, 2)
    options = JobOptions(max_attempts=3, timeout_ms=1_000, backoff_ms=200)
    plain.publish("poison", "poison", options=options)
    plain.publish_all(((f"job-{n}", n) for n in range(HEALTHY)), options=options)
    codes = supervise(rig, lambda: plain.consumer(2, wait=False), plain.is_idle, "all have ended")
    assert codes == [-9, -9, -9]
    assert [e.attempt for e in rig.effects() if e.id == "poison"] == [1, 2, 3]
    assert plain.field("poison", "state") == "failed"
    assert "lease lost: attempt 3/3" in plain.field("poison", "last_error")
    assert {plain.field(f"job-{n}", "state") for n in range(HEALTHY)} == {"completed"}
