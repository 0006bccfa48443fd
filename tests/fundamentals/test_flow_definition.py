"""How a flow is written: functions, three words that wire them, and a plan that says what is wrong.

Nothing here needs a server. A flow is run in memory with `run_inline`.
"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from omniq_flow import Failure, Flow, FlowDefinitionError, Retry, StepContext, each, gather, result
from omniq_flow.testing import run_inline


class Dinner(BaseModel):
    dishes: list[str]
    soap: str = "lemon"


class Dish(BaseModel):
    name: str
    is_clean: bool = False


def test_a_flow_is_a_name_and_functions() -> None:
    """Washing up is a flow of one step here; what the step returns is the run's result."""
    flow = Flow("washing_up", input=Dinner)

    @flow.step
    def count(dinner: Dinner) -> int:
        return len(dinner.dishes)

    assert run_inline(flow, Dinner(dishes=["cup", "plate"])).result == 2


def test_a_step_is_still_the_function() -> None:
    """A unit test calls it; no flow, no server."""
    flow = Flow("washing_up", input=Dinner)

    @flow.step(retry=Retry(attempts=5), timeout="2m")
    def wash(dish: Dish) -> Dish:
        return dish.model_copy(update={"is_clean": True})

    assert wash(Dish(name="cup")).is_clean


def test_result_takes_the_value_of_a_step() -> None:
    flow = Flow("washing_up", input=Dinner)

    @flow.step
    def fill_sink(dinner: Dinner) -> str:
        return f"{dinner.soap} water"

    @flow.step
    def wash(dinner: Dinner, water: str = result(fill_sink)) -> str:
        return f"{len(dinner.dishes)} washed in {water}"

    assert run_inline(flow, Dinner(dishes=["cup"])).result == "1 washed in lemon water"


def washing_up() -> Flow:
    flow = Flow("washing_up", input=Dinner)

    @flow.step
    def collect(dinner: Dinner) -> list[Dish]:
        return [Dish(name=name) for name in dinner.dishes]

    @flow.step
    async def wash(dish: Dish = each(collect)) -> Dish:
        return Dish(name=dish.name, is_clean=True)

    @flow.step
    def dry(dish: Dish = result(wash)) -> str:
        return f"dry {dish.name}"

    @flow.step
    def put_away(dishes: list[str] = gather(dry)) -> str:
        return ", ".join(dishes)

    return flow


def test_each_runs_a_step_per_element_and_gather_comes_back() -> None:
    """`dry` takes the value of a mapped step, so it runs per dish as well, without waiting for the others."""
    run = run_inline(washing_up(), Dinner(dishes=["cup", "plate"]))
    assert run.result == "dry cup, dry plate"
    assert set(run.states) == {"collect", "wash-0", "wash-1", "dry-0", "dry-1", "put_away"}


def test_a_plan_says_at_which_level_a_step_runs() -> None:
    """The level is the chain of lists that the elements come from."""
    assert {step.name: step.level for step in washing_up().plan().steps} == {
        "collect": (),
        "wash": ("collect",),
        "dry": ("collect",),
        "put_away": (),
    }


def test_lists_nest_and_each_gather_comes_back_one() -> None:
    flow = Flow("shelves")

    @flow.step
    def shelves() -> list[str]:
        return ["top", "bottom"]

    @flow.step
    def cups(shelf: str = each(shelves)) -> list[str]:
        return [f"{shelf} {n}" for n in (1, 2)]

    @flow.step
    def polish(cup: str = each(cups)) -> str:
        return cup.upper()

    @flow.step
    def of_one_shelf(polished: list[str] = gather(polish)) -> int:
        return len(polished)

    @flow.step
    def report(all_cups: list[list[str]] = gather(gather(polish)), counts: list[int] = gather(of_one_shelf)) -> list[int]:
        return [*counts, sum(len(shelf) for shelf in all_cups)]

    assert run_inline(flow).result == [2, 2, 4]


def test_after_orders_without_data() -> None:
    flow = Flow("washing_up")
    done: list[str] = []

    @flow.step(after=["clear_table"])
    def wash() -> None:
        done.append("wash")

    @flow.step
    def clear_table() -> None:
        done.append("clear")

    run_inline(flow)
    assert done == ["clear", "wash"]


def test_a_failed_step_holds_back_what_needs_it() -> None:
    """Only that: the other dishes are dried all the same."""
    run = run_inline(washing_up(), Dinner(dishes=["cup", "plate"]), fail={"wash[1]": 3})
    assert {name: state.word for name, state in run.states.items()} == {
        "collect": "succeeded",
        "wash-0": "succeeded",
        "wash-1": "failed",
        "dry-0": "succeeded",
        "dry-1": "upstream_failed",
        "put_away": "upstream_failed",
    }


def test_a_gather_can_record_failures() -> None:
    flow = Flow("washing_up", retry=Retry(attempts=1))

    @flow.step
    def collect() -> list[str]:
        return ["cup", "dropped plate"]

    @flow.step
    def wash(ctx: StepContext, name: str = each(collect)) -> str:
        return ctx.fail("in pieces") if "dropped" in name else name

    @flow.step
    def report(dishes: list[str | Failure] = gather(wash, failed="record")) -> list[str]:
        return [f"lost: {dish.message}" if isinstance(dish, Failure) else dish for dish in dishes]

    assert run_inline(flow).result == ["cup", "lost: in pieces"]


def test_a_skipped_step_skips_what_needs_it_unless_the_value_is_optional() -> None:
    flow = Flow("washing_up")

    @flow.step
    def find_brush(ctx: StepContext) -> str:
        ctx.skip("lost")

    @flow.step
    def fetch_water() -> str:
        return "water"

    @flow.step
    def scrub(brush: str = result(find_brush)) -> str:
        return brush

    @flow.step
    def wipe(water: str = result(fetch_water), brush: str | None = result(find_brush)) -> str:
        return brush or f"a cloth and {water}"

    run = run_inline(flow)
    assert run.states["scrub"].word == "skipped"
    assert run.outputs["wipe"] == "a cloth and water"


def test_retries_are_tried_at_once_in_memory() -> None:
    run = run_inline(washing_up(), Dinner(dishes=["cup"]), fail={"wash": 2})
    assert run.result == "dry cup"
    assert run.attempts["wash-0"] == 3


def test_a_wrong_definition_names_every_mistake_with_its_line() -> None:
    flow = Flow("washing_up", input=Dinner, max_parallel=0)
    anything: Any = each

    @flow.step
    def soap(dinner: Dinner) -> str:
        return dinner.soap

    @flow.step(lease="0.1s")
    def wash(drop: str = anything(soap)) -> str:
        return drop

    with pytest.raises(FlowDefinitionError) as caught:
        flow.check()
    assert [fault.message for fault in caught.value.faults] == [
        "flow washing_up: max_parallel: 0 is not allowed; a whole number from 1 to 100000",
        "wash: lease: '0.1s' is not allowed; a duration from 1s to 24h, such as '30s'",
        "wash: each(soap) needs a list, soap returns one value",
    ]
    assert all("test_flow_definition.py:" in fault.where for fault in caught.value.faults)


def test_a_plan_is_named_by_what_it_says() -> None:
    """Two definitions that say the same have one plan; its name changes with the wiring, not with the lines."""
    assert washing_up().plan().sha == washing_up().plan().sha
    other = Flow("washing_up", input=Dinner, max_parallel=2)
    assert other.input is Dinner

    @other.step
    def collect(dinner: Dinner) -> list[Dish]:
        return []

    assert other.plan().sha != washing_up().plan().sha
