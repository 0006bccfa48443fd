"""`runs rerun`: a run once more, from its start or from a step, with another input, linked both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from omniq_flow.client.client import Client
from omniq_flow.model.names import is_run_id
from omniq_flow.model.runs import new_run_id
from tests.cli.conftest import Project
from tests.cli.inside import Inside

Dump = Callable[[], dict[bytes, object]]


@pytest.fixture
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Inside:
    return Inside(project, monkeypatch)


def ran(inside: Inside, flow: str = "hello", given: str = '{"name": "Ada"}') -> str:
    """A run that has ended."""
    return str(inside("run", flow, "-i", given, "--json").json["run_id"])


Works = Callable[[str], Any]


@pytest.fixture
def works(inside: Inside, background: Callable[..., object]) -> Works:
    """Calling it with a run lets a worker begin, and gives the run's result."""
    crew: list[object] = []

    def work(run_id: str) -> Any:
        if not crew:
            crew.append(background("worker"))
        done = inside("runs", "wait", run_id, "--timeout", "20s", "--json")
        assert done.code == 0, done
        return inside("runs", "show", run_id, "--json").json["result"]

    return work


def test_a_whole_run_is_begun_again_and_its_id_is_printed(inside: Inside, works: Works) -> None:
    old = ran(inside)
    done = inside("runs", "rerun", old)
    new = done.out.strip()
    assert (done.code, is_run_id(new), new != old) == (0, True, True), done
    assert works(new) == "HELLO, ADA!"


def test_from_a_step_only_that_and_what_follows_is_worked(inside: Inside, project: Project, works: Works) -> None:
    """The code has changed since: what the first step gave is that of the old run, the second is of the new code."""
    old = ran(inside)
    shop = (project.flows / "shop.py").read_text().replace("Hello,", "Bye,").replace("greeting.upper()", "greeting.lower()")
    project.write("shop", shop)
    done = inside("runs", "rerun", old, "--from", "shout", "--json", "--reason", "too loud")
    assert done.json | {"run_id": ""} == {
        "run_id": "",
        "flow": "hello",
        "queue": "hello",
        "rerun_of": old,
        "is_new": True,
        "copied": 1,
    }
    assert works(done.json["run_id"]) == "hello, ada!"


def test_both_runs_show_each_other(inside: Inside) -> None:
    old = ran(inside)
    new = inside("runs", "rerun", old, "--reason", "once more").out.strip()
    assert f"rerun as {new}" in inside("runs", "show", old).out
    assert f"rerun of {old}" in inside("runs", "show", new).out
    shown = inside("runs", "show", old, "--json").json
    assert (shown["rerun_as"], shown["rerun_of"], shown["state"]) == (new, None, "succeeded")
    assert inside("runs", "show", new, "--json").json["rerun_of"] == old
    for run_id in (old, new):
        assert "once more" in inside("runs", "events", run_id, "--steered").out


def test_another_input_is_checked_and_used(inside: Inside, dump: Dump, works: Works) -> None:
    old = ran(inside, "book", '{"pages": 2, "author": {"name": "Ada"}}')
    before = dump()
    wrong = inside("runs", "rerun", old, "-i", '{"pages": "many"}')
    assert (wrong.code, "pages" in wrong.err) == (3, True), wrong
    assert inside("runs", "rerun", old, "--set", "pages=many").code == 3
    assert inside("runs", "rerun", old, "-i", "{").code == 3
    assert dump() == before
    new = inside("runs", "rerun", old, "--set", "pages=3").out.strip()
    assert inside("runs", "input", new, "--json").json == {"pages": 3, "bad": [], "author": {"name": "Ada"}}
    assert works(new) == [0, 10, 20]
    assert inside("runs", "input", old, "--json").json["pages"] == 2
    new = inside("runs", "rerun", old, "-i", '{"pages": 1}').out.strip()
    assert works(new) == [0]


def test_with_another_input_from_the_middle_earlier_outputs_stay(inside: Inside, works: Works) -> None:
    old = ran(inside, "book", '{"pages": 3, "bad": [1]}')
    new = inside("runs", "rerun", old, "--from", "read", "--set", "bad=[]", "--set", "pages=9").out.strip()
    assert works(new) == [0, 10, 20]


def test_a_dry_run_names_the_steps_and_changes_nothing(inside: Inside, dump: Dump) -> None:
    old = ran(inside, "book", '{"pages": 1}')
    before = dump()
    done = inside("runs", "rerun", old, "--from", "read", "--dry-run")
    assert (done.code, done.out) == (0, "read\nbind\n")
    assert done.err == f"would re-run {old} and keep what split, cover gave; nothing was changed\n"
    assert inside("runs", "rerun", old, "--dry-run", "--json").json == {
        "status": "DRY_RUN",
        "rerun_of": old,
        "kept": [],
        "worked": ["split", "read", "cover", "bind"],
    }
    assert dump() == before


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--from", "z"), 2, "no step 'z'"),
        (("--from", "read[3]"), 2, "write --from read"),
        (("--from", "read-3"), 2, "write --from read"),
        (("--set", "pages"), 2, "no assignment"),
        (("--id", "mine"), 2, "is no run id"),
    ],
)
def test_what_can_not_be_is_refused_before_anything_is_changed(
    inside: Inside, dump: Dump, words: tuple[str, ...], code: int, said: str
) -> None:
    old = ran(inside, "book", '{"pages": 1}')
    before = dump()
    done = inside("runs", "rerun", old, *words)
    assert (done.code, said in done.err) == (code, True), done
    assert dump() == before


def test_unknown_runs_and_runs_that_go_on_are_refused(inside: Inside, dump: Dump) -> None:
    run_id = inside("start", "hello").out.strip()
    before = dump()
    done = inside("runs", "rerun", run_id)
    assert (done.code, "a run that has ended is re-run" in done.err, f"runs cancel {run_id}" in done.err) == (6, True, True), done
    assert inside("runs", "rerun", new_run_id()).code == 5
    assert dump() == before


def test_with_an_id_the_same_call_is_one_run(inside: Inside) -> None:
    old, new = ran(inside), new_run_id()
    first, again = (inside("runs", "rerun", old, "--id", new, "--json").json for _ in range(2))
    assert [(d["run_id"], d["is_new"]) for d in (first, again)] == [(new, True), (new, False)]
    assert inside("runs", "rerun", old, "--id", new, "--from", "shout").code == 6


def test_a_run_that_goes_on_is_cancelled_and_begun_again_once(inside: Inside, dump: Dump, works: Works) -> None:
    old = inside("start", "hello").out.strip()
    before = dump()
    refused = inside("runs", "rerun", old, "--cancel")
    assert (refused.code, "needs a yes" in refused.err) == (8, True)
    assert dump() == before
    new = inside("runs", "rerun", old, "--cancel", "--yes").out.strip()
    assert inside("runs", "show", old, "--json").json["state"] == "cancelled"
    again = inside("runs", "rerun", old, "--cancel", "--yes")
    assert (again.code, again.out.strip()) == (0, new)
    assert works(new) == "HELLO, WORLD!"


def test_a_value_that_is_gone_is_named(inside: Inside, client: Client, redis_conn: Any) -> None:
    from omniq_flow.ops import keys

    old = ran(inside)
    redis_conn.hdel(keys.outputs("hello", old), "greet")
    done = inside("runs", "rerun", old, "--from", "shout")
    assert (done.code, "the output of greet is gone" in done.err, "from greet" in done.err) == (6, True, True), done
