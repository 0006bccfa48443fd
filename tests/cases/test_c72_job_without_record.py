"""C72: a job whose record is gone is handed out with an empty payload, and a piece of a record is written back."""

from __future__ import annotations

import pytest

from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.cases.plain import ByHand
from tests.cases.rig import Rig
from tests.support.until import wait_until

FLOW = """
flow = Flow("case", input=N, group="of:{input.text}", max_parallel=1, retry=Retry(attempts=3, backoff="fixed", delay="1s"))

@flow.step
def work(ctx: StepContext, n: N) -> int:
    effect(ctx)
    if n.n == 1 and ctx.attempt == 1:
        raise ValueError("tried again")
    return ctx.attempt
"""


def job_key(run: str, epoch: int = 1) -> str:
    return keys.job("case", f"f.{run}.work.{epoch}")


def test_c72_a_flow_makes_the_job_again(rig: Rig) -> None:
    """The record of a job is deleted while it waits in its group, or for its next attempt: the handler is not called for it, the
    step is dispatched anew, and its history says that a job was lost.

    A run is looked after every 5 s here: that moment is moved to now.
    """
    rig.write(FLOW)
    waiting = [rig.start({"text": "g"}) for _ in range(3)]
    assert rig.conn.delete(job_key(waiting[1])) == 1
    delayed = rig.start({"n": 1, "text": "h"})
    rig.worker("--poll", "50ms")
    wait_until(lambda: rig.conn.zscore("{case}:delayed", f"f.{delayed}.work.1"), "it waits for its next attempt")
    assert rig.conn.delete(job_key(delayed)) == 1
    wait_until(lambda: rig.header(waiting[2]).state.is_ended and not rig.conn.zcard("{case}:delayed"), "those behind them are done")
    lost = (waiting[1], delayed)
    assert [rig.starts(run)["work"] for run in lost] == [0, 1]
    assert not rig.conn.exists(*(job_key(run) for run in lost)), "no piece of a record was written"
    rig.conn.zadd(keys.live("case"), dict.fromkeys(lost, 1), xx=True)
    assert [rig.ends(run, 5) for run in (*waiting, delayed)] == [RunState.SUCCEEDED] * 4
    for run in lost:
        assert [e.event for e in rig.events(run) if e.event.startswith("lost ")] == ["lost work 1"]
        assert not rig.conn.exists(job_key(run))
        assert rig.conn.exists(job_key(run, 2))
    assert [rig.starts(run)["work"] for run in lost] == [1, 3], "new jobs count their attempts anew"
    assert rig.conn.get("{case}:g:of:g:inflight") == b"0"


@pytest.mark.parametrize("lane", ["wait", "gwait", "delayed"])
def test_c72_a_plain_job_is_passed_over(rig: Rig, lane: str) -> None:
    """Of a plain job without a record nothing is known: nobody gets it, no slot is taken for it, and its id leaves lane and figures."""
    hand = ByHand(rig)
    gid = "g" if lane == "gwait" else ""
    for name in ("first", "ghost", "last"):
        hand.publish(name, gid=gid, limit=1, in_ms=500 if lane == "delayed" else 0)
    assert rig.conn.delete(keys.job("case", "ghost")) == 1
    hand.wait_ms(500)
    worked = []
    while name := hand.take():
        worked.append(name)
        assert hand.inflight("g") == len(hand.leased() if gid else [])
        hand.ack(name)
    assert worked == ["first", "last"]
    assert not rig.conn.exists(keys.job("case", "ghost"))
    assert hand.names("wait") == hand.names("g", "g", "wait") == hand.due() == []
    stats = rig.conn.hgetall("{case}:stats")
    assert {int(stats.get(field, 0)) for field in (b"waiting_total", b"waiting", b"group_waiting", b"delayed", b"active")} == {0}
