"""How steps fail: in passing, for good, by time, by raising what nobody raises; and what that does to the others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from typing import Any

import pytest
import redis

from omniq_flow import Flow, Retry, StepContext, StepFailed, each, gather, result
from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.worker import Worker
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from omniq_flow.ops.runs import run_history
from tests.engine.life import begin, no_active_jobs, working
from tests.support.server import Server
from tests.support.until import until

AT_ONCE = Retry(attempts=3, delay=0)


async def test_attempts_and_their_delays_are_those_declared(server: Server, aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    """C33: of the flow, of the step, of a join, of each element."""
    flow = Flow("retries", retry=Retry(attempts=3, backoff="fixed", delay="200ms"))
    starts: dict[str, list[float]] = {}

    def note(name: str) -> None:
        starts.setdefault(name, []).append(time.monotonic())

    @flow.step
    def plain() -> int:
        note("plain")
        raise ValueError("always")

    @flow.step(retry=Retry(attempts=1))
    def once() -> int:
        note("once")
        raise ValueError("always")

    @flow.step
    def source() -> list[int]:
        return [1, 2]

    @flow.step(retry=Retry(attempts=2, backoff="exponential", delay="100ms", jitter=False))
    async def element(x: int = each(source)) -> int:
        note(f"element{x}")
        if len(starts[f"element{x}"]) < 2:
            raise ValueError("first")
        return x

    @flow.step
    def join(xs: list[int] = gather(element)) -> int:
        note("join")
        raise ValueError("always")

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).ends()
    assert {name: len(times) for name, times in starts.items()} == {"plain": 3, "once": 1, "element1": 2, "element2": 2, "join": 3}
    for name, delay in (("plain", 0.2), ("join", 0.2), ("element1", 0.1), ("element2", 0.1)):
        gaps = [b - a for a, b in zip(starts[name], starts[name][1:], strict=False)]
        assert all(gap >= delay - 0.02 for gap in gaps), (name, gaps)
    # By the server's clock the delay of the last retry is what was declared, to the millisecond.
    retries = {
        e.event.split()[1]: e.at_ms for e in await aclient.execute(run_history("retries", run.run_id)) if e.event.startswith("retry ")
    }
    due = {name: redis_conn.hget(keys.job("retries", f"f.{run.run_id}.{name}.1"), "due_ms") for name in retries}
    waits = {name: int(str(at or b"0", "ascii")) - retries[name] for name, at in due.items()}  # type: ignore[arg-type]
    assert waits == {"plain": 200, "join": 200, "element-0": 100, "element-1": 100}
    assert await run.state() is RunState.FAILED
    assert (await run.failure("plain")).attempt == 3


async def test_a_dependent_sees_only_the_attempt_that_succeeded(server: Server, aclient: AsyncClient) -> None:
    """C21."""
    flow = Flow("third", retry=AT_ONCE)
    events: list[str] = []

    @flow.step
    def first(ctx: StepContext) -> int:
        events.append(f"first {ctx.attempt}")
        if ctx.attempt < 3:
            raise ValueError("not yet")
        return ctx.attempt

    @flow.step
    def second(n: int = result(first)) -> int:
        events.append(f"second {n}")
        return n

    async with working(Worker([flow], url=server.url)):
        await (await begin(aclient, flow)).succeeds()
    assert events == ["first 1", "first 2", "first 3", "second 3"]


async def test_what_stands_behind_a_failure_is_told_and_other_branches_go_on(server: Server, aclient: AsyncClient) -> None:
    flow = Flow("branches", retry=AT_ONCE)

    @flow.step
    def root() -> int:
        return 1

    @flow.step
    def bad(n: int = result(root)) -> int:
        raise StepFailed("for good")

    @flow.step
    def behind(n: int = result(bad)) -> int:
        return n

    @flow.step
    def good(n: int = result(root)) -> int:
        return n

    @flow.step
    def further(n: int = result(good)) -> int:
        return n

    @flow.step
    def both(a: int = result(behind), b: int = result(further)) -> int:
        return a + b

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).ends()
    assert await run.letters() == {"root": "D", "bad": "F", "behind": "U", "good": "D", "further": "D", "both": "U"}
    failure = await run.failure("bad")
    assert (failure.type, failure.message, failure.step, failure.attempt) == ("StepFailed", "for good", "bad", 1)
    assert await no_active_jobs(aclient, "branches")


async def test_one_bad_element_of_many(server: Server, aclient: AsyncClient) -> None:
    """C27."""
    flow = Flow("forty_two", retry=Retry(attempts=1))

    @flow.step
    def source() -> list[int]:
        return list(range(100))

    @flow.step
    async def work(x: int = each(source)) -> int:
        if x == 42:
            raise ValueError("bad page")
        return x

    @flow.step
    def join(xs: list[int] = gather(work)) -> int:
        return sum(xs)

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).ends(5)
    letters = await run.letters()
    assert await run.state() is RunState.FAILED
    assert letters["join"] == "U"
    assert Counter(letters.values()) == {"D": 100, "F": 1, "U": 1}
    assert str(await run.failure("work-42")) == "ValueError: bad page"


@pytest.mark.parametrize("value", [None, "abc", 5, {"a": 1}])
async def test_a_bad_list_fails_its_producer_at_once(server: Server, aclient: AsyncClient, value: Any) -> None:
    """C24."""
    flow = Flow("bad_list", retry=AT_ONCE)
    attempts: list[int] = []

    @flow.step
    def source(ctx: StepContext) -> list[int]:
        attempts.append(ctx.attempt)
        return value  # type: ignore[no-any-return]

    @flow.step
    def work(x: int = each(source)) -> int:
        return x

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).ends()
    failure = await run.failure("source")
    assert failure.type == "ValueNotJson"
    assert failure.message.startswith("source: returned ")
    assert attempts == [1]


UNWRITABLE = [
    ({1, 2}, "['field'][0] is a set"),
    (b"\x00\xff", "['field'][0] is bytes"),
    ("\ud800", "['field'][0] is a str"),
    (float("nan"), "['field'][0] is nan (float)"),
    (object(), "<class 'object'>"),
]


@pytest.mark.parametrize(("value", "said"), UNWRITABLE, ids=[said for _, said in UNWRITABLE])
async def test_what_cannot_be_written_fails_at_once(server: Server, aclient: AsyncClient, value: Any, said: str) -> None:
    """C46."""
    flow = Flow("unwritable", retry=AT_ONCE)
    attempts: list[int] = []

    @flow.step
    async def make(ctx: StepContext) -> Any:
        attempts.append(ctx.attempt)
        return {"field": [value]}

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).ends()
    failure = await run.failure("make")
    assert failure.type == "ValueNotJson"
    assert failure.message.startswith("make: ")
    assert said in failure.message
    assert attempts == [1]
    assert await no_active_jobs(aclient, "unwritable")


ODD = (SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit(), MemoryError(), RecursionError())


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("error", ODD, ids=lambda e: type(e).__name__)
async def test_whatever_a_handler_raises_ends_its_attempt_only(
    server: Server, aclient: AsyncClient, error: BaseException, is_async: bool
) -> None:
    """C54."""
    flow = Flow("odd", retry=AT_ONCE)
    attempts: list[int] = []

    @flow.step
    def sound() -> int:
        return 1

    if is_async:

        @flow.step
        async def raises(ctx: StepContext) -> int:
            attempts.append(ctx.attempt)
            raise error
    else:

        @flow.step(name="raises")
        def raises_too(ctx: StepContext) -> int:
            attempts.append(ctx.attempt)
            raise error

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).ends()
        assert (await run.failure("raises")).type == type(error).__name__
        assert attempts == [1, 2, 3]
        again = await (await begin(aclient, flow)).ends()
        assert (await again.letters())["sound"] == "D", "the worker lives on"


class Stubborn(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


async def test_an_exception_without_a_text(server: Server, aclient: AsyncClient) -> None:
    flow = Flow("stubborn", retry=Retry(attempts=1))

    @flow.step
    def raises() -> int:
        raise Stubborn

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).ends()
    assert str(await run.failure("raises")) == "Stubborn: <Stubborn whose text cannot be made: RuntimeError>"


async def test_an_async_attempt_past_its_time_is_cancelled(server: Server, aclient: AsyncClient) -> None:
    flow = Flow("slow_async", retry=Retry(attempts=2, delay=0), timeout="100ms")
    cancelled: list[int] = []

    @flow.step
    async def slow(ctx: StepContext) -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(ctx.attempt)
            assert ctx.is_cancelled
            raise
        return 1

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).ends()
    failure = await run.failure("slow")
    assert str(failure) == "TimeoutError: the attempt took longer than its timeout of 100ms"
    assert cancelled == [1, 2]


async def test_a_thread_past_its_time_keeps_its_slot(server: Server, aclient: AsyncClient) -> None:
    flow = Flow("slow_thread", retry=Retry(attempts=1))
    may_end, saw = threading.Event(), threading.Event()

    @flow.step(timeout="100ms")
    def slow(ctx: StepContext) -> int:
        while not ctx.cancelled.is_set():
            time.sleep(0.005)
        saw.set()
        may_end.wait(10)
        return 1

    @flow.step(after=[slow])
    def never() -> int:
        return 1

    async with working(worker := Worker([flow], url=server.url, concurrency=1)):
        run = await (await begin(aclient, flow)).ends()
        assert (await run.failure("slow")).type == "TimeoutError"
        await until(saw.is_set, "the handler is told")
        assert worker.busy == 1
        may_end.set()
        await until(lambda: worker.busy == 0, "the thread returns")
    assert (await run.letters()) == {"slow": "F", "never": "U"}


async def test_an_attempt_within_its_time_is_left_alone(server: Server, aclient: AsyncClient) -> None:
    flow = Flow("in_time", timeout="5s")

    @flow.step
    async def quick() -> int:
        return 1

    @flow.step
    def quick_too(n: int = result(quick)) -> int:
        return n

    async with working(Worker([flow], url=server.url)):
        await (await begin(aclient, flow)).succeeds()


async def test_a_stored_input_that_no_longer_fits_fails_for_good(server: Server, aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    flow = Flow("changed", retry=AT_ONCE)
    starts: list[int] = []

    @flow.step
    def make() -> dict[str, int]:
        return {"a": 1}

    @flow.step(name="wait_for_it", after=[make])
    def pause() -> None:
        redis_conn.hset(f"{{changed}}:flow:o:{run_id[0]}", "make", b'={"a":"x"}')

    @flow.step(after=["wait_for_it"])
    def use(a: dict[str, int] = result(make)) -> int:
        starts.append(1)
        return a["a"]

    run_id: list[str] = []
    run = await begin(aclient, flow)
    run_id.append(run.run_id)
    async with working(Worker([flow], url=server.url)):
        await run.ends()
    failure = await run.failure("use")
    assert failure.type == "InputUnreadable"
    assert failure.message.startswith("use: input a: make: the stored value does not fit dict[str, int]: a:")
    assert starts == []


async def test_an_output_that_is_gone_is_named(server: Server, aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    """C20: never a silent null."""
    flow = Flow("gone", retry=AT_ONCE)
    run_id: list[str] = []

    @flow.step
    def make() -> int:
        return 1

    @flow.step(after=[make])
    def lose() -> None:
        redis_conn.hdel(f"{{gone}}:flow:o:{run_id[0]}", "make")

    @flow.step(after=[lose])
    def use(n: int = result(make)) -> int:
        return n

    run = await begin(aclient, flow)
    run_id.append(run.run_id)
    async with working(Worker([flow], url=server.url)):
        await run.ends()
    assert (await run.failure("use")).message == "use: output no longer stored: make"
