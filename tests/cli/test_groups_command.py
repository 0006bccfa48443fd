"""`groups`: who holds the slots, and limits that are changed while they count."""

from __future__ import annotations

import pytest

from omniq_flow.client.client import Client
from omniq_flow.client.steering import cancel_run
from omniq_flow.model.jobs import JobOptions, Lease
from omniq_flow.model.runs import new_run_id
from omniq_flow.ops import jobs
from omniq_flow.ops.runs import run_start
from tests.cli.conftest import Project
from tests.cli.inside import Inside
from tests.observe.flows import plan, step


@pytest.fixture
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Inside:
    return Inside(project, monkeypatch)


@pytest.fixture
def acme(client: Client) -> Client:
    """Queue `mail`: group `acme` with limit 2, two active and two waiting jobs; group `a b` with one that waits."""
    for n in range(4):
        client.execute(jobs.publish("mail", {}, job_id=f"a{n}", options=JobOptions(gid="acme", group_limit=2)))
    for _ in range(2):
        client.execute(jobs.reserve("mail"))
    client.execute(jobs.publish("mail", {}, job_id="b0", options=JobOptions(gid="a b")))
    return client


def test_groups_are_listed(inside: Inside, acme: Client) -> None:
    head, first, second = inside("groups", "list", "mail").out.splitlines()
    assert head.split() == ["GROUP", "WAIT", "SLOTS", "LIMIT", "STATE", "READY", "FOR"]
    assert first.startswith("a b       1    0/1  none set  ready  ")
    assert second == "acme      2    2/2            full"
    found = inside("groups", "list", "mail", "--json").objects
    assert [(g["gid"], g["active"], g["limit"], g["has_limit"], g["waiting"], g["is_ready"]) for g in found] == [
        ("a b", 0, 1, False, 1, True),
        ("acme", 2, 2, True, 2, False),
    ]
    cut = inside("groups", "list", "mail", "--limit", "1")
    assert (len(cut.out.splitlines()), cut.err) == (2, "there are more; --limit shows up to 1000\n")
    assert inside("groups", "list", "pages").err == "no group of pages has jobs that wait or are worked\n"


def test_jobs_of_cancelled_runs_do_not_count_as_waiting(inside: Inside, client: Client) -> None:
    """One of two runs of the same group is cancelled."""
    flow = plan("pages", step("a"), step("b"), step("c"))
    first, _ = (client.execute(run_start(flow, new_run_id(), b"null", gid="acme", with_plan=True)).run_id for _ in range(2))
    cancel_run(client, "pages", first)
    assert inside("groups", "list", "pages").out.splitlines()[1].split()[:3] == ["acme", "3", "0/100"]
    assert (
        "waiting   3\n          3 more are of cancelled runs and go when they are taken\n" in inside("groups", "show", "pages", "acme").out
    )
    for found in (inside("groups", "list", "pages", "--json").json, inside("groups", "show", "pages", "acme", "--json").json):
        assert (found["waiting"], found["cancelled_waiting"]) == (3, 3)
    assert inside("queues", "list", "pages").out.splitlines()[1].split()[:3] == ["pages", "0", "3"]
    shown = inside("queues", "show", "pages").out
    assert "          3 in groups, by its counter; groups that can be served: 1\n          3 more are of cancelled runs" in shown
    for found in (inside("queues", "list", "pages", "--json").json, inside("queues", "show", "pages", "--json").json):
        assert (found["group_waiting"], found["cancelled_waiting"], found["may_count_cancelled"]) == (3, 3, False)


def test_a_group_is_shown_with_the_jobs_that_hold_its_slots(inside: Inside, acme: Client) -> None:
    shown = inside("groups", "show", "mail", "acme").out
    assert "state     full\nwaiting   2\nactive    2\nlimit     2\n\nJOB" in shown
    assert [line.split()[0] for line in shown.splitlines()[-2:]] == ["a0", "a1"]
    found = inside("groups", "show", "mail", "acme", "--json").json
    assert [job["job_id"] for job in found["holders"]] == ["a0", "a1"]
    assert "limit     none set, so 1" in inside("groups", "show", "mail", "none").out


def test_a_limit_is_changed_and_counts_at_once(inside: Inside, acme: Client) -> None:
    done = inside("groups", "limit", "mail", "acme", "3")
    assert (done.code, done.out, done.err) == (0, "limit of acme: 2 → 3\n", "")
    taken = [acme.execute(jobs.reserve("mail")) for _ in range(3)]
    assert {lease.job_id for lease in taken if isinstance(lease, Lease)} == {"a2", "b0"}
    lowered = inside("groups", "limit", "mail", "acme", "1")
    assert lowered.out == "limit of acme: 3 → 1\n"
    assert lowered.err == "3 of its jobs are being worked; the next is taken when fewer than 1 are\n"
    cleared = inside("groups", "limit", "mail", "acme", "--clear", "--json").json
    assert (cleared["before"], cleared["after"], cleared["active"]) == (1, None, 3)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["acme"], "give a limit, or --clear"),
        (["acme", "2", "--clear"], "give a limit, or --clear"),
        (["acme", "0"], "a group's limit is 1 or more, 0 was given"),
        (["acme", "many"], "integer"),
        ([" ", "2"], "a group's id must not be empty"),
    ],
)
def test_a_limit_that_is_none_is_refused(inside: Inside, acme: Client, args: list[str], words: str) -> None:
    done = inside("groups", "limit", "mail", *args)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert inside("groups", "list", "mail", "--json").objects[1]["limit"] == 2
