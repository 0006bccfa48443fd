"""Random flows by the real scripts on a real server come out as plain recursion says, whatever happens on the way.

Five hundred flows in twenty pieces; `python -m tests.oracle --flows 20000 --seed S` lives more of them.
"""

from __future__ import annotations

import pytest
import redis

from tests.oracle.campaign import Fault, campaign

PIECES, FLOWS = 20, 25


@pytest.mark.parametrize("piece", range(PIECES))
def test_lives_end_as_the_oracle_says(redis_conn: redis.Redis, piece: int) -> None:
    outcomes = list(campaign(redis_conn, 1_000 + piece, FLOWS))
    faults = [outcome for outcome in outcomes if isinstance(outcome, Fault)]
    assert not faults, str(faults[0])
    assert sum(outcome["flows"] for outcome in outcomes if not isinstance(outcome, Fault)) >= FLOWS
