"""Plain jobs in the worker: handed to the handler of their queue, settled by what their own record says."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from pydantic import BaseModel

from omniq_flow import App, Client, Flow, FlowLoadError, JobContext, StepSkipped
from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.registry import Registry
from omniq_flow.engine.worker import Worker
from omniq_flow.model.jobs import JobOptions
from omniq_flow.ops import jobs, keys
from omniq_flow.ops.command import text
from tests.engine.life import begin, working
from tests.support.server import Server
from tests.support.until import until

Field = Callable[[str, str], str]


class Order(BaseModel):
    item: str
    pieces: int = 1


@pytest.fixture
def field(redis_conn: redis.Redis, queue: str) -> Field:
    """Calling it reads a field of a job's record."""
    return lambda job_id, name: text(redis_conn.hget(keys.job(queue, job_id), name))


async def is_in(field: Field, job_id: str, state: str) -> None:
    await until(lambda: field(job_id, "state") == state, f"the job is {state}")


async def test_a_job_goes_to_the_handler_of_its_queue(server: Server, client: Client, queue: str, field: Field) -> None:
    app, seen = App(), []

    @app.handler(queue=queue)
    def work(order: Order, ctx: JobContext) -> str:
        seen.append((order, ctx))
        return "dropped"

    options = JobOptions(max_attempts=5, gid="g", group_limit=1)
    job_id = client.execute(jobs.publish(queue, {"item": "pen"}, options=options))
    async with working(Worker([app], url=server.url)):
        await is_in(field, job_id, "completed")
    ((order, ctx),) = seen
    assert order == Order(item="pen")
    assert (ctx.queue, ctx.job_id, ctx.gid, ctx.attempt, ctx.max_attempts) == (queue, job_id, "g", 1, 5)
    assert (ctx.payload_raw, ctx.payload) == ('{"item":"pen"}', {"item": "pen"})
    assert 0 < ctx.lock_until_ms - int(time.time() * 1000) <= 30_000
    assert len(ctx.lease_token) >= 16
    assert not ctx.is_cancelled


async def test_async_handlers_share_the_loop(server: Server, client: Client, queue: str) -> None:
    app, together, threads = App(), asyncio.Barrier(10), set()

    @app.handler(queue=queue)
    async def work(payload: dict[str, int]) -> None:
        threads.add(threading.get_ident())
        await together.wait()
        done.append(payload["n"])

    done: list[int] = []
    for n in range(10):
        client.execute(jobs.publish(queue, {"n": n}))
    async with working(Worker([app], url=server.url)):
        await until(lambda: len(done) == 10, "all have met")
    assert threads == {threading.get_ident()}


async def test_a_failure_waits_as_long_as_the_jobs_record_says(
    server: Server, client: Client, redis_conn: redis.Redis, queue: str, field: Field
) -> None:
    app = App()

    @app.handler(queue=queue)
    def work(ctx: JobContext) -> None:
        raise ValueError(f"attempt {ctx.attempt}")

    job_id = client.execute(jobs.publish(queue, {}, options=JobOptions(max_attempts=2, backoff_ms=77_000)))
    async with working(Worker([app], url=server.url)):
        await is_in(field, job_id, "delayed")
        now_ms = int(time.time() * 1000)
        due = redis_conn.zscore(keys.queue_key(queue, "delayed"), job_id)
        assert due is not None
        assert now_ms + 70_000 < due <= now_ms + 77_000
        assert field(job_id, "last_error") == "ValueError: attempt 1"
        redis_conn.zadd(keys.queue_key(queue, "delayed"), {job_id: 1})
        await is_in(field, job_id, "failed")
    assert field(job_id, "last_error") == "ValueError: attempt 2"


async def test_no_backoff_means_at_once(server: Server, client: Client, queue: str, field: Field) -> None:
    app, attempts = App(), []

    @app.handler(queue=queue)
    def work(ctx: JobContext) -> None:
        attempts.append(ctx.attempt)
        if not ctx.is_last_attempt:
            raise ValueError

    job_id = client.execute(jobs.publish(queue, {}, options=JobOptions(backoff_ms=0)))
    async with working(Worker([app], url=server.url)):
        await is_in(field, job_id, "completed")
    assert attempts == [1, 2, 3]


@pytest.mark.parametrize("how", ["a payload that does not fit", "ctx.fail"])
async def test_what_would_fail_again_fails_for_good(server: Server, client: Client, queue: str, field: Field, how: str) -> None:
    app = App()

    @app.handler(queue=queue)
    def work(order: Order, ctx: JobContext) -> None:
        ctx.fail("no such customer")

    payload = {"item": "pen"} if how == "ctx.fail" else {"item": "pen", "pieces": "many"}
    job_id = client.execute(jobs.publish(queue, payload))
    async with working(Worker([app], url=server.url)):
        await is_in(field, job_id, "failed")
    assert field(job_id, "attempt") == "1"
    assert field(job_id, "last_error") == (
        "StepFailed: no such customer"
        if how == "ctx.fail"
        else "ValueNotJson: the payload does not fit Order: pieces: Input should be a valid integer, unable to parse string as an integer"
    )


async def test_what_is_no_json_reaches_a_handler_that_takes_texts(server: Server, client: Client, queue: str, field: Field) -> None:
    app, seen = App(), []

    @app.handler(queue=queue)
    def work(payload):  # type: ignore[no-untyped-def]
        seen.append(payload)

    client.execute(jobs.enqueue(queue, "text", "not json {"))
    client.execute(jobs.enqueue(queue, "quoted", '"quoted"'))
    async with working(Worker([app], url=server.url)):
        await is_in(field, "text", "completed")
        await is_in(field, "quoted", "completed")
    assert seen == ["not json {", "quoted"]


