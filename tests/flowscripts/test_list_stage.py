"""list_stage: elements are laid down by who holds the lease, and count only when settled."""

from __future__ import annotations

import pytest
import redis

from omniq_flow.errors import LeaseLost
from omniq_flow.ops import keys, ticks
from omniq_flow.ops.command import Command
from tests.flowscripts.desk import RUN, Desk, each, step


@pytest.fixture
def staged(desk: Desk) -> Desk:
    desk.start(desk.plan(step("a", is_list=True), step("b", each("a"), level=("a",))))
    return desk


def stored(desk: Desk, epoch: int = 1) -> dict[bytes, bytes]:
    return desk.conn.hgetall(keys.value(desk.queue, RUN, "a", epoch))  # type: ignore[return-value]


def test_slices_add_up(staged: Desk) -> None:
    a = staged.take()["a"]
    staged.stage(a, b"x", b"y")
    staged.stage(a, b"z", offset=2)
    assert stored(staged) == {b"0": b"x", b"1": b"y", b"2": b"z"}
    staged.check()


def test_from_the_start_again_throws_away_what_was_there(staged: Desk) -> None:
    a = staged.take()["a"]
    staged.stage(a, b"x", b"y", b"z")
    staged.stage(a, b"u")
    assert stored(staged) == {b"0": b"u"}


def test_a_slice_sent_twice_is_one(staged: Desk) -> None:
    a = staged.take()["a"]
    staged.stage(a, b"x")
    staged.stage(a, b"y", offset=1)
    staged.stage(a, b"y", offset=1)
    assert staged.settle(a, "list", 2) == "OK"


@pytest.mark.parametrize("what", ["token", "empty token", "lapsed", "settled", "run gone", "job gone"])
def test_who_has_no_lease_lays_down_nothing(staged: Desk, what: str) -> None:
    a = staged.take()["a"]
    token = {"token": "0" * 40, "empty token": ""}.get(what, a.token)
    match what:
        case "lapsed":
            staged.now += 31_000
            staged.tick()
        case "settled":
            staged.settle(a, "skip")
        case "run gone":
            staged.conn.delete(keys.header(staged.queue, RUN))
        case "job gone":
            staged.conn.delete(staged.job("a"))
        case _:
            pass
    before = staged.everything()
    with pytest.raises(LeaseLost, match=a.job_id):
        staged.execute(ticks.list_stage(staged.queue, a.job_id, token, 0, [b"x"]))
    assert staged.everything() == before


def test_a_plain_job_has_no_list(desk: Desk) -> None:
    desk.publish("p")
    p = desk.take()["p"]
    with pytest.raises(LeaseLost):
        desk.stage(p, b"x")


def test_at_most_a_thousand_at_once(staged: Desk) -> None:
    a = staged.take()["a"]
    staged.stage(a, *(b"1" for _ in range(1_000)))
    with pytest.raises(ValueError, match="1000"):
        staged.stage(a, *(b"1" for _ in range(1_001)))
    raw: tuple[str | bytes | int, ...] = (a.job_id, a.token, 0, *(b"1" for _ in range(1_001)))
    with pytest.raises(redis.exceptions.ResponseError, match="BAD_ARGS"):
        staged.execute(Command("flow/list_stage", (keys.anchor(staged.queue),), raw, list))


def test_what_a_failed_attempt_laid_down_goes(staged: Desk) -> None:
    a = staged.take()["a"]
    staged.stage(a, b"x")
    staged.settle(a, "fatal")
    assert stored(staged) == {}
