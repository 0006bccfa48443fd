# ruff: noqa: B008  markers are values; a loose one is not known to the linter
"""What is refused when a plan is made: the sentence, and the line it points at."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from omniq_flow.errors import FlowDefinitionError
from omniq_flow.flow.context import StepContext
from omniq_flow.flow.definition import Flow, check_unique
from omniq_flow.flow.markers import each, gather, result
from omniq_flow.model.plan import InputPlan
from omniq_flow.model.runs import Failure


class Document(BaseModel):
    path: str


class Scan(Document):
    dpi: int = 300


class Letter(BaseModel):
    path: str


class Page(BaseModel):
    number: int


class Facts(BaseModel):
    score: float


loose: Any = SimpleNamespace(result=result, each=each, gather=gather)
"""The markers for wirings that a type checker refuses as well."""


def book() -> Flow:
    """Pages, facts per page and a title, to wire more steps to."""
    flow = Flow("book", input=Document)

    @flow.step
    def pages(document: Document) -> list[Page]:
        return []

    @flow.step
    def title(document: Document) -> str:
        return document.path

    @flow.step
    def facts(page: Page = each(pages)) -> Facts:
        return Facts(score=page.number)

    return flow


def steps_of(flow: Flow) -> Any:
    """Steps by name, as an Any: these tests write what a type checker refuses."""

    class Steps:
        def __getattr__(self, name: str) -> Any:
            return flow.steps[name]

    return Steps()


def faults_of(flow: Flow) -> list[str]:
    with pytest.raises(FlowDefinitionError) as caught:
        flow.check()
    return [fault.message for fault in caught.value.faults]


def inputs_of(flow: Flow, name: str) -> tuple[InputPlan, ...]:
    return flow.plan().by_name[name].inputs


def test_inputs_are_read_from_annotations_and_markers() -> None:
    flow = book()
    s = steps_of(flow)

    @flow.step(after=[s.title])
    def report(
        document: Document, ctx: StepContext, facts: list[Facts] = gather(s.facts), title: str = result(s.title), width: int = 3
    ) -> str:
        return title

    assert inputs_of(flow, "report") == (
        InputPlan("document", "input"),
        InputPlan("ctx", "context"),
        InputPlan("facts", "gather", "facts"),
        InputPlan("title", "result", "title"),
        InputPlan("after:title", "after", "title"),
    )


def test_a_parent_of_the_input_model_takes_the_input() -> None:
    flow = Flow("f", input=Scan)

    @flow.step
    def a(document: Document) -> str:
        return document.path

    assert inputs_of(flow, "a") == (InputPlan("document", "input"),)


@pytest.mark.parametrize(
    ("annotation", "sentence"),
    [
        (Letter, "a: parameter x is a Letter, but the flow's input is Document; take that, or a step's value"),
        (Scan, "a: parameter x is a Scan, but the flow's input is Document; take that, or a step's value"),
        (int, "a: parameter x has no source; write result(step), each(step), gather(step), or give it a default"),
        (BaseModel, "a: parameter x has no source; write result(step), each(step), gather(step), or give it a default"),
        (Any, "a: parameter x has no source; write result(step), each(step), gather(step), or give it a default"),
    ],
)
def test_a_parameter_needs_a_source(annotation: Any, sentence: str) -> None:
    flow = Flow("f", input=Document)

    def a(x: Any) -> int:
        return 1

    a.__annotations__["x"] = annotation
    flow.step(a)
    assert faults_of(flow) == [sentence]


def test_a_flow_without_input_gives_none() -> None:
    flow = Flow("f")

    @flow.step
    def a(x: Document) -> int:
        return 1

    assert faults_of(flow) == ["a: parameter x is a Document, but the flow declares no input; write Flow(..., input=Document)"]


def test_the_input_is_a_pydantic_model() -> None:
    declared: Any = int
    flow = Flow("f", input=declared)

    @flow.step
    def a() -> int:
        return 1

    assert faults_of(flow) == ["flow f: input: int is no Pydantic model"]


def test_annotations_must_be_there() -> None:
    flow = book()
    s = steps_of(flow)

    def a(x, y=result(s.title)):  # type: ignore[no-untyped-def]
        return 1

    def b(x: Nowhere) -> Nothing:  # type: ignore[name-defined]  # noqa: F821
        return 1

    flow.step(a)
    flow.step(b)
    assert faults_of(flow) == [
        "a: does not say what it returns; annotate it (-> None if nothing)",
        "a: parameter x: has no annotation",
        "a: parameter y: has no annotation",
        "b: return annotation 'Nothing': name 'Nothing' is not defined",
        "b: parameter x: annotation 'Nowhere': name 'Nowhere' is not defined",
    ]


def test_a_step_behind_one_without_a_return_annotation_is_not_blamed() -> None:
    flow = Flow("f")

    def a():  # type: ignore[no-untyped-def]
        return [1]

    step: Any = flow.step(a)

    @flow.step
    def b(x: int = each(step)) -> int:
        return x

    @flow.step
    def c(x: list[str] = result(step)) -> int:
        return 1

    assert faults_of(flow) == ["a: does not say what it returns; annotate it (-> None if nothing)"]


def test_only_named_parameters_can_be_wired() -> None:
    flow = Flow("f", input=Document)

    @flow.step
    def a(document: Document, /, *more: int, **others: int) -> int:
        return 1

    assert faults_of(flow) == [
        "a: document cannot be given by name; remove the '/'",
        "a: *more cannot be wired; name each input",
        "a: **others cannot be wired; name each input",
    ]


def test_types_are_compared() -> None:
    flow = book()
    s = steps_of(flow)

    @flow.step
    def a(
        one: int = result(s.title),
        two: int = each(s.pages),
        three: list[Page] = gather(s.facts),
        four: Facts = loose.gather(s.facts),
        five: Sequence[Facts] = gather(s.facts),
        six: list[Facts] = loose.gather(s.facts, failed="record"),
        seven: list[Facts] = loose.gather(s.facts, holes=True),
        eight: str = loose.result(s.title, optional=True),
    ) -> int:
        return 1

    assert faults_of(flow) == [
        "a: result(title) gives str, but parameter one is int",
        "a: each(pages) gives Page, but parameter two is int",
        "a: gather(facts) gives list[Facts], but parameter three is list[Page]",
        "a: gather(facts) gives list[Facts], but parameter four is Facts",
        "a: gather(facts) gives list[Facts], but parameter five is Sequence[Facts]",
        "a: gather(facts) gives list[Facts | Failure], but parameter six is list[Facts]",
        "a: gather(facts) gives list[Facts | None], but parameter seven is list[Facts]",
        "a: result(title) may give None, but parameter eight is str; write str | None",
    ]


@pytest.mark.parametrize("returns", [str, Sequence[int], tuple[int, ...], set[int], dict[str, int], Any, list[int] | None])
def test_each_takes_lists_only(returns: Any) -> None:
    flow = Flow("f")

    def source() -> Any:
        return []

    source.__annotations__["return"] = returns
    step = flow.step(source)

    @flow.step
    def a(x: Any = each(step)) -> int:
        return 1

    assert faults_of(flow) == ["a: each(source) needs a list, source returns one value"]


def test_where_the_level_is_wrong_the_type_is_not_blamed_too() -> None:
    flow = book()
    s = steps_of(flow)

    @flow.step
    def a(x: str = loose.gather(s.title)) -> int:
        return 1

    assert faults_of(flow) == ["a: gather(title) goes up 1, but title runs inside 0 lists; did you mean result(title)?"]


def flow_of_regions() -> Flow:
    flow = book()
    s = steps_of(flow)

    @flow.step
    def regions(page: Page = each(s.pages)) -> list[str]:
        return []

    @flow.step
    def read(region: str = each(regions)) -> int:
        return 1

    @flow.step
    def note() -> str | None:
        return None

    @flow.step
    def maybe(region: str = each(regions)) -> int | None:
        return 1

    return flow


NESTED: list[tuple[Any, Any, InputPlan]] = [
    (str | None, lambda s: result(s.title), InputPlan("x", "result", "title", optional=True)),
    (str | None, lambda s: result(s.note), InputPlan("x", "result", "note")),
    (Any, lambda s: result(s.title), InputPlan("x", "result", "title")),
    (Any, lambda s: result(s.title, optional=True), InputPlan("x", "result", "title", optional=True)),
    (list[Facts | None], lambda s: gather(s.facts), InputPlan("x", "gather", "facts", holes=True)),
    (list[Facts | None], lambda s: gather(s.facts, holes=True), InputPlan("x", "gather", "facts", holes=True)),
    (list[Facts] | None, lambda s: gather(s.facts), InputPlan("x", "gather", "facts", optional=True)),
    (list[Facts | None] | None, lambda s: gather(s.facts), InputPlan("x", "gather", "facts", optional=True, holes=True)),
    (list[Facts | Failure], lambda s: gather(s.facts, failed="record"), InputPlan("x", "gather", "facts", record=True)),
    (list[Facts | Failure], lambda s: gather(s.facts), InputPlan("x", "gather", "facts")),
    (list[list[int]], lambda s: gather(gather(s.read)), InputPlan("x", "gather", "read", 2)),
    (list[list[float]], lambda s: gather(gather(s.read)), InputPlan("x", "gather", "read", 2)),
    (list[list[int | None] | None], lambda s: gather(gather(s.read)), InputPlan("x", "gather", "read", 2, holes=True)),
    (list[list[int | None]], lambda s: gather(gather(s.maybe)), InputPlan("x", "gather", "maybe", 2)),
    (
        list[list[int | Failure] | Failure],
        lambda s: gather(gather(s.read, failed="record"), failed="record"),
        InputPlan("x", "gather", "read", 2, record=True),
    ),
]


@pytest.mark.parametrize(("annotation", "marker", "plan"), NESTED)
def test_what_an_annotation_says_about_none(annotation: Any, marker: Any, plan: InputPlan) -> None:
    flow = flow_of_regions()

    marked: Any = marker(steps_of(flow))

    def a(x: Any = marked) -> int:
        return 1

    a.__annotations__["x"] = annotation
    flow.step(a)
    assert inputs_of(flow, "a") == (plan,)


def test_holes_of_an_inner_list_are_holes_of_the_outer() -> None:
    flow = flow_of_regions()
    s = steps_of(flow)

    @flow.step
    def a(x: list[list[int | None]] = gather(gather(s.read))) -> int:
        return 1

    assert faults_of(flow) == ["a: gather(gather(read)) gives list[list[int | None] | None], but parameter x is list[list[int | None]]"]


def test_nested_gathers_say_the_same() -> None:
    flow = flow_of_regions()
    s = steps_of(flow)
    failed: Any = "ignore"

    @flow.step
    def a(
        x: Any = gather(gather(s.read, failed="record")),
        y: Any = gather(gather(s.read), holes=True),
        z: Any = loose.gather(gather(s.read, optional=True)),
        w: Any = gather(s.facts, failed=failed),
    ) -> int:
        return 1

    assert faults_of(flow) == [
        "a: both gathers of parameter x must say the same of failed= and holes=",
        "a: both gathers of parameter y must say the same of failed= and holes=",
        "a: optional= belongs to the outer gather of parameter z",
        "a: parameter w: failed='ignore' is not allowed; 'record', or leave it out",
    ]


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
    assert faults_of(flow) == [f"a: is defined twice, first at tests/flow/test_wiring.py:{line - 4}"]


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


def test_faults_point_at_the_line_of_the_parameter() -> None:
    flow = book()
    s = steps_of(flow)

    @flow.step
    def a(
        one: str = result(s.title),
        two: int = result(s.title),
    ) -> int:
        return 1

    with pytest.raises(FlowDefinitionError) as caught:
        flow.check()
    [fault] = caught.value.faults
    lines, first = inspect.getsourcelines(a.handler)
    line = first + next(n for n, text in enumerate(lines) if "two:" in text)
    assert fault.where == f"tests/flow/test_wiring.py:{line}"
    assert caught.value.where == fault.where
    assert str(caught.value) == f"flow book has 1 fault\n  {fault.message} ({fault.where})"


def test_faults_of_levels_point_at_the_parameter_too() -> None:
    flow = book()
    s = steps_of(flow)

    @flow.step
    def a(
        one: str = result(s.title),
        two: str = each(s.title),
    ) -> int:
        return 1

    with pytest.raises(FlowDefinitionError) as caught:
        flow.check()
    [fault] = caught.value.faults
    lines, first = inspect.getsourcelines(a.handler)
    line = first + next(n for n, text in enumerate(lines) if "two:" in text)
    assert fault.where == f"tests/flow/test_wiring.py:{line}"
