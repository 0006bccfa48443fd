"""Flags: each is named in a test; those that many commands share do the same in each of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from omniq_flow.cli import main
from omniq_flow.client.client import Client
from omniq_flow.model.jobs import JobOptions, Lease
from omniq_flow.ops import jobs
from tests.cli.conftest import Project
from tests.cli.inside import Inside
from tests.observe.drive import Drive
from tests.observe.flows import pages
from tests.support.terminal import Terminal

Dump = Callable[[], dict[bytes, object]]
COLOUR = re.compile(rb"\x1b\[3[0-9]m")


@pytest.fixture
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Inside:
    return Inside(project, monkeypatch)


def options_of(command: Any) -> Iterator[str]:
    """The long options of a command and of those below it."""
    yield from (name for one in command.params for name in (*one.opts, *one.secondary_opts) if name.startswith("--"))
    for inner in getattr(command, "commands", {}).values():
        yield from options_of(inner)


def test_every_flag_is_named_in_a_test() -> None:
    """As an argument of its own, or with its value in one word."""
    tests = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].rglob("test_*.py"))
    named = set(re.findall(r"\"(--[a-z-]+)[\"=]", tests))
    missing = set(options_of(typer.main.get_command(main.app))) - named
    assert missing == set()


@pytest.mark.parametrize("is_wanted", [True, False])
def test_the_picture_of_a_run_has_no_colours_where_none_are_wanted(project: Project, is_wanted: bool) -> None:
    argv = [sys.executable, "-m", "omniq_flow.cli.main", *["--no-color"] * (not is_wanted), "run", "hello"]
    environment = {name: value for name, value in project.env.items() if name != "NO_COLOR"}
    with Terminal(argv, environment, project.root) as terminal:
        terminal.reads("✔ shout")
        assert terminal.ended() == 0
        assert bool(COLOUR.search(terminal.written)) is is_wanted


@pytest.mark.parametrize("flag", ["-v", "--verbose"])
def test_more_is_said_where_more_is_wanted(inside: Inside, flag: str) -> None:
    """By which server is used and by the worker of a run; the result stays as it is."""
    less, more = inside("run", "hello"), inside("run", "hello", flag)
    assert more.out == less.out == '"HELLO, WORLD!"\n'
    assert "worker " not in less.err
    assert "worker " in more.err


def test_how_many_steps_are_worked_at_once_is_given_by_its_long_name(inside: Inside) -> None:
    done = inside("run", "hello", "--concurrency", "0")
    assert (done.code, "equal to 1" in done.err) == (2, True)
    assert inside("run", "hello", "--concurrency", "1").code == 0


def test_a_payload_is_given_by_its_long_name(inside: Inside) -> None:
    job_id = inside("jobs", "publish", "mail", "--payload", '{"to": "ann"}').out.strip()
    assert inside("jobs", "show", "mail", job_id, "--json").json["payload"] == {"to": "ann"}


def test_a_run_that_is_worked_here_is_found_again_by_its_key(inside: Inside) -> None:
    first = inside("run", "hello", "--key", "k", "--json").json["run_id"]
    assert inside("run", "hello", "--key", "k", "--json").json["run_id"] == first
    assert inside("run", "hello", "--json").json["run_id"] != first


def test_monitor_is_another_word_for_tui(inside: Inside) -> None:
    """It takes the same flags."""
    commands = main.app.registered_commands
    by_name = {command.name: command.callback for command in commands}
    assert by_name["monitor"] is by_name["tui"]
    assert "monitor" not in inside("--help").out


def ready(inside: Inside, verb: str, flow: str, *settings: str) -> str:
    """A run of a flow, to which this can be done."""
    run_id = inside("start", flow, *settings).out.strip()
    before = {"resume": "pause", "retry": "cancel", "remove": "cancel"}
    if verb in before:
        assert inside("runs", before[verb], run_id, *["--yes"] * (verb != "resume")).code == 0
    return run_id


@pytest.mark.parametrize(
    ("verb", "state"),
    [("cancel", "running"), ("pause", "running"), ("resume", "running"), ("retry", "cancelled"), ("remove", "cancelled")],
)
def test_runs_are_steered_by_what_they_fit(inside: Inside, dump: Dump, verb: str, state: str) -> None:
    """State, flow and time choose them; a dry run shows them and changes nothing; all of them need a yes."""
    mine = sorted(ready(inside, verb, "hello", "--tag", f"n={n}") for n in range(2))
    other = ready(inside, verb, "book", "--set", "pages=1")
    before = dump()

    def chosen(*flags: str) -> list[str]:
        done = inside("runs", verb, *flags, "--dry-run")
        assert done.code == 0, done
        return sorted(done.out.split())

    assert chosen("--flow", "hello") == chosen("-f", "hello", "--since", "1h") == mine
    assert chosen("--tag", "n") == sorted([*chosen("--tag", "n=0"), *chosen("--tag", "n=1")]) == mine
    assert chosen("--state", state) == sorted([*mine, other])
    assert chosen("--state", "succeeded") == chosen("--since", "1ms") == chosen("--flow", "odd") == []
    assert inside("runs", verb, "--flow", "hello").code == 8
    assert dump() == before
    done = inside("runs", verb, "--flow", "hello", "--yes", "--json")
    assert (done.code, sorted((row["run_id"], row["status"]) for row in done.objects)) == (0, [(run_id, "OK") for run_id in mine])


def test_runs_are_listed_by_their_flow(inside: Inside) -> None:
    mine, _ = inside("start", "hello").out, inside("start", "book", "--set", "pages=1")
    assert inside("runs", "list", "-f", "hello", "--quiet").out == inside("runs", "list", "--flow", "hello", "--quiet").out == mine


def test_runs_are_found_by_their_tags(inside: Inside) -> None:
    def tagged(*tags: str) -> str:
        done = inside("start", "hello", *(word for tag in tags for word in ("--tag", tag)))
        assert done.code == 0, done
        return done.out.strip()

    def found(*tags: str) -> list[str]:
        return inside("runs", "list", "--quiet", *(word for tag in tags for word in ("--tag", tag))).out.split()

    old, new, bare = tagged("env=prod", "team=data"), tagged("env=test", "env=test"), tagged()
    assert found() == [bare, new, old]
    assert (found("env"), found("env=prod"), found("env=pr*", "team=data")) == ([new, old], [old], [old])
    assert found("env=test", "team") == found("env=") == found("none") == []
    heads, _, newer, older = inside("runs", "list").out.splitlines()
    assert (heads[-4:], newer[-8:], older[-18:]) == ("TAGS", "env=test", "env=prod team=data")
    shown = inside("runs", "show", old)
    assert "tags     env=prod team=data" in shown.out
    assert "tags" not in inside("runs", "show", bare).out
    assert inside("runs", "show", old, "--json").json["tags"] == {"env": "prod", "team": "data"}
    assert inside("runs", "list", "--tag", "none").err == "no runs of this kind\n"


@pytest.mark.parametrize(
    ("tags", "what"),
    [
        (["env"], "--tag: 'env' is no tag"),
        (["env="], "tag env: its value has 1 to 128 characters"),
        (["env=a", "env=b"], "--tag: env has two values, 'a' and 'b'"),
    ],
)
@pytest.mark.parametrize("verb", ["start", "run"])
def test_what_can_be_no_tag_starts_nothing(inside: Inside, dump: Dump, verb: str, tags: list[str], what: str) -> None:
    done = inside(verb, "hello", *(word for tag in tags for word in ("--tag", tag)))
    assert (done.code, done.out) == (2, "")
    assert what in done.err
    assert dump() == {}


def test_a_run_that_is_worked_here_has_its_tags(inside: Inside) -> None:
    assert inside("run", "hello", "--tag", "env=prod").code == 0
    assert inside("runs", "show", "@last", "--json").json["tags"] == {"env": "prod"}


@pytest.fixture
def failed(client: Client) -> list[str]:
    """Two failed jobs of queue `mail`, of different errors."""
    for job_id, error in (("a", "no such box"), ("b", "box is full")):
        client.execute(jobs.publish("mail", {}, job_id=job_id, options=JobOptions(max_attempts=1)))
        lease = client.execute(jobs.reserve("mail"))
        assert isinstance(lease, Lease)
        client.execute(jobs.ack_fail(lease, error))
    return ["a", "b"]


@pytest.mark.parametrize("verb", [("retry",), ("remove", "--lane", "failed")], ids=["retry", "remove"])
def test_jobs_are_steered_by_what_they_fit(inside: Inside, failed: list[str], dump: Dump, verb: tuple[str, ...]) -> None:
    before = dump()

    def chosen(*flags: str) -> list[str]:
        done = inside("jobs", verb[0], "mail", *verb[1:], *flags, "--dry-run")
        assert done.code == 0, done
        return sorted(done.out.split())

    assert chosen("--since", "1h") == failed
    assert chosen("--error", "full") == ["b"]
    assert chosen("--since", "1ms") == []
    assert dump() == before
    assert inside("jobs", verb[0], "mail", *verb[1:], "--error", "full", "--yes").code == 0
    assert inside("jobs", "list", "mail", "--lane", "failed", "--quiet").out == "a\n"


def test_counters_are_listed_up_to_a_limit(inside: Inside, client: Client) -> None:
    """That there are more is told."""
    drive = Drive(client, pages("books"))
    for _ in range(3):
        drive.start()
    drive.report(drive.take(), {"split": [1, 2]})
    everything = inside("counters", "list", "-q", "books", "--quiet")
    assert (len(everything.out.split()), everything.err) == (3, "")
    cut = inside("counters", "list", "--queue", "books", "--limit", "1")
    assert (cut.code, len(cut.out.splitlines()), cut.err) == (0, 2, "2 more; --limit shows up to 1000\n")
