"""C47: values with a type of their own, which arrive as something else or break whoever reports a failure."""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn, cast

import pytest

from omniq_flow.errors import InputError
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.cases.rig import Rig

FLOW = """
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from uuid import UUID

class Colour(Enum):
    RED = "red"
    TWO = 2

class Inner(BaseModel):
    amount: Decimal
    ratio: float = 0.1
    colours: list[Colour] = []

class Full(BaseModel):
    naive: datetime
    aware: datetime
    far: datetime
    id: UUID
    amount: Decimal
    colour: Colour
    raw: bytes
    inner: Inner
    ratio: float
    large: int
    odd: int

FULL = Full(
    naive=datetime(2024, 2, 29, 1, 2, 3, 456_789),
    aware=datetime(2024, 2, 29, 23, 59, tzinfo=UTC),
    far=datetime(1969, 7, 20, 20, 17, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    id=UUID(int=7),
    amount=Decimal("0.1"),
    colour=Colour.TWO,
    raw="bytes, ünïcode".encode(),
    inner=Inner(amount=Decimal("1E-30"), colours=[Colour.RED, Colour.TWO]),
    ratio=0.1 + 0.2,
    large=2**63,
    odd=130_775_545_883_395_173,
)
"""
PASSING = """
flow = Flow("case", input=Full, retry=QUICK)

def same(ctx: StepContext, value: Full) -> Full:
    kinds = {name: type(part) for name, part in value}
    is_same = type(value) is Full and value == FULL and kinds == {name: type(part) for name, part in FULL}
    is_same = is_same and value.far.utcoffset() == FULL.far.utcoffset() and type(value.inner) is Inner
    effect(ctx, "same" if is_same else f"another: {value!r}")
    return value

@flow.step
def first(ctx: StepContext, full: Full) -> Full:
    return same(ctx, full)

@flow.step
def second(ctx: StepContext, full: Full = result(first)) -> list[Full]:
    return [same(ctx, full)] * 3

@flow.step
def element(ctx: StepContext, full: Full = each(second)) -> Full:
    return same(ctx, full)

@flow.step(process=True)
def elsewhere(ctx: StepContext, full: Full = result(first)) -> Full:
    return same(ctx, full)

@flow.step
def last(ctx: StepContext, given: Full, one: Full = result(elsewhere), all_: list[Full] = gather(element)) -> int:
    return len([same(ctx, full) for full in (given, one, *all_)])
"""
FAILING = """
flow = Flow("case", retry=Retry(attempts=2, delay=0, jitter=False))

class Odd(Exception):
    def __str__(self) -> str:
        raise TypeError("cannot be shown")

ERRORS = {
    "with_model": lambda: ValueError(FULL),
    "with_parts": lambda: KeyError(FULL.naive, FULL.id, FULL.amount, FULL.raw, FULL.large),
    "with_nan": lambda: ValueError({"ratio": float("nan"), "limit": float("-inf")}),
    "with_surrogate": lambda: ValueError("half \\ud800 of a pair"),
    "with_bytes": lambda: OSError(5, b"\\xff\\xfe"),
    "with_no_text": lambda: Odd(FULL),
    "with_much": lambda: ValueError("ü" * 100_000),
}

def failing(name: str) -> None:
    def fail(ctx: StepContext) -> None:
        effect(ctx)
        raise ERRORS[name]()

    flow.step(name=name)(fail)

for name in ERRORS:
    failing(name)

@flow.step
def not_a_number(ctx: StepContext) -> Full:
    effect(ctx)
    return FULL.model_copy(update={"inner": Inner(amount=Decimal(1), ratio=float("nan"))})

@flow.step
def infinite(ctx: StepContext) -> list[Full]:
    effect(ctx)
    return [FULL, FULL.model_copy(update={"ratio": float("inf")})]

@flow.step
def never(ctx: StepContext, one: Full = each(infinite)) -> None:
    effect(ctx)

@flow.step
def no_text(ctx: StepContext) -> Full:
    effect(ctx)
    return FULL.model_copy(update={"raw": b"\\xff"})
"""
SAID = {
    "with_model": ("ValueError", "amount=Decimal('0.1')"),
    "with_parts": ("KeyError", "UUID('00000000-0000-0000-0000-000000000007')"),
    "with_nan": ("ValueError", "{'ratio': nan, 'limit': -inf}"),
    "with_surrogate": ("ValueError", "half \\ud800 of a pair"),
    "with_bytes": ("OSError", r"b'\xff\xfe'"),
    "with_no_text": ("Odd", "whose text cannot be made: TypeError"),
    "with_much": ("ValueError", "üüü"),
}
REFUSED = {
    "not_a_number": "not_a_number: inner.ratio is nan (float); JSON has no such number",
    "infinite": "infinite: [1].ratio is inf (float); JSON has no such number",
    "no_text": "no_text: raw is bytes that are no UTF-8",
}


