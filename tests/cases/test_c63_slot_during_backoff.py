"""C63: a job that waits for its next attempt keeps its slot for ever, or gives it up and is never tried again."""

from __future__ import annotations

from omniq_flow.model.states import RunState
from tests.cases.plain import LEASE_MS, ByHand
from tests.cases.rig import Rig

FLOW = """
flow = Flow("case", input=N, group="of:{input.n}", max_parallel=1, retry=Retry(attempts=2, backoff="fixed", delay="1s"))

@flow.step
def work(ctx: StepContext, n: N) -> int:
    effect(ctx)
    if n.text == "A" and ctx.attempt == 1:
        raise ValueError("not yet")
    return ctx.attempt
"""
BACKOFF_S = 1.0


def test_c63_others_of_its_group_use_the_slot_meanwhile(rig: Rig) -> None:
    """A job that failed gives its slot back: B and C of its group run during the backoff, then A is tried again, at its time."""
    rig.write(FLOW)
    runs = {rig.start({"n": 1, "text": name}): name for name in "ABC"}
    rig.worker()
    assert [rig.ends(run) for run in runs] == [RunState.SUCCEEDED] * 3
    starts = [(runs[e.run], e.attempt) for e in rig.effects()]
    assert starts == [("A", 1), ("B", 1), ("C", 1), ("A", 2)]
    failed, *meanwhile, again = (e.at for e in rig.effects())
    assert max(meanwhile) < failed + BACKOFF_S <= again
    assert rig.conn.get("{case}:g:of:1:inflight") == b"0"


def test_c63_a_plain_job_gives_its_slot_back(rig: Rig) -> None:
    """The same of plain jobs, whether the attempt failed by report or by a lost lease: no slot is held by what waits."""
    hand = ByHand(rig)
    for name in "ABC":
        hand.publish(name, gid="g", limit=1, backoff_ms=3_000)
    assert hand.take_all() == ["A"]
    hand.fail("A")
    assert hand.inflight("g") == 0
    assert hand.take_all() == ["B"]
    hand.wait_ms(LEASE_MS)
    assert (hand.inflight("g"), hand.due()) == (0, ["B"]), "the lease of B was lost, A is back in its group"
    order = ["B"]
    for _ in range(3):
        (name,) = hand.take_all()
        order.append(name)
        assert hand.inflight("g") == 1
        hand.ack(name)
        hand.wait_ms(1_500)
    assert order == ["B", "C", "A", "B"]
    assert hand.inflight("g") == 0
    assert [hand.field(name, "attempt") for name in "ABC"] == ["2", "2", "1"]
