"""What a flow refuses in its steps: their names, their order, their functions; and the line that a fault points at."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import pytest

from omniq_flow.errors import FlowDefinitionError
from omniq_flow.flow.definition import Flow, check_unique
from omniq_flow.flow.markers import each, gather, result
from omniq_flow.flow.step import Step
from omniq_flow.model.plan import InputPlan
from tests.flow.book import book, faults_of, inputs_of, steps_of


def test_a_marker_needs_a_step_of_this_flow() -> None:
    flow, other = book(), Flow("other")

    @other.step
    def elsewhere() -> list[int]:
        return []

    def plain() -> list[int]:
        return []

    twin = steps_of(book())
    undecorated: Any = plain
    number: Any = 3

    @flow.step(after=[elsewhere, undecorated])
    def a(
        w: int = each(elsewhere),
        x: list[int] = result(undecorated),
        y: Any = gather(number),
        z: str = result(twin.title),
    ) -> int:
        return 1

    assert faults_of(flow) == [
        "a: each(elsewhere) is a step of flow 'other'",
        "a: result(plain) needs a step; is it decorated with @flow.step?",
        "a: gather(3) needs a step; is it decorated with @flow.step?",
        "a: result(title) is a step of another flow of this name",
        "a: after(elsewhere) is a step of flow 'other'",
        "a: after(plain) needs a step; is it decorated with @flow.step?",
    ]


def test_after_takes_names_of_steps_defined_later() -> None:
    flow = Flow("f")

    @flow.step(after=["b", "b"])
    def a() -> int:
        return 1

    @flow.step
    def b() -> int:
        return 1

    assert inputs_of(flow, "a") == (InputPlan("after:b", "after", "b"),)


def test_after_can_close_a_cycle_or_name_nothing() -> None:
    flow = Flow("f")

    @flow.step(after=["b", "c"])
    def a() -> int:
        return 1

    @flow.step(after=[a])
    def b() -> int:
        return 1

    assert faults_of(flow) == ["a: after(c) names no step of this flow", "steps wait for each other: a, b"]


def test_a_name_is_used_once() -> None:
    flow = Flow("f")

    @flow.step
    def a() -> int:
        return 1

    @flow.step(name="a")
    def other() -> int:
        return 2

    line = other.handler.__code__.co_firstlineno
    assert faults_of(flow) == [f"a: is defined twice, first at tests/flow/test_definition.py:{line - 4}"]


def test_two_flows_have_two_names() -> None:
    first, second = Flow("f"), Flow("f")
    with pytest.raises(FlowDefinitionError) as caught:
        check_unique([first, Flow("g"), second])
    [fault] = caught.value.faults
    assert fault.message == f"flow f: is defined twice, first at {first.where}"
    assert fault.where == second.where
    check_unique([first, Flow("g")])


def test_a_flow_has_steps() -> None:
    assert faults_of(Flow("f")) == ["flow f: has no steps"]


def test_handlers_that_cannot_be_steps() -> None:
    flow = Flow("f")

    async def numbers() -> AsyncIterator[int]:
        yield 1

    def later() -> Coroutine[Any, Any, int]:
        raise NotImplementedError

    class Opaque:
        pass

    def opaque() -> Opaque:
        return Opaque()

    for handler in (numbers, later, opaque, lambda: 1):
        flow.step(handler)
    found = faults_of(flow)
    assert found[0].startswith("<lambda>: name: '<lambda>' is not allowed; ")
    assert found[1:3] == [
        "numbers: is an async generator; return a list",
        "later: returns Coroutine[Any, Any, int]; write async def instead",
    ]
    assert found[3].startswith("opaque: returns Opaque, which cannot be written as JSON (")
    assert found[4:] == ["<lambda>: does not say what it returns; annotate it (-> None if nothing)"]


def test_a_generator_is_declared_as_a_list() -> None:
    flow = Flow("f")

    @flow.step
    def numbers() -> Iterator[int]:
        yield 1

    assert faults_of(flow) == ["numbers: returns Iterator[int], which can be read only once; return a list"]


def test_a_step_is_a_python_function() -> None:
    flow = Flow("f")
    flow.step(name="least")(min)
    assert faults_of(flow)[0] == "least: its parameters cannot be read; a step is a Python function"


def test_step_decorates_functions() -> None:
    name: Any = "split"
    with pytest.raises(FlowDefinitionError) as caught:
        Flow("f").step(name)
    assert caught.value.hint == "write @flow.step(name='split')"


def assert_points_at_two(flow: Flow, step: Step[..., Any, Any]) -> None:
    """The flow has one fault, which points at the parameter `two` of the step."""
    with pytest.raises(FlowDefinitionError) as caught:
        flow.check()
    [fault] = caught.value.faults
    lines, first = inspect.getsourcelines(step.handler)
    line = first + next(n for n, text in enumerate(lines) if "two:" in text)
    assert fault.where == f"tests/flow/test_definition.py:{line}"
    assert caught.value.where == fault.where
    assert str(caught.value) == f"flow book has 1 fault\n  {fault.message} ({fault.where})"


def test_faults_point_at_the_line_of_the_parameter() -> None:
    flow = book()
    s = steps_of(flow)

    @flow.step
    def a(
        one: str = result(s.title),
        two: int = result(s.title),
    ) -> int:
        return 1

    assert_points_at_two(flow, a)


def test_faults_of_levels_point_at_the_parameter_too() -> None:
    flow = book()
    s = steps_of(flow)

    @flow.step
    def a(
        one: str = result(s.title),
        two: str = each(s.title),
    ) -> int:
        return 1

    assert_points_at_two(flow, a)
