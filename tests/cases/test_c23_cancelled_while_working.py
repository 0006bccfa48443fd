"""C23: a run is cancelled while a step works, and what depends on it starts all the same."""

from __future__ import annotations

from omniq_flow.model.states import RunState
from omniq_flow.observe.reading import read_run
from tests.cases.command import command
from tests.cases.rig import Rig
from tests.support.until import wait_until

CHAIN = """
flow = Flow("case", lease="2s")

@flow.step
def a(ctx: StepContext) -> int:
    effect(ctx)
    while not os.path.exists("go"):
        time.sleep(0.01)
    return 1

@flow.step
def b(ctx: StepContext, n: int = result(a)) -> int:
    effect(ctx)
    return n + 1

@flow.step
def c(ctx: StepContext, n: int = result(b)) -> int:
    effect(ctx)
    return n + 1
"""


def test_c23_what_depends_on_it_never_starts(rig: Rig) -> None:
    """a is told, returns normally a second later and keeps its result; b and c are cancelled and never started; no lane holds a job."""
    rig.write(CHAIN)
    rig.worker()
    run = rig.start()
    wait_until(lambda: rig.starts(run) == {"a": 1}, "a works")
    said = command(rig, "runs", "cancel", run, "--yes", "--reason", "not wanted")
    assert (said.code, said.out) == (0, f"{run} cancelling, 1 still to end\n")
    (rig.folder / "go").touch()
    assert rig.ends(run) is RunState.CANCELLED
    assert rig.output(run, "a") == 1
    assert {s.step: s.state for s in read_run(rig.client, "case", run).steps} == {"a": "succeeded", "b": "cancelled", "c": "cancelled"}
    assert rig.starts(run) == {"a": 1}
    assert rig.counters() == []
