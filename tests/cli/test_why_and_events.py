"""`runs why`, `runs events`: what holds a run, and what has happened in it."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Project
from tests.cli.inside import Inside


@pytest.fixture
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Inside:
    return Inside(project, monkeypatch)


def test_why_tells_it_for_all_steps_for_one_and_for_an_element(inside: Inside) -> None:
    run_id = inside("start", "book", "--set", "pages=3").out.strip()
    said = inside("runs", "why", run_id)
    assert said.code == 0
    assert said.out.splitlines()[0].split() == ["STEP", "STATE", "WHY"]
    assert [line.split()[0] for line in said.out.splitlines()[1:]] == ["split", "read", "cover", "bind"]
    told = {row["step"]: row for row in inside("runs", "why", run_id, "--json").objects}
    assert told["split"]["reasons"][0].startswith("no worker serves queue ")
    assert told["bind"]["reasons"][0].startswith("waits for ")
    (one,) = inside("runs", "why", run_id, "read[0]", "--json").objects
    assert (one["step"], one["state"]) == ("read", "pending")
    assert inside("runs", "why", run_id, "nothing").code == 5
    assert inside("runs", "why", run_id, "read[").code == 2


def test_a_run_that_has_ended_is_held_by_nothing(inside: Inside) -> None:
    run_id = inside("run", "hello", "--json").json["run_id"]
    said = inside("runs", "why", run_id)
    assert (said.code, said.out, said.err) == (0, "", f"run {run_id} has ended: succeeded\n")


def test_events_are_listed_oldest_first_and_what_people_did_alone(inside: Inside) -> None:
    run_id = inside("start", "book", "--set", "pages=3").out.strip()
    assert inside("runs", "events", run_id, "--steered").err == "nobody has steered this run\n"
    assert inside("runs", "pause", run_id, "--reason", "lunch \x1b[31m").code == 0
    rows = inside("runs", "events", run_id, "--json").objects
    assert [row["rev"] for row in rows] == sorted(row["rev"] for row in rows)
    assert (rows[0]["event"], rows[0]["what"], rows[0]["steered"]) == ("run", "running", None)
    (done,) = inside("runs", "events", run_id, "--steered", "--json").objects
    assert done["steered"] == done["steered"] | {"action": "pause", "target": "run", "before": "running", "after": "paused"}
    assert "@" in done["steered"]["by"]
    text = inside("runs", "events", run_id).out
    assert "(running → paused): lunch ␛[31m" in text
    assert inside("runs", "events", "01JZZZZZZZZZZZZZZZZZZZZZZZ").code == 5
