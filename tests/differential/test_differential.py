"""Random sequences of all fifteen operations end as OmniQ 4.0.0 would end them, but for what differs on purpose.

Replies and the whole keyspace are compared after each step. The reference is `model.py`, so nothing of OmniQ is needed;
five hundred sequences of forty steps here, `python -m tests.differential --sequences 20000 --seed S` does more of them.
"""

from __future__ import annotations

import pytest
import redis

from tests.differential.acts import OPERATIONS, Act
from tests.differential.campaign import Fault, Sides, again, campaign, draw, smaller
from tests.differential.differences import SHOWN
from tests.differential.model import Model
from tests.differential.mutants import QUICK, Mutant, first_fault
from tests.differential.reference import Scripts, our_sources

PIECES, SEQUENCES = 20, 25
AT_MOST = 300


@pytest.fixture
def sides(redis_conn: redis.Redis) -> Sides:
    return Sides(Scripts(redis_conn, our_sources()), Model())


@pytest.mark.parametrize("piece", range(PIECES))
def test_sequences_end_as_the_contract_says(sides: Sides, piece: int) -> None:
    faults = list(campaign(sides, 1_000 + piece, SEQUENCES))
    assert not faults, str(faults[0])


def test_each_operation_and_each_difference_is_met(sides: Sides) -> None:
    """No leniency without use: sequences go on until every difference has changed something, and every operation was done."""
    for n in range(AT_MOST):
        assert draw(sides, f"1/{n}") is None
        if {*SHOWN, *OPERATIONS} <= sides.hits.keys():
            return
    raise AssertionError(f"never met: {sorted({*SHOWN, *OPERATIONS} - sides.hits.keys())}")


@pytest.mark.parametrize("mutant", QUICK, ids=[mutant.script for mutant in QUICK])
def test_a_broken_script_is_seen(redis_conn: redis.Redis, mutant: Mutant) -> None:
    sequences, fault = first_fault(redis_conn, mutant, 1, AT_MOST)
    assert fault is not None, f"{mutant.what}: {sequences} sequences saw nothing"


def test_a_failing_sequence_is_made_small_and_can_be_read(redis_conn: redis.Redis) -> None:
    """Of forty steps three are left: publish, take, and the success that goes wrong; they fail again by themselves."""
    mutant = next(mutant for mutant in QUICK if mutant.script == "ack_success")
    sides = Sides(Scripts(redis_conn, our_sources(mutant.alter)), Model())
    found = next(fault for n in range(AT_MOST) if (fault := draw(sides, f"1/{n}")))
    fault = smaller(sides, found)
    assert [act.name for act in fault.acts] == ["enqueue", "reserve", "ack_success"]
    assert again(sides, fault.acts) == fault.message
    assert "again: python -m tests.differential --one 1/" in str(fault)
    assert ":inflight: want text '0', have text '1'" in str(fault)


def test_the_same_seed_draws_the_same_acts(redis_conn: redis.Redis) -> None:
    def drawn() -> list[Act]:
        broken = Mutant("", "reserve", "return {'EMPTY'}", "return {'NOTHING'}")
        fault = draw(Sides(Scripts(redis_conn, our_sources(broken.alter)), Model()), "1/2")
        assert isinstance(fault, Fault)
        return list(fault.acts)

    assert drawn() == drawn()
