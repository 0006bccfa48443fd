"""Delays are arithmetic."""

from __future__ import annotations

import pytest

from omniq_flow.client.retry import RetryPolicy


def test_delays_double_up_to_a_cap() -> None:
    policy = RetryPolicy(first_ms=50, cap_ms=500)
    assert [policy.delay_ms(n) for n in range(1, 7)] == [50, 100, 200, 400, 500, 500]
    assert policy.delay_ms(10_000) == 500


def test_the_spread_takes_up_to_half_of_a_delay_away() -> None:
    policy = RetryPolicy(first_ms=100, cap_ms=100)
    assert [policy.delay_ms(1, spread) for spread in (0.0, 0.5, 1.0)] == [50, 75, 100]


def test_attempts_and_time_are_bounded() -> None:
    policy = RetryPolicy(attempts=3, patience_ms=1_000)
    assert [policy.allows(failures, 0) for failures in (1, 2, 3)] == [True, True, False]
    assert [policy.allows(1, ms, 100) for ms in (900, 901)] == [True, False]


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"first_ms": -1}, {"first_ms": 10, "cap_ms": 5}, {"patience_ms": -1}])
def test_nonsense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        RetryPolicy(**wrong)
