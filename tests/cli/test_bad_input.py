"""What is wrong is said once, clearly, with its exit code, and nothing was written anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.conftest import Project
from tests.cli.inside import Inside
from tests.support.server import ScratchServer, free_port

Dump = Callable[[], dict[bytes, Any]]

CASES: list[tuple[list[str], int, str, list[str]]] = [
    (["start", "helo"], 5, "NOT_FOUND", ["there is no flow 'helo'; did you mean 'hello'?"]),
    (["start", "hello", "--set", "name=7"], 3, "INPUT_INVALID", ["name: Input should be a valid string"]),
    (
        ["start", "book", "--set", "pages=many", "--set", 'bad=[1,"x"]', "--set", "author.name=1"],
        3,
        "INPUT_INVALID",
        ["pages: ", "bad[1]: ", "author.name: "],
    ),
    (["start", "book"], 3, "INPUT_INVALID", ["pages: Field required"]),
    (["start", "hello", "-i", "{name: Ada}"], 3, "INPUT_INVALID", ["the input is no JSON", "--input, character 2"]),
    (["start", "hello", "-i", '{"name": NaN}'], 3, "INPUT_INVALID", ["NaN is no JSON number"]),
    (["start", "hello", "-i", "[" * 100_000], 3, "INPUT_INVALID", ["the input is no JSON"]),
    (["start", "hello", "-i", "@none.json"], 3, "INPUT_INVALID", ["cannot be read: No such file", "none.json"]),
    (["start", "hello", "-i", "@flows"], 3, "INPUT_INVALID", ["cannot be read: Is a directory"]),
    (["start", "hello", "-i", "@latin.json"], 3, "INPUT_INVALID", ["no UTF-8", "byte 10 is 0xe9"]),
    (["start", "hello", "-i", "@broken.json"], 3, "INPUT_INVALID", ["the input is no JSON", "broken.json:2:3"]),
    (["start", "hello", "-i", "@large.json"], 3, "INPUT_INVALID", ["MiB is the limit", "name"]),
    (["start", "hello", "-i", "3", "--set", "name=x"], 3, "INPUT_INVALID", ["the input is no object"]),
    (["start", "odd", "-i", "{}"], 3, "INPUT_INVALID", ["takes no input"]),
    (["start", "hello", "--set", "name"], 2, "USAGE", ["is no assignment"]),
    (["start", "hello", "--timeout", "5s"], 2, "USAGE", ["--wait"]),
    (["start", "hello", "--wait", "--timeout", "soon"], 2, "USAGE", ["--timeout: 'soon' is no duration"]),
    (["start", "hello", "--key", "k" * 600], 2, "USAGE", ["512 is the limit"]),
    (["start"], 2, "USAGE", ["Missing argument 'FLOW'"]),
    (["start", "hello", "--sett", "a=1"], 2, "USAGE", ["--sett"]),
    (["strat", "hello"], 2, "USAGE", ["strat"]),
    (["start", "hello", "--url"], 2, "USAGE", ["--url needs a value"]),
    (["start", "hello", "--url", "http://x"], 2, "USAGE", ["--url", "http", "redis://"]),
    (["run", "hello", "-c", "0"], 2, "USAGE", ["'-c' / '--concurrency'", "equal to 1"]),
    (["worker", "-f", "helo"], 5, "NOT_FOUND", ["did you mean 'hello'?"]),
    (["worker", "-q", "mail"], 5, "NOT_FOUND", ["no flow and no handler of this project has the queue 'mail'", "hello"]),
    (["runs", "show", "ABCDEF"], 5, "NOT_FOUND", ["there is no run 'ABCDEF'"]),
    (["runs", "wait", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], 5, "NOT_FOUND", ["there is no run"]),
    (["runs", "show", "AB"], 2, "USAGE", ["too short"]),
    (["runs", "list", "--state", "done"], 2, "USAGE", ["there is no state 'done'"]),
    (["runs", "list", "--limit", "0"], 2, "USAGE", ["'--limit'", "equal to 1"]),
    (["flows", "show", "helo"], 5, "NOT_FOUND", ["did you mean 'hello'?"]),
    (["graph", "hello", "--format", "svg"], 2, "USAGE", ["svg"]),
]


FIRST_OF_KIND = [*{(case[0][0], case[2]): case[0] for case in reversed(CASES)}.values()]
"""One command for each verb and code: they run in a process of their own, and their errors are looked at in JSON as well."""


@pytest.fixture
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Inside:
    return Inside(project, monkeypatch)


@pytest.fixture
def files(project: Project) -> None:
    (project.root / "latin.json").write_bytes(b'{"name": "\xe9"}')
    (project.root / "broken.json").write_text('{"name":\n  Ada}')
    (project.root / "large.json").write_text(json.dumps({"name": "x" * (1 << 20)}))


@pytest.mark.parametrize(
    ("args", "code", "error", "texts"), CASES, ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None
)
@pytest.mark.usefixtures("files")
def test_one_clear_message_and_nothing_written(
    project: Project, inside: Inside, dump: Dump, args: list[str], code: int, error: str, texts: list[str]
) -> None:
    before = dump()
    done = project(*args) if args in FIRST_OF_KIND else inside(*args)
    assert (done.code, done.out) == (code, ""), done
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    assert len(done.err.splitlines()) <= 3 + 4
    for text in texts:
        assert text in done.err
    if args in FIRST_OF_KIND:
        as_json = inside("--json", *args)
        assert (as_json.code, as_json.err) == (code, "")
        found = as_json.json["error"]
        assert found["code"] == error
        assert set(found) - {"faults"} == {"code", "message", "hint", "where"}
        assert all(text in json.dumps(found, ensure_ascii=False) for text in texts)
    assert dump() == before == {}


def test_an_unreadable_file_is_named(project: Project) -> None:
    done = project("start", "hello", "-i", "@none.json")
    assert done.err.splitlines()[1] == "where: none.json"
    assert done.err.splitlines()[2].startswith(" next: write -i ")


def test_a_key_with_another_input_is_a_conflict(project: Project, dump: Dump) -> None:
    assert project("start", "hello", "--key", "k", "--set", "name=Ada").code == 0
    before = dump()
    done = project("start", "hello", "--key", "k", "--set", "name=Bo")
    assert (done.code, done.out) == (6, "")
    assert "run key 'k' belongs to run" in done.err
    assert dump() == before


BROKEN = {
    "syntax": ("from omniq_flow import Flow\n\ndef broken(:\n", "SyntaxError", "flows/bad.py:3"),
    "import": ("import nowhere_to_be_found\n", "ModuleNotFoundError", "flows/bad.py:1"),
    "exit": ("import sys\nsys.exit('bye')\n", "SystemExit", "flows/bad.py:2"),
    "wiring": (
        "from omniq_flow import Flow, gather\nbad = Flow('bad')\n\n\n@bad.step\ndef a() -> int:\n    return 1\n\n\n"
        "@bad.step\ndef b(x: list[int] = gather(a)) -> int:\n    return 1\n",
        "b: ",
        "flows/bad.py:11",
    ),
    "name": (
        "from omniq_flow import Flow\nbad = Flow('bad')\n\n\n@bad.step\ndef a() -> int:\n    return never_defined\n\n\nbad.stepp\n",
        "stepp",
        "flows/bad.py:10",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_with_its_line_and_hides_nothing(project: Project, inside: Inside, dump: Dump, kind: str) -> None:
    text, message, where = BROKEN[kind]
    project.write("bad", text)
    for args in (["flows", "check"], ["start", "bad"], ["worker"], ["flows", "check", "bad"]):
        done = project(*args) if args == ["worker"] else inside(*args)
        assert (done.code, done.out) == (3, ""), done
        assert message in done.err
        assert where in done.err
        assert "Traceback" not in done.err
    listed = inside("flows", "list", "--json")
    assert listed.code == 3
    assert [line["flow"] for line in listed.objects[:-1]] == ["hello", "book", "odd", "gated", "last_gate"]
    assert listed.objects[-1]["error"]["code"] == "FLOW_LOAD"
    assert inside("flows", "check", "hello").code == 0
    assert dump() == {}
    done = inside("run", "hello", "--quiet")
    assert (done.code, done.out) == (0, '"HELLO, WORLD!"\n'), done


def test_a_dead_server_is_said_with_its_address(project: Project) -> None:
    url = f"redis://ann:secret@127.0.0.1:{free_port()}"
    for args in (["start", "hello"], ["run", "hello"], ["runs", "list"], ["worker"]):
        done = project(*args, "--url", url, "--connect-timeout", "500ms")
        assert (done.code, done.out) == (4, ""), done
        error, where, following = done.err.splitlines()
        assert "refused" in error
        assert url.split("@")[1] in where
        assert following.startswith(" next: ")
        assert "secret" not in done.err
    assert project("start", "hello", "--url", url, "--json").json["error"]["code"] == "SERVER_UNAVAILABLE"


def test_a_bad_input_is_said_before_any_server_is_asked(own_server_project: Project) -> None:
    project = own_server_project
    for args in (["start", "hello", "--set", "name=7"], ["run", "hello", "--set", "name=7"], ["start", "helo"]):
        assert project(*args, "--url", "redis://127.0.0.1:1").code in (3, 5)
        assert project(*args).code in (3, 5)
    assert not (project.root / ".omniq-flow").exists(), "no server was started for it"


def test_a_server_that_is_full_refuses_before_anything_is_written(project: Project) -> None:
    with ScratchServer(options=("--maxmemory", "1", "--maxmemory-policy", "noeviction")) as full:
        done = project("start", "hello", "--url", full.url)
        assert (done.code, done.out) == (4, "")
        assert "out of memory" in done.err
        assert full.connection().dbsize() == 0


def test_a_traceback_is_shown_only_when_asked_for(project: Project) -> None:
    assert "Traceback" not in project("start", "helo").err
    assert "Traceback" in project("start", "helo", "--debug").err


def test_settings_that_are_wrong_stop_the_command(project: Project) -> None:
    (project.root / "omniq-flow.toml").write_text("concurency = 3\npoll = 'often'\n")
    done = project("start", "hello")
    assert (done.code, done.out) == (3, "")
    assert "did you mean 'concurrency'?" in done.err
    assert "omniq-flow.toml:2" in done.err
