"""What handlers do to the server: publish, pause and count, blocking in threads, awaited on the loop, and from child processes."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from omniq_flow import App, Client, Flow, JobContext, LeaseLost, OperationRefused, ServerUnavailable, StepContext, UsageError
from omniq_flow.client.client import AsyncClient
from omniq_flow.client.connect import Target, Tls
from omniq_flow.client.exec import Aio, CheckCompletion, Exec
from omniq_flow.engine.frames import Call
from omniq_flow.engine.registry import Registry
from omniq_flow.engine.tools import Tools
from omniq_flow.engine.worker import Worker
from omniq_flow.model.names import StepRun
from omniq_flow.ops import jobs, keys
from tests.engine.life import begin, working
from tests.support.server import Server
from tests.support.until import until

COUNTS = [("childs_init", "child_ack"), ("init_job_counter", "job_decrement"), ("InitJobCounter", "JobDecrement")]


@dataclasses.dataclass
class Parcel:
    weight: int


def counter_of(ctx: Any, init: str) -> Any:
    return ctx.exec if init == "childs_init" else ctx.check_completion


@pytest.mark.parametrize(("init", "ack"), COUNTS)
async def test_a_sync_handler_counts_in_all_spellings(server: Server, client: Client, queue: str, init: str, ack: str) -> None:
    app, seen = App(), []

    @app.handler(queue=queue)
    def work(ctx: JobContext) -> None:
        counter = counter_of(ctx, init)
        getattr(counter, init)("all", 2)
        seen.append([getattr(counter, ack)("all"), getattr(counter, ack)("all"), getattr(counter, ack)("all", " other ")])

    client.execute(jobs.publish(queue, {}))
    async with working(Worker([app], url=server.url)):
        await until(lambda: seen, "the handler has counted")
    assert seen == [[1, 1, 0]], "the running job counts once, whoever else is named counts besides"


async def test_counters_that_handlers_begin_are_known_to_listings(server: Server, client: Client, redis_conn: redis.Redis) -> None:
    app = App()

    @app.handler(queue="blocks")
    def work(ctx: JobContext) -> None:
        ctx.exec.childs_init("blocking", 2)

    @app.handler(queue="awaits")
    async def work_too(ctx: JobContext) -> None:
        await ctx.aio.exec.childs_init("awaited", 2)

    for name in ("blocks", "awaits"):
        client.execute(jobs.publish(name, {}))
    async with working(Worker([app], url=server.url)):
        await until(lambda: set(redis_conn.zrange(keys.COUNTERS, 0, -1)) == {b"blocking", b"awaited"}, "both are noted")


@pytest.mark.parametrize(("init", "ack"), COUNTS)
async def test_an_async_handler_awaits_the_same(server: Server, client: Client, queue: str, init: str, ack: str) -> None:
    app, seen = App(), []

    @app.handler(queue=queue)
    async def work(ctx: JobContext) -> None:
        counter = counter_of(ctx.aio, init)
        await getattr(counter, init)("all", 2)
        seen.append([await getattr(counter, ack)("all"), await getattr(counter, ack)("all", "other")])

    client.execute(jobs.publish(queue, {}))
    async with working(Worker([app], url=server.url)):
        await until(lambda: seen, "the handler has counted")
    assert seen == [[1, 0]]


async def test_handlers_publish_and_pause(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    app, seen = App(), []

    @app.handler(queue=queue)
    def work(ctx: JobContext) -> None:
        run = ctx.exec
        assert run.publish(queue="next", payload={"n": 1}, job_id="a", max_attempts=7, timeout_ms=9_000, gid=" g ") == "a"
        assert run.publish_json(queue="next", payload=Parcel(3), job_id="b", backoff_ms=1) == "b"
        seen.append([run.pause(queue="next"), run.is_paused(queue="next"), run.resume(queue="next"), run.resume(queue="next")])

    client.execute(jobs.publish(queue, {}))
    async with working(Worker([app], url=server.url)):
        await until(lambda: seen, "the handler is done")
    assert seen == [["OK", True, 1, 0]]
    first, second = (redis_conn.hgetall(keys.job("next", job_id)) for job_id in ("a", "b"))
    assert (first[b"payload"], first[b"max_attempts"], first[b"timeout_ms"], first[b"gid"]) == (b'{"n":1}', b"7", b"9000", b"g")
    assert (second[b"payload"], second[b"max_attempts"], second[b"backoff_ms"]) == (b'{"weight":3}', b"3", b"1")


async def test_async_handlers_publish_and_pause(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    app, seen = App(), []

    @app.handler(queue=queue)
    async def work(ctx: JobContext) -> None:
        run = ctx.aio.exec
        ids = [await run.publish(queue="next", payload=[1]), await run.publish_json(queue="next", payload=Parcel(3))]
        await run.pause(queue="next")
        seen.append([len(ids[0]), len(ids[1]), await run.is_paused(queue="next"), await run.resume(queue="next")])

    client.execute(jobs.publish(queue, {}))
    async with working(Worker([app], url=server.url)):
        await until(lambda: seen, "the handler is done")
    assert seen == [[26, 26, True, 1]]
    assert redis_conn.llen("{next}:wait") == 2


async def test_steps_have_the_same_tools(server: Server, aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    flow = Flow("tools")

    @flow.step
    def blocking(ctx: StepContext) -> list[int]:
        ctx.exec.publish(queue="next", payload={})
        ctx.check_completion.init_job_counter("s", 2)
        return [ctx.exec.child_ack("s"), ctx.check_completion.job_decrement("s", "other")]

    @flow.step
    async def awaiting(ctx: StepContext) -> list[int]:
        await ctx.aio.exec.publish(queue="next", payload={})
        await ctx.aio.check_completion.init_job_counter("a", 2)
        return [await ctx.aio.exec.child_ack("a"), await ctx.aio.exec.child_ack("a", ctx.job_id)]

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).succeeds()
    assert (await run.value("blocking"), await run.value("awaiting")) == ([1, 0], [1, 1])
    assert redis_conn.llen("{next}:wait") == 2


PROCESS = """
from omniq_flow import Flow, StepContext
flow = Flow("far")

