"""C11: a group of one member is "simplified", and then nobody waits for it."""

from __future__ import annotations

from omniq_flow.model.states import RunState
from tests.cases.rig import Rig

SLEEP_S = 0.2
MAP = f"""
flow = Flow("case")

@flow.step
def src() -> list[int]:
    return [7]

@flow.step
def m(ctx: StepContext, n: int = each(src)) -> int:
    effect(ctx)
    time.sleep({SLEEP_S})
    return n * n

@flow.step
def j(ctx: StepContext, squares: list[int] = gather(m)) -> list[int]:
    effect(ctx)
    return squares
"""
STEP = f"""
flow = Flow("case")

@flow.step
def m(ctx: StepContext) -> list[int]:
    effect(ctx)
    time.sleep({SLEEP_S})
    return [49]

@flow.step
def j(ctx: StepContext, squares: list[int] = result(m)) -> list[int]:
    effect(ctx)
    return squares
"""
NESTED = f"""
flow = Flow("case")

@flow.step
def src() -> list[list[int]]:
    return [[7]]

@flow.step
def inner(numbers: list[int] = each(src)) -> list[int]:
    return numbers

@flow.step
def m(ctx: StepContext, n: int = each(inner)) -> int:
    effect(ctx)
    time.sleep({SLEEP_S})
    return n * n

@flow.step
def j(ctx: StepContext, squares: list[list[int]] = gather(gather(m))) -> list[list[int]]:
    effect(ctx)
    return squares
"""


def waits_and_gets(rig: Rig, source: str, element: str, value: object) -> None:
    rig.write(source)
    rig.worker()
    run = rig.start()
    assert rig.ends(run, 5) is RunState.SUCCEEDED
    assert rig.output(run, "j") == value
    began, joined = rig.effects()
    assert (began.id, joined.id) == (element, "j")
    assert joined.at >= began.at + SLEEP_S


def test_c11_a_map_of_one_is_waited_for_and_stays_a_list(rig: Rig) -> None:
    """The join behind a list of one element starts after that element, and gets a list of one value."""
    waits_and_gets(rig, MAP, "m-0", [49])


def test_c11_a_join_of_one_step_waits_for_it(rig: Rig) -> None:
    """A step with one predecessor starts after it and gets its value as it is: wiring by `result` makes no list of it."""
    waits_and_gets(rig, STEP, "m", [49])


def test_c11_one_of_one_stays_nested(rig: Rig) -> None:
    """A list of one inside a list of one comes back as both lists."""
    waits_and_gets(rig, NESTED, "m-0-0", [[49]])
