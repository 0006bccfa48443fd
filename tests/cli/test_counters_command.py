"""`counters`: what a run waits for, where that is, and whether the numbers fit."""

from __future__ import annotations

import pytest
import redis

from omniq_flow.cli.commands.counters import split_name
from omniq_flow.client.client import Client
from omniq_flow.client.counting import begin_counter
from omniq_flow.ops import counters, keys
from tests.cli.conftest import Project
from tests.cli.inside import Inside
from tests.observe.drive import Bad, Drive
from tests.observe.flows import pages

NEEDS_QUEUE = ("-q", "books")


@pytest.fixture
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Inside:
    return Inside(project, monkeypatch)


@pytest.fixture
def run_id(client: Client) -> str:
    """A run of queue `books`: of three pages one has failed, one is clean, one is at work."""
    drive = Drive(client, pages("books", record=True))
    run_id = drive.start()
    drive.report(drive.take(1), {"split": [1, 2, 3]})
    reads = {str(t.flow.step_run): t for t in drive.take() if t.flow}
    drive.report([reads["read[0]"], reads["read[1]"]], {"read[1]": Bad("no")})
    drive.report(drive.take())
    return run_id


def test_counters_of_runs_are_listed(inside: Inside, run_id: str) -> None:
    head, row = inside("counters", "list", *NEEDS_QUEUE).out.splitlines()
    assert head.split() == ["COUNTER", "COUNTS", "DONE", "MISSING", "FAILED"]
    assert row.split() == [f"{run_id}/of:clean", "elements", "of", "clean", "2/3", "1", "1"]
    found = inside("counters", "list", run_id, *NEEDS_QUEUE, "--json").json
    assert (found["counter"], found["expected"], found["done"], found["left"], found["failed"]) == (f"{run_id}/of:clean", 3, 2, 1, 1)
    assert inside("counters", "list", "@last", *NEEDS_QUEUE, "--quiet").out == f"{run_id}/of:clean\n"


def test_what_is_missing_is_followed_to_its_job(inside: Inside, run_id: str) -> None:
    shown = inside("counters", "show", f"{run_id[-6:]}/of:clean", *NEEDS_QUEUE).out
    assert "done      2 of 3, 1 of them failed\n" in shown
    (row,) = shown.splitlines()[6:]
    assert row.split()[:6] == ["2", "clean[2]", "waits", "for", "read[2]:", "active"]
    assert row.endswith(f"f.{run_id}.read-2.1")
    (member,) = inside("counters", "show", f"{run_id}/of:clean", *NEEDS_QUEUE, "--json").json["missing"]
    assert (member["step_run"], member["waits_for"], member["lane"]) == ("clean[2]", "read[2]", "active")


def test_a_plain_counter_is_shown_by_its_key(inside: Inside, client: Client) -> None:
    client.execute(counters.childs_init("order/42", 3))
    client.execute(counters.child_ack("order/42", "a\x1b[31m"))
    done = inside("counters", "show", "order/42")
    assert (done.code, done.out) == (0, "counter   order/42\ndone      1 of 3\nmissing   2\nreported  a␛[31m\n")
    found = inside("counters", "show", "order/42", "--json").json
    assert (found["kind"], found["expected"], found["left"], found["members"]) == ("plain", 3, 2, ["a\x1b[31m"])


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("none", 5, "there is no counter 'none'"),
        ("a{b}", 2, "has a brace"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV/of:read", 5, "there is no run"),
    ],
)
def test_a_counter_that_is_not_there_is_not_found(inside: Inside, name: str, code: int, words: str) -> None:
    done = inside("counters", "show", name)
    assert (done.code, done.out) == (code, "")
    assert words in done.err


def test_a_check_that_finds_nothing_says_so(inside: Inside, run_id: str) -> None:
    done = inside("counters", "check", *NEEDS_QUEUE)
    assert (done.code, done.out, done.err) == (0, "", "1 run checked, everything fits\n")


def test_a_check_that_finds_something_fails(inside: Inside, run_id: str, redis_conn: redis.Redis) -> None:
    redis_conn.set(f"{{books}}:cc:{run_id}.0:of:clean:count", 3)
    done = inside("counters", "check", run_id, *NEEDS_QUEUE)
    assert (done.code, done.out) == (1, f"run {run_id}, of:clean: its record waits for 1, the counter waits for 3\n")
    (found,) = inside("counters", "check", run_id, *NEEDS_QUEUE, "--json").objects
    assert (found["run_id"], found["queue"], found["counter"]) == (run_id, "books", "of:clean")


def test_without_runs_there_is_nothing_to_list(inside: Inside) -> None:
    done = inside("counters", "list")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("no run waits for a counter, and no completion counter is known\n")
    assert "counters show KEY" in done.err
    assert inside("counters", "list", *NEEDS_QUEUE).err == "no run waits for a counter\n"


def test_completion_counters_are_listed_behind_those_of_runs(inside: Inside, client: Client, redis_conn: redis.Redis, run_id: str) -> None:
    """They are told apart in each form, and belong to no run and no queue."""
    redis_conn.sadd(keys.QUEUES, "books")
    for key in ("order/42", "a\x1b[31m"):
        begin_counter(client, key, 3)
    client.execute(counters.child_ack("order/42", "x"))
    redis_conn.zadd(keys.COUNTERS, {"order/42": 1_764_072_240_000, "a\x1b[31m": 1})
    of_run = f"{run_id}/of:clean"
    _, *rows = inside("counters", "list").out.splitlines()
    assert [row.split() for row in rows] == [
        [of_run, "elements", "of", "clean", "2/3", "1", "1"],
        ["order/42", "children", "1/3", "2"],
        ["a␛[31m", "children", "0/3", "3"],
    ]
    first, second, _ = inside("counters", "list", "--json").objects
    assert (first["counter"], first["kind"]) == (of_run, "collection")
    assert second == {
        "counter": "order/42",
        "kind": "plain",
        "expected": 3,
        "done": 1,
        "left": 2,
        "begun_ms": 1_764_072_240_000,
        "begun_at": "2025-11-25T12:04:00.000Z",
    }
    assert inside("counters", "list", "--quiet").out.splitlines()[:2] == [of_run, "order/42"]
    assert "order/42" not in inside("counters", "list", run_id).out + inside("counters", "list", *NEEDS_QUEUE).out
    cut = inside("counters", "list", "--limit", "1")
    assert (len(cut.out.splitlines()), "2 more; --limit shows up to 1000" in cut.err) == (2, True)


def test_where_completion_counters_cannot_be_listed_the_others_are(inside: Inside, redis_conn: redis.Redis, run_id: str) -> None:
    redis_conn.sadd(keys.QUEUES, "books")
    redis_conn.set(keys.COUNTERS, "something else")
    done = inside("counters", "list")
    assert (done.code, f"{run_id}/of:clean" in done.out) == (0, True)
    assert "completion counters cannot be listed: ZREVRANGE failed: WRONGTYPE" in done.err


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("01K/of:read-3", ("01K", "of:read-3")),
        ("@last/in:merge", ("@last", "in:merge")),
        ("order/42", ("order/42", "")),
        ("a/b/of:x", ("a/b", "of:x")),
        ("/of:x", ("/of:x", "")),
        ("plain", ("plain", "")),
    ],
)
def test_a_name_is_that_of_a_run_or_a_plain_key(given: str, parts: tuple[str, str]) -> None:
    assert split_name(given) == parts
