"""Plain jobs, from the first handler on: each test shows one idea, with public names only."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from pydantic import BaseModel

from omniq_flow import App, Consumer, FlowDefinitionError, JobContext, OmniqClient
from tests.support.server import Server
from tests.support.until import wait_until


class Email(BaseModel):
    to: str
    subject: str = "Hello"


@pytest.fixture
def omniq(server: Server, redis_conn: object) -> OmniqClient:
    return OmniqClient(redis_url=server.url)


def worked(omniq: OmniqClient, handler: Callable[[JobContext], object], count: int = 1) -> None:
    """Let a consumer work the queue `emails` until so many handlers have been called."""
    calls: list[str] = []

    def counted(ctx: JobContext) -> object:
        calls.append(ctx.job_id)
        return handler(ctx)

    consumer = Consumer(omniq, queue="emails", handler=counted)
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        wait_until(lambda: len(calls) == count, f"{count} jobs are worked")
    finally:
        consumer.stop()
        thread.join()


def test_a_handler_is_a_function_for_the_jobs_of_a_queue() -> None:
    """It stays a plain function: call it in a unit test."""
    app = App()

    @app.handler(queue="emails")
    def send(email: Email) -> str:
        return f"to {email.to}: {email.subject}"

    assert send(Email(to="ann")) == "to ann: Hello"
    assert list(app.handlers) == ["emails"]


def test_a_handler_may_be_async_and_may_take_its_context() -> None:
    """`omniq-flow worker` serves the handlers in `flows/*.py`; here one is called by hand."""
    app = App()

    @app.handler(queue="emails", timeout="30s")
    async def send(email: Email, ctx: JobContext) -> str:
        return f"{ctx.queue}: {email.to}, attempt {ctx.attempt} of {ctx.max_attempts}"

    context = JobContext("emails", "1", attempt=2, max_attempts=3)
    assert asyncio.run(send(Email(to="ann"), context)) == "emails: ann, attempt 2 of 3"


def test_what_is_wrong_with_a_handler_is_told_before_anything_runs() -> None:
    app = App()

    @app.handler(queue="emails")
    def send(email: Email, subject: str) -> None: ...

    with pytest.raises(FlowDefinitionError, match="subject is one parameter too many: email is the payload already"):
        app.check()


def test_a_published_job_is_worked(omniq: OmniqClient) -> None:
    seen: list[object] = []
    job_id = omniq.publish(queue="emails", payload={"to": "ann"})
    worked(omniq, lambda ctx: seen.append((ctx.job_id, ctx.payload)))
    assert seen == [(job_id, {"to": "ann"})]


def test_what_raises_is_tried_again(omniq: OmniqClient) -> None:
    attempts: list[int] = []

    def fails_once(ctx: JobContext) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            raise ConnectionError("the mail server is away")

    omniq.publish(queue="emails", payload={}, max_attempts=3, backoff_ms=0)
    worked(omniq, fails_once, count=2)
    assert attempts == [1, 2]


def test_a_handler_may_give_up_for_good(omniq: OmniqClient) -> None:
    omniq.publish(queue="emails", payload={}, job_id="x")
    worked(omniq, lambda ctx: ctx.fail("no such address"))
    omniq.retry_failed(queue="emails", job_id="x")


def test_a_handler_publishes_what_comes_next(omniq: OmniqClient) -> None:
    omniq.publish(queue="emails", payload={"to": "ann"})
    worked(omniq, lambda ctx: ctx.exec.publish(queue="archive", payload=ctx.payload))
    archived = omniq.reserve(queue="archive")
    assert archived is not None
    assert archived.status == "JOB"


def test_the_last_of_several_jobs_knows_that_it_is_the_last(omniq: OmniqClient) -> None:
    """A completion counter counts each job once, and says zero once."""
    left: list[int] = []
    omniq.childs_init(key="newsletter", expected=3)
    for _ in range(3):
        omniq.publish(queue="emails", payload={})
    worked(omniq, lambda ctx: left.append(ctx.exec.child_ack("newsletter")), count=3)
    assert left == [2, 1, 0]


def test_a_consumer_is_stopped_from_anywhere(omniq: OmniqClient) -> None:
    """What runs is finished, what was not started is given back."""
    for _ in range(3):
        omniq.publish(queue="emails", payload={})
    seen: list[str] = []

    def stops(ctx: JobContext) -> None:
        seen.append(ctx.job_id)
        consumer.stop()

    consumer = Consumer(omniq, queue="emails", handler=stops)
    consumer.run()
    assert len(seen) == 1
