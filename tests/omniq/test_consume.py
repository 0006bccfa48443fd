"""The consumer: works a queue with `handler(ctx)`, keeps up upkeep and leases, and ends as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from omniq_flow import AsyncOmniqClient, Client, Consumer, JobCtx, OmniqClient, UsageError, consume
from omniq_flow.client.connect import Target
from omniq_flow.engine.worker import Ending
from omniq_flow.model.jobs import JobOptions
from omniq_flow.ops import jobs, keys
from tests.support.server import Server
from tests.support.until import until, wait_until

ROOT = Path(__file__).parents[2]
Lane = Callable[[str], int]


@pytest.fixture
def lane(redis_conn: redis.Redis, queue: str) -> Lane:
    """Calling it counts a lane, by the queue's own statistics."""
    return lambda name: int(redis_conn.hget(keys.queue_key(queue, "stats"), name) or 0)


def publish(client: Client, queue: str, count: int = 1, **options: Any) -> list[str]:
    return client.execute_all([jobs.publish(queue, {"n": n}, options=JobOptions(**options)) for n in range(count)])


@contextlib.contextmanager
def in_thread(consumer: Consumer) -> Iterator[Consumer]:
    """The consumer runs in a thread of its own, and is stopped after the block."""
    endings: list[Ending] = []
    thread = threading.Thread(target=lambda: endings.append(consumer.run()))
    thread.start()
    try:
        yield consumer
        if not consumer.is_stopping:
            consumer.stop()
        thread.join(10)
        assert endings == [Ending.DRAINED]
    finally:
        consumer.stop()
        consumer.stop()
        thread.join(10)


@contextlib.asynccontextmanager
async def on_loop(consumer: Consumer) -> AsyncIterator[Consumer]:
    """The consumer runs on the test's loop, and is stopped after the block."""
    task = asyncio.create_task(consumer.run_async())
    try:
        yield consumer
        consumer.stop()
        assert await asyncio.wait_for(task, 10) is Ending.DRAINED
    finally:
        task.cancel()


def test_every_job_is_worked_and_acknowledged(server: Server, client: Client, queue: str, lane: Lane) -> None:
    seen: list[JobCtx] = []
    ids = publish(client, queue, 200)
    with in_thread(Consumer(server.url, queue=queue, handler=seen.append)):
        wait_until(lambda: lane("waiting") + lane("active") == 0, "all are done")
    assert [ctx.job_id for ctx in seen] == ids, "in their order"
    assert [ctx.payload["n"] for ctx in seen] == list(range(200))


async def test_async_handlers_of_every_kind_really_run(server: Server, client: Client, queue: str, lane: Lane) -> None:
    """Q39: a coroutine function is not a success that nobody awaited."""
    seen: list[str] = []

    async def handle(ctx: JobCtx, word: str = "plain") -> None:
        await asyncio.sleep(0)
        seen.append(word)

    class Handler:
        async def __call__(self, job: JobCtx) -> None:
            await handle(job, "object")

    for handler in (handle, functools.partial(handle, word="partial"), Handler()):
        publish(client, queue)
        before = len(seen)
        async with on_loop(Consumer(server.url, queue=queue, handler=handler)):
            await until(lambda before=before: len(seen) == before + 1, "it has run")  # type: ignore[misc]
    assert seen == ["plain", "partial", "object"]
    assert lane("active") == 0


@pytest.mark.parametrize("is_async", [True, False])
async def test_so_many_run_at_once_and_no_more(server: Server, client: Client, queue: str, is_async: bool) -> None:
    at_once = most = 0
    lock, may_end = threading.Lock(), threading.Event()

    def begin(step: int) -> None:
        nonlocal at_once, most
        with lock:
            at_once += step
            most = max(most, at_once)

    def blocks(ctx: JobCtx) -> None:
        begin(1)
        may_end.wait(10)
        begin(-1)

    async def awaits(ctx: JobCtx) -> None:
        begin(1)
        await until(may_end.is_set, "it may end")
        begin(-1)

    publish(client, queue, 10)
    async with on_loop(Consumer(server.url, queue=queue, handler=awaits if is_async else blocks, concurrency=3)) as consumer:
        await until(lambda: most == 3, "three run")
        assert consumer.busy == 3
        may_end.set()
        await until(lambda: at_once == 0, "all have ended")
    assert most == 3


