"""C97: the order of a group ends at the first retry, and nobody says so."""

from __future__ import annotations

import threading
from typing import cast

from omniq_flow.client.client import Client
from omniq_flow.engine.starting import start
from omniq_flow.model.runs import new_run_id
from omniq_flow.model.states import RunState
from omniq_flow.ops.admin import retry_failed
from tests.cases.plain import ByHand
from tests.cases.rig import ROOT, Rig
from tests.support.until import wait_until

EACH = 50
FLOW = """
flow = Flow("case", input=N, group="of:{input.text}", max_parallel=1, retry=QUICK)

@flow.step
def work(ctx: StepContext, n: N) -> int:
    effect(ctx)
    if n.n == 1 and ctx.attempt < 3:
        raise ValueError("not yet")
    return ctx.attempt
"""


def test_c97_whoever_failed_goes_to_the_end(rig: Rig) -> None:
    """A job that fails twice is tried again behind B and C, and one that a person retries too: the default, which the docs state."""
    hand = ByHand(rig)
    for name in "ABC":
        hand.publish(name, gid="g", limit=1, backoff_ms=500)
    order = []
    for _ in range(5):
        (name,) = hand.take_all()
        order.append(name)
        hand.fail(name) if name == "A" else hand.ack(name)
        hand.wait_ms(500)
    assert order == ["A", "B", "C", "A", "A"], "due while B runs, at the end of those that wait then"
    for name in "DE":
        hand.publish(name, gid="g")
    rig.client.execute(retry_failed(hand.queue, "A", now_ms=hand.now))
    assert hand.names("g", "g", "wait") == ["D", "E", "A"]
    stated = "A job that failed, lapsed or was retried rejoins its group at the end"
    assert stated in (ROOT / "docs" / "omniq.md").read_text(encoding="utf-8")


def test_c97_so_it_is_for_the_jobs_of_flows(rig: Rig) -> None:
    """Runs that share a group: A B C, then A again and again, as its backoff lasts longer than B and C."""
    rig.write(FLOW)
    runs = {rig.start({"text": "g", "n": n}): n for n in (1, 2, 3)}
    rig.worker()
    assert [rig.ends(run) for run in runs] == [RunState.SUCCEEDED] * 3
    assert [runs[e.run] for e in rig.effects()] == [1, 2, 3, 1, 1]


def test_c97_without_failures_jobs_start_in_the_order_of_their_publishing(rig: Rig) -> None:
    """Two publishers at once, three workers: the starts follow the group's list, which has each publisher's order."""
    flow = rig.write(FLOW)
    sent: dict[str, list[str]] = {"x": [], "y": []}

    def publish(name: str) -> None:
        with Client.open(rig.url) as client:
            for _ in range(EACH):
                sent[name].append(start(client, flow, {"text": "g"}, run_id=new_run_id()).run_id)

    threads = [threading.Thread(target=publish, args=(name,)) for name in sent]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waiting = cast("list[bytes]", rig.conn.lrange("{case}:g:of:g:wait", 0, -1))
    queued = [job_id.decode().split(".")[1] for job_id in waiting]
    assert {name: [run for run in queued if run in runs] for name, runs in sent.items()} == sent
    rig.workers(3)
    wait_until(lambda: len(rig.effects()) == 2 * EACH, "all have run", 20)
    assert [e.run for e in rig.effects()] == queued
    assert {rig.ends(run) for run in queued} == {RunState.SUCCEEDED}
