"""A flow to wire more steps to, and a look at what is wrong with it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from omniq_flow.errors import FlowDefinitionError
from omniq_flow.flow.definition import Flow
from omniq_flow.flow.markers import each, gather, result
from omniq_flow.model.plan import InputPlan


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
