"""Options: what is accepted, and the sentence that refuses the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from omniq_flow.errors import FlowDefinitionError
from omniq_flow.flow.definition import Flow
from omniq_flow.flow.options import Retry

NAN = float("nan")
ATTEMPTS = "a whole number from 1 to 1000"


def faults_of(flow: Flow) -> list[str]:
    with pytest.raises(FlowDefinitionError) as caught:
        flow.check()
    return [fault.message for fault in caught.value.faults]


def flow_with(**options: Any) -> Flow:
    flow = Flow("f", **options)

    @flow.step
    def a() -> int:
        return 1

    return flow


def step_with(**options: Any) -> Flow:
    flow = Flow("f")

    @flow.step(**options)
    def a() -> int:
        return 1

    return flow


@pytest.mark.parametrize("value", [0, -1, 1.5, True, NAN, "3", None, 1e18, 1001])
def test_attempts_out_of_range_are_refused_where_they_are_written(value: Any) -> None:
    with pytest.raises(FlowDefinitionError) as caught:
        Retry(attempts=value)
    [fault] = caught.value.faults
    assert fault.message == f"Retry: attempts: {value!r} is not allowed; {ATTEMPTS}"
    assert fault.where.startswith("tests/flow/test_options.py:")


@pytest.mark.parametrize("name", ["delay", "cap"])
@pytest.mark.parametrize("value", [-1, True, NAN, float("inf"), None, "soon", 1e18, "366d"])
def test_delays_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(FlowDefinitionError) as caught:
        Retry(**{name: value})
    [fault] = caught.value.faults
    assert fault.message == f"Retry: {name}: {value!r} is not allowed; a duration from 0 to 365d, such as 1.5 (seconds), '500ms' or '1m'"


@pytest.mark.parametrize("value", [0, 1.5, "0s", "500ms", "1m"])
def test_delays_are_seconds_or_texts(value: str | float) -> None:
    assert Retry(delay=value).delay == value


def test_all_that_is_wrong_with_a_retry_is_said_at_once() -> None:
    options: dict[str, Any] = {"attempts": 0, "backoff": "linear", "jitter": 1, "tries": 3}
    with pytest.raises(FlowDefinitionError) as caught:
        Retry(**options)
    assert [fault.message for fault in caught.value.faults] == [
        f"Retry: attempts: 0 is not allowed; {ATTEMPTS}",
        "Retry: backoff: 'linear' is not allowed; 'fixed' or 'exponential'",
        "Retry: jitter: 1 is not allowed; True or False",
        "Retry: tries is no option; there are attempts, backoff, delay, cap, jitter",
    ]


PARALLEL = "a whole number from 1 to 100000"
FLOW_OPTIONS: dict[str, tuple[str, list[Any]]] = {
    "max_parallel": (PARALLEL, [0, -1, 1.5, True, NAN, "3", None, 1e18, 100_001]),
    "window": ("None, or a whole number from 1 to 1000000", [0, -1, 1.5, True, NAN, "3", 1e18]),
    "lease": ("a duration from 1s to 24h, such as '30s'", [0, -1, 0.5, True, NAN, "500ms", None, "25h", 1e18]),
    "timeout": ("None, or a duration above 0, such as '2m'", [0, -1, True, NAN, "soon", 1e18]),
    "retention": ("None or 0 to keep, or a duration, such as '7d'", [-1, True, NAN, "1 day", 1e18]),
    "retry": ("a Retry(...)", [3, None, {"attempts": 2}]),
    "on_failure": ("'continue' or 'stop'", ["halt", None, True]),
    "queue": ("letters, digits, '.', '_' and '-', at most 128 in all", ["", "a b", "{q}", "é", "q" * 129]),
    "group": ("None, or a text such as 'customer:{input.customer}'", [3, True]),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (_, values) in FLOW_OPTIONS.items() for value in values])
def test_a_flow_names_option_value_and_range(name: str, value: Any) -> None:
    [fault] = faults_of(flow_with(**{name: value}))
    shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:79] + "…"
    assert fault == f"flow f: {name}: {shown} is not allowed; {FLOW_OPTIONS[name][0]}"


STEP_OPTIONS: dict[str, tuple[str, list[Any]]] = {
    "lease": ("a duration from 1s to 24h, such as '30s'", [0, -1, 0.5, True, NAN, "500ms", "25h"]),
    "timeout": ("None, or a duration above 0, such as '2m'", [0, -1, True, NAN, "soon"]),
    "retry": ("None, or a Retry(...)", [3, {"attempts": 2}]),
    "process": ("True or False", [1, "yes", None]),
    "name": ("letters, digits and '_', not a digit first, at most 40 in all", ["", "a-b", "1a", "é", "a" * 41, "a b"]),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (_, values) in STEP_OPTIONS.items() for value in values])
def test_a_step_names_option_value_and_range(name: str, value: Any) -> None:
    [fault] = faults_of(step_with(**{name: value}))
    owner = value if name == "name" else "a"
    assert fault == f"{owner}: {name}: {value!r} is not allowed; {STEP_OPTIONS[name][0]}"


@pytest.mark.parametrize("name", ["", "a-b", "{x}", "a:b", "../x", "ü", "a\nb", "*", "a" * 41])
def test_a_flow_has_a_usable_name(name: str) -> None:
    flow = Flow(name, queue="q")
    assert flow.faults[0].message == (
        f"flow {name}: name: {name!r} is not allowed; letters, digits and '_', not a digit first, at most 40 in all"
    )


@pytest.mark.parametrize(("retention", "ms"), [(None, 0), (0, 0), (1, 1_000), ("7d", 604_800_000)])
def test_retention_of_nothing_keeps(retention: str | float | None, ms: int) -> None:
    assert flow_with(retention=retention).plan().retention_ms == ms


def test_a_step_takes_from_the_flow_what_it_does_not_say() -> None:
    flow = Flow("f", retry=Retry(attempts=4), timeout="2m", lease="10s")

    @flow.step
    def common() -> int:
        return 1

    @flow.step(retry=Retry(attempts=1), timeout=3, lease="5s", process=True)
    def own() -> int:
        return 1

    a, b = (step.options for step in flow.plan().steps)
    assert (a.attempts, a.timeout_ms, a.lease_ms, a.process) == (4, 120_000, 10_000, False)
    assert (b.attempts, b.timeout_ms, b.lease_ms, b.process) == (1, 3_000, 5_000, True)


@pytest.mark.parametrize(("parallel", "window"), [(1, 1_000), (250, 1_000), (251, 1_004)])
def test_the_window_is_a_thousand_or_four_times_what_runs_at_once(parallel: int, window: int) -> None:
    assert flow_with(max_parallel=parallel).plan().window == window


def test_an_exponential_delay_doubles_up_to_its_cap() -> None:
    retry = Retry(delay="1s", cap="5s", jitter=False)
    assert [retry.delay_ms(attempt, 0.5) for attempt in (1, 2, 3, 4, 1_000)] == [1_000, 2_000, 4_000, 5_000, 5_000]


def test_a_fixed_delay_is_exact() -> None:
    assert not step_with(retry=Retry(backoff="fixed")).plan().steps[0].options.jitter
    assert {Retry(backoff="fixed", delay="5s").delay_ms(attempt, 0.1) for attempt in (1, 2, 30)} == {5_000}


@given(st.integers(1, 1_000), st.floats(0, 1, exclude_max=True))
def test_jitter_waits_a_part_of_the_delay(attempt: int, roll: float) -> None:
    whole = Retry(jitter=False).delay_ms(attempt, 0)
    assert Retry().delay_ms(attempt, roll) == int(whole * roll)
    assert Retry().delay_ms(attempt, roll) <= 60_000
