"""C74: the last element of a fan-in is counted, and whoever counted it dies before the join is published."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest

from omniq_flow.model.runs import new_run_id
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from omniq_flow.ops.runs import run_start
from omniq_flow.ops.ticks import Settled, Taken, TickReply, list_stage, tick
from tests.cases.rig import Rig, WorkerProcess
from tests.cases.sent import reported
from tests.support.proxy import DROP_REQUEST, PASS, Action, Proxy, Seen, then
from tests.support.until import wait_until

LEASE_S, BACKOFF_S, SLACK_S = 1.0, 0.2, 0.8
ITEMS = ("item-0", "item-1", "item-2")
FLOW = """
flow = Flow("case", input=N, lease="1s", retry=QUICK)

@flow.step
def source(n: N) -> list[int]:
    return [0, 1, 2]

@flow.step
def item(ctx: StepContext, i: int = each(source)) -> int:
    effect(ctx)
    return i

@flow.step
def join(ctx: StepContext, items: list[int] = gather(item)) -> list[int]:
    effect(ctx)
    return items
"""
OFFSETS = 50
START_MS, LEASE_MS, BACKOFF_MS = 1_800_000_000_000, 1_000, 200


class Reaper:
    """Kills the worker that reports the last item of a run, before the server hears of it or just after."""

    def __init__(self, when: str) -> None:
        self.when = when
        self.killed_at = 0.0
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def judge(self, command: Seen, worker: Callable[[], WorkerProcess]) -> Action:
        items = set(reported(command)).intersection(ITEMS)
        with self._lock:
            self._told |= items
            if not items or self.killed_at or len(self._told) < len(ITEMS):
                return PASS
            if self.when == "before":
                self._kill(worker())
                return DROP_REQUEST
            # Nobody else may be killed while the server is at it.
            self.killed_at = time.monotonic()
            return then(lambda: self._kill(worker()))

    def _kill(self, worker: WorkerProcess) -> None:
        worker.kill()
        self.killed_at = time.monotonic()


def test_c74_a_worker_killed_with_the_last_element_does_not_take_the_join_with_it(rig: Rig) -> None:
    """Killed before the last report is heard, or after it and before its answer, the join is published and started once.

    Report, count and join are one transition, so "counted and not published" does not exist. Recovery: lease, backoff and two looks.
    """
    rig.write(FLOW)
    crew: list[WorkerProcess] = []
    reapers = [Reaper("before"), Reaper("after")]
    current: list[Reaper] = []

    def judging(n: int) -> Callable[[int, Seen], Action]:
        return lambda _, command: current[0].judge(command, lambda: crew[n]) if current else PASS

    proxies = [Proxy(rig.url, judging(n), tcp=False).start() for n in range(3)]
    try:
        # An idle worker that looks less often than a lease lasts learns late that one has lapsed.
        crew += [rig.worker("--poll", "200ms", url=proxy.url, wait=False) for proxy in proxies]
        wait_until(lambda: rig.conn.zcard(keys.workers(rig.flow.queue)) == 3, "three workers serve the queue", 20)
        for reaper in reapers:
            current[:] = [reaper]
            run = rig.start({"text": reaper.when})
            assert rig.ends(run) is RunState.SUCCEEDED
            took = time.monotonic() - reaper.killed_at
            assert reaper.killed_at
            assert took <= LEASE_S + BACKOFF_S + SLACK_S
            assert rig.output(run, "join") == [0, 1, 2]
            assert rig.dispatches(run) == dict.fromkeys(("source", *ITEMS, "join"), 1)
            assert rig.starts(run)["join"] == 1
            assert sum(e.event.startswith("D item") for e in rig.events(run)) == 3
            repeated = sum(rig.starts(run)[item] - 1 for item in ITEMS)
            assert (repeated > 0) == (reaper.when == "before"), "an item is done again only if its report was not heard"
        assert [worker.is_alive for worker in crew].count(True) == 1
    finally:
        for proxy in proxies:
            proxy.close()
    assert rig.counters() == []


class ByHand:
    """Two workers' beats made by hand, under a clock of the test's own."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self.rig, self.plan, self.rng = rig, rig.flow.plan(), random.Random(seed)
        self.now = START_MS
        self.run = new_run_id()
        self.seed, self.beats = seed, 0
        rig.client.execute(run_start(self.plan, self.run, b'{"n":%d}' % seed, with_plan=True, now_ms=self.now))

    def beat(self, worker: str, settled: list[Settled], take: int) -> TickReply:
        self.beats += 1
        request, worker = f"{self.seed}-{self.beats}", f"{worker}{self.seed}"
        op = tick(self.plan.queue, worker=worker, request=request, salt=request, settled=settled, take=take, now_ms=self.now)
        return self.rig.client.execute(op)

    def report(self, job: Taken) -> Settled:
        assert job.flow
        if job.flow.step_run.step == "source":
            self.rig.client.execute(list_stage(self.plan.queue, job.job_id, job.token, 0, [b"0", b"1", b"2"]))
            return Settled(job.job_id, job.token, "list", 3)
        return Settled(job.job_id, job.token, "ok", 0, b"%d" % job.attempt)

    def items_are_taken(self) -> list[Taken]:
        (source,) = self.beat("w1-", [], 4).taken
        items = list(self.beat("w1-", [self.report(source)], 4).taken)
        self.rng.shuffle(items)
        assert len(items) == 3
        return items

    def finish(self) -> list[Taken]:
        """The other worker does what is left; the jobs it took."""
        taken: list[Taken] = []
        jobs = self.beat("w2-", [], 4).taken
        while jobs:
            taken += jobs
            jobs = self.beat("w2-", [self.report(job) for job in jobs], 4).taken
        return taken


@pytest.mark.parametrize("when", ["before", "after"])
def test_c74_wherever_the_last_report_stops_there_is_one_join(rig: Rig, when: str) -> None:
    """At 50 random offsets the last report is not heard, or heard and not answered: one join, after lease and backoff at most."""
    rig.write(FLOW)
    for seed in range(OFFSETS):
        hand = ByHand(rig, seed)
        *early, last = hand.items_are_taken()
        for job in early:
            hand.now += hand.rng.randrange(300)
            assert hand.beat("w1-", [hand.report(job)], 0).codes == ("OK",)
        hand.now += hand.rng.randrange(300)
        words = hand.report(last)
        took_join = False
        if when == "after":
            reply = hand.beat("w1-", [words], hand.rng.randrange(2))
            assert reply.codes == ("OK",)
            took_join = bool(reply.taken)
        died_at = hand.now
        # What the dead worker held comes back; what it did not hold is there at once.
        hand.now = START_MS + LEASE_MS if when == "before" else died_at + LEASE_MS * took_join
        taken = hand.finish()
        if when == "before" or took_join:
            assert taken == []
            hand.now += BACKOFF_MS
            taken = hand.finish()
        names = [job.flow.step_run.id for job in taken if job.flow]
        assert last.flow
        assert names == [last.flow.step_run.id, "join"] if when == "before" else names == ["join"]
        assert hand.now - died_at <= LEASE_MS + BACKOFF_MS
        # A report that was held up comes in after all.
        assert hand.beat("w1-", [words], 0).codes == ("LOST" if when == "before" else "DUP",)
        assert rig.header(hand.run).state is RunState.SUCCEEDED
        assert rig.dispatches(hand.run) == dict.fromkeys(("source", *ITEMS, "join"), 1)
    assert rig.counters() == []
