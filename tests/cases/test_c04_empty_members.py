"""C04: a join reserves a place for a member that turns out to be empty, and waits for it for ever."""

from __future__ import annotations

import pytest

from omniq_flow import Flow, FlowDefinitionError
from omniq_flow.model.states import RunState
from tests.cases.rig import Rig

EMPTY_MAP = """
flow = Flow("case")

@flow.step
def src() -> list[int]:
    return []

@flow.step
def m(ctx: StepContext, i: int = each(src)) -> int:
    effect(ctx)
    return i

@flow.step
def j(ctx: StepContext, found: list[int] = gather(m)) -> list[int]:
    effect(ctx)
    return found
"""
EMPTY_MEMBER = """
flow = Flow("case")

@flow.step
def src() -> list[int]:
    return []

@flow.step
def m(i: int = each(src)) -> int:
    return i

@flow.step
def after_m(found: list[int] = gather(m)) -> list[int]:
    return found

@flow.step
def a() -> int:
    return 1

@flow.step
def b() -> int:
    return 2

@flow.step
def j(ctx: StepContext, x: int = result(a), nothing: list[int] = result(after_m), y: int = result(b)) -> list[Any]:
    effect(ctx)
    return [x, nothing, y]
"""
EMPTY_INNER = """
flow = Flow("case")

@flow.step
def src() -> list[list[int]]:
    return [[1, 2], [], [3]]

@flow.step
def row(numbers: list[int] = each(src)) -> list[int]:
    return numbers

@flow.step
def cell(ctx: StepContext, n: int = each(row)) -> int:
    effect(ctx)
    return 10 * n

@flow.step
def back(ctx: StepContext, cells: list[int] = gather(cell)) -> list[int]:
    effect(ctx)
    return cells

@flow.step
def j(ctx: StepContext, rows: list[list[int]] = gather(back)) -> list[list[int]]:
    effect(ctx)
    return rows
"""
ROWS = {f"back-{n}": 1 for n in range(3)} | {"cell-0-0": 1, "cell-0-1": 1, "cell-2-0": 1}
SHAPES = {
    "a map of nothing": (EMPTY_MAP, [], {"j": 1}),
    "one of three members": (EMPTY_MEMBER, [1, [], 2], {"j": 1}),
    "an inner list": (EMPTY_INNER, [[10, 20], [], [30]], {"j": 1} | ROWS),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_c04_an_empty_member_is_settled_at_once(rig: Rig, shape: str) -> None:
    """A join whose member has no elements starts once, with an empty list in that place, and leaves no counter behind.

    There are no flows inside flows here; the member without steps is a branch that maps over nothing.
    """
    source, expected, starts = SHAPES[shape]
    rig.write(source)
    rig.worker()
    run = rig.start()
    assert rig.ends(run, 5) is RunState.SUCCEEDED
    assert rig.output(run, "j") == expected
    assert rig.starts(run) == starts
    assert rig.counters() == []


def test_c04_a_flow_without_steps_is_refused_by_name() -> None:
    """What has no step at all is refused when the plan is made, by its name."""
    with pytest.raises(FlowDefinitionError, match="nothing_to_do") as refused:
        Flow("nothing_to_do").plan()
    assert "step" in str(refused.value)
