"""The shape of a flow."""

from __future__ import annotations

from omniq_flow.flow.graph import before, behind, critical_path, cycles, edges, layers, unreachable
from omniq_flow.model.plan import InputPlan, Plan, StepPlan


def step(name: str, *producers: str) -> StepPlan:
    return StepPlan(name, inputs=tuple(InputPlan(f"p{n}", "result", p) for n, p in enumerate(producers)))


DIAMOND = Plan("f", "f", (step("end", "left", "right"), step("left", "start"), step("right", "slow"), step("slow", "start"), step("start")))


def test_layers_put_producers_first_in_the_order_of_definition() -> None:
    assert layers(DIAMOND) == [["start"], ["left", "slow"], ["right"], ["end"]]


def test_the_critical_path_is_the_longest_chain() -> None:
    assert critical_path(DIAMOND) == ["start", "slow", "right", "end"]


def test_the_critical_path_counts_durations_the_first_step_too() -> None:
    assert critical_path(DIAMOND, {"left": 10, "slow": 1}) == ["start", "left", "end"]
    two = Plan("f", "f", (step("a"), step("b"), step("c", "a", "b")))
    assert critical_path(two, {"a": 1, "b": 5, "c": 1}) == ["b", "c"]


def test_behind_and_before() -> None:
    assert behind(DIAMOND, "slow") == {"right", "end"}
    assert before(DIAMOND, "right") == {"slow", "start"}


def test_edges_are_named_once() -> None:
    assert edges([step("a"), step("b", "a", "a")]) == [("a", "b")]


def test_cycles_and_what_they_cut_off() -> None:
    steps = [step("a", "b"), step("b", "a"), step("c", "b"), step("d", "d"), step("e")]
    assert cycles(steps) == [["a", "b"], ["d"]]
    assert unreachable(steps) == ["a", "b", "c", "d"]