def test_upkeep_does_not_wait_for_a_long_handler(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    """H22: a delayed job becomes due and a lapsed lease is taken back while the only handler is busy."""
    may_end = threading.Event()
    (long,) = publish(client, queue)
    with in_thread(Consumer(server.url, queue=queue, handler=lambda ctx: may_end.wait(30))) as consumer:
        wait_until(lambda: consumer.busy == 1, "the handler runs")
        lapsing, due = publish(client, queue, timeout_ms=50), publish(client, queue, due_ms=int(time.time() * 1000) + 100)
        client.execute(jobs.reserve(queue))
        for (job_id,), lane in ((due, "wait"), (lapsing, "delayed")):
            wait_until(lambda job=job_id, lane=lane: redis_conn.hget(keys.job(queue, job), "state") == lane.encode(), f"it is in {lane}")  # type: ignore[misc]
        assert redis_conn.hget(keys.job(queue, long), "state") == b"active"
        may_end.set()


def test_a_consumer_with_long_handlers_takes_nothing_ahead(server: Server, client: Client, queue: str, lane: Lane) -> None:
    """Another one that is idle gets the rest."""
    may_end = threading.Event()
    publish(client, queue, 2)
    with in_thread(Consumer(server.url, queue=queue, handler=lambda ctx: may_end.wait(30))) as first:
        wait_until(lambda: first.busy == 1, "the first has one")
        done: list[str] = []
        with in_thread(Consumer(server.url, queue=queue, handler=lambda ctx: done.append(ctx.job_id))):
            wait_until(lambda: len(done) == 1, "the second has the other", 2)
        may_end.set()
        wait_until(lambda: lane("active") == 0, "all are done")


def test_one_long_handler_among_quick_ones_gives_the_others_free(server: Server, client: Client, queue: str, lane: Lane) -> None:
    """What was taken ahead while handlers were quick does not stay behind a long one."""
    may_end, first_done, second_done = threading.Event(), [], list[int]()

    def quick(ctx: JobCtx) -> None:
        if ctx.payload["n"] == 300:
            may_end.wait(30)
        first_done.append(ctx.payload["n"])

    publish(client, queue, 400)
    with in_thread(Consumer(server.url, queue=queue, handler=quick)):
        wait_until(lambda: len(first_done) == 300, "the first is at the long one")
        with in_thread(Consumer(server.url, queue=queue, handler=lambda ctx: second_done.append(ctx.payload["n"]))):
            wait_until(lambda: len(second_done) == 99, "the second has all the rest", 10)
        assert lane("active") == 1
        may_end.set()
        wait_until(lambda: lane("active") == 0, "the long one is done")
    assert sorted([*first_done, *second_done]) == list(range(400)), "each was worked once"


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_handler_hears_that_its_lease_is_lost(
    server: Server, client: Client, redis_conn: redis.Redis, queue: str, is_async: bool
) -> None:
    """Q30: somebody removed the job under it."""
    told: list[str] = []

    def blocks(ctx: JobCtx) -> None:
        while not ctx.lease_lost.is_set():
            time.sleep(0.01)
        told.append(f"is_cancelled={ctx.is_cancelled}")

    async def awaits(ctx: JobCtx) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            told.append(f"is_cancelled={ctx.is_cancelled}")
            raise

    (job_id,) = publish(client, queue, timeout_ms=1_000)
    async with on_loop(Consumer(server.url, queue=queue, handler=awaits if is_async else blocks)) as consumer:
        await until(lambda: consumer.busy == 1, "it runs")
        redis_conn.hset(keys.job(queue, job_id), "lease_token", "somebody else's")
        await until(lambda: told, "it is told")
        await until(lambda: consumer.busy == 0, "it has ended")
    assert told == ["is_cancelled=True"]
    assert redis_conn.hget(keys.job(queue, job_id), "state") == b"active"


def test_a_lease_is_kept_for_as_long_as_it_takes(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    """Q29: also one under a second, while another consumer reaps."""
    attempts: list[int] = []

    def slow(ctx: JobCtx) -> None:
        attempts.append(ctx.attempt)
        time.sleep(2)

    (job_id,) = publish(client, queue, timeout_ms=950)
    with in_thread(Consumer(server.url, queue=queue, handler=slow)), in_thread(Consumer(server.url, queue=queue, handler=slow)):
        wait_until(lambda: redis_conn.hget(keys.job(queue, job_id), "state") == b"completed", "it is completed")
    assert attempts == [1]


async def test_a_heartbeat_interval_is_heeded(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    """Of a lease of 30 s the first beat would come after 10 s."""
    (job_id,) = publish(client, queue, timeout_ms=30_000)
    may_end, deadlines = threading.Event(), set[bytes | str | None]()

    def is_beaten() -> bool:
        state, until_ms = redis_conn.hmget(keys.job(queue, job_id), "state", "lock_until_ms")
        deadlines.update({until_ms} if state == b"active" else ())
        return len(deadlines) > 3

    async with on_loop(Consumer(server.url, queue=queue, handler=lambda ctx: may_end.wait(30), heartbeat_interval_s=0.2)):
        await until(is_beaten, "its lease is extended three times", 8)
        may_end.set()


def test_a_failure_follows_the_jobs_record(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    attempts: list[int] = []

    def fails(ctx: JobCtx) -> None:
        attempts.append(ctx.attempt)
        raise KeyError("x")

    (job_id,) = publish(client, queue, max_attempts=2, backoff_ms=100)
    with in_thread(Consumer(server.url, queue=queue, handler=fails)):
        wait_until(lambda: redis_conn.hget(keys.job(queue, job_id), "state") == b"failed", "it has failed")
    assert attempts == [1, 2]
    assert redis_conn.hget(keys.job(queue, job_id), "last_error") == b"KeyError: 'x'"


def test_a_stop_finishes_what_runs_and_gives_back_the_rest(server: Server, client: Client, queue: str, lane: Lane) -> None:
    may_end = threading.Event()
    done: list[str] = []

    def slow(ctx: JobCtx) -> None:
        may_end.wait(30)
        done.append(ctx.job_id)

    publish(client, queue, 5)
    with in_thread(Consumer(server.url, queue=queue, handler=slow, concurrency=2)) as consumer:
        wait_until(lambda: consumer.busy == 2, "two run")
        consumer.stop()
        wait_until(lambda: consumer.is_stopping, "it stops")
        may_end.set()
    assert (len(done), lane("active"), lane("waiting")) == (2, 0, 3)


def test_a_second_stop_hands_back_what_runs(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    endings: list[Ending] = []
    told = threading.Event()

    def deaf(ctx: JobCtx) -> None:
        wait_until(ctx.cancelled.is_set, "it is told")
        told.set()

    (job_id,) = publish(client, queue)
    consumer = Consumer(server.url, queue=queue, handler=deaf)
    thread = threading.Thread(target=lambda: endings.append(consumer.run()))
    thread.start()
    wait_until(lambda: consumer.busy == 1, "it runs")
    consumer.stop()
    consumer.stop()
    thread.join(10)
    assert endings == [Ending.HANDED_BACK]
    assert redis_conn.hmget(keys.job(queue, job_id), "state", "attempt") == [b"wait", b"0"]
    assert told.wait(10)
    consumer.stop()


@pytest.mark.parametrize("event", [threading.Event, asyncio.Event])
def test_an_event_stops_it(server: Server, client: Client, queue: str, event: Callable[[], threading.Event | asyncio.Event]) -> None:
    stop = event()
    publish(client, queue)
    consume(server.url, queue=queue, handler=lambda ctx: stop.set(), stop=stop)


def test_stopped_before_it_runs_it_takes_nothing(server: Server, client: Client, queue: str, lane: Lane) -> None:
    publish(client, queue)
    consumer = Consumer(server.url, queue=queue, handler=lambda ctx: None)
    consumer.stop()
    assert consumer.run() is Ending.DRAINED
    assert lane("waiting") == 1


async def test_any_client_says_where_the_server_is(server: Server, client: Client, queue: str) -> None:
    """It stays its owner's: the consumer does not close it."""
    with OmniqClient(redis_url=server.url) as omniq:
        for known in (server.url, Target.parse(server.url), client, omniq, AsyncOmniqClient(redis_url=server.url)):
            seen: list[str] = []
            publish(client, queue)
            async with on_loop(Consumer(known, queue=queue, handler=lambda ctx, seen=seen: seen.append(ctx.job_id))):  # type: ignore[misc]
                await until(lambda seen=seen: seen, "it is worked")  # type: ignore[misc]
        assert omniq.publish(queue=queue, payload={})


def test_a_handler_may_publish_by_its_context(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    publish(client, queue)
    with in_thread(Consumer(server.url, queue=queue, handler=lambda ctx: ctx.exec.publish(queue="next", payload=ctx.payload))):
        wait_until(lambda: redis_conn.llen("{next}:wait") == 1, "it has published")


def test_verbose_tells_what_happens(server: Server, client: Client, queue: str) -> None:
    lines: list[str] = []

    def handler(ctx: JobCtx) -> None:
        if ctx.payload["n"] == 1:
            raise ValueError("no")

    client.execute(jobs.publish(queue, {"n": 0, "text": "x" * 400}, job_id="a"))
    client.execute(jobs.publish(queue, {"n": 1}, job_id="b", options=JobOptions(max_attempts=1)))
    with in_thread(Consumer(server.url, queue=queue, handler=handler, verbose=True, logger=lines.append)):
        wait_until(lambda: any("no" in line for line in lines), "both are told of")
    begin = f"[consume] job a attempt 1/3: begin {'{'}" + '"n":0,"text":"'
    assert lines == [
        f"[consume] queue {queue}: start",
        begin + "x" * (300 - len('{"n":0,"text":"')),
        "[consume] job a attempt 1/3: done",
        '[consume] job b attempt 1/1: begin {"n":1}',
        "[consume] job b attempt 1/1: ValueError: no",
        f"[consume] queue {queue}: end",
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"queue": "a b"}, "has ' '"),
        ({"concurrency": 0}, "at least one slot"),
        ({"handler": 3}, "a handler is a function that takes the context, not int"),
        ({"poll_interval_s": -0.1}, "poll_interval_s is -0.1"),
        ({"heartbeat_interval_s": 0}, "heartbeat_interval_s is 0"),
        ({"promote_interval_s": float("nan")}, "promote_interval_s is nan"),
        ({"reap_batch": 0}, "reap_batch is 0"),
        ({"client": object()}, "no server is known of object"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_taken(options: dict[str, Any], told: str) -> None:
    with pytest.raises((UsageError, ValueError), match=told):
        Consumer(**{"client": "redis://localhost", "queue": "q", "handler": lambda ctx: None, **options})


def test_a_fixed_poll_finds_what_others_publish(server: Server, redis_conn: redis.Redis, client: Client, queue: str) -> None:
    """Nobody wakes it: the job is put there by hand."""
    seen: list[str] = []
    with in_thread(Consumer(server.url, queue=queue, handler=lambda ctx: seen.append(ctx.job_id), poll_interval_s=0.05)):
        wait_until(lambda: redis_conn.exists(f"{{{queue}}}:flow:idle"), "it is idle")
        redis_conn.hset(
            keys.job(queue, "x"),
            mapping={"id": "x", "state": "wait", "attempt": 0, "max_attempts": 1, "timeout_ms": 9_000, "payload": "{}"},
        )
        redis_conn.rpush(f"{{{queue}}}:wait", "x")
        wait_until(lambda: seen == ["x"], "it is found", 1)


SCRIPT = """
import signal, sys, time
from omniq_flow import consume

url, folder, drain = sys.argv[1], sys.argv[2], sys.argv[3] == "drain"
before = signal.signal(signal.SIGTERM, lambda *_: None), signal.getsignal(signal.SIGINT)
mine = signal.getsignal(signal.SIGTERM)

def handler(ctx):
    open(f"{folder}/began", "w").close()
    while not ctx.is_cancelled:
        try:
            open(f"{folder}/gate").close()
            break
        except OSError:
            time.sleep(0.01)

try:
    consume(url, queue="signals", handler=handler, drain=drain, verbose=True)
    print("returned", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
print("restored", (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == (mine, before[1]), flush=True)
"""


@pytest.mark.parametrize(
    ("kind", "drain"),
    [("SIGTERM", "drain"), ("SIGTERM", "no drain"), ("SIGINT", "drain"), ("SIGINT twice", "drain"), ("SIGINT", "no drain")],
)
def test_signals_end_it(server: Server, client: Client, redis_conn: redis.Redis, tmp_path: Path, kind: str, drain: str) -> None:
    """SIGTERM always finishes what runs; SIGINT does the first time, and gives it back the second time or without drain."""
    (running, waiting) = publish(client, "signals", 2)
    argv = [sys.executable, "-c", SCRIPT, server.url, str(tmp_path), drain]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_until((tmp_path / "began").exists, "the handler runs")
            number = signal.SIGTERM if kind == "SIGTERM" else signal.SIGINT
            hands_back = kind == "SIGINT twice" or (kind == "SIGINT" and drain == "no drain")
            process.send_signal(number)
            assert process.stdout is not None
            while ": " not in (line := process.stdout.readline()) or "SIG" not in line:
                assert line, "it says what it does"
            if kind == "SIGINT twice":
                process.send_signal(number)
            if not hands_back:
                (tmp_path / "gate").touch()
            out = process.communicate(timeout=20)[0]
        finally:
            process.kill()
    # A handler's thread may print its last line amid these.
    assert ("interrupted" in out, "returned" in out) == (hands_back, not hands_back)
    assert out.index("interrupted" if hands_back else "returned") < out.index("restored True")
    assert redis_conn.hget(keys.job("signals", running), "state") == (b"wait" if hands_back else b"completed")
    assert redis_conn.hmget(keys.job("signals", waiting), "state", "attempt") == [b"wait", b"0"]
    assert redis_conn.zcard("{signals}:active") == 0


def test_in_the_main_thread_signals_may_be_left_alone(server: Server, client: Client, queue: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def handler(ctx: JobCtx) -> None:
        seen.append(signal.getsignal(signal.SIGTERM))
        consumer.stop()

    publish(client, queue)
    consumer = Consumer(server.url, queue=queue, handler=handler, stop_on_ctrl_c=False)
    consumer.run()
    assert seen == [before]
