"""A lease is extended while the handler runs, whatever that does; one that is lost is noticed and its report counts for nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
import redis

from omniq_flow import Flow, Retry, StepContext, result
from omniq_flow.client.client import AsyncClient
from omniq_flow.client.connect import Target
from omniq_flow.engine.attempt import Attempt
from omniq_flow.engine.heartbeat import Heartbeat
from omniq_flow.engine.lease import Leases
from omniq_flow.engine.worker import Worker
from omniq_flow.errors import ServerUnavailable
from omniq_flow.ops.ticks import Beat, Taken
from tests.engine.life import begin, working
from tests.support.proxy import PASS, Action, Proxy, Seen, delay
from tests.support.server import Server
from tests.support.until import until


def lost_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "omniq_flow.worker" and r.getMessage().startswith("lease lost")]


@pytest.mark.parametrize("kind", ["thread", "async", "async that blocks the loop"])
async def test_a_handler_longer_than_its_lease_runs_once(server: Server, aclient: AsyncClient, redis_conn: redis.Redis, kind: str) -> None:
    """C50, C52: extended from a thread of its own, and never beyond now plus the lease (C49)."""
    flow = Flow("long", lease="1s")
    starts: list[str] = []
    ahead: list[float] = []
    is_over = threading.Event()

    if kind == "thread":

        @flow.step
        def work() -> int:
            starts.append(kind)
            time.sleep(2.5)
            return 1
    elif kind == "async":

        @flow.step(name="work")
        async def work_async() -> int:
            starts.append(kind)
            await asyncio.sleep(2.5)
            return 1
    else:

        @flow.step(name="work")
        async def work_blocking() -> int:
            starts.append(kind)
            time.sleep(2.5)  # noqa: ASYNC251
            return 1

    def sample() -> None:
        while not is_over.wait(0.05):
            for _, score in cast("list[tuple[bytes, float]]", redis_conn.zrange("{long}:active", 0, -1, withscores=True)):
                seconds, micros = redis_conn.time()
                ahead.append(score / 1000 - seconds - micros / 1e6)

    sampler = threading.Thread(target=sample)
    sampler.start()
    async with working(Worker([flow], url=server.url)), working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).succeeds()
    is_over.set()
    await asyncio.to_thread(sampler.join)
    assert starts == [kind]
    assert len(ahead) > 20
    assert max(ahead) <= 1.1
    assert (await run.outputs())["work"] == b"=1"


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_lease_that_was_taken_away_is_noticed(
    server: Server, aclient: AsyncClient, redis_conn: redis.Redis, caplog: pytest.LogCaptureFixture, is_async: bool
) -> None:
    flow = Flow("stolen", lease="1s", retry=Retry(attempts=3, delay=0))
    told: list[str] = []
    may_end = threading.Event()

    if is_async:

        @flow.step
        async def work(ctx: StepContext) -> int:
            if ctx.attempt > 1:
                return 7
            try:
                await asyncio.sleep(30)
            finally:
                told.append(f"lost {ctx.lease_lost.is_set()}")
            return 1
    else:

        @flow.step(name="work")
        def work_thread(ctx: StepContext) -> int:
            if ctx.attempt > 1:
                return 7
            while not ctx.is_cancelled:
                time.sleep(0.005)
            told.append(f"lost {ctx.lease_lost.is_set()}")
            may_end.wait(10)
            return 1

    async with working(worker := Worker([flow], url=server.url)):
        run = await begin(aclient, flow)
        await until(lambda: worker.busy == 1, "the handler runs")
        (job,) = cast("list[bytes]", redis_conn.zrange("{stolen}:active", 0, -1))
        redis_conn.hset(b"{stolen}:job:" + job, "lease_token", "another")
        await until(lambda: told, "the handler is told")
        await run.succeeds()
        may_end.set()
        await until(lambda: worker.busy == 0, "the handler ends")
    assert told == ["lost True"]
    assert await run.value("work") == 7
    assert lost_lines(caplog) == [f"lease lost: work of run {run.run_id}: it is held by nobody or by another worker"]


async def test_a_report_that_comes_too_late_is_refused_and_told(
    server: Server, aclient: AsyncClient, redis_conn: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """The loss of a long lease is only seen when the report is refused (C52)."""
    flow = Flow("late", lease="60s")
    may_end = threading.Event()

    @flow.step
    def work() -> int:
        may_end.wait(10)
        return 1

    async with working(worker := Worker([flow], url=server.url)):
        run = await begin(aclient, flow)
        await until(lambda: worker.busy == 1, "the handler runs")
        (job,) = cast("list[bytes]", redis_conn.zrange("{late}:active", 0, -1))
        redis_conn.hset(b"{late}:job:" + job, "lease_token", "another")
        may_end.set()
        await until(lambda: lost_lines(caplog), "the loss is told")
    assert lost_lines(caplog) == [f"lease lost: work of run {run.run_id}: its report was refused"]
    record = next(r for r in caplog.records if r.getMessage().startswith("lease lost"))
    assert (record.run, record.step) == (run.run_id, "work")  # type: ignore[attr-defined]


async def test_without_a_server_a_lease_is_in_doubt_and_the_work_is_done_in_the_end(server: Server, aclient: AsyncClient) -> None:
    flow = Flow("doubt", lease="1s", retry=Retry(attempts=5, delay=0))
    ends: list[str] = []

    @flow.step
    async def work(ctx: StepContext) -> int:
        if ends:
            return 7
        try:
            await asyncio.sleep(30)
        finally:
            ends.append("lost" if ctx.lease_lost.is_set() else "?")
        return 1

    @flow.step
    def after_it(n: int = result(work)) -> int:
        return n

    with Proxy(server.url, tcp=False) as proxy:
        async with working(worker := Worker([flow], url=proxy.url)):
            run = await begin(aclient, flow)
            await until(lambda: worker.busy == 1, "the handler runs")
            began = time.monotonic()
            proxy.refuse()
            await until(lambda: ends, "the handler is stopped")
            assert time.monotonic() - began < 2.5
            proxy.accept()
            await run.succeeds()
    assert ends == ["lost"]
    assert await run.value("after_it") == 7


@pytest.mark.parametrize("is_taken_over", [True, False])
async def test_a_take_whose_reply_is_late_is_proved_before_it_starts(
    server: Server, aclient: AsyncClient, redis_conn: redis.Redis, is_taken_over: bool
) -> None:
    """The lease may be over by then: another worker has the job, or it is extended first."""
    flow = Flow("late_take", lease="1s", retry=Retry(attempts=3, delay=0))
    starts: list[int] = []

    @flow.step
    async def work(ctx: StepContext) -> int:
        starts.append(ctx.attempt)
        await asyncio.sleep(0.5)
        return ctx.attempt

    run = await begin(aclient, flow)
    takes = 0

    def judge(n: int, seen: Seen) -> Action:
        nonlocal takes
        is_take = seen.is_script and len(seen.args) > 8 and seen.args[8] == b"16"
        takes += is_take
        return delay(1.6) if is_take and takes == 1 else PASS

    with Proxy(server.url, judge, tcp=False) as proxy:
        async with working(Worker([flow], url=proxy.url, name="slow")):
            if is_taken_over:
                await until(lambda: takes, "the job is taken")
                async with working(Worker([flow], url=server.url)):
                    await run.succeeds()
            await run.succeeds()
            await until(lambda: redis_conn.zscore("{late_take}:flow:idle", "slow"), "the reply has come and gone")
    assert starts == ([2] if is_taken_over else [1])


class Beats(Heartbeat):
    """A heartbeat whose calls are answered by the test."""

    def __init__(self, leases: Leases, told: list[Attempt]) -> None:
        self.now = 0
        self.asked: list[int] = []
        self.answer: Callable[[str], Beat] = lambda job_id: Beat(job_id, 1)
        self.is_away = False
        self.call_takes = 0
        super().__init__(Target(path="/nowhere"), leases, told.append, lambda: self.now)

    def _execute(self, op: Any, timeout_ms: int) -> tuple[Beat, ...]:
        ids = op.args[1::2]
        self.asked.append(len(ids))
        self.now += self.call_takes
        if self.is_away:
            raise ServerUnavailable("away")
        return tuple(self.answer(job_id) for job_id in ids)


def attempt(name: str, lease_ms: int = 3_000, queue: str = "q") -> Attempt:
    taken = Taken(name, f"token-{name}", 0, 1, 1, "", 0, b"")
    return Attempt(queue, taken, lease_ms, extended_at=0, trusted_until=lease_ms, taken_at=0)


def test_nothing_is_sent_before_it_is_due_and_the_nearly_due_go_along() -> None:
    leases, told = Leases(), list[Attempt]()
    beats = Beats(leases, told)
    early, late = attempt("a"), attempt("b")
    late.extended_at = 300
    leases.add([early, late])
    beats.now = 999
    assert beats.round()
    assert beats.asked == []
    beats.now = 1_000
    assert beats.round()
    assert beats.asked == [2]
    assert (early.extended_at, early.trusted_until) == (1_000, 4_000)


def test_trust_counts_from_before_the_call() -> None:
    leases = Leases()
    beats = Beats(leases, [])
    held = attempt("a")
    leases.add([held])
    beats.now, beats.call_takes = 1_000, 900
    beats.round()
    assert held.trusted_until == 4_000


def test_trust_ends_when_no_beat_comes_through() -> None:
    leases, told = Leases(), list[Attempt]()
    beats = Beats(leases, told)
    held = attempt("a")
    leases.add([held])
    beats.is_away = True
    beats.now = 2_999
    assert not beats.round()
    assert told == []
    beats.now = 3_000
    assert not beats.round()
    assert told == [held]
    assert held.lease_lost.is_set()
    assert not held.is_gone
    beats.round()
    assert told == [held], "told once"
    assert len(leases) == 1, "it may still be ours, so it is still extended"


def test_what_the_server_says_is_passed_on() -> None:
    leases, told = Leases(), list[Attempt]()
    beats = Beats(leases, told)
    lost, cancelled = attempt("lost"), attempt("cancelled")
    leases.add([lost, cancelled])
    beats.answer = lambda job_id: Beat(job_id, 0, job_id == "cancelled")
    beats.now = 1_000
    assert beats.round()
    assert told == [lost, cancelled]
    assert lost.is_gone
    assert cancelled.cancelled.is_set()
    assert not cancelled.lease_lost.is_set()
    assert leases.all() == [cancelled]
    beats.now = 2_000
    beats.round()
    assert told == [lost, cancelled]


def test_at_most_256_a_call_and_one_queue_a_call() -> None:
    leases = Leases()
    beats = Beats(leases, [])
    leases.add([attempt(f"a{n}") for n in range(300)] + [attempt(f"b{n}", queue="p") for n in range(3)])
    beats.now = 1_000
    beats.round()
    assert sorted(beats.asked) == [3, 44, 256]


def test_a_shorter_lease_wakes_the_thread() -> None:
    leases = Leases()
    woken = threading.Event()

    def nap() -> None:
        leases.wait(1_000_000, 0)
        woken.set()

    thread = threading.Thread(target=nap)
    thread.start()
    while not woken.wait(0.005):
        leases.add([attempt("a")])
    thread.join()
    leases.close()
    assert not leases.wait(1_000_000, 0)


async def test_the_heartbeat_survives_what_it_meets(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    class Odd(Beats):
        def _execute(self, op: Any, timeout_ms: int) -> tuple[Beat, ...]:
            self.asked.append(1)
            raise ZeroDivisionError

    leases = Leases()
    odd = Odd(leases, [])
    odd._clock = lambda: time.monotonic_ns() // 1_000_000
    leases.add([attempt("a", 300)])
    with caplog.at_level(logging.ERROR, "omniq_flow.worker"):
        odd.start()
        await until(lambda: len(odd.asked) >= 2, "it goes on")
    await asyncio.to_thread(odd.stop)
    assert "heartbeat failed; it goes on" in caplog.text