@flow.step(process=True)
def blocking(ctx: StepContext) -> str:
    return ctx.exec.publish(queue="next", payload={}, job_id=ctx.job_id)

@flow.step(process=True)
async def awaiting(ctx: StepContext) -> str:
    try:
        ctx.exec.pause(queue="next")
    except Exception as error:
        refused = type(error).__name__
    return refused + await ctx.aio.exec.publish(queue="next", payload={}, job_id="x")
"""


async def test_a_child_process_has_them_too(server: Server, aclient: AsyncClient, redis_conn: redis.Redis, tmp_path: Path) -> None:
    (tmp_path / "far.py").write_text(PROCESS)
    registry = Registry.load(tmp_path)
    async with working(Worker(registry, url=server.url)):
        run = await (await begin(aclient, registry.flows["far"])).succeeds()
    assert await run.value("blocking") == f"f.{run.run_id}.blocking.1"
    assert await run.value("awaiting") == "UsageErrorx"
    assert redis_conn.llen("{next}:wait") == 2


async def test_a_blocking_call_on_the_loop_is_refused(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    app, told = App(), []

    @app.handler(queue=queue)
    async def work(ctx: JobContext) -> None:
        for call in (lambda: ctx.exec.publish(queue="next", payload={}), lambda: ctx.check_completion.init_job_counter("c", 1)):
            with pytest.raises(UsageError) as caught:
                call()
            told.append(caught.value.hint)

    client.execute(jobs.publish(queue, {}))
    async with working(Worker([app], url=server.url)):
        await until(lambda: len(told) == 2, "both are refused")
    assert set(told) == {"in an async handler use ctx.aio, and await it"}
    assert not redis_conn.exists("{next}:wait", "{cc:c}:count")


async def test_aio_works_from_any_loop(server: Server, client: Client, queue: str) -> None:
    """A sync handler may run a loop of its own in its thread."""
    app, seen = App(), []

    @app.handler(queue=queue)
    def work(ctx: JobContext) -> None:
        seen.append(asyncio.run(ctx.aio.exec.publish(queue="next", payload={}, job_id="a")))

    client.execute(jobs.publish(queue, {}))
    async with working(Worker([app], url=server.url)):
        await until(lambda: seen == ["a"], "it was published")


def test_an_absent_counter_is_a_number_or_an_error(client: Client) -> None:
    """Q25: whoever comes after the zero is told that there is none."""
    with pytest.raises(OperationRefused, match="CHECK_COMPLETION_DECREMENT failed: NO_COUNTER"):
        CheckCompletion(client, "job").job_decrement("none")
    assert Exec(client, "job").child_ack("none") == -1
    Exec(client, "job").childs_init("c", 1)
    assert [Exec(client, "job").child_ack("c") for _ in range(2)] == [0, -1]


async def test_an_absent_counter_is_the_same_awaited(aclient: AsyncClient) -> None:
    aio = Aio(aclient, "job")
    assert await aio.exec.child_ack("none") == -1
    with pytest.raises(OperationRefused, match="CHECK_COMPLETION_DECREMENT failed: NO_COUNTER"):
        await aio.check_completion.job_decrement("none")


@pytest.mark.parametrize(("expected", "reason"), [(0, "BAD_EXPECTED"), (1, "ALREADY_INIT")])
async def test_a_counter_that_cannot_be_started_raises(client: Client, aclient: AsyncClient, expected: int, reason: str) -> None:
    Exec(client, "job").childs_init("c", 1)
    key = "c" if expected else "d"
    with pytest.raises(OperationRefused, match=f"CHECK_COMPLETION_INIT failed: {reason}"):
        CheckCompletion(client, "job").init_job_counter(key, expected)
    with pytest.raises(OperationRefused, match=f"CHECK_COMPLETION_INIT failed: {reason}"):
        await Aio(aclient, "job").check_completion.init_job_counter(key, expected)
    with pytest.raises(OperationRefused, match=f"CHILDS_INIT failed: {reason}"):
        Exec(client, "job").childs_init(key, expected)


class Broken:
    """A client whose calls all fail in one way."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def execute(self, op: object) -> Any:
        raise self.error

    def execute_all(self, ops: object) -> Any:
        raise self.error


