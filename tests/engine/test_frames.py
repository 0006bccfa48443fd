"""What crosses a pipe to a child process arrives as it was."""

from __future__ import annotations

import json

from hypothesis import given, strategies as st

from omniq_flow.engine.binding import Given
from omniq_flow.engine.frames import Call, log_line, outcome_line, parse_outcome
from omniq_flow.engine.outcomes import Outcome
from omniq_flow.flow.context import StepContext
from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import InputPlan, StepOptions, StepPlan
from omniq_flow.model.runs import Failure

LEAVES = (
    st.none() | st.binary(max_size=40) | st.builds(Failure, st.text(max_size=5), st.text(max_size=9), st.just("s-1"), st.integers(0, 9))
)


@given(st.lists(st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4), max_leaves=12), max_size=4))
def test_a_call(given: list[Given]) -> None:
    step = StepPlan("s", ("a", "b"), (InputPlan("x", "gather", "a", 2, holes=True),), True, StepOptions(process=True))
    context = StepContext("R", "f", StepRun("s", (1, 2)), 2, 3, "key", 9, "job", "gid")
    call = Call("/x/y.py", step, True, 99, given, context, 0.25)
    line = call.line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert Call.parse(json.loads(line)) == call


@given(st.binary(max_size=40), st.text(st.characters(exclude_categories=()), max_size=20), st.lists(st.binary(max_size=9), max_size=3))
def test_an_outcome(value: bytes, error: str, elements: list[bytes]) -> None:
    outcome = Outcome("list", 3, value, error, tuple(elements))
    line = outcome_line(outcome)
    assert line.count(b"\n") == 1
    assert parse_outcome(json.loads(line)["outcome"]) == outcome


def test_a_log_line() -> None:
    assert json.loads(log_line("two\nlines")) == {"log": "two\nlines"}
