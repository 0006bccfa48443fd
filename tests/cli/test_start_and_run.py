"""`start` prints an id and nothing else; `run` and `--wait` end as the run ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from omniq_flow.model.names import is_run_id
from tests.cli.conftest import Project
from tests.support.until import wait_until

Begin = Callable[..., "subprocess.Popen[str]"]


def test_start_prints_the_id_alone(project: Project) -> None:
    done = project("start", "hello", "--set", "name=Ada")
    assert (done.code, done.err) == (0, "")
    assert is_run_id(done.out.removesuffix("\n"))
    shown = project("runs", "show", done.out.strip()[-6:], "--json").json
    assert (shown["flow"], shown["state"], [s["state"] for s in shown["steps"]]) == ("hello", "running", ["queued", "pending"])


def test_start_says_more_in_json(project: Project) -> None:
    first = project("start", "hello", "--key", "k", "--json").json
    again = project("--json", "start", "hello", "--key", "k").json
    assert first == {"run_id": first["run_id"], "flow": "hello", "queue": "hello", "key": "k", "is_new": True}
    assert again == first | {"is_new": False}


def test_run_prints_the_result_and_all_else_on_stderr(project: Project) -> None:
    done = project("run", "hello", "-i", '{"name": "Ada"}')
    assert (done.code, done.out) == (0, '"HELLO, ADA!"\n')
    lines = done.err.splitlines()
    assert lines[0].startswith("run ")
    # How much is seen between two looks depends on the machine; the order does not.
    said = [line.split(" (")[0] for line in lines[1:-1] if not line.endswith("started")]
    assert said == ["greet: succeeded", "shout: succeeded"]
    assert " succeeded after " in lines[-1]


def test_a_quiet_run_prints_the_result_only(project: Project) -> None:
    done = project("run", "book", "--set", "pages=3", "--quiet")
    assert (done.code, done.out, done.err) == (0, "[0,10,20]\n", "")


def test_a_map_says_one_line_not_one_per_element(project: Project) -> None:
    done = project("run", "book", "--set", "pages=200")
    assert json.loads(done.out) == [n * 10 for n in range(200)]
    assert sum(line.startswith("read: ") for line in done.err.splitlines()) <= 2
    assert "read: succeeded (200/200" in done.err


def test_a_failed_run_names_the_culprit_and_what_it_held_back(project: Project) -> None:
    done = project("run", "book", "--set", "pages=5", "--set", "bad=[3]")
    assert (done.code, done.out) == (1, "")
    assert "\n  read[3]: ValueError: bad page 3\n  bind upstream_failed because of read[3]\n" in done.err
    assert done.err.splitlines()[-1].strip().startswith("next: omniq-flow runs show ")


def test_a_failed_run_in_json_is_one_object(project: Project) -> None:
    done = project("run", "book", "--set", "pages=5", "--set", "bad=[1,3]", "--json", "--quiet")
    assert (done.code, done.err) == (1, "")
    found = done.json
    assert found["state"] == "failed"
    assert found["error"]["code"] == "RUN_FAILED"
    assert set(found["error"]) >= {"code", "message", "hint", "where"}
    assert [(f["step_run"], f["type"], f["message"]) for f in found["failures"]] == [
        ("read[1]", "ValueError", "bad page 1"),
        ("read[3]", "ValueError", "bad page 3"),
    ]
    by_step = {s["step"]: s for s in found["steps"]}
    assert (by_step["read"]["succeeded"], by_step["read"]["failed"], by_step["read"]["total"]) == (3, 2, 5)
    assert (by_step["bind"]["state"], by_step["bind"]["because_of"]) == ("upstream_failed", ["read[1]", "read[3]"])


def test_what_handlers_print_never_gets_between_the_data(project: Project) -> None:
    done = project("run", "odd", "--json")
    assert done.json["state"] == "failed"
    assert "a handler prints" in done.err
    assert "a child prints" in done.err


def test_an_error_text_cannot_reach_the_terminal(project: Project) -> None:
    done = project("run", "odd", "--quiet")
    assert "␛[31m alert␛[0m \\u202egnp.exe⏎second line" in done.err
    shown = project("runs", "show", "@last")
    assert "␛[31m alert" in shown.out
    for text in (done.err, shown.out):
        assert not any(character in text for character in "\x1b\u202e")
    assert (
        project("runs", "show", "@last", "--json").json["failures"][0]["message"] == "red \x1b[31m alert\x1b[0m \u202egnp.exe\nsecond line"
    )


def test_waiting_for_a_run_that_a_worker_works(project: Project, background: Begin) -> None:
    background("worker")
    done = project("start", "book", "--set", "pages=2", "--wait", "--timeout", "20s")
    assert (done.code, done.out) == (0, "[0,10]\n")
    failed = project("start", "book", "--set", "pages=2", "--set", "bad=[0]", "--wait", "--timeout", "20s")
    assert (failed.code, failed.out) == (1, "")
    assert "read[0]: ValueError: bad page 0" in failed.err


def test_giving_up_leaves_the_run_going(project: Project) -> None:
    done = project("start", "hello", "--wait", "--timeout", "300ms")
    assert (done.code, done.out) == (7, "")
    error, where, following = done.err.splitlines()[-3:]
    assert error.startswith("error: run ")
    assert where == "where: queue hello"
    assert following.startswith(" next: omniq-flow runs wait ")
    assert project("runs", "show", "@last", "--json").json["state"] == "running"


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Read what a command says until a line holds this text."""
    assert process.stderr is not None
    said = []
    while line := process.stderr.readline():
        said.append(line)
        if text in line:
            return
    raise AssertionError(f"the command ended without saying {text!r}: {said}")


