"""Runs are listed and found by name over all home queues."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.errors import NotFound, UsageError
from omniq_flow.observe.reading import find_run, home_queues, list_runs
from omniq_flow.ops import keys
from tests.observe.drive import Bad, Drive
from tests.observe.flows import join, pages, plan, step

Ids = list[str]


@pytest.fixture
def three(client: Client, queue: str) -> Ids:
    """One run that succeeded, one that failed, one that goes on; in the order of their start."""
    drive = Drive(client, join(queue))
    return [drive.finished(), drive.finished({"x1": Bad("no")}), drive.start(key="mine")]


def test_the_newest_come_first_with_their_numbers(client: Client, queue: str, three: Ids) -> None:
    found = list_runs(client, [queue])
    assert [s.header.run_id for s in found] == sorted(three, reverse=True)
    by_id = {s.header.run_id: s for s in found}
    assert [(by_id[i].word, by_id[i].done, by_id[i].total, by_id[i].failed) for i in three] == [
        ("succeeded", 6, 6, 0),
        ("failed", 6, 6, 1),
        ("running", 0, 6, 0),
    ]
    assert by_id[three[2]].header.key == "mine"


@pytest.mark.parametrize(
    ("states", "which"), [(["failed"], [1]), (["running"], [2]), (["succeeded", "running"], [0, 2]), (["cancelled"], []), ([], [0, 1, 2])]
)
def test_states_are_filtered_by_the_words_that_are_shown(client: Client, queue: str, three: Ids, states: Ids, which: list[int]) -> None:
    found = list_runs(client, [queue], states=states)
    assert {s.header.run_id for s in found} == {three[n] for n in which}


def test_a_run_with_failures_that_goes_on_counts_as_running(client: Client, queue: str) -> None:
    drive = Drive(client, plan(queue, step("a"), step("b")))
    run_id = drive.start()
    drive.settle(drive.take(1), {"a": Bad("no")})
    assert [s.header.run_id for s in list_runs(client, [queue], states=["running"])] == [run_id]
    assert list_runs(client, [queue], states=["failed"]) == []


def test_the_limit_counts_over_all_queues_and_after_the_filter(client: Client, queue: str, three: Ids) -> None:
    other = [Drive(client, pages(f"{queue}b")).start() for _ in range(3)]
    newest = sorted([*three, *other], reverse=True)
    assert [s.header.run_id for s in list_runs(client, [queue, f"{queue}b"], limit=4)] == newest[:4]
    assert [s.header.run_id for s in list_runs(client, [queue, f"{queue}b"], limit=1, states=["succeeded"])] == [three[0]]
    assert list_runs(client, [queue, f"{queue}b"], flow="unheard_of") == []


def test_those_that_were_started_since_then(client: Client, queue: str, three: Ids, redis_conn: redis.Redis) -> None:
    """The limit counts those that fit."""
    for n, run_id in enumerate(three):
        redis_conn.hset(keys.header(queue, run_id), "created_ms", 1_000 * (2 - n))
    assert [s.header.run_id for s in list_runs(client, [queue], after_ms=1_000)] == [three[1], three[0]]
    assert [s.header.run_id for s in list_runs(client, [queue], after_ms=1_000, limit=1)] == [three[1]]


def test_without_runs_or_queues_a_list_is_empty(client: Client, queue: str) -> None:
    assert list_runs(client, [queue]) == []
    assert list_runs(client, []) == []
    assert home_queues(client) == []


def test_a_run_that_vanishes_meanwhile_is_left_out(client: Client, queue: str, three: Ids, redis_conn: redis.Redis) -> None:
    redis_conn.delete(keys.header(queue, three[0]))
    assert {s.header.run_id for s in list_runs(client, [queue])} == set(three[1:])


def test_a_list_needs_its_plans_once(client: Client, queue: str, three: Ids, redis_conn: redis.Redis) -> None:
    redis_conn.config_resetstat()
    list_runs(client, [queue])
    stats = redis_conn.info("commandstats")
    assert isinstance(stats, dict)
    assert stats["cmdstat_hget"]["calls"] == 1
    assert "cmdstat_keys" not in stats
    assert "cmdstat_scan" not in stats


NAMES: list[Callable[[str], str]] = [
    lambda i: i,
    lambda i: i.lower(),
    lambda i: i[-4:],
    lambda i: i[-9:].lower(),
    lambda i: i[:25],
]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_found_by_what_names_it_alone(client: Client, queue: str, three: Ids, name: Callable[[str], str]) -> None:
    for run_id in three:
        assert find_run(client, ["elsewhere", queue], name(run_id)) == (queue, run_id)


def test_last_is_the_newest_of_all_queues(client: Client, queue: str, three: Ids) -> None:
    assert find_run(client, [queue], "@last") == (queue, max(three))


def test_a_name_of_several_runs_is_refused_with_some_of_them(client: Client, queue: str, three: Ids) -> None:
    with pytest.raises(UsageError, match="fits 3 runs") as caught:
        find_run(client, [queue], three[0][:6])
    assert all(run_id in caught.value.message for run_id in three)


@pytest.mark.parametrize("name", ["@last", "ZZZZ", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "not-an-id"])
def test_an_unknown_run_is_not_found(client: Client, queue: str, name: str) -> None:
    with pytest.raises(NotFound):
        find_run(client, [queue], name)


@pytest.mark.parametrize("name", ["", "abc"])
def test_a_short_name_is_refused(client: Client, queue: str, name: str, three: Ids) -> None:
    with pytest.raises(UsageError, match="too short"):
        find_run(client, [queue], name)
