"""Four incidents at 3 a.m., each seen and answered with at most five keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.model.clock import now_ms
from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.names import FlowJobId
from omniq_flow.observe.queues import read_queue
from omniq_flow.ops import keys
from omniq_flow.ops.admin import is_paused
from omniq_flow.ops.jobs import publish, reserve
from omniq_flow.ops.runs import run_header
from tests.observe.drive import Bad, Drive
from tests.observe.flows import pages
from tests.support.server import ScratchServer, Server
from tests.support.until import until
from tests.tui.conftest import app_of, live, shows
from tests.tui.shots import screen_text


async def test_the_backlog_rises(server: Server, client: Client, redis_conn: redis.Redis) -> None:
    """Nobody works one queue; of the other one group holds all its slots. No key for the first, two for the second."""
    redis_conn.sadd("{omniq-flow}:queues", "billing", "aaa")
    for n in range(5):
        client.execute(publish("billing", {"n": n}))
        client.execute(publish("aaa", {"n": n}, options=JobOptions(gid="greedy", group_limit=2)))
    client.execute(reserve("aaa"))
    client.execute(reserve("aaa"))
    redis_conn.zadd(keys.workers("aaa"), {"w": now_ms() + 60_000})
    async with live(server.url) as pilot:
        await shows(pilot, "5 waiting, no worker serves it")
        await shows(pilot, "omniq-flow worker -q billing")
        await pilot.press("4")
        await shows(pilot, "2/2")
        await shows(pilot, "full")


async def test_a_run_hangs_at_95_of_96(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    """The job of one element is gone: two keys name the element, one more says that the counter is stuck because of it."""
    redis_conn.sadd("{omniq-flow}:queues", queue)
    drive = Drive(client, pages(queue))
    run_id = drive.start()
    taken = drive.settle(drive.take(), {"split": [1, 2, 3, 4]})
    (lost,) = [job for job in taken if job.flow and str(job.flow.step_run) == "read[2]"]
    taken = drive.settle(tuple(job for job in taken if job is not lost), {})
    drive.settle(taken, {})
    redis_conn.delete(keys.job(queue, lost.job_id))
    redis_conn.zrem(keys.queue_key(queue, "active"), lost.job_id)
    assert FlowJobId.parse(lost.job_id) is not None
    async with live(server.url) as pilot:
        await pilot.press("5")
        await shows(pilot, "of:clean")
        await shows(pilot, "clean[2]")
        await shows(pilot, "its job is gone")
        await pilot.press("O")
        await until(lambda: app_of(pilot).screen.name == f"run:{run_id}", "the run is open")
        await shows(pilot, "STEP split")


async def test_a_bad_deploy_fails_everything(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    """One key stops the bleeding; five retry all that failed, after their number is typed."""
    redis_conn.sadd("{omniq-flow}:queues", queue)
    drive = Drive(client, pages(queue))
    runs = [drive.finished({"split": Bad("no such module")}) for _ in range(4)]
    good = drive.finished({"split": [1]})
    async with live(server.url) as pilot:
        await shows(pilot, "4 failed 24h")
        await pilot.press("p")
        await until(lambda: client.execute(is_paused(queue)), "the queue is paused")
        await pilot.press("2")
        await shows(pilot, "✘ failed")
        await pilot.press("f", "f")
        await shows(pilot, "filter: is:failed")
        await pilot.press("A")
        await shows(pilot, "4 marked")
        await pilot.press("r")
        await shows(pilot, "type 4 to confirm")
        await pilot.press("4", "enter")
        await until(lambda: all(client.execute(run_header(queue, run)).epoch == 2 for run in runs), "all are retried")
        assert client.execute(run_header(queue, good)).epoch == 1
        assert read_queue(client, queue).state == "paused"


@pytest.fixture
def own_server() -> Iterator[ScratchServer]:
    with ScratchServer(aof=True) as scratch:
        yield scratch


async def test_the_server_is_restarted(own_server: ScratchServer) -> None:
    """No key at all: the picture goes stale, and what the server still has is shown when it is back."""
    with own_server.connection() as connection:
        connection.sadd("{omniq-flow}:queues", "mail")
    with Client.open(own_server.url) as client:
        client.execute(publish("mail", {}))
    async with live(own_server.url) as pilot:
        await shows(pilot, "mail")
        own_server.stop()
        await shows(pilot, "STALE")
        own_server.start()
        await shows(pilot, "LIVE")
        await until(lambda: any(row.split()[:2] == ["▌mail", "1"] for row in screen_text(pilot.app).split("\n")), "what is left is shown")
