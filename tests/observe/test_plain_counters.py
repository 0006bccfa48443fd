"""Completion counters that stand for themselves: one by its key, and a listing of those that our clients began."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.client.connect import Target
from omniq_flow.client.counting import begin_counter
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.errors import NotFound, ServerUnavailable
from omniq_flow.observe.counter_view import CounterReader
from omniq_flow.observe.counters import RunCounter
from omniq_flow.observe.plain_counters import MOST_LISTED, PlainCounter, PlainCounterReader, plain_counters, read_counter
from omniq_flow.ops import counters, keys
from omniq_flow.tui.link import LookingClient
from tests.observe.drive import Drive
from tests.observe.flows import join
from tests.support.server import ScratchServer, Server


def test_a_plain_counter_tells_who_has_reported(client: Client) -> None:
    client.execute(counters.childs_init("order/42", 5))
    for child in ("b", "a", "b"):
        client.execute(counters.child_ack("order/42", child))
    found = read_counter(client, "order/42")
    assert (found, found.expected) == (PlainCounter("order/42", left=3, done=2, members=("a", "b")), 5)


def test_of_many_that_reported_some_are_named(client: Client, redis_conn: redis.Redis) -> None:
    redis_conn.set("{cc:big}:count", 1)
    redis_conn.sadd("{cc:big}:done", *(f"child-{n}" for n in range(2_000)))
    found = read_counter(client, "big", most=10)
    assert (found.expected, len(found.members)) == (2_001, 10)


def test_a_counter_that_is_over_is_not_found(client: Client) -> None:
    client.execute(counters.childs_init("k", 1))
    client.execute(counters.child_ack("k", "a"))
    with pytest.raises(NotFound, match="no counter 'k'"):
        read_counter(client, "k")


@contextmanager
def looking_at(url: str) -> Iterator[LookingClient]:
    """A client that counts what it asks for."""
    client = LookingClient(Target.parse(url), 5.0, 5.0, RetryPolicy())
    try:
        yield client
    finally:
        client.close()


def noted(conn: redis.Redis, *names: str) -> None:
    """Begun by a client of ours one after the other, as far as the notes tell."""
    conn.zadd(keys.COUNTERS, {name: n for n, name in enumerate(names, 1)})


def test_what_our_clients_began_is_listed_the_newest_first(client: Client, redis_conn: redis.Redis) -> None:
    for key in ("old", "new"):
        begin_counter(client, key, 3)
    client.execute(counters.child_ack("old", "a"))
    redis_conn.zadd(keys.COUNTERS, {"old": 1_000, "new": 2_000})
    found = plain_counters(client)
    assert found.found == (PlainCounter("new", 3, 0, begun_ms=2_000), PlainCounter("old", 2, 1, begun_ms=1_000))
    assert (found.trouble, found.at_ms > 2_000) == ("", True)


def test_what_is_over_or_no_counter_is_left_out_and_nothing_is_written(client: Client, redis_conn: redis.Redis) -> None:
    """Whoever looks does not tidy; a member that can be no key of a counter harms nobody."""
    for key in ("over", "gone", "stays"):
        begin_counter(client, key, 1)
    client.execute(counters.child_ack("over", "a"))
    redis_conn.delete("{cc:gone}:count")
    for member in (b"a{b}", b"\xff", b"", b" blank "):
        redis_conn.zadd(keys.COUNTERS, {member: 9})
    before = redis_conn.zrange(keys.COUNTERS, 0, -1, withscores=True)
    assert [c.key for c in plain_counters(client).found] == ["stays"]
    assert redis_conn.zrange(keys.COUNTERS, 0, -1, withscores=True) == before


def test_a_listing_of_a_thousand_takes_two_round_trips(server: Server, client: Client, redis_conn: redis.Redis) -> None:
    noted(redis_conn, *(f"c{n}" for n in range(1_200)))
    redis_conn.mset({f"{{cc:c{n}}}:count": 5 for n in range(1_200)})
    with looking_at(server.url) as looking:
        found = plain_counters(looking).found
        assert (len(found), found[0].key, looking.trips) == (1_000, "c1199", 2)


def test_a_tick_looks_at_some_and_all_have_their_turn(server: Server, redis_conn: redis.Redis) -> None:
    """An old counter that hangs is found behind a thousand newer ones that are over, and then seen with each tick."""
    noted(redis_conn, "hangs", *(f"over{n}" for n in range(999)))
    redis_conn.set("{cc:hangs}:count", 2)
    reader = PlainCounterReader()
    with looking_at(server.url) as looking:
        for _ in range(16):
            looking.start_count()
            reader.read(looking)
            assert (looking.trips, looking.commands <= 150) == (2, True)
        assert reader.read(looking).found == (PlainCounter("hangs", 2, 0, begun_ms=1),)
        redis_conn.decr("{cc:hangs}:count")
        redis_conn.sadd("{cc:hangs}:done", "a")
        assert reader.read(looking).found == (PlainCounter("hangs", 1, 1, begun_ms=1),)


def test_a_counter_that_ended_leaves_the_list(client: Client) -> None:
    reader = PlainCounterReader()
    begin_counter(client, "k", 1)
    assert [c.key for c in reader.read(client).found] == ["k"]
    client.execute(counters.child_ack("k", "a"))
    assert reader.read(client).found == ()


def test_the_view_has_both_kinds_and_keeps_its_budget(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    drive = Drive(client, join(queue))
    drive.start()
    drive.report([job for job in drive.take() if job.flow and str(job.flow.step_run) == "y1"])
    noted(redis_conn, *(f"c{n}" for n in range(1_000)))
    redis_conn.mset({f"{{cc:c{n}}}:count": 5 for n in range(1_000)})
    reader = CounterReader()
    with looking_at(server.url) as looking:
        for _ in range(12):
            looking.start_count()
            reader.read(looking, [queue])
            assert (looking.trips <= 3, looking.commands <= 150) == (True, True)
        view = reader.read(looking, [queue])
        reader.look_at(PlainCounter("c999", 5, 0))
        redis_conn.sadd("{cc:c999}:done", "b", "a")
        looked = reader.read(looking, [queue])
    run, *plain = view.rows
    assert isinstance(run.counter, RunCounter)
    assert (plain[0].id, plain[0].verdict, len(plain), view.is_partial) == ("c999", "", MOST_LISTED, False)
    assert (looked.selected, looked.reported, looked.members) == ("c999", ("a", "b"), ())


@pytest.mark.parametrize("kind", ["other type", "no right"])
def test_notes_that_cannot_be_read_are_told(kind: str) -> None:
    """The counters of runs are listed all the same; so this is no error."""
    with ScratchServer() as server:
        server.connection().set(keys.COUNTERS, "something else")
        url = server.url if kind == "other type" else server.user("reader", "secret", "~{cc:*", "+@all")
        with Client.open(url) as client:
            found = plain_counters(client)
    assert found.found == ()
    assert ("WRONGTYPE" if kind == "other type" else "(NOPERM)") in found.trouble


def test_a_lost_server_is_an_error_when_listing() -> None:
    with ScratchServer() as server, Client.open(server.url, connect_timeout=0.3) as client:
        server.kill()
        with pytest.raises(ServerUnavailable):
            plain_counters(client)
