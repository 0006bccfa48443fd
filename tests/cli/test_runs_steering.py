"""`runs cancel`, `retry`, `pause`, `resume`, `remove`, and what shows a run's input, output and log."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from omniq_flow.client.client import Client
from tests.cli.conftest import Project
from tests.cli.inside import Inside
from tests.support.until import wait_until

Dump = Callable[[], dict[bytes, object]]


@pytest.fixture
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Inside:
    return Inside(project, monkeypatch)


def start(inside: Inside, flow: str, *more: str) -> str:
    done = inside("start", flow, *more)
    assert done.code == 0, done
    return done.out.strip()


def failed(inside: Inside) -> str:
    """A run of `book` in which pages 1 and 3 failed."""
    done = inside("run", "book", "-i", '{"pages": 4, "bad": [1, 3]}', "--json")
    assert done.code == 1, done
    return str(done.json["run_id"])


def history(inside: Inside, client: Client, run_id: str) -> list[str]:
    from omniq_flow.observe.reading import find_run, home_queues
    from omniq_flow.ops.runs import run_history

    return [e.event for e in client.execute(run_history(*find_run(client, home_queues(client), run_id)))]


def test_a_waiting_run_is_cancelled_at_once_and_who_did_it_is_kept(inside: Inside, client: Client) -> None:
    run_id = start(inside, "book", "--set", "pages=3")
    done = inside("runs", "cancel", run_id, "--yes", "--reason", "wrong book")
    assert (done.code, done.out) == (0, f"{run_id} cancelled\n")
    (note,) = [e for e in history(inside, client, run_id) if e.startswith("steered cancel")]
    assert note.split(" ", 3)[3] == "wrong book"
    assert "@" in note.split(" ")[2]
    shown = inside("runs", "show", run_id, "--json").json
    assert shown["state"] == "cancelled"
    assert {s["step"]: s["state"] for s in shown["steps"]} == {
        "split": "cancelled",
        "read": "cancelled",
        "cover": "cancelled",
        "bind": "cancelled",
    }
    assert inside("runs", "wait", run_id).code == 1


def test_a_cancel_needs_a_yes_and_a_dry_run_changes_nothing(inside: Inside, dump: Dump) -> None:
    run_id = start(inside, "hello")
    before = dump()
    refused = inside("runs", "cancel", run_id)
    assert (refused.code, "needs a yes" in refused.err) == (8, True)
    shown = inside("runs", "cancel", run_id, "--dry-run")
    assert (shown.code, shown.out, shown.err) == (0, f"{run_id}\n", "would cancel 1 run; nothing was changed\n")
    assert inside("runs", "cancel").code == 2
    assert inside("runs", "cancel", run_id, "--flow", "hello").code == 2
    assert inside("runs", "cancel", "--state", "open").code == 2
    assert dump() == before


def test_runs_that_fit_are_cancelled_each_with_its_result(inside: Inside) -> None:
    mine = [start(inside, "hello") for _ in range(3)]
    other = start(inside, "book", "--set", "pages=1")
    assert inside("runs", "cancel", "--flow", "hello").code == 8
    done = inside("runs", "cancel", "--flow", "hello", "--since", "1h", "--yes", "--json")
    assert done.code == 0
    assert sorted((row["run_id"], row["status"], row["said"]) for row in done.objects) == [(i, "OK", "cancelled") for i in sorted(mine)]
    assert inside("runs", "show", other, "--json").json["state"] == "running"
    again = inside("runs", "cancel", "--flow", "hello", "--yes")
    assert (again.code, again.err) == (0, "no run fits; nothing was changed\n")


def test_what_has_ended_is_refused_and_the_others_are_done(inside: Inside) -> None:
    ended, waiting = failed(inside), start(inside, "hello")
    alone = inside("runs", "cancel", ended, "--yes")
    assert (alone.code, "has ended: it failed" in alone.err) == (6, True)
    both = inside("runs", "cancel", ended, waiting, "--yes")
    assert (both.code, both.out) == (9, f"{waiting} cancelled\n")
    assert f"refused {ended}" in both.err
    assert inside("runs", "cancel", "0" * 26, "--yes").code == 5


def test_a_retry_works_only_what_it_is_told_to(inside: Inside, client: Client) -> None:
    run_id = failed(inside)
    done = inside("runs", "retry", run_id, "--only", "read[3]", "--reason", "page 3 was scanned again")
    assert (done.code, done.out) == (0, f"{run_id} goes on at epoch 2\n")
    shown = inside("runs", "show", run_id, "--json").json
    assert {s["step"]: (s["queued"], s["failed"]) for s in shown["steps"]}["read"] == (1, 1)
    assert any(e.startswith("steered retry:read-3 ") and e.endswith("page 3 was scanned again") for e in history(inside, client, run_id))


def test_bad_steps_of_a_retry_are_refused_and_nothing_changes(inside: Inside, dump: Dump) -> None:
    run_id = failed(inside)
    before = dump()
    assert inside("runs", "retry", run_id, "--only", "read[").code == 2
    assert inside("runs", "retry", run_id, "--only", "bind").code == 6
    assert inside("runs", "retry", run_id, "--redo", "nothing").code == 2
    assert inside("runs", "retry", "--state", "failed", "--only", "read", "--yes").code == 2
    assert inside("runs", "retry", "--state", "failed").code == 8
    assert dump() == before


def test_a_cancelled_run_is_retried_and_succeeds(inside: Inside) -> None:
    run_id = start(inside, "hello", "--set", "name=ann")
    inside("runs", "cancel", run_id, "--yes")
    assert inside("runs", "retry", run_id).code == 0
    assert inside("runs", "show", run_id, "--json").json["state"] == "running"


def test_a_pause_is_shown_with_its_reason_until_the_resume(inside: Inside) -> None:
    run_id = start(inside, "hello")
    assert inside("runs", "pause", run_id, "--reason", "look first").out == f"{run_id} is paused\n"
    assert inside("runs", "pause", run_id).out == f"{run_id} is paused already\n"
    assert inside("runs", "show", run_id, "--json").json["paused"]["reason"] == "look first"
    assert "look first" in inside("runs", "show", run_id).out
    assert "running, paused" in inside("runs", "list").out
    assert inside("runs", "resume", run_id).out == f"{run_id} is resumed\n"
    assert inside("runs", "resume", run_id).out == f"{run_id} was not paused\n"
    assert inside("runs", "show", run_id, "--json").json["paused"] is None


def test_a_run_is_removed_with_all_its_keys_once_it_has_ended(inside: Inside, redis_conn: redis.Redis) -> None:
    waiting = start(inside, "hello")
    refused = inside("runs", "remove", waiting, "--yes")
    assert (refused.code, "runs cancel" in refused.err) == (6, True)
    inside("runs", "cancel", waiting, "--yes")
    done = failed(inside)
    assert inside("runs", "remove", "--state", "failed", "--state", "cancelled").code == 8
    gone = inside("runs", "remove", "--state", "failed", "--state", "cancelled", "--yes")
    assert gone.code == 0
    assert sorted(gone.out.split()[::3]) == sorted([waiting, done])
    assert not [k for k in redis_conn.keys("*") if waiting.encode() in k or done.encode() in k]
    assert inside("runs", "remove", done, "--yes").code == 5


def test_input_and_output_are_printed_as_json(inside: Inside) -> None:
    done = inside("run", "book", "-i", '{"pages": 3}', "--json").json
    run_id = done["run_id"]
    assert inside("runs", "input", run_id).out.startswith('{"pages":3')
    assert inside("runs", "output", run_id).out == "[0,10,20]\n"
    assert inside("runs", "output", run_id, "read[2]").out == "20\n"
    assert inside("runs", "output", run_id, "read").out == "[0,10,20]\n"
    missing = inside("runs", "output", run_id, "reed")
    assert (missing.code, "its steps are split, read, cover, bind" in missing.err) == (5, True)


LOGGING = """
from pathlib import Path
import time
from pydantic import BaseModel
from omniq_flow import Flow, StepContext

