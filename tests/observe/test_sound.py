"""Keys of another type: each is told alone, and never hides what stands beside it."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.errors import ReplyError
from omniq_flow.observe.jobs import DAMAGED, read_jobs
from omniq_flow.observe.reading import list_runs
from omniq_flow.observe.run_list import RunList
from omniq_flow.observe.run_query import RunQuery
from omniq_flow.observe.sound import Unsound, read_sound
from omniq_flow.ops import keys
from omniq_flow.ops.command import Query
from omniq_flow.ops.jobs import publish
from tests.observe.drive import Drive
from tests.observe.flows import join


def test_the_others_answer_as_ever(client: Client, redis_conn: redis.Redis) -> None:
    redis_conn.rpush("a", "x", "y")
    redis_conn.set("b", "text")
    asked: list[Query[Any]] = [
        Query(("LLEN", "a"), int),
        Query(("HGET", "b", "f"), str),
        Query(("EXISTS", "b"), int),
        Query(("LRANGE", "none", 0, -1), list),
    ]
    length, fault, there, nothing = read_sound(client, asked)
    assert (length, there, nothing) == (2, 1, [])
    assert fault == Unsound("b", "string", "hash")
    assert str(fault) == "WRONGTYPE: b is a string, not a hash"
    assert read_sound(client, []) == []


def test_another_refusal_is_an_error_as_before(client: Client, redis_conn: redis.Redis) -> None:
    redis_conn.set("n", "text")
    with pytest.raises(ReplyError):
        read_sound(client, [Query(("INCR", "n"), int)])


def test_a_damaged_job_is_one_of_the_list(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    for n in range(3):
        client.execute(publish(queue, {}, job_id=f"j{n}"))
    redis_conn.delete(keys.job(queue, "j1"))
    redis_conn.sadd(keys.job(queue, "j1"), "x")
    page = read_jobs(client, queue, "wait")
    assert [(job.job_id, job.state) for job in page.jobs] == [("j0", "wait"), ("j1", DAMAGED), ("j2", "wait")]
    assert page.jobs[1].last_error == f"WRONGTYPE: {keys.job(queue, 'j1')} is a set, not a hash"


def test_a_damaged_run_is_one_of_the_list(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    drive = Drive(client, join(queue))
    runs = [drive.start() for _ in range(3)]
    redis_conn.delete(keys.header(queue, runs[1]), keys.tallies(queue, runs[0]))
    redis_conn.set(keys.header(queue, runs[1]), "x")
    redis_conn.set(keys.tallies(queue, runs[0]), "x")
    for found in (list_runs(client, [queue]), RunList().read(client, [queue], RunQuery(), 0, 10).rows):
        assert [summary.header.run_id for summary in found] == runs[::-1]
        assert [summary.header.flow.partition(":")[0] for summary in found] == ["looked_at", "WRONGTYPE", "looked_at"]
        assert found[1].header.damage == found[1].header.flow
