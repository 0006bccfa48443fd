"""C21: a dependent starts while the failed step before it is about to be tried again."""

from __future__ import annotations

from omniq_flow.model.states import RunState
from tests.cases.rig import Rig

BACKOFF_S = 0.4
RUNS = 3
# `m` is the same per element: a collection must not count a member that will be tried again.
FLOW = f"""
flow = Flow("case", retry=Retry(attempts=3, backoff="fixed", delay={BACKOFF_S}))

def third_time(ctx: StepContext) -> int:
    effect(ctx)
    if ctx.attempt < 3:
        raise ValueError(f"attempt {{ctx.attempt}}")
    return 10 * ctx.attempt

@flow.step
def src() -> list[int]:
    return [0, 1]

@flow.step
def a(ctx: StepContext) -> int:
    return third_time(ctx)

@flow.step
def b(ctx: StepContext, given: int = result(a)) -> int:
    effect(ctx)
    return given

@flow.step
def m(ctx: StepContext, i: int = each(src)) -> int:
    return i + third_time(ctx) if i else 0

@flow.step
def j(ctx: StepContext, given: list[int] = gather(m)) -> list[int]:
    effect(ctx)
    return given
"""


def test_c21_a_dependent_waits_for_the_attempt_that_succeeds(rig: Rig) -> None:
    """A dependent gets its job only when the last of three attempts has succeeded, starts once, and sees that attempt's output."""
    rig.write(FLOW)
    rig.workers(2)
    runs = [rig.start() for _ in range(RUNS)]
    for run in runs:
        assert rig.ends(run) is RunState.SUCCEEDED
        assert rig.starts(run) == {"a": 3, "b": 1, "m-1": 3, "j": 1}
        assert rig.output(run, "b") == 30
        assert rig.output(run, "j") == [0, 31]
        events = [entry.event for entry in rig.events(run)]
        for step, dependent in (("a", "b"), ("m-1", "j")):
            own = [e for e in events if e.split()[1] in (step, dependent)]
            tried = [f"Q {step} 1", f"retry {step} 1 1", f"retry {step} 1 2", f"D {step} 1"]
            assert own == [*tried, f"Q {dependent} 1", f"D {dependent} 1"]
            starts = [e for e in rig.effects("start", run) if e.id == step]
            assert [e.attempt for e in starts] == [1, 2, 3]
            (began,) = [e.at for e in rig.effects("start", run) if e.id == dependent]
            assert began > starts[-1].at
            assert began - starts[0].at >= 2 * BACKOFF_S
