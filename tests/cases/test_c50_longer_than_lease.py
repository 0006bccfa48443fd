"""C50: a job that takes longer than its visibility time-out is started again, although its worker is alive."""

from __future__ import annotations

from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.states import RunState
from tests.cases.consumers import Plain
from tests.cases.rig import Rig
from tests.support.until import wait_until

FLOW = """
flow = Flow("case", lease="1s", retry=QUICK)

@flow.step
def in_thread(ctx: StepContext) -> int:
    effect(ctx)
    time.sleep(3.5)
    return ctx.attempt

@flow.step
async def on_loop(ctx: StepContext) -> int:
    effect(ctx)
    await asyncio.sleep(3.5)
    return ctx.attempt

@flow.step(process=True)
def in_process(ctx: StepContext) -> int:
    effect(ctx)
    time.sleep(3.5)
    return ctx.attempt
"""
STEPS = ("in_process", "in_thread", "on_loop")


def test_c50_a_step_of_many_leases_is_started_once(rig: Rig) -> None:
    """In a thread, on the loop or in a process: one start, one commit and no attempt spent, while three idle workers watch."""
    rig.write(FLOW)
    rig.workers(4)
    run = rig.start()
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.starts(run) == dict.fromkeys(STEPS, 1)
    assert [rig.output(run, step) for step in STEPS] == [1, 1, 1]
    told = sorted(event.event for event in rig.events(run) if event.event[:2] in ("Q ", "D ") or event.event.startswith("retry"))
    assert told == [f"D {step} 1" for step in STEPS] + [f"Q {step} 1" for step in STEPS]


def test_c50_a_plain_job_of_many_leases_is_started_once(rig: Rig) -> None:
    """As for steps: the consumer that works it extends its lease, the three that are idle leave it alone."""
    plain = Plain(
        rig,
        """
        def handler(ctx):
            note(ctx)
            time.sleep(3.5)
        """,
    )
    plain.consumers(4)
    plain.publish("long", options=JobOptions(timeout_ms=1_000))
    wait_until(lambda: plain.field("long", "state") == "completed", "the job is done")
    assert rig.starts() == {"long": 1}
    assert (plain.field("long", "attempt"), plain.field("long", "last_error")) == ("1", "")
