"""A key of another type stops a worker's beat before its first write: a run's keys as well as the queue's (H18)."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from omniq_flow.ops.ticks import Settled
from tests.flowscripts.desk import Desk, each, gather, step


def everything(desk: Desk) -> dict[bytes, object]:
    return {key.encode(): held for key, held in desk.everything().items()}


def before_the_beat(desk: Desk) -> list[Settled]:
    """A run in the middle, with something for the beat to do everywhere: an element ends, another failed before, the last one
    opens the join, a job is due, one waits, one worker is idle.
    """
    desk.conn.flushall()
    desk.now = 1_800_000_000_000
    plan = desk.plan(
        step("source", is_list=True), step("item", each("source"), level=("source",), attempts=2), step("join", gather("item"))
    )
    desk.start(plan)
    assert desk.settle_list(desk.take()["source"], b"1", b"2", b"3") == "OK"
    items = desk.take()
    assert desk.settle(items["item-0"], "fail", 5_000, value=b"{}", error="no") == "RETRY"
    assert desk.settle(items["item-1"]) == "OK"
    desk.publish("plain")
    desk.tick(worker="idle", idle_ms=60_000)
    desk.now += 6_000
    return [Settled(items["item-2"].job_id, items["item-2"].token, "ok", 0, b"1")]


def beat(desk: Desk, settled: list[Settled]) -> None:
    desk.tick(*settled, take=2, request="beat", idle_ms=1_000)


def refusal(desk: Desk, settled: list[Settled]) -> str:
    try:
        beat(desk, settled)
    except redis.ResponseError as error:
        return str(error)
    return ""


def spoil(conn: Any, key: bytes) -> None:
    is_string = conn.type(key) == b"string"
    conn.delete(key)
    if is_string:
        conn.rpush(key, "odd")
    else:
        conn.set(key, "odd")


def test_what_is_of_another_type_is_never_met_half_way(desk: Desk) -> None:
    conn: Any = desk.conn
    names = set(everything(desk))
    settled = before_the_beat(desk)
    was = everything(desk)
    names |= set(was)
    beat(desk, settled)
    now = everything(desk)
    names |= set(now)
    written = {key for key in names if now.get(key) != was.get(key)}
    assert {b":flow:o:", b":flow:s:", b":flow:h:", b":flow:c:", b":flow:t:", b":flow:n:"} <= {
        key[key.index(b":flow:") : key.index(b":", key.index(b":flow:") + 6) + 1]
        for key in written
        if b":flow:" in key and key.count(b":") > 2
    }
    refused = set()
    for key in sorted(names):
        settled = before_the_beat(desk)
        spoil(conn, key)
        before = everything(desk)
        said = refusal(desk, settled)
        after = everything(desk)
        if said:
            assert "WRONGTYPE" in said, (key, said)
            assert after == before, key
            refused.add(key)
        assert after[key] == before[key], key
    assert len(refused) > len(written) / 2


@pytest.mark.parametrize("name", ["outputs", "history", "tokens", "tallies"])
def test_the_error_names_the_key(desk: Desk, name: str) -> None:
    letter = {"outputs": "o", "history": "h", "tokens": "t", "tallies": "c"}[name]
    settled = before_the_beat(desk)
    key = next(key for key in everything(desk) if f":flow:{letter}:".encode() in key)
    spoil(desk.conn, key)
    with pytest.raises(Exception, match=f"WRONGTYPE.*flow:{letter}:"):
        beat(desk, settled)
