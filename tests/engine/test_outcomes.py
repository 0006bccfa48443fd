"""From what a handler returned or raised to what is reported."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omniq_flow.engine.outcomes import SKIPPED, InputUnreadable, Outcome, failed, succeeded
from omniq_flow.errors import StepFailed, StepSkipped, ValueNotJson, ValueTooLarge
from omniq_flow.flow.values import Codec
from omniq_flow.model.plan import StepOptions
from omniq_flow.ops.ticks import Settled

PLAIN = StepOptions(attempts=3, delay_ms=1_000, cap_ms=3_000)


def test_a_value_is_written() -> None:
    assert succeeded(Codec(int, "n"), 7, is_mapped=False) == Outcome("ok", value=b"7")


@pytest.mark.parametrize("value", [[1, 2], (1, 2), (n for n in (1, 2))])
def test_a_mapped_list_is_written_per_element(value: Any) -> None:
    assert succeeded(Codec(list[int], "n"), value, is_mapped=True) == Outcome("list", 2, elements=(b"1", b"2"))


def test_a_list_that_nobody_maps_is_one_value() -> None:
    assert succeeded(Codec(list[int], "n"), [1, 2], is_mapped=False) == Outcome("ok", value=b"[1,2]")


def test_an_empty_list_is_a_list() -> None:
    assert succeeded(Codec(list[int], "n"), [], is_mapped=True) == Outcome("list", 0)


@pytest.mark.parametrize("value", [None, "abc", 5, {"a": 1}])
def test_what_is_no_list_is_refused(value: Any) -> None:
    with pytest.raises(ValueNotJson, match=r"source: returned .* where list\[int\] is declared"):
        succeeded(Codec(list[int], "source"), value, is_mapped=True)


@pytest.mark.parametrize(("attempt", "delay"), [(1, 500), (2, 1_000), (3, 1_500)])
def test_a_failure_in_passing_waits_longer_each_time(attempt: int, delay: int) -> None:
    outcome = failed(ValueError("no"), "s-3", attempt, PLAIN, 0.5)
    assert (outcome.kind, outcome.number, outcome.error) == ("fail", delay, "ValueError: no")
    assert json.loads(outcome.value) == {"type": "ValueError", "message": "no", "step": "s-3", "attempt": attempt}


@pytest.mark.parametrize("error", [StepFailed("no"), ValueNotJson("no"), ValueTooLarge("no"), InputUnreadable("no")])
def test_a_failure_for_good(error: Exception) -> None:
    outcome = failed(error, "s", 1, PLAIN, 0.5)
    assert (outcome.kind, outcome.number) == ("fatal", 0)


def test_a_skip() -> None:
    assert failed(StepSkipped("why not"), "s", 1, PLAIN, 0.5) is SKIPPED


def test_an_outcome_is_reported_under_its_lease() -> None:
    assert Outcome("fail", 5, b"{}", "E").settled("job", "token") == Settled("job", "token", "fail", 5, b"{}", "E")