def test_giving_up_a_run_of_this_process_lets_its_step_finish(project: Project, background: Begin, tmp_path: Path) -> None:
    process = background("run", "gated", "--set", f"file={tmp_path / 'gate'}", "--timeout", "2s", "-v")
    read_until(process, "drains: 1 job")
    (tmp_path / "gate").touch()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (7, "")
    assert "it goes on" in err
    step = project("runs", "show", "@last", "--json").json["steps"][0]
    assert (step["state"], step["retries"]) == ("succeeded", 0), "the step that was at work was reported"


def test_an_interrupted_run_drains_and_says_how_to_go_on(project: Project, background: Begin, tmp_path: Path) -> None:
    process = background("run", "gated", "--set", f"file={tmp_path / 'gate'}", "-v")
    wait_until((tmp_path / "gate.began").exists, "the step runs")
    process.send_signal(signal.SIGINT)
    read_until(process, "drains: 1 job")
    (tmp_path / "gate").touch()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert "omniq-flow runs wait " in err
    shown = project("runs", "show", "@last", "--json").json
    assert [(s["state"], s["retries"]) for s in shown["steps"]] == [("succeeded", 0), ("queued", 0)]


def test_a_run_that_ends_while_it_is_drained_is_told(project: Project, background: Begin, tmp_path: Path) -> None:
    process = background("run", "last_gate", "--set", f"file={tmp_path / 'gate'}", "-v")
    wait_until((tmp_path / "gate.began").exists, "the step runs")
    process.send_signal(signal.SIGINT)
    read_until(process, "drains: 1 job")
    (tmp_path / "gate").touch()
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, '"open"\n')


def test_a_second_interrupt_hands_back_at_once(project: Project, background: Begin, tmp_path: Path, redis_conn: redis.Redis) -> None:
    process = background("run", "gated", "--set", f"file={tmp_path / 'gate'}", "-v")
    wait_until((tmp_path / "gate.began").exists, "the step runs")
    process.send_signal(signal.SIGINT)
    read_until(process, "drains: 1 job")
    process.send_signal(signal.SIGINT)
    wait_until(lambda: redis_conn.zcard("{gates}:active") == 0, "its job is given back")
    (tmp_path / "gate").touch()
    process.communicate(timeout=20)
    assert process.returncode == 130
    shown = project("runs", "show", "@last", "--json").json
    assert [(s["state"], s["retries"]) for s in shown["steps"]] == [("queued", 0), ("pending", 0)]


def test_an_interrupted_wait_leaves_the_run_going(project: Project, background: Begin) -> None:
    process = background("start", "hello", "--wait")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("run ")
    wait_until(lambda: project("runs", "list", "--quiet").out, "the run is listed")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert "the run goes on" in err
    assert "Traceback" not in err
    assert project("runs", "show", "@last", "--json").json["state"] == "running"


@pytest.mark.parametrize("given", ["-", "@input.json"])
def test_input_comes_from_a_file_or_a_pipe_and_set_wins(project: Project, given: str) -> None:
    text = '\ufeff{"pages": 9, "author": {"name": "Bo"}}'
    (project.root / "input.json").write_text(text, encoding="utf-8")
    done = project("run", "book", "-i", given, "--set", "pages=1", "--set", "author.name=true story", "--quiet", given=text)
    assert (done.code, done.out) == (0, "[0]\n"), done


def test_a_terminal_sees_a_picture_and_a_pipe_sees_data(project: Project) -> None:
    """Progress is drawn on a terminal at stderr, with a bar for the map; stdout stays clean, notes scroll by."""
    project.write("says", SAYS)
    for command, drawn in ((("run", "book", "--set", "pages=40"), "█ 40/40"), (("run", "says"), "told by ␛[7m a handler")):
        ours, theirs = pty.openpty()
        env = project.env | {"TERM": "xterm", "NO_COLOR": "1"}
        argv = project._argv(command)
        with subprocess.Popen(argv, cwd=project.root, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs) as process:
            os.close(theirs)
            seen = b""
            while piece := read_some(ours):
                seen += piece
            out = process.stdout.read() if process.stdout else b""
        os.close(ours)
        assert process.returncode == 0
        json.loads(out)
        text = seen.decode()
        assert drawn in text
        assert "\x1b[7m" not in text
        assert text.rstrip().endswith("s")


SAYS = r"""
from omniq_flow import Flow

says = Flow("says")


@says.step
def talk() -> int:
    print("told by \x1b[7m a handler")
    return 1
"""


def read_some(fd: int) -> bytes:
    try:
        return os.read(fd, 65_536)
    except OSError:  # the other end was closed
        return b""
