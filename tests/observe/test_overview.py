"""What the first screen says somebody should look at."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.model.clock import now_ms
from omniq_flow.model.jobs import JobOptions
from omniq_flow.observe.overview import OLD_EVERY, Need, OverviewReader
from omniq_flow.ops import keys
from omniq_flow.ops.jobs import publish
from omniq_flow.ops.steering import queue_pause
from tests.cases.old_client import OldClient
from tests.observe.drive import Bad, Drive
from tests.observe.flows import pages
from tests.support.server import ScratchServer

HOUR_MS = 3_600_000


def needs(client: Client, names: Sequence[str], *, ahead_ms: int = 0, ticks: int = 8) -> list[tuple[str, str]]:
    """What is told after some ticks, by a clock that is ahead of the server's."""
    reader = OverviewReader(clock=lambda: now_ms() + ahead_ms)
    found: tuple[Need, ...] = ()
    for _ in range(ticks):
        found = reader.read(client, names).needs
    return [(need.name, need.what) for need in found]


def worked(conn: redis.Redis, queue: str) -> None:
    """Somebody serves the queue."""
    conn.zadd(keys.workers(queue), {"w": now_ms() + 60_000})


def test_a_quiet_server_needs_nobody(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    worked(redis_conn, queue)
    client.execute(publish(queue, {}, job_id="j", options=JobOptions()))
    assert needs(client, [queue]) == []
    assert needs(client, []) == []


def test_jobs_that_nobody_takes_and_a_run_that_failed(client: Client, queue: str) -> None:
    client.execute(publish("lonely", {}))
    run_id = Drive(client, pages(queue)).finished({"split": Bad("no")})
    found = needs(client, ["lonely", queue])
    assert found[0] == ("lonely", "1 waiting, no worker serves it")
    assert found[1][0] == f"run {run_id[-6:]}"


def test_a_job_that_waits_too_long(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    worked(redis_conn, queue)
    client.execute(publish(queue, {}, job_id="j"))
    redis_conn.hset(keys.job(queue, "j"), "updated_ms", now_ms() - 2 * HOUR_MS)
    assert needs(client, [queue]) == [(queue, "its oldest job waits for 2h00m")]


def test_a_pause_that_was_forgotten(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    client.execute(queue_pause(queue, by="ann@host", reason="deploy"))
    assert needs(client, [queue]) == []
    redis_conn.hset(keys.pause_note(queue), "at_ms", now_ms() - 2 * HOUR_MS)
    assert needs(client, [queue]) == [(queue, "paused for 2h00m by ann@host: deploy")]


@pytest.mark.parametrize(("ahead_ms", "said"), [(-5_000, "ahead of"), (5_000, "behind")])
def test_clocks_that_differ(client: Client, redis_conn: redis.Redis, queue: str, ahead_ms: int, said: str) -> None:
    worked(redis_conn, queue)
    (name, what), *more = needs(client, [queue], ahead_ms=ahead_ms)
    assert (name, more) == ("clock", [])
    assert what.startswith("the server's clock is ")
    assert what.endswith(f" {said} this one")
    assert needs(client, [queue], ahead_ms=ahead_ms // 10) == []


def test_traces_of_an_old_client(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    """A job of the old layout is found among others, and is forgotten when it is gone."""
    worked(redis_conn, queue)
    client.execute(publish(queue, {}, job_id="ours"))
    OldClient(redis_conn, queue).publish("theirs", "{}")
    reader = OverviewReader()
    told = [reader.read(client, [queue]).needs for _ in range(4)][-1]
    old = [need for need in told if "OmniQ client" in need.what]
    assert [(need.name, need.what) for need in old] == [(queue, "an OmniQ client before 3.0 uses it (job theirs): its figures drift")]
    redis_conn.lrem(keys.queue_key(queue, "wait"), 0, "theirs")
    told = [reader.read(client, [queue]).needs for _ in range(OLD_EVERY)][-1]
    assert [need for need in told if "OmniQ client" in need.what] == []


def test_memory_that_runs_out_and_a_server_that_refuses_writes() -> None:
    with ScratchServer() as own, Client.open(own.url) as client, own.connection() as conn:
        conn.set("big", bytes(20 << 20))
        used = int(conn.info("memory")["used_memory"])
        conn.config_set("maxmemory", int(used * 1.1))
        ((name, what),) = needs(client, ["q"])
        assert name == "server"
        assert what.endswith(" % of its memory is used")
        conn.config_set("maxmemory", used // 2)
        told = needs(client, ["q"])
        assert [name for name, _ in told] == ["server"]
        assert told[0][1].startswith("is out of memory, ")


def test_who_may_not_ask_the_server_sees_the_rest() -> None:
    with ScratchServer() as own, Client.open(own.url) as admin:
        admin.execute(publish("lonely", {}))
        with Client.open(own.user("ann", "secret", "~*", "+@all", "-@dangerous")) as limited:
            assert needs(limited, ["lonely"]) == [("lonely", "1 waiting, no worker serves it")]


def test_runs_are_never_seen_before_their_queue(client: Client, queue: str) -> None:
    """The first glances of an app have no names yet; whoever sees that runs failed can act on their queue."""
    Drive(client, pages(queue)).finished({"split": Bad("no")})
    for unnamed in range(4):
        reader = OverviewReader()
        for _ in range(unnamed):
            assert reader.read(client, ()).queues == ()
        glances = [reader.read(client, [queue]) for _ in range(8)]
        assert glances[-1].runs.failed_day == 1
        assert all(glance.queues for glance in glances if glance.runs.failed_day), unnamed
