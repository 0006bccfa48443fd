"""The comparison of `tests/differential` with OmniQ's own scripts as the reference, and of the model with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.differential.acts import Act
from tests.differential.campaign import Sides, campaign
from tests.differential.lanes import Reply
from tests.differential.model import Model
from tests.differential.numerals import clocked, has_refusable
from tests.differential.outcome import Expected, Seen, disagreement
from tests.differential.reference import Scripts, our_sources, sources_in
from tests.differential.state import Space
from tests.interop.environment import omniq_scripts
from tests.support.server import Server

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
SEQUENCES = 200
SOME_TIME = 1_700_000_000_000


@pytest.fixture
def omniq(server: Server, redis_conn: redis.Redis) -> Iterator[Scripts]:
    """OmniQ's scripts on another database of the same server."""
    with server.connection() as conn:
        conn.select(1)
        yield Scripts(conn, sources_in(omniq_scripts()))


def test_sequences_end_as_omniq_ends_them(redis_conn: redis.Redis, omniq: Scripts) -> None:
    sides = Sides(Scripts(redis_conn, our_sources()), omniq)
    faults = list(campaign(sides, 1, SEQUENCES))
    assert not faults, str(faults[0])


class Likeness(Sides):
    """OmniQ's scripts and the model of them, step by step, with no difference allowed.

    Numbers that are none or too large are left out: no client sends them, and here they are refused (D7). The removal of
    one job takes the server's time there.
    """

    def step(self, act: Act) -> str:
        if act.name.startswith("!"):
            return super().step(act)
        if has_refusable(act):
            return ""
        act = clocked(act.resolved(self.space), Seen([], self.space, SOME_TIME, SOME_TIME))
        self.hits[act.name] += 1
        seen, (reply, after) = self.ours.see(self.space, act), self.reference.run(self.space, act)
        if act.name == "remove_job" and reply == ["OK"]:
            after.hset(f"{act.base}:stats", last_activity_ms=whole_second(seen, act.base))
        self.space = seen.after
        return disagreement(Expected(reply, after), seen)


def whole_second(seen: Seen, base: str) -> str:
    """The time that the removal of a job wrote down (Q10)."""
    written = seen.after.hash(f"{base}:stats")["last_activity_ms"]
    assert written.endswith("000"), written
    assert seen.since_ms - 1_000 <= int(written) <= seen.until_ms, written
    return written


def test_the_model_is_true(omniq: Scripts) -> None:
    sides = Likeness(omniq, Model())
    faults = list(campaign(sides, 2, SEQUENCES))
    assert not faults, str(faults[0])
    assert sides.hits.total() > 20 * SEQUENCES


def test_a_wrong_model_is_seen(omniq: Scripts) -> None:
    """One field that OmniQ writes otherwise is enough."""

    class Forgetful(Model):
        def run(self, before: Space, act: Act) -> tuple[Reply, Space]:
            reply, after = super().run(before, act)
            if act.name == "ack_fail" and isinstance(reply, list) and reply[0] == "RETRY":
                after.hset(f"{act.base}:job:{act.arg(0)}", updated_ms="0")
            return reply, after

    fault = next(campaign(Likeness(omniq, Forgetful()), 2, SEQUENCES))
    assert ".updated_ms: want '0'" in fault.message
