"""What a plan says of each step for the short way through the scripts: whom it decides alone, and what it is handed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omniq_flow.model.plan import InputPlan, Plan, StepOptions, StepPlan
from omniq_flow.model.routes import HOP, records

OPTIONS = StepOptions(attempts=2, lease_ms=30_000, delay_ms=500)


def result(of: str, **marks: bool) -> InputPlan:
    return InputPlan(f"{of}_value", "result", of, **marks)


def step(name: str, *inputs: InputPlan, level: tuple[str, ...] = (), is_list: bool = False) -> StepPlan:
    return StepPlan(name, level, inputs, is_list, OPTIONS)


def hops(*steps: StepPlan) -> dict[str, list[Any]]:
    stored = records(Plan("flow", "q", steps))
    return {name.removeprefix(HOP): json.loads(text) for name, text in stored.items() if name.startswith(HOP)}


def test_a_chain() -> None:
    assert hops(step("a", InputPlan("n", "input")), step("b", result("a")), step("c", InputPlan("after:b", "after", "b"))) == {
        "a": [[["b", 2, 30_000, 500]], [":input"]],
        "b": [[["c", 2, 30_000, 500]], ["a"]],
        "c": [[], []],
    }


def test_what_is_an_option_of_an_input_does_not_matter_to_a_value() -> None:
    found = hops(step("a"), step("b", result("a", optional=True), InputPlan("n", "input"), InputPlan("ctx", "context")))
    assert found == {"a": [[["b", 2, 30_000, 500]], []], "b": [[], ["a", ":input"]]}


def test_who_decides_a_join_has_no_followers() -> None:
    """The join itself may be handed its inputs, and decide others."""
    found = hops(step("a"), step("b"), step("c", result("a"), result("b")), step("d", result("c")))
    assert [found[name][0] for name in "abcd"] == [0, 0, [["d", 2, 30_000, 500]], []]
    assert found["c"][1] == ["a", "b"]


@pytest.mark.parametrize(("n", "is_simple"), [(3, True), (4, False)])
def test_there_are_only_so_many_followers(n: int, is_simple: bool) -> None:
    found = hops(step("a"), *(step(f"b{i}", result("a")) for i in range(n)))
    assert bool(found["a"][0]) is is_simple


def test_an_element_that_is_only_gathered_has_its_list_beside() -> None:
    """The step that gives the list is not simple, nor what is handed a gathered list."""
    found = hops(
        step("read", is_list=True),
        step("scan", InputPlan("page", "each", "read"), InputPlan("n", "input"), result("words"), level=("read",)),
        step("words"),
        step("sum", InputPlan("pages", "gather", "scan")),
        step("tell", result("sum")),
    )
    assert found["read"] == [0, []]
    assert found["scan"] == [[], [["read"], ":input", "words"], "read"]
    assert found["words"] == [0, []]
    assert found["sum"] == [[["tell", 2, 30_000, 500]], 0]


def test_what_else_an_element_does_is_not_simple() -> None:
    """Deciding others in its place, giving a list, being inside of two, being gathered by nobody; no element but its own is handed."""
    found = hops(
        step("read", is_list=True),
        step("scan", InputPlan("page", "each", "read"), level=("read",)),
        step("tidy", result("scan"), level=("read",)),
        step("cut", InputPlan("page", "each", "read"), level=("read",), is_list=True),
        step("look", InputPlan("piece", "each", "cut"), level=("read", "cut")),
        step("sums", InputPlan("pieces", "gather", "look"), level=("read",)),
    )
    assert [found[name][0] for name in ("scan", "tidy", "cut", "look", "sums")] == [0, 0, 0, 0, 0]
    assert [found[name][1] for name in ("scan", "tidy", "cut", "look", "sums")] == [[["read"]], 0, [["read"]], 0, 0]
