"""What a handler is told, and what it can say."""

from __future__ import annotations

import threading

import pytest

from omniq_flow.errors import StepFailed, StepSkipped
from omniq_flow.flow.context import StepContext
from omniq_flow.model.names import StepRun


def test_a_context_knows_its_step_run() -> None:
    ctx = StepContext("r", "f", StepRun("read", (3, 7)), attempt=2, max_attempts=2)
    assert (ctx.step, ctx.index, ctx.is_last_attempt, ctx.is_cancelled) == ("read", (3, 7), True, False)


@pytest.mark.parametrize("name", ["cancelled", "lease_lost"])
def test_both_signals_say_that_the_work_no_longer_counts(name: str) -> None:
    signal = threading.Event()
    ctx = StepContext("r", "f", StepRun("read"), **{name: signal})  # type: ignore[arg-type]
    assert not ctx.is_cancelled
    signal.set()
    assert ctx.is_cancelled


def test_lines_go_to_the_log_that_was_given() -> None:
    lines: list[str] = []
    StepContext("r", "f", StepRun("read"), write_log=lines.append).log(3)
    StepContext("r", "f", StepRun("read")).log("nobody listens")
    assert lines == ["3"]


def test_a_handler_ends_its_step_by_raising() -> None:
    ctx = StepContext("r", "f", StepRun("read"))
    with pytest.raises(StepFailed, match="no text layer"):
        ctx.fail("no text layer")
    with pytest.raises(StepSkipped, match="blank"):
        ctx.skip("blank")
