"""An idle worker's beat takes plain jobs by a short way of its own: what it leaves is what `reserve` would have left (wire §7)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from omniq_flow.ops import keys, ticks
from omniq_flow.ops.ticks import TickReply
from tests.conformance.kit import dump
from tests.flowscripts.desk import NOW, RUN, Desk, step


def prepare(desk: Desk, seed: int) -> None:
    """Plain jobs with all kinds of settings, at times one that was worked before, and a turn that may be the groups'."""
    rng = random.Random(seed)
    desk.conn.flushall()
    desk.now = NOW
    for i in range(rng.randint(1, 6)):
        desk.omniq("enqueue", f"j{i}", f'{{"n":{i}}}', rng.randint(1, 4), rng.choice((0, 500, 30_000)), 0, desk.now, 0, "", 0)
    if rng.random() < 0.6:
        _, job_id, *_, token = desk.omniq("reserve", desk.now)
        desk.omniq("ack_fail", job_id, desk.now, token, "no")
        desk.omniq("promote_delayed", desk.now, 10)
    desk.now += 1_000


def beat(desk: Desk, take: int) -> TickReply:
    """Without a salt tokens are those that `reserve` gives."""
    return desk.execute(ticks.tick(desk.queue, worker="w.0", request="r", salt="", settled=(), take=take, idle_ms=500, now_ms=desk.now))


def wire_state(desk: Desk) -> dict[str, Any]:
    """The keyspace without what only our beat writes: its memory, who is idle, and who holds a lease."""
    state = {key: entry for key, entry in dump(desk.conn).items() if ":flow:" not in key}
    for kind, value, *_ in state.values():
        if kind == "hash":
            value.pop("flow_worker", None)
    return state


@pytest.mark.parametrize("seed", range(16))
def test_it_leaves_what_reserve_leaves(desk: Desk, seed: int) -> None:
    take = random.Random(seed).choice((1, 2, 64))
    prepare(desk, seed)
    taken = beat(desk, take).taken
    ours = wire_state(desk)
    prepare(desk, seed)
    theirs = [reply for _ in range(take) if (reply := desk.omniq("reserve", desk.now))[0] == b"JOB"]
    assert ours == wire_state(desk)
    assert [[t.job_id, t.payload.decode(), str(t.until_ms), str(t.attempt), str(t.max_attempts), t.gid, t.token] for t in taken] == [
        [value.decode() for value in reply[1:]] for reply in theirs
    ]


def test_who_is_full_wakes_the_next_if_more_is_left(desk: Desk) -> None:
    for n in range(3):
        desk.publish(f"p{n}")
    desk.conn.zadd(desk.key("flow", "idle"), {"idle": desk.now + 60_000})
    assert len(desk.tick(take=2).taken) == 2
    assert desk.conn.lrange(keys.wake(desk.queue, "idle"), 0, -1) == [b"1"]


def test_who_takes_the_last_wakes_nobody(desk: Desk) -> None:
    for n in range(2):
        desk.publish(f"p{n}")
    desk.conn.zadd(desk.key("flow", "idle"), {"idle": desk.now + 60_000})
    assert len(desk.tick(take=2).taken) == 2
    assert desk.conn.zrange(desk.key("flow", "idle"), 0, -1) == [b"idle"]


def test_it_sleeps_until_what_is_due_first(desk: Desk) -> None:
    """A lease of its own counts as well."""
    desk.omniq("enqueue", "later", "{}", 1, 60_000, 0, desk.now, desk.now + 9_000, "", 0)
    desk.omniq("enqueue", "short", "{}", 1, 2_000, 0, desk.now, 0, "", 0)
    assert desk.tick(take=5).next_ms == desk.now + 2_000
    desk.now += 1_000
    assert desk.tick(take=5).next_ms == desk.now + 1_000


@pytest.mark.parametrize(
    ("case", "more"), [("ghost", set()), ("a step run", {"a"}), ("a group is ready", {"odd"}), ("of another type", set())]
)
def test_anything_else_is_taken_the_long_way(desk: Desk, case: str, more: set[str]) -> None:
    """Which jobs there are decides what is done, not how: plain ones are taken all the same."""
    desk.publish("before")
    match case:
        case "ghost":
            desk.conn.rpush(desk.key("wait"), "gone")
        case "a step run":
            desk.start(desk.plan(step("a")))
            desk.conn.rename(desk.key("g", RUN, "wait"), desk.key("other"))
            desk.conn.delete(desk.key("other"), desk.key("groups", "ready"))
            desk.conn.rpush(desk.key("wait"), desk.job_id("a"))
        case "a group is ready":
            desk.publish("odd", gid="g")
        case _:
            desk.conn.rpush(desk.key("wait"), "odd")
            desk.conn.set(keys.job(desk.queue, "odd"), "text")
    desk.publish("after")
    taken = desk.take()
    assert set(taken) == {"before", "after"} | more
    assert desk.conn.llen(desk.key("wait")) == 0
    assert desk.tick(take=5).taken == ()