@pytest.mark.parametrize("error", [ServerUnavailable("gone"), OperationRefused("CHILD_ACK", "OTHER"), LeaseLost("x")])
def test_trouble_is_never_taken_for_an_absent_counter(error: Exception) -> None:
    """Q26: a child that believes to be uncounted would leave its parent waiting for ever."""
    with pytest.raises(type(error)):
        Exec(Broken(error), "job").child_ack("c")
    with pytest.raises(type(error)):
        CheckCompletion(Broken(error), "job").job_decrement("c")


@pytest.mark.parametrize(
    "call", [lambda e: e.child_ack("c", " "), lambda e: e.child_ack("{c}"), lambda e: e.publish(queue="a b", payload={})]
)
def test_bad_names_are_refused_before_anything_is_sent(call: Callable[[Exec], object]) -> None:
    with pytest.raises(ValueError, match=r"must not be empty|has a brace|has ' '"):
        call(Exec(Broken(AssertionError("it was sent")), "job"))


def test_a_context_without_a_worker_says_so() -> None:
    for ctx in (JobContext("q", "1"), StepContext("r", "f", StepRun("s"))):
        for use in ("exec", "check_completion", "aio"):
            with pytest.raises(UsageError, match="belongs to no worker"):
                getattr(ctx, use)


def test_a_stand_in_may_be_handed_to_a_context(client: Client) -> None:
    stand_in = Exec(client, "me")
    assert JobContext("q", "1", exec=stand_in).exec is stand_in


def test_the_tools_end_with_their_worker(server: Server) -> None:
    tools = Tools(Target.parse(server.url))
    run = tools.exec("job")
    assert run.is_paused(queue="q") is False
    tools.close()
    with pytest.raises(UsageError, match="the worker of this context has ended"):
        run.is_paused(queue="q")


def test_a_server_with_tls_is_named_to_a_child_as_it_is() -> None:
    target = Target(host="h", port=1, password="secret", tls=Tls(ca_certs="x", checks_host=False))
    flow = Flow("framed")

    @flow.step
    def one() -> int:
        return 1

    call = Call("f.py", flow.plan().by_name["one"], False, 10, [], StepContext("r", "f", StepRun("one")), 0.5, target)
    assert Call.parse(json.loads(call.line())).target == target
    assert Call.parse(json.loads(dataclasses.replace(call, target=None).line())).target is None
