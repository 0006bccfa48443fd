"""Each check sees what it is for: a sound keyspace is damaged in one way, and exactly the named invariants are broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
import redis

from omniq_flow.model.plan import InputPlan, Plan, StepPlan
from omniq_flow.ops import keys, runs, ticks
from omniq_flow.ops.ticks import Settled, Taken
from tests.invariants.checker import assert_holds, check, leaks
from tests.invariants.snapshot import Snapshot
from tests.oracle.executor import Executor

NOW = 1_800_000_000_000
QUEUE = "inv"
RUN, ENDED = "0" * 25 + "A", "0" * 25 + "B"
BOOK = Plan(
    "book",
    QUEUE,
    (
        StepPlan("split", (), (InputPlan("given", "input"),), is_list=True),
        StepPlan("late"),
        StepPlan("page", ("split",), (InputPlan("page", "each", "split"),)),
        StepPlan("read", ("split",), (InputPlan("page", "each", "split"), InputPlan("late", "result", "late"))),
        StepPlan("total", (), (InputPlan("pages", "gather", "page"), InputPlan("late", "result", "late"))),
        StepPlan("odd"),
        StepPlan("after_odd", (), (InputPlan("after:odd", "after", "odd"),)),
    ),
)
SMALL = Plan("small", QUEUE, (StepPlan("one"),))


class Stage:
    """A queue with a run in the middle of its life and one that has ended."""

    def __init__(self, conn: redis.Redis) -> None:
        self.conn, self.execute, self.beats = conn, Executor(conn), 0

    def build(self) -> None:
        """Left behind: a parked list, a gate and a collection half told, jobs in every lane, a failure and its consequence."""
        self.execute(runs.run_start(BOOK, RUN, b"1", with_plan=True, now_ms=NOW))
        self.execute(runs.run_start(SMALL, ENDED, b"2", with_plan=True, now_ms=NOW, key="k"))
        taken = {t.job_id.split(".")[2]: t for t in self.tick(take=8)}
        self.execute(ticks.list_stage(QUEUE, taken["split"].job_id, taken["split"].token, 0, [b"1", b"2", b"3", b"4"]))
        self.tick(
            ok(taken["one"], b'"' + b"x" * 70_000 + b'"'),
            fatal(taken["odd"]),
            Settled(taken["split"].job_id, taken["split"].token, "list", 4),
        )
        pages = {t.job_id.split(".")[2]: t for t in self.tick(take=3)}
        self.tick(ok(pages["page-0"], b"10"), Settled(pages["page-1"].job_id, pages["page-1"].token, "fail", 5_000, b"{}", "once more"))

    def tick(self, *settled: Settled, take: int = 0) -> tuple[Taken, ...]:
        self.beats += 1
        op = ticks.tick(QUEUE, worker="w", request=str(self.beats), salt="s", settled=settled, take=take, now_ms=NOW)
        reply = self.execute(op)
        assert set(reply.codes) <= {"OK", "RETRY", "FAILED"}
        return reply.taken


def ok(taken: Taken, value: bytes) -> Settled:
    return Settled(taken.job_id, taken.token, "ok", 0, value)


def fatal(taken: Taken) -> Settled:
    return Settled(taken.job_id, taken.token, "fatal", 0, b'{"type":"ValueError","message":"no"}', "no")


@pytest.fixture
def sound(redis_conn: redis.Redis) -> redis.Redis:
    Stage(redis_conn).build()
    return redis_conn


def key(*parts: str) -> str:
    return keys.queue_key(QUEUE, *parts)


def derived(kind: str) -> str:
    return key("flow", kind, f"{RUN}.0")


def job(step_run: str, epoch: int = 1) -> str:
    return f"f.{RUN}.{step_run}.{epoch}"


def test_a_sound_keyspace_breaks_nothing(sound: redis.Redis) -> None:
    """And it holds one of everything that is looked at, so that no check passes for want of something to see."""
    assert_holds(sound, QUEUE, NOW)
    s = Snapshot.read(sound, QUEUE, NOW)
    run = s.runs[RUN]
    assert run.parked == {"in:read|"}
    assert run.gates == {"in:read": "1||0|1", "of:page": "4|3|0|0|1"}
    assert set(run.counters) == {"in:read", "of:page"}
    assert {state for j in s.jobs.values() for state in [j["state"]]} == {"wait", "active", "delayed", "failed", "completed"}
    assert {f.state.value for f in run.facts.values()} == {"Q", "D", "F", "U"}
    assert s.runs[ENDED].state == "succeeded"


Damage = Callable[[redis.Redis], object]

DAMAGES: dict[str, tuple[str, Damage]] = {
    "a letter that no step of the plan has": ("I1 I15 L1", lambda c: c.hset(key("flow", "s", RUN), "ghost", "U0")),
    "an epoch of the future": ("I1 I9 L4", lambda c: c.hset(key("flow", "s", RUN), "page-0", "D9")),
    "an element beyond the list": ("I1 I15 L1", lambda c: c.hset(key("flow", "s", RUN), "page-7", "U0")),
    "a job without a record": ("I4 I10", lambda c: c.delete(key("job", job("late")))),
    "a waiting job in no list": ("I4 I11 stats idx", lambda c: c.lrem(key("g", RUN, "wait"), 0, job("page-3"))),
    "a job in two lanes": ("I4 I5 stats", lambda c: c.rpush(key("wait"), job("page-3"))),
    "a job twice in its lane": ("I4 I5 stats", lambda c: c.rpush(key("g", RUN, "wait"), job("page-3"))),
    "a step run whose job has ended": ("I4", lambda c: c.hset(key("job", job("late")), "state", "completed")),
    "an output of nothing": ("I6", lambda c: c.hset(key("flow", "o", RUN), "late", "=1")),
    "a success without its output": ("I6", lambda c: c.hdel(key("flow", "o", RUN), "page-0")),
    "an element that is gone": ("I6", lambda c: c.hdel(key("flow", "v", RUN, "split", "1"), "2")),
    "a large value that is gone": ("I6", lambda c: c.delete(key("flow", "v", ENDED, "one", "1"))),
    "a success that nobody reported": ("I9", lambda c: c.hdel(key("flow", "t", RUN), "page-0.1")),
    "a report of what is still queued": ("I9", lambda c: c.hset(key("flow", "t", RUN), "late.1", "abc")),
    "a deadline that its score does not say": ("I10", lambda c: c.zadd(key("active"), {job("late"): NOW + 5})),
    "a lease without a token": ("I10", lambda c: c.hset(key("job", job("late")), "lease_token", "")),
    "a token without a lease": ("I10", lambda c: c.hset(key("job", job("page-3")), "lease_token", "abc")),
    "a slot that nobody uses": ("I10", lambda c: c.incr(key("g", RUN, "inflight"))),
    "more slots than the limit": ("I10", lambda c: c.set(key("g", RUN, "limit"), "1")),
    "a group that nobody serves": ("I11 stats", lambda c: c.zrem(key("groups", "ready"), RUN)),
    "a run in no index": ("I13", lambda c: c.zrem(key("flow", "live"), RUN)),
    "a run that is looked at in an hour": ("I13", lambda c: c.zadd(key("flow", "live"), {RUN: NOW + 3_600_000})),
    "an ended run among the live": ("I13", lambda c: c.zadd(key("flow", "live"), {ENDED: NOW})),
    "an event that is missing": ("I15", lambda c: c.lrem(key("flow", "h", RUN), 1, event(c, "D page-0"))),
    "an event that never happened": ("I15", lambda c: c.rpush(key("flow", "h", RUN), f"99|{NOW}|D late 1")),
    "a step run dispatched twice": ("I5", lambda c: again(c, "Q late 1")),
    "an end told twice": ("I6", lambda c: again(c, "D page-0 1")),
    "a verdict without its event": ("I15", lambda c: c.hset(key("flow", "r", RUN), "state", "running")),
    "an open job that is not counted": ("L1", lambda c: c.hincrby(key("flow", "r", RUN), "open", -1)),
    "a tally that is off": ("L1 I15", lambda c: c.hincrby(key("flow", "c", RUN), "page:D", 1)),
    "a window that is off": ("L1", lambda c: c.hincrby(key("flow", "c", RUN), "split:i", 1)),
    "work that is not counted": ("L1", lambda c: c.rpush(derived("q"), "t|page|-9|0|")),
    "an ended run with a gate": ("L1", lambda c: c.hset(key("flow", "n", f"{ENDED}.0"), "in:one", "1||0|0")),
    "an ended run with work": ("L1", lambda c: c.rpush(key("flow", "q", f"{ENDED}.0", "one"), "r|one||0|")),
    "a gate that is gone": ("L4", lambda c: c.hdel(derived("n"), "in:read")),
    "a gate with another input told": ("L4", lambda c: c.hset(derived("n"), "in:read", "0|v|1|1")),
    "a collection that is gone": ("L4", lambda c: c.hdel(derived("n"), "of:page")),
    "a counter that is off": ("L4", lambda c: c.incr(key("cc", f"{RUN}.0", "of:page", "count"))),
    "a counter that is gone": ("L4", lambda c: c.delete(key("cc", f"{RUN}.0", "in:read", "count"))),
    "a member that did not report": ("L4", lambda c: c.sadd(key("cc", f"{RUN}.0", "of:page", "done"), "3")),
    "a list that is not parked": ("L4", lambda c: c.zrem(derived("p"), "in:read|")),
    "a parked entry of nothing": ("L4", lambda c: c.zadd(derived("p"), {"in:total|": 0})),
    "facts that expire": ("C06", lambda c: c.expire(key("flow", "s", RUN), 1_000)),
    "a figure that is off": ("stats", lambda c: c.hincrby(key("stats"), "active", 1)),
    "an index that is off": ("idx", lambda c: c.zadd(key("idx", "failed"), {"nobody": 1})),
}


def event(conn: redis.Redis, text: str) -> str:
    lines = cast("list[bytes]", conn.lrange(key("flow", "h", RUN), 0, -1))
    return next(line.decode() for line in lines if line.decode().endswith(f"|{text}") or f"|{text} " in line.decode())


def again(conn: redis.Redis, text: str) -> None:
    """Tell an event once more, under the next revision."""
    rev = conn.hincrby(key("flow", "r", RUN), "rev", 1)
    conn.rpush(key("flow", "h", RUN), f"{rev}|{NOW}|{text}")


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damage_breaks_what_it_should_and_no_more(sound: redis.Redis, what: str) -> None:
    expected, damage = DAMAGES[what]
    damage(sound)
    found = check(Snapshot.read(sound, QUEUE, NOW))
    assert {fault.partition(":")[0] for fault in found} == set(expected.split()), "\n".join(found)


def test_a_run_with_nothing_open_must_have_work_and_be_due(redis_conn: redis.Redis) -> None:
    """L2, on a flow that is cut short: its only job is taken away together with its fact."""
    Executor(redis_conn)(runs.run_start(SMALL, RUN, b"1", with_plan=True, now_ms=NOW))
    redis_conn.delete(key("flow", "s", RUN), key("flow", "c", RUN), key("job", job("one")), key("g", RUN, "wait"))
    redis_conn.hset(key("flow", "r", RUN), "open", 0)
    found = {fault.partition(":")[0] for fault in check(Snapshot.read(redis_conn, QUEUE, NOW))}
    assert "L2" in found


def test_assert_holds_says_all_that_is_wrong(sound: redis.Redis) -> None:
    sound.hincrby(key("stats"), "active", 1)
    sound.incr(key("g", RUN, "inflight"))
    with pytest.raises(AssertionError, match=r"(?s)I10: .*stats: "):
        assert_holds(sound, QUEUE)


def test_what_a_run_leaves_is_a_leak(sound: redis.Redis) -> None:
    found = leaks(sound, QUEUE)
    assert key("flow", "r", RUN) in found
    assert key("flow", "v", ENDED, "one", "1") in found
    assert key("g", RUN, "limit") in found
    assert not {key("stats"), key("lane:rr"), key("lease:seq"), key("has_groups"), key("flow", "a", "w")} & set(found)


def test_a_memory_that_never_ends_is_a_leak(redis_conn: redis.Redis) -> None:
    redis_conn.set(key("flow", "a", "w"), "x", px=1_000)
    redis_conn.set(key("flow", "a", "v"), "x")
    redis_conn.mset({key("g", "shared", "limit"): "2", key("g", "shared", "inflight"): "0", key("g", "stuck", "inflight"): "1"})
    assert leaks(redis_conn, QUEUE) == [key("flow", "a", "v"), key("g", "stuck", "inflight")]
