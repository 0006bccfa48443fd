# ruff: noqa: B008  markers are values; a loose one is not known to the linter
"""What the inputs of a step may be: each has a source, and its type is that of the source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from omniq_flow.flow.context import StepContext
from omniq_flow.flow.definition import Flow
from omniq_flow.flow.markers import each, gather, result
from omniq_flow.model.plan import InputPlan
from tests.flow.book import Document, Facts, Letter, Page, Scan, book, faults_of, inputs_of, loose, steps_of


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
