"""C60: a job fails at the very moment when its lease runs out, and runs twice: as a retry and as one that was delivered again."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import pytest
import redis

from omniq_flow.lua.assemble import load
from omniq_flow.model.states import RunState
from tests.cases.effects import Effect
from tests.cases.rig import Rig
from tests.flowscripts.desk import LEASE, NOW, Desk, step
from tests.support.proxy import DROP_REQUEST, PASS, Action, Proxy, Seen

AROUND_MS = range(-20, 21)
ATTEMPTS = 5
LEASE_MS = 1_000
# The server counts in whole milliseconds, and this machine's two clocks are compared.
CLOCKS_MS = 3
FLOW = """
flow = Flow("case", lease="1s", retry=Retry(attempts=5, delay=0))

@flow.step
def offsets() -> list[int]:
    return list(range(-20, 21))

@flow.step
def work(ctx: StepContext, ms: int = each(offsets)) -> int:
    began = time.monotonic()
    effect(ctx)
    if ctx.attempt <= 2:
        while time.monotonic() < began + 1 + ms / 1000:
            time.sleep(0.0005)
        effect(ctx, "end")
        raise ValueError(str(ms))
    effect(ctx, "end")
    return ctx.attempt
"""


def test_c60_real_workers_at_the_threshold(rig: Rig) -> None:
    """41 handlers raise from 20 ms before to 20 ms after their leases run out: two workers sweep, and no heartbeat gets through.

    The attempts of each follow one another; of each the loss or the failure counts, never both. It is over only when its
    handler has ended or its lease is, and the next one starts after that.
    """
    rig.write(FLOW)
    beat = load("flow/lease_beat")

    def judge(n: int, command: Seen) -> Action:
        is_beat = command.is_script and command.args[1] in (beat.sha.encode(), beat.source.encode())
        return DROP_REQUEST if is_beat else PASS

    with Proxy(rig.url, judge, tcp=False) as proxy:
        crew = [rig.worker("-c", "41", url=proxy.url) for _ in range(2)]
        run = rig.start()
        rig.ends(run)
        assert [worker.stop() for worker in crew] == [0, 0]
    assert rig.header(run).state is RunState.SUCCEEDED, rig.states(run)
    starts, ends = _by_element(rig.effects("start", run)), _by_element(rig.effects("end", run))
    ahead = time.time() - time.monotonic()
    assert len(starts) == len(AROUND_MS)
    for element, tries in starts.items():
        started_at = {e.attempt: (e.at + ahead) * 1000 for e in tries}
        # A job that came late may lapse before it was started: then that attempt has no start.
        assert [e.attempt for e in tries] == sorted(started_at)
        told = [event for event in rig.events(run) if event.event.split()[1] == element]
        names = [f"Q {element} 1", *(f"retry {element} 1 {n}" for n in range(1, max(started_at))), f"D {element} 1"]
        assert [event.event for event in told] == names
        ended_at = {e.attempt: (e.at + ahead) * 1000 for e in ends[element]}
        for attempt, (since, over) in enumerate(pairwise(told[:-1]), 1):
            # It was leased after `since`, so its lease was not over before a second later.
            assert over.at_ms + CLOCKS_MS >= min(ended_at.get(attempt, math.inf), since.at_ms + LEASE_MS), (element, attempt)
            assert started_at.get(attempt + 1, math.inf) + CLOCKS_MS >= over.at_ms


def _by_element(effects: list[Effect]) -> dict[str, list[Effect]]:
    found: dict[str, list[Effect]] = {}
    for one in effects:
        found.setdefault(one.id, []).append(one)
    return found


@pytest.mark.parametrize("first", ["report", "sweep", "one call"])
def test_c60_each_millisecond_around_the_threshold(redis_conn: redis.Redis, first: str) -> None:
    """Report and sweep in either order, or in one beat, at each ms around the deadline: one of them counts, and one attempt follows it.

    In a beat of its own the report counts up to the ms in which another's sweep comes; in the same beat it comes first.
    """
    desk = Desk(redis_conn, "q")
    for offset in AROUND_MS:
        redis_conn.flushall()
        desk.now = NOW
        desk.start(desk.plan(step("a", attempts=ATTEMPTS)))
        for attempt in range(1, ATTEMPTS + 1):
            (taken,) = desk.take().values()
            assert taken.attempt == attempt
            desk.now = taken.until_ms + offset
            is_over = offset >= 0
            if first == "sweep":
                desk.tick()
                code = desk.settle(taken, "fail", 0, b"{}")
            elif first == "report":
                code = desk.settle(taken, "fail", 0, b"{}")
                desk.tick()
            else:
                code = desk.settle(taken, "fail", 0, b"{}")
            is_last = attempt == ATTEMPTS
            counts = not (first == "sweep" and is_over)
            assert code == (("FAILED" if is_last else "RETRY") if counts else "LOST"), offset
            # The report counts once, however often it is sent.
            assert desk.settle(taken, "fail", 0, b"{}") in ("LOST", "DUP")
            assert desk.conn.zcard(desk.key("active")) == 0
            desk.check()
            desk.now += LEASE
        told = [e.split() for e in desk.events()]
        assert [e[3] for e in told if e[0] == "retry"] == [str(n) for n in range(1, ATTEMPTS)]
        assert desk.header().state is RunState.FAILED
        assert desk.take() == {}
