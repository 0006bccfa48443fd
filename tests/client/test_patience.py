"""How long a connection is tried for, and what of it is told."""

from __future__ import annotations

import pytest

from omniq_flow.client.connect import Target
from omniq_flow.client.patience import ABSENT_PATIENCE_MS, Attempts, Journal
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.client.trouble import Unreachable
from omniq_flow.errors import ServerUnavailable

TARGET = Target.parse("redis://ann:pw5@h")
PASSING = Unreachable("no answer in time", "check the host", is_passing=True)
ABSENT = Unreachable("nobody listens there", is_passing=True, is_absent=True)
STANDING = Unreachable("the password is wrong")


class Ticking:
    now = 0

    def __call__(self) -> int:
        return self.now


def waited_ms(trouble: Unreachable, *, is_first: bool, timeout_ms: int = 5_000) -> int:
    """When attempts that all end with this trouble are given up."""
    clock = Ticking()
    attempts = Attempts(TARGET, RetryPolicy(), timeout_ms, is_first, clock)

    def exhaust() -> None:
        while True:
            clock.now += attempts.pause_ms(trouble)

    with pytest.raises(ServerUnavailable) as caught:
        exhaust()
    assert (str(caught.value), caught.value.where) == (trouble.reason, "redis://ann:***@h:6379")
    return clock.now


def test_what_passes_is_tried_until_the_time_is_over() -> None:
    assert 3_500 <= waited_ms(PASSING, is_first=True) <= 5_000
    assert 3_500 <= waited_ms(ABSENT, is_first=False) <= 5_000


def test_a_first_connection_gives_an_absent_server_one_second() -> None:
    assert 300 <= waited_ms(ABSENT, is_first=True) <= ABSENT_PATIENCE_MS
    assert waited_ms(ABSENT, is_first=True, timeout_ms=100) <= 100


def test_what_stands_is_told_at_once() -> None:
    assert waited_ms(STANDING, is_first=False) == 0


def test_the_time_left_is_never_nothing() -> None:
    clock = Ticking()
    attempts = Attempts(TARGET, RetryPolicy(), 100, True, clock)
    clock.now = 40
    assert attempts.left_ms() == 60
    clock.now = 500
    assert attempts.left_ms() == 1


def test_a_fault_is_told_once_whoever_finds_out_and_when(caplog: pytest.LogCaptureFixture) -> None:
    clock = Ticking()
    journal = Journal(TARGET, clock)
    eras = [journal.connected(), journal.connected(), journal.connected()]
    journal.lost("reset", eras[0])
    journal.lost("closed", eras[1])
    clock.now = 1_500
    new = journal.connected()
    journal.lost("closed", eras[2])
    assert caplog.messages == [
        "connection to redis://ann:***@h:6379 lost: reset",
        "connection to redis://ann:***@h:6379 restored after 1.5 s",
    ]
    journal.lost("closed again", new)
    assert len(caplog.messages) == 3
