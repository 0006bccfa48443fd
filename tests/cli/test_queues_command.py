"""`queues`: the picture of all lanes, and pauses that say who, when and why."""

from __future__ import annotations

import getpass
import re

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.model.jobs import JobOptions
from omniq_flow.ops import admin, jobs, lanes
from omniq_flow.ops.steering import queue_pause
from tests.cli.conftest import Project
from tests.cli.inside import Inside


@pytest.fixture
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Inside:
    return Inside(project, monkeypatch)


def test_queues_are_listed_with_their_lanes(inside: Inside, client: Client) -> None:
    """Those of the project's flows come by themselves, those of others when they are named."""
    for n in range(3):
        client.execute(jobs.publish("mail", {}, options=JobOptions(gid="g" if n else "")))
    client.execute(jobs.publish("mail", {}, options=JobOptions(due_ms=4_000_000_000_000)))
    listed = inside("queues", "list", "--quiet").out.split()
    assert "gates" in listed
    assert "mail" not in listed
    head, row = inside("queues", "list", "mail").out.splitlines()
    assert head.split() == ["QUEUE", "WAIT", "GROUP", "ACTV", "DELAY", "FAIL", "DONE", "OLDEST", "WORKERS", "STATE"]
    assert row.split()[:7] == ["mail", "1", "2", "0", "1", "0", "0"]
    assert row.endswith("0  NO WORKER")
    found = inside("queues", "list", "mail", "--json").json
    assert (found["waiting"], found["group_waiting"], found["delayed"], found["state"]) == (1, 2, 1, "no worker")
    assert (found["next_due_at"], found["drift"], found["workers"]) == ("2096-10-02T07:06:40.000Z", [], [])


def test_figures_stand_under_each_other_at_eighty_columns(inside: Inside, client: Client, redis_conn: redis.Redis) -> None:
    redis_conn.hset("{pages}:stats", "group_waiting", 96_021)
    pipe = redis_conn.pipeline()
    for lane in ("wait", "failed"):
        pipe.rpush(f"{{pages}}:{lane}", *(f"j{n}" for n in range(4_310)))
    pipe.execute()
    lines = inside("queues", "list", "pages", "mail").out.splitlines()
    assert lines[1].startswith("pages  4310  96021     0      0  4310     0       –        0  ")
    assert lines[2].startswith("mail      0      0     0      0     0     0       –        0  ")
    assert max(map(len, lines)) <= 80


def test_queues_of_others_are_searched_for_when_asked(inside: Inside, client: Client) -> None:
    client.execute(jobs.publish("mail", {}))
    assert "mail" in inside("queues", "list", "--all", "--quiet").out.split()


def test_a_queue_is_shown_with_who_serves_it(inside: Inside, client: Client, redis_conn: redis.Redis) -> None:
    now = client.execute(lanes.server_time())
    client.execute(jobs.publish("mail", {}))
    redis_conn.zadd("{mail}:flow:w", {"w1": now + 60_000})
    redis_conn.hset("{mail}:flow:w:w1", mapping={"host": "h\x1b[31m", "pid": 7, "busy": 2, "concurrency": 16, "state": "running"})
    redis_conn.hset("{mail}:stats", "waiting", 9)
    shown = inside("queues", "show", "mail").out
    assert "state     run\n" in shown
    assert "w1      h␛[31m    7  2/16  running" in shown
    assert shown.endswith("its own counters have drifted: waiting 9 (there are 1)\n")
    found = inside("queues", "show", "mail", "--json").json
    assert (found["workers"][0]["name"], found["drift"]) == ("w1", [{"counter": "waiting", "counted": 9, "found": 1}])


def test_a_queue_that_nobody_knows_is_not_found(inside: Inside) -> None:
    done = inside("queues", "show", "mial")
    assert (done.code, done.out) == (5, "")
    assert "nothing is known of queue 'mial'" in done.err
    assert inside("queues", "show", "gates").code == 0, "a flow of the project has it"
    assert inside("queues", "show", "a b").code == 2


def test_a_pause_says_who_when_and_why(inside: Inside, client: Client) -> None:
    done = inside("queues", "pause", "mail", "pages", "--reason", "deploy\x1b[31m")
    assert (done.code, done.out, done.err) == (0, "mail is paused\npages is paused\n", "")
    assert client.execute(admin.is_paused("mail"))
    shown = inside("queues", "show", "mail").out
    assert f"state     paused by {getpass.getuser()}@" in shown
    assert "ago: deploy␛[31m\n" in shown
    assert re.search(r" PAUSED  by \S+@\S+ \S+ ago: deploy", inside("queues", "list", "mail").out)
    again = inside("queues", "pause", "mail", "--reason", "me too")
    assert (again.code, again.out) == (0, "mail is paused already\n")
    assert "ago: deploy␛[31m" in again.err
    replaced = inside("queues", "pause", "mail", "--reason", "it goes on", "--replace", "--json").json
    assert (replaced["was_paused"], replaced["is_paused"], replaced["pause"]["reason"]) == (True, True, "it goes on")


def test_a_pause_ends(inside: Inside, client: Client) -> None:
    client.execute(queue_pause("mail", by="ann", reason="deploy"))
    done = inside("queues", "resume", "mail")
    assert (done.code, done.out) == (0, "mail is resumed\n")
    assert done.err.startswith("it was paused by ann ")
    assert not client.execute(admin.is_paused("mail"))
    again = inside("queues", "resume", "mail")
    assert (again.code, again.out, again.err) == (0, "mail was not paused\n", "")


def test_one_bad_name_among_many_changes_nothing(inside: Inside, client: Client) -> None:
    done = inside("queues", "pause", "mail", "a b")
    assert (done.code, done.out) == (2, "")
    assert not client.execute(admin.is_paused("mail"))


def test_it_works_as_a_command_of_its_own(project: Project) -> None:
    """In a process: the flows of the project are loaded, and what they print is kept from the data."""
    project.write("loud", "print('a flow file prints')")
    done = project("queues", "list", "--json")
    assert done.code == 0
    assert {queue["name"] for queue in done.objects} >= {"gates"}
    assert "a flow file prints" in done.err
