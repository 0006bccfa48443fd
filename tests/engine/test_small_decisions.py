"""Decisions that the loop only asks for: slots, naps, leases, pieces of a list."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, strategies as st

from omniq_flow.engine.lease import beat_every_ms
from omniq_flow.engine.polling import OFTEN_FOR_MS, OFTEN_MS, SLOW_MS, Nap, Polling, nap
from omniq_flow.engine.slots import Slots
from omniq_flow.engine.staging import MOST_BYTES, pieces


def slots(capacity: int = 16, typical_ms: float = 1_000, **counts: int) -> Slots:
    return Slots(capacity, typical_ms=typical_ms, **counts)


def test_slow_handlers_take_what_can_start_at_once() -> None:
    assert slots().want(0, 1) == 16
    assert slots(busy=10).want(10, 1) == 6
    assert slots(busy=10, waiting=4, asked=1).want(14, 1) == 1
    assert slots(busy=16).want(16, 1) == 0


def test_quick_handlers_take_up_to_twice_the_free_slots() -> None:
    quick = slots(typical_ms=1, busy=10)
    assert quick.want(10, 1) == 12
    assert slots(typical_ms=1).want(0, 1) == 16, "half now, half with the other channel"
    assert slots(typical_ms=1, asked=16).want(0, 1) == 16
    assert slots(typical_ms=1, asked=32).want(0, 1) == 0
    assert slots(typical_ms=1, busy=16).want(16, 1) == 0


def test_instant_handlers_take_more_ahead_where_it_is_allowed() -> None:
    """All of it starts within milliseconds; while a handler runs in every slot nothing is taken ahead."""
    assert slots(capacity=1, typical_ms=0.4).want(0, 1) == 1
    allowed = partial(slots, ahead=32)
    assert allowed(capacity=1, typical_ms=0.4).want(0, 1) == 32
    assert allowed(capacity=1, typical_ms=0.4, waiting=10, asked=8).want(10, 1) == 14
    assert allowed(capacity=1, typical_ms=0.4, busy=1).want(1, 1) == 0
    assert allowed(capacity=100, typical_ms=0.4).want(0, 1) == 64
    assert allowed(capacity=1, typical_ms=0.4).want(0, 4) == 8, "hungry queues share"
    assert allowed(capacity=1, typical_ms=0.6).want(0, 1) == 1


def test_hungry_queues_share() -> None:
    assert slots().want(0, 2) == 8
    assert slots(busy=10).want(10, 2) == 0, "has more than its share already"
    assert slots(busy=10).want(0, 2) == 6
    assert slots(capacity=2).want(0, 5) == 1


def test_never_more_than_a_tick_carries() -> None:
    assert slots(capacity=500).want(0, 1) == 64


def test_what_handlers_take_is_learnt() -> None:
    learning = Slots(4)
    assert learning.typical_ms >= 20, "nothing is known at first"
    for _ in range(50):
        learning.busy += 1
        learning.ended(0)
    assert learning.typical_ms < 1
    for _ in range(5):
        learning.busy += 1
        learning.ended(1_000)
    assert learning.typical_ms > 20


def test_an_idle_worker_looks_slowly_and_often_after_a_find() -> None:
    polling = Polling()
    assert polling.interval_ms(0) == SLOW_MS
    assert polling.found("wake", 0) == polling.found("due", 0) == polling.found("work", 0) == polling
    often = polling.found("poll", 1_000)
    assert often.interval_ms(1_000) == OFTEN_MS
    assert often.interval_ms(1_000 + OFTEN_FOR_MS) == SLOW_MS


def test_a_fixed_interval_stays() -> None:
    assert Polling(50).found("poll", 0).interval_ms(1) == 50


@pytest.mark.parametrize(
    ("next_ms", "elapsed", "expected"),
    [
        (0, 0, Nap(2_000, "poll")),
        (0, 500, Nap(1_500, "poll")),
        (0, 9_000, Nap(0, "poll")),
        (10_300, 0, Nap(300, "due")),
        (10_300, 200, Nap(100, "due")),
        (10_300, 400, Nap(0, "due")),
        (9_000, 0, Nap(0, "due")),
        (60_000, 0, Nap(2_000, "poll")),
    ],
)
def test_a_nap_ends_when_something_is_due(next_ms: int, elapsed: int, expected: Nap) -> None:
    assert nap(2_000, 10_000, next_ms, elapsed) == expected


@pytest.mark.parametrize(("lease", "beat"), [(30_000, 10_000), (3_000, 1_000), (2_000, 666), (1_000, 333), (500, 300)])
def test_a_lease_is_extended_every_third_of_it(lease: int, beat: int) -> None:
    assert beat_every_ms(lease) == beat


@given(st.lists(st.integers(0, 600_000), max_size=40))
def test_pieces_are_the_whole_list_in_order(sizes: list[int]) -> None:
    elements = [bytes(size) for size in sizes]
    cut = list(pieces(elements))
    assert [e for _, part in cut for e in part] == elements
    assert all(len(part) == 1 or sum(map(len, part)) <= MOST_BYTES for _, part in cut)
    starts = [start for start, _ in cut]
    assert starts == [sum(len(part) for _, part in cut[:n]) for n in range(len(cut))]


def test_pieces_have_at_most_a_thousand_elements() -> None:
    assert [len(part) for _, part in pieces([b"1"] * 2_500)] == [1_000, 1_000, 500]
    assert list(pieces([])) == []