async def test_skipping_completes_a_job(server: Server, client: Client, queue: str, field: Field) -> None:
    app = App()

    @app.handler(queue=queue)
    def work() -> None:
        raise StepSkipped("nothing to do")

    job_id = client.execute(jobs.publish(queue, {}))
    async with working(Worker([app], url=server.url)):
        await is_in(field, job_id, "completed")
    assert field(job_id, "last_error") == ""


async def test_a_sync_function_that_gives_a_coroutine_has_not_run(server: Server, client: Client, queue: str, field: Field) -> None:
    app = App()

    async def work() -> None: ...

    app.handler(queue=queue)(lambda: work())
    job_id = client.execute(jobs.publish(queue, {}, options=JobOptions(max_attempts=1)))
    async with working(Worker([app], url=server.url)):
        await is_in(field, job_id, "failed")
    assert "it returned a coroutine that nobody awaits" in field(job_id, "last_error")


@pytest.mark.parametrize("is_async", [True, False])
async def test_an_attempt_past_its_time_has_failed(server: Server, client: Client, queue: str, field: Field, is_async: bool) -> None:
    app, told = App(), []

    async def awaits(ctx: JobContext) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            told.append(ctx.cancelled.is_set())

    def blocks(ctx: JobContext) -> None:
        while not ctx.cancelled.is_set():
            time.sleep(0.01)
        told.append(ctx.is_cancelled)

    app.handler(queue=queue, timeout="200ms")(awaits if is_async else blocks)
    job_id = client.execute(jobs.publish(queue, {}, options=JobOptions(max_attempts=1)))
    async with working(Worker([app], url=server.url)):
        await is_in(field, job_id, "failed")
        await until(lambda: told, "the handler hears of it")
    assert told == [True]
    assert field(job_id, "last_error") == "TimeoutError: the attempt took longer than its timeout of 200ms"


async def test_flows_and_plain_jobs_share_a_queue_and_a_worker(server: Server, aclient: AsyncClient, client: Client, queue: str) -> None:
    flow, app, seen = Flow("beside", queue=queue), App(), []

    @flow.step
    def one() -> int:
        return 1

    @app.handler(queue=queue)
    def work(payload: int) -> None:
        seen.append(payload)

    client.execute(jobs.enqueue(queue, "plain", "7"))
    async with working(worker := Worker([flow, app], url=server.url)):
        await (await begin(aclient, flow)).succeeds()
        await until(lambda: seen == [7], "the plain job is worked")
        assert worker.unknown == ()


async def test_without_a_handler_a_job_is_left_to_others(server: Server, client: Client, queue: str, field: Field) -> None:
    app = App()
    app.handler(queue="other")(lambda: None)
    job_id = client.execute(jobs.publish(queue, {}))
    async with working(worker := Worker([app], url=server.url, queues=[queue])):
        await is_in(field, job_id, "delayed")
    assert worker.unknown == (f"plain jobs of {queue}",)
    assert field(job_id, "attempt") == "0"


async def test_a_worker_tells_which_plain_jobs_it_serves(server: Server, redis_conn: redis.Redis, queue: str) -> None:
    app = App()

    @app.handler(queue=queue)
    def send() -> None: ...

    async with working(Worker([app], url=server.url, name="w")):
        raw = await until(lambda: redis_conn.hget(keys.worker(queue, "w"), "serves"), "it is told")
    assert json.loads(text(raw)) == {f"queue:{queue}": ["send"]}


def test_apps_are_found_in_files_beside_flows(tmp_path: Path) -> None:
    (tmp_path / "mail.py").write_text("from omniq_flow import App\napp = App()\n@app.handler(queue='mail')\ndef send() -> None: ...\n")
    (tmp_path / "work.py").write_text("from omniq_flow import Flow\nflow = Flow('w')\n@flow.step\ndef one() -> int:\n    return 1\n")
    registry = Registry.load(tmp_path)
    registry.raise_faults()
    assert registry.queues == ("w", "mail")
    assert registry.serves == {"w": ["one"], "queue:mail": ["send"]}
    assert (tuple(registry.part((), ["mail"]).flows), registry.part((), ["mail"]).queues) == ((), ("mail",))
    assert registry.part(["w"], ()).queues == ("w",)


def test_a_queue_with_a_handler_in_two_files_is_a_fault(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(
            "from omniq_flow import App\napp = App()\n@app.handler(queue='mail')\ndef send() -> None: ...\n"
        )
    with pytest.raises(FlowLoadError, match=r"queue mail: has two handlers, the first at .*a\.py:3 \(.*b\.py:3\)"):
        Registry.load(tmp_path).raise_faults()


def test_an_app_that_a_file_imports_is_the_same_app(tmp_path: Path) -> None:
    app = App()
    app.handler(queue="mail")(print_nothing)
    assert Registry.of([app, app]).faults == ()


def print_nothing() -> None: ...


def test_a_worker_refuses_a_faulty_app() -> None:
    app = App()
    app.handler(queue="a b")(lambda: None)
    with pytest.raises(FlowLoadError, match="queue name 'a b' has ' '"):
        Worker([app], url="redis://x")


async def test_lines_of_a_handler_go_to_the_log_of_jobs(
    server: Server, client: Client, queue: str, field: Field, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    @app.handler(queue=queue)
    def work(ctx: JobContext) -> None:
        ctx.log("half done")

    caplog.set_level(logging.INFO, "omniq_flow.job")
    job_id = client.execute(jobs.publish(queue, {}))
    async with working(Worker([app], url=server.url)):
        await is_in(field, job_id, "completed")
    (record,) = (r for r in caplog.records if r.name == "omniq_flow.job")
    assert (record.getMessage(), record.__dict__["job"], record.__dict__["attempt"]) == ("half done", job_id, 1)
