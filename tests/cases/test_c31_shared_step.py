"""C31: several steps need one: it is run once for each of them, or only one of them hears that it is done."""

from __future__ import annotations

from omniq_flow.model.states import RunState
from tests.cases.rig import Rig

RUNS = 3
WIDTH = 10
DIAMOND = f"""
flow = Flow("case", retry=NO_RETRY)

@flow.step
def a(ctx: StepContext) -> int:
    effect(ctx)
    return 3

@flow.step
def b(ctx: StepContext, x: int = result(a)) -> str:
    effect(ctx)
    time.sleep(0.1)
    effect(ctx, "end")
    return f"from {{ctx.run_id}}, {{x}}"

def branch(n: int) -> Any:
    def d(ctx: StepContext, given: str = result(b)) -> str:
        effect(ctx)
        return f"{{n}} {{given}}"

    return flow.step(name=f"d{{n}}")(d)

d0, d1, d2, d3, d4, d5, d6, d7, d8, d9 = [branch(n) for n in range({WIDTH})]

@flow.step
def z(
    ctx: StepContext,
    v0: str = result(d0), v1: str = result(d1), v2: str = result(d2), v3: str = result(d3), v4: str = result(d4),
    v5: str = result(d5), v6: str = result(d6), v7: str = result(d7), v8: str = result(d8), v9: str = result(d9),
) -> list[str]:
    effect(ctx)
    return [v0, v1, v2, v3, v4, v5, v6, v7, v8, v9]
"""
HOUSE = """
flow = Flow("case", retry=NO_RETRY)

def work(ctx: StepContext, behind: str = "") -> str:
    effect(ctx)
    ends_at = time.monotonic() + 15
    while behind and not os.path.exists(f"{ctx.run_id} {behind}") and time.monotonic() < ends_at:
        time.sleep(0.01)
    effect(ctx, "end")
    open(f"{ctx.run_id} {ctx.step}", "w").close()
    return ctx.step

@flow.step
def walls(ctx: StepContext) -> str:
    return work(ctx)

@flow.step
def fix_floor(ctx: StepContext, w: str = result(walls)) -> str:
    return work(ctx, "paint_stairs")

@flow.step
def fix_stairs(ctx: StepContext, w: str = result(walls)) -> str:
    return work(ctx)

@flow.step
def paint_floor(ctx: StepContext, f: str = result(fix_floor)) -> str:
    return work(ctx)

@flow.step
def paint_stairs(ctx: StepContext, s: str = result(fix_stairs)) -> str:
    return work(ctx)

@flow.step
def paint_landing(ctx: StepContext, f: str = result(fix_floor), s: str = result(fix_stairs)) -> str:
    return work(ctx)
"""


def times(rig: Rig, run: str, what: str) -> dict[str, float]:
    return {effect.step: effect.at for effect in rig.effects(what, run)}


def test_c31_a_step_that_many_need_runs_once(rig: Rig) -> None:
    """A step that ten others need runs once; all ten start within a second of its end, each with its output, and then their join."""
    rig.write(DIAMOND)
    rig.workers(3)
    runs = [rig.start() for _ in range(RUNS)]
    branches = [f"d{n}" for n in range(WIDTH)]
    for run in runs:
        assert rig.ends(run) is RunState.SUCCEEDED
        assert rig.starts(run) == dict.fromkeys(("a", "b", *branches, "z"), 1)
        assert rig.dispatches(run) == rig.starts(run)
        assert rig.output(run, "z") == [f"{n} from {run}, 3" for n in range(WIDTH)]
        began, ended = times(rig, run, "start"), times(rig, run, "end")
        assert all(0 < began[d] - ended["b"] <= 1 for d in branches)
        at = {entry.event: entry.at_ms for entry in rig.events(run)}
        assert {at[f"Q {d} 1"] for d in branches} == {at["D b 1"]}, "all ten get their jobs in the call that ends b"


def test_c31_a_branch_does_not_wait_for_its_sibling(rig: Rig) -> None:
    """A step starts as soon as what it needs itself is done, however long another branch of the same run takes.

    The floor is fixed only when the stairs have been painted: whoever waits for it before would wait in vain.
    """
    rig.write(HOUSE)
    rig.workers(2)
    runs = [rig.start() for _ in range(RUNS)]
    for run in runs:
        assert rig.ends(run) is RunState.SUCCEEDED
        assert set(rig.starts(run).values()) == {1}
        began, ended = times(rig, run, "start"), times(rig, run, "end")
        assert began["paint_stairs"] < ended["paint_stairs"] < ended["fix_floor"]
        assert began["paint_floor"] > ended["fix_floor"]
        assert began["paint_landing"] > max(ended["fix_floor"], ended["fix_stairs"])
        events = [entry.event for entry in rig.events(run)]
        assert events.index("Q paint_stairs 1") == events.index("D fix_stairs 1") + 1
