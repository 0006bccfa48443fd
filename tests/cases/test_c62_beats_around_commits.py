"""C62: a run that had succeeded is marked as crashed, because a late heartbeat of it failed."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter

import pytest

from omniq_flow.engine.attempt import Attempt
from omniq_flow.engine.heartbeat import Heartbeat
from omniq_flow.engine.worker import Ending, Worker
from omniq_flow.flow.context import JobContext
from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.states import RunState, StepState
from omniq_flow.omniq.consume import Consumer
from omniq_flow.ops import keys
from tests.cases.consumers import Plain
from tests.cases.rig import Rig
from tests.engine.life import working
from tests.support.until import until

JOBS = 2_000
BEAT_MS = 5
FLOW = """
import random

flow = Flow("case", lease="30s", retry=NO_RETRY)

@flow.step
def source() -> list[int]:
    return list(range(2_000))

@flow.step
async def work(n: int = each(source)) -> int:
    await asyncio.sleep(random.random() * 0.02)
    return n

@flow.step
def join(all: list[int] = gather(work)) -> int:
    return sum(all)
"""


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whose beats came too late."""
    names: list[str] = []
    lose = Heartbeat._lose

    def note(self: Heartbeat, attempt: Attempt) -> None:
        names.append(attempt.name)
        lose(self, attempt)

    monkeypatch.setattr(Heartbeat, "_lose", note)
    return names


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of trouble, or of leases at all."""
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING or "lease" in r.getMessage()]


async def test_c62_beats_that_come_after_the_commit_change_nothing(rig: Rig, refused: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """2,000 jobs of 0 to 20 ms with a beat every 5 ms, so that beats land around commits: all succeed, and nobody hears of it.

    A beat after the commit is refused and that is all: no word in the log, no change of state.
    """
    rig.write(FLOW)
    with caplog.at_level(logging.INFO, "omniq_flow"):
        async with working(Worker([rig.flow], url=rig.url, concurrency=64, beat_ms=BEAT_MS)):
            run = rig.start()
            await until(lambda: rig.header(run).state.is_ended, "the run ends", 30)
    assert len(refused) > 100, "beats came late"
    assert rig.header(run).state is RunState.SUCCEEDED
    assert rig.output(run, "join") == sum(range(JOBS))
    assert {fact.state for fact in rig.facts(run).values()} == {StepState.SUCCEEDED}
    assert {event.event for event in rig.events(run) if event.event.startswith(("F", "U", "retry"))} == set()
    assert told(caplog) == []


async def test_c62_late_beats_of_plain_jobs_are_silent_too(rig: Rig, refused: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """The same with plain jobs and a consumer: one start each, none tried again, none failed."""
    starts: Counter[str] = Counter()
    attempts: Counter[int] = Counter()

    async def handler(ctx: JobContext) -> None:
        starts[ctx.job_id] += 1
        attempts[ctx.attempt] += 1
        await asyncio.sleep(random.random() * 0.02)

    plain = Plain(rig, "def handler(ctx): pass")
    plain.publish_all(((f"job-{n}", n) for n in range(JOBS)), options=JobOptions(timeout_ms=30_000))
    consumer = Consumer(rig.url, queue="case", handler=handler, concurrency=64, heartbeat_interval_s=BEAT_MS / 1000)
    with caplog.at_level(logging.INFO, "omniq_flow"):
        working = asyncio.create_task(consumer.run_async())
        await until(plain.is_idle, "all jobs have ended", 30)
        consumer.stop()
        assert await working is Ending.DRAINED
    assert len(refused) > 100, "beats came late"
    assert starts == {f"job-{n}": 1 for n in range(JOBS)}
    assert attempts == {1: JOBS}
    assert rig.conn.llen(keys.queue_key("case", "failed")) == 0
    assert told(caplog) == []