class Where(BaseModel):
    file: str

chatty = Flow("chatty", input=Where)

@chatty.step
def talk(where: Where, ctx: StepContext) -> str:
    ctx.log("first \\x1b[31mred")
    while not Path(where.file).exists():
        time.sleep(0.01)
    ctx.log("second")
    return "done"
"""


def test_logs_are_followed_to_the_end_of_the_run(
    project: Project, inside: Inside, background: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    project.write("chatty", LOGGING)
    gate = tmp_path / "gate"
    run_id = start(inside, "chatty", "--set", f"file={gate}")
    background("worker", "-f", "chatty")
    wait_until(lambda: "first" in inside("runs", "logs", run_id).out, "the first line is there")
    follower = background("runs", "logs", run_id, "--follow", "--json")
    watcher = background("runs", "watch", run_id, "--json")
    assert follower.stdout is not None
    assert "first" in follower.stdout.readline()
    gate.touch()
    rest, _ = follower.communicate(timeout=20)
    assert [line for line in rest.splitlines() if "second" in line and '"step_run":"talk"' in line] == rest.splitlines()
    pictures, _ = watcher.communicate(timeout=20)
    assert watcher.returncode == 0
    assert '"state":"succeeded"' in pictures.splitlines()[-1]
    assert "\x1b" not in inside("runs", "logs", run_id).out