def strict(raw: bytes) -> Any:
    """JSON as other languages read it: no NaN, no infinities."""

    def refuse(word: str) -> NoReturn:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(raw, parse_constant=refuse)


def stored(rig: Rig, run: str) -> dict[bytes, Any]:
    """All values and failures of a run, read as strictly as another language would."""
    found = cast("dict[bytes, bytes]", rig.conn.hgetall(keys.outputs(rig.flow.queue, run)))
    return {name: strict(raw[1:]) for name, raw in found.items() if raw[:1] in b"=!"}


def full_of(rig: Rig) -> Any:
    """The value that the flow file names."""
    return sys.modules[rig.flow.steps[next(iter(rig.flow.steps))].handler.__module__].FULL


def test_c47_a_typed_value_arrives_as_what_it_was(rig: Rig) -> None:
    """A model with dates, exact numbers, enums, bytes and large integers is the same model, field by field, wherever it is handed on."""
    rig.write(FLOW + PASSING)
    rig.worker()
    run = rig.start(full_of(rig))
    assert rig.ends(run) is RunState.SUCCEEDED
    assert len(rig.effects("same", run)) == 3 + 3 + 5
    assert rig.output(run, "last") == 5
    assert stored(rig, run)[b"first"]["odd"] == 130_775_545_883_395_173


def test_c47_values_inside_a_failure_never_make_a_second_one(rig: Rig) -> None:
    """Whatever an exception holds, its failure is recorded once as plain JSON; NaN, infinities and raw bytes fail their step by path.

    NaN and infinities are refused, not kept: no JSON that other languages read has them.
    """
    rig.write(FLOW + FAILING)
    worker = rig.worker()
    run = rig.start()
    assert rig.ends(run, 5) is RunState.FAILED
    for step, (kind, text) in SAID.items():
        failure = rig.failure(run, step)
        assert (failure.type, failure.step, failure.attempt) == (kind, step, 2)
        assert text in failure.message
        assert len(failure.message.encode()) <= 4_096
    for step, text in REFUSED.items():
        failure = rig.failure(run, step)
        assert (failure.type, failure.attempt) == ("ValueNotJson", 1)
        assert failure.message.startswith(text)
    assert rig.starts(run) == dict.fromkeys(SAID, 2) | dict.fromkeys(REFUSED, 1)
    assert set(stored(rig, run)) == {name.encode() for name in (*SAID, *REFUSED, ":input")}
    assert worker.is_alive
    assert "Traceback" not in worker.said()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_c47_a_number_that_json_has_not_is_refused_at_submit(rig: Rig, number: str) -> None:
    """An input with NaN or an infinity is refused by the path of the field, as a model and as text, before anything is sent."""
    rig.write(FLOW + PASSING)
    full = full_of(rig)
    before = rig.conn.dbsize()
    as_model = full.model_copy(update={"inner": full.inner.model_copy(update={"ratio": float(number)})})
    as_text = full.model_dump_json().replace('"ratio":0.1,', f'"ratio":{number},', 1)
    assert number in as_text
    for given in (as_model, as_text):
        with pytest.raises(InputError, match=r"inner\.ratio"):
            rig.start(given)
    assert rig.conn.dbsize() == before
