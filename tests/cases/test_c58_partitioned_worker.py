"""C58: a job is declared dead after missed heartbeats, but its handler runs on and does its effects later."""

from __future__ import annotations

import time

from omniq_flow.model.states import RunState
from tests.cases.rig import Rig
from tests.support.proxy import DROP_REQUEST, PASS, Action, Proxy, Seen
from tests.support.until import wait_until

LEASE_S = 2.0
AWAY_S = 4.0
# A beat is sent every third of a lease; the rest is what a busy machine adds.
TOLD_S = LEASE_S + LEASE_S / 3 + 0.5
FLOW = """
flow = Flow("case", input=N, lease="2s", retry=Retry(attempts=3, backoff="fixed", delay="0.5s"))

@flow.step
def source() -> list[int]:
    return [0, 1]

@flow.step
def work(ctx: StepContext, given: N, n: int = each(source)) -> int:
    effect(ctx)
    while given.text == "hold" and ctx.attempt == 1:
        if ctx.is_cancelled:
            effect(ctx, "told" if ctx.lease_lost.is_set() else "cancelled")
            return -1
        effect(ctx, "mark")
        time.sleep(0.05)
    return ctx.attempt

@flow.step
def join(ctx: StepContext, all: list[int] = gather(work)) -> list[int]:
    effect(ctx)
    return all
"""


def test_c58_a_worker_that_cannot_renew_tells_its_handlers_in_time(rig: Rig) -> None:
    """Cut off from the server for two leases, it tells its handlers that the lease is lost before anybody else may take the job.

    A handler that asks does nothing after that. The other worker's attempts commit, what the first one reports when it is
    back is refused and logged, and the join starts once. 8 s are 4 s here.
    """
    rig.write(FLOW)
    is_away = False

    def judge(n: int, command: Seen) -> Action:
        return DROP_REQUEST if is_away else PASS

    with Proxy(rig.url, judge, tcp=False) as proxy:
        first = rig.worker(url=proxy.url)
        run = rig.start({"text": "hold"})
        wait_until(lambda: rig.starts(run) == {"work-0": 1, "work-1": 1}, "the first worker works")
        second = rig.worker()
        cut = time.monotonic()
        is_away = True
        proxy.blackhole()
        assert rig.ends(run, 10) is RunState.SUCCEEDED
        wait_until(lambda: time.monotonic() > cut + AWAY_S, "the first one stays away")
        is_away = False
        proxy.cut()
        wait_until(lambda: all(f"lease lost: work[{n}]" in first.said() for n in (0, 1)), "its reports are refused", 20)
        assert second.stop() == 0
        again = rig.start()
        assert rig.ends(again) is RunState.SUCCEEDED
        assert {e.pid for e in rig.effects("start", again)} == {first.pid}, "it works again"
        assert first.stop() == 0
    assert rig.output(run, "join") == [2, 2]
    assert rig.starts(run) == {"work-0": 2, "work-1": 2, "join": 1}
    assert sorted(e.event for e in rig.events(run) if e.event.startswith("D work")) == ["D work-0 1", "D work-1 1"]
    for element in ("work-0", "work-1"):
        mine = [e for e in rig.effects("mark", run) if e.id == element]
        (told,) = [e for e in rig.effects("told", run) if e.id == element]
        old, new = [e for e in rig.effects("start", run) if e.id == element]
        assert (old.pid, new.pid, told.pid) == (first.pid, second.pid, first.pid)
        assert {e.pid for e in mine} == {first.pid}
        assert told.at - cut <= TOLD_S
        assert max(e.at for e in mine) < told.at < new.at
