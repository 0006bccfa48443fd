"""A plan: what is in it, when it is the same, and when it is another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omniq_flow.flow.definition import Flow
from omniq_flow.flow.options import Retry
from omniq_flow.model.plan import Plan

FLOW = '''
from pydantic import BaseModel, Field
from omniq_flow.flow.definition import Flow
from omniq_flow.flow.markers import each, gather, result
from omniq_flow.flow.options import Retry

class Document(BaseModel):
    """A document."""
    path: str
    note: str = Field("", description="for people")

class Page(BaseModel):
    """A page."""
    number: int

flow = Flow("book", input=Document, max_parallel=8)

@flow.step
def pages(document: Document) -> list[Page]:
    """Cut it."""
    return [Page(number=1)]

@flow.step(retry=Retry(attempts=5), timeout="2m")
async def read(page: Page = each(pages)) -> str:
    return "text"

@flow.step
def title(document: Document) -> str:
    return document.path

@flow.step(after=[title])
def report(texts: list[str] = gather(read), width: int = 80) -> str:
    return "".join(texts)
'''


PATH = "    path: str\n"
NOTE = '    note: str = Field("", description="for people")\n'


def load(source: str) -> Plan:
    space: dict[str, Any] = {"__name__": "book"}
    exec(compile(source, "book.py", "exec"), space)
    plan: Plan = space["flow"].plan()
    return plan


def test_a_plan_reads_back_as_it_was() -> None:
    plan = load(FLOW)
    assert Plan.from_json(plan.json) == plan
    assert [(s.name, s.level, s.is_list) for s in plan.steps] == [
        ("pages", (), True),
        ("read", ("pages",), False),
        ("title", (), False),
        ("report", (), False),
    ]
    assert plan.results == ("title", "report")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n\n", "\n\n\n# moved\n\n"),
        ('"""A document."""', '"""Quite another text."""'),
        ('"""A page."""', ""),
        ('"""Cut it."""', '"""Cut it well."""'),
        ('return "text"', 'return "other text"'),
        (", width: int = 80", ", width: int = 100"),
        ("Retry(attempts=5)", 'Retry(attempts=5, delay=1.0, cap="1m")'),
        ('timeout="2m"', "timeout=120"),
        ("async def read", "def read"),
        (
            '    path: str\n    note: str = Field("", description="for people")',
            '    note: str = Field("", description="for people")\n    path: str',
        ),
    ],
)
def test_the_hash_does_not_see(old: str, new: str) -> None:
    assert FLOW.count(old) >= 1
    assert load(FLOW.replace(old, new)).sha == load(FLOW).sha


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("path: str", "path: str\n    pages: int = 0"),
        ("number: int", "number: float"),
        ("attempts=5", "attempts=4"),
        ('timeout="2m"', 'timeout="3m"'),
        ("after=[title]", "after=[title, pages]"),
        ("after=[title]", "name='summary'"),
        ("max_parallel=8", "max_parallel=9"),
        ("max_parallel=8", "max_parallel=8, on_failure='stop'"),
        ("max_parallel=8", "max_parallel=8, retention='1d'"),
        ("max_parallel=8", "max_parallel=8, group='p:{input.path}'"),
        ("max_parallel=8", "max_parallel=8, queue='q'"),
        ("max_parallel=8", "max_parallel=8, window=5000"),
        ("texts: list[str] = gather(read)", "texts: list[str | None] = gather(read)"),
        ("texts: list[str] = gather(read)", "pieces: list[str] = gather(read)"),
        ('@flow.step(retry=Retry(attempts=5), timeout="2m")', '@flow.step(retry=Retry(attempts=5), timeout="2m", lease="5s")'),
        ("def title(document: Document) -> str:", "def title(document: Document) -> str | None:"),
    ],
)
def test_the_hash_sees_wiring_options_and_schemas(old: str, new: str) -> None:
    changed = FLOW.replace(old, new)
    assert changed != FLOW
    assert load(changed.replace("texts)", "[])")).sha != load(FLOW).sha


def test_schemas_keep_what_a_form_shows_and_drop_docstrings() -> None:
    schema = json.loads(load(FLOW).schema)
    assert "description" not in schema
    assert schema["properties"]["note"]["description"] == "for people"


def test_a_field_named_description_stays_in_the_schema() -> None:
    plan = load(FLOW.replace("note: str", "description: str"))
    assert "description" in json.loads(plan.schema)["properties"]


def test_a_plan_is_made_once_until_a_step_is_added() -> None:
    flow = Flow("f")

    @flow.step
    def a() -> int:
        return 1

    first = flow.plan()
    assert flow.plan() is first
    assert list(flow.codecs) == ["a"]

    @flow.step
    def b() -> int:
        return 1

    assert [s.name for s in flow.plan().steps] == ["a", "b"]
    assert list(flow.codecs) == ["a", "b"]


async def test_a_step_stays_the_function_it_was() -> None:
    flow = Flow("f")

    @flow.step(retry=Retry(attempts=2))
    def double(x: int = 2) -> int:
        """Twice."""
        return 2 * x

    @flow.step
    async def triple(x: int = 2) -> int:
        return 3 * x

    assert (double(5), double.__name__, double.__doc__) == (10, "double", "Twice.")
    assert await triple(5) == 15
    assert (double.is_async, triple.is_async) == (False, True)
    assert double.parameters == {"x": int}
    assert double.returns is int
    assert flow.steps == {"double": double, "triple": triple}


def test_files_of_a_plan_stay_out_of_it() -> None:
    assert "book.py" not in load(FLOW).json
    assert str(Path.cwd()) not in load(FLOW).json
