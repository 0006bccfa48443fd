# ruff: noqa: B008  markers are values; a loose one is not known to the linter
"""Inputs out of lists within lists: the level counts, and what an annotation says about holes."""

from __future__ import annotations

from typing import Any

import pytest

from omniq_flow.flow.definition import Flow
from omniq_flow.flow.markers import each, gather, result
from omniq_flow.model.plan import InputPlan
from omniq_flow.model.runs import Failure
from tests.flow.book import Facts, Page, book, faults_of, inputs_of, loose, steps_of


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
