"""C59: a job that has just been taken is swept away, because the take and its bookkeeping are separate writes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from omniq_flow.client.client import Client
from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.states import RunState
from omniq_flow.ops.admin import reap_expired
from omniq_flow.ops.ticks import tick
from tests.cases.consumers import Plain
from tests.cases.rig import Rig

REAPERS = 4
JOBS = 3_000
# As the flow has it: the point is not how long a lease is, but that nobody sees a job without one.
LEASE_MS = 30_000
FLOW = """
flow = Flow("case", lease="30s", retry=QUICK)

@flow.step
def source() -> list[int]:
    return list(range(3_000))

@flow.step
def work(ctx: StepContext, n: int = each(source)) -> int:
    effect(ctx)
    return n

@flow.step
def join(ctx: StepContext, all: list[int] = gather(work)) -> int:
    effect(ctx)
    return len(all)
"""


@contextlib.contextmanager
def reaping(rig: Rig) -> Iterator[list[int]]:
    """Four who do nothing but upkeep, as plain clients and as workers do it: what each plain round has reaped."""
    rounds: list[int] = []
    is_over = threading.Event()

    def reap(name: str) -> None:
        with Client.open(rig.url) as client:
            while not is_over.is_set():
                rounds.append(client.execute(reap_expired(rig.flow.queue)))
                client.execute(tick(rig.flow.queue, worker=name, request="", salt="s"))

    threads = [threading.Thread(target=reap, args=(f"reaper-{n}",)) for n in range(REAPERS)]
    for thread in threads:
        thread.start()
    try:
        yield rounds
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_c59_what_was_just_taken_is_never_reaped(rig: Rig) -> None:
    """Four reapers in a tight loop beside three workers: of 3,000 jobs none is reaped, each has one attempt and one commit."""
    rig.write(FLOW)
    rig.workers(3)
    with reaping(rig) as rounds:
        run = rig.start()
        assert rig.ends(run) is RunState.SUCCEEDED
    assert sum(rounds) == 0
    assert len(rounds) > 50
    starts = rig.effects("start", run)
    assert len({e.id for e in starts}) == len(starts) == JOBS + 1
    assert {e.attempt for e in starts} == {1}
    assert rig.output(run, "join") == JOBS


def test_c59_plain_jobs_are_never_reaped_either(rig: Rig) -> None:
    """The same with 3,000 plain jobs and three consumers."""
    plain = Plain(rig, "def handler(ctx): note(ctx)")
    plain.publish_all(((f"job-{n}", n) for n in range(JOBS)), options=JobOptions(timeout_ms=LEASE_MS))
    with reaping(rig) as rounds:
        plain.consumers(3)
        plain.ends()
    assert sum(rounds) == 0
    starts = rig.effects()
    assert len({e.id for e in starts}) == len(starts) == JOBS
    assert {e.attempt for e in starts} == {1}
