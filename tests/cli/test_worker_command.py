"""`worker` works until it is told to stop, and then leaves nothing half-done."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from omniq_flow import Client
from omniq_flow.ops import jobs
from tests.cli.conftest import Project
from tests.cli.test_start_and_run import read_until
from tests.server.conftest import servers_of
from tests.support.until import wait_until

Begin = Callable[..., "subprocess.Popen[str]"]


def test_a_worker_works_what_is_there_and_drains_on_sigterm(project: Project, background: Begin) -> None:
    run_id = project("start", "book", "--set", "pages=3").out.strip()
    worker = background("worker")
    assert project("runs", "wait", run_id, "--timeout", "20s").out == "[0,10,20]\n"
    worker.send_signal(signal.SIGTERM)
    out, err = worker.communicate(timeout=20)
    assert (worker.returncode, out) == (0, "")
    assert "worker serves hello, book, odd, gated, last_gate" in err
    assert err.splitlines()[-1] == "drained"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_step_at_work_is_finished_before_the_end(project: Project, background: Begin, tmp_path: Path, number: signal.Signals) -> None:
    worker = background("worker", "-q", "gates")
    run_id = project("start", "gated", "--set", f"file={tmp_path / 'gate'}").out.strip()
    read_until(worker, "serves")
    wait_until((tmp_path / "gate.began").exists, "the step runs")
    worker.send_signal(number)
    read_until(worker, "drains: 1 job")
    (tmp_path / "gate").touch()
    worker.communicate(timeout=20)
    assert worker.returncode == 0
    steps = project("runs", "show", run_id, "--json").json["steps"]
    assert [(s["state"], s["retries"]) for s in steps] == [("succeeded", 0), ("queued", 0)]


@pytest.mark.parametrize("how", ["second signal", "drain timeout"])
def test_what_takes_too_long_is_given_back_without_costing_an_attempt(
    project: Project, background: Begin, tmp_path: Path, redis_conn: redis.Redis, how: str
) -> None:
    worker = background("worker", "-f", "gated", "--drain-timeout", "30s" if how == "second signal" else "300ms")
    run_id = project("start", "gated", "--set", f"file={tmp_path / 'gate'}").out.strip()
    wait_until((tmp_path / "gate.began").exists, "the step runs")
    worker.send_signal(signal.SIGTERM)
    read_until(worker, "drains: 1 job")
    if how == "second signal":
        worker.send_signal(signal.SIGTERM)
    wait_until(lambda: redis_conn.zcard("{gates}:active") == 0, "the job is given back")
    (tmp_path / "gate").touch()
    _, err = worker.communicate(timeout=20)
    assert worker.returncode == 9
    assert err.splitlines()[-1] == "handed back"
    steps = project("runs", "show", run_id, "--json").json["steps"]
    assert [(s["state"], s["retries"]) for s in steps] == [("queued", 0), ("pending", 0)]


def test_only_what_was_named_is_served(project: Project, background: Begin) -> None:
    worker = background("worker", "-f", "hello", "-f", "book", "-c", "2")
    read_until(worker, "worker serves hello, book;")
    other = project("start", "odd").out.strip()
    assert project("start", "hello", "--wait", "--timeout", "20s").code == 0
    assert project("runs", "show", other, "--json").json["steps"][0]["state"] == "queued"


def test_flows_that_were_named_are_served_though_others_do_not_load(project: Project, background: Begin) -> None:
    project.write("bad", "def broken(:\n")
    assert project("worker").code == 3
    worker = background("worker", "-f", "hello")
    assert project("start", "hello", "--wait", "--timeout", "20s", "--quiet").code == 0
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=20)
    assert worker.returncode == 0


def test_what_a_step_says_when_it_fails_is_in_the_log_with_its_place(project: Project, background: Begin) -> None:
    worker = background("worker", "-f", "odd")
    assert project("start", "odd", "--wait", "--timeout", "20s", "--quiet").code == 1
    worker.send_signal(signal.SIGTERM)
    out, err = worker.communicate(timeout=20)
    assert out == ""
    assert "ValueError" in err
    assert "flows/shop.py:" in err
    assert "\x1b" not in err


def test_start_and_worker_share_the_server_of_the_project(own_server_project: Project) -> None:
    project = own_server_project
    worker = project.begin("worker")
    try:
        read_until(worker, "worker serves")
        done = project("start", "hello", "--wait", "--timeout", "20s")
        assert (done.code, done.out) == (0, '"HELLO, WORLD!"\n')
        # `run` did not start the server, and the worker uses it: it stays.
        assert project("run", "hello", "--quiet").code == 0
        assert project("server", "status", "--json").json["is_running"]
        assert len(servers_of(project.root)) == 1
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=20)
        assert worker.returncode == 0
        assert project("server", "status", "--json").json["is_running"], "runs that were started wait for the next worker"
        assert project("server", "stop").err == "stopped\n"
        assert servers_of(project.root) == []
    finally:
        worker.kill()
        worker.communicate()


def test_run_stops_the_server_that_it_started(own_server_project: Project) -> None:
    project = own_server_project
    assert project("server", "status", "--json").json["is_running"] is False
    assert not (project.root / ".omniq-flow").exists(), "looking starts nothing"
    assert project("run", "hello", "--quiet").out == '"HELLO, WORLD!"\n'
    assert servers_of(project.root) == []
    # What was run is still known afterwards, and looking at it leaves no server behind.
    assert project("runs", "show", "@last", "--json").json["result"] == "HELLO, WORLD!"
    assert servers_of(project.root) == []
    assert project("server", "stop").code == 0


def test_start_leaves_the_server_for_those_who_come(own_server_project: Project) -> None:
    project = own_server_project
    run_id = project("start", "hello").out.strip()
    assert len(servers_of(project.root)) == 1
    assert project("runs", "list", "--quiet").out.split() == [run_id]
    assert len(servers_of(project.root)) == 1


def test_commands_that_begin_at_once_share_one_server(own_server_project: Project) -> None:
    project = own_server_project
    commands = [project.begin("run", "book", "--set", f"pages={n}", "--quiet") for n in range(4)]
    ended = [(p.communicate(timeout=30), p.returncode) for p in commands]
    assert [(out, code) for (out, _), code in ended] == [(f"{[i * 10 for i in range(n)]}\n".replace(" ", ""), 0) for n in range(4)], ended
    assert len(servers_of(project.root)) <= 1
    states = [run["state"] for run in project("runs", "list", "--json").objects]
    assert states == ["succeeded"] * 4


def test_a_worker_comes_through_a_crash_of_its_projects_server(own_server_project: Project) -> None:
    project = own_server_project
    worker = project.begin("worker")
    try:
        read_until(worker, "worker serves")
        (pid,) = servers_of(project.root)
        subprocess.run(["kill", "-9", str(pid)], check=True)
        wait_until(lambda: servers_of(project.root) not in ([], [pid]), "the worker brings the server back", timeout=20)
        done = project("start", "hello", "--wait", "--timeout", "20s")
        assert (done.code, done.out) == (0, '"HELLO, WORLD!"\n'), done
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=20)
        assert worker.returncode == 0
    finally:
        worker.kill()
        worker.communicate()


MAIL = """
from pathlib import Path

from pydantic import BaseModel

from omniq_flow import App, JobContext

app = App()


class Email(BaseModel):
    to: str


@app.handler(queue="mail")
def send(email: Email, ctx: JobContext) -> None:
    Path(email.to).write_text(ctx.job_id)
"""


def test_plain_jobs_are_worked_beside_flows(project: Project, background: Begin, client: Client, tmp_path: Path) -> None:
    project.write("mail", MAIL)
    worker = background("worker")
    read_until(worker, "worker serves hello, book, odd, gated, last_gate, jobs of mail; queues hello, book, odd, gates, mail;")
    job_id = client.execute(jobs.publish("mail", {"to": str(tmp_path / "ann")}))
    wait_until((tmp_path / "ann").exists, "the handler has run", 20)
    assert project("start", "hello", "--wait", "--timeout", "20s").code == 0
    assert (tmp_path / "ann").read_text() == job_id


@pytest.mark.parametrize(("flags", "serves"), [(("-q", "mail"), "jobs of mail; queues mail"), (("-f", "hello"), "hello; queues hello")])
def test_the_flags_choose_plain_jobs_too(project: Project, background: Begin, flags: tuple[str, ...], serves: str) -> None:
    project.write("mail", MAIL)
    read_until(background("worker", *flags), f"worker serves {serves};")


def test_a_handler_that_cannot_be_stops_the_worker(project: Project) -> None:
    project.write("mail", MAIL.replace("ctx: JobContext", "ctx: JobContext, more: int"))
    done = project("worker", "-q", "mail")
    assert done.code == 3
    assert "handler send: more is one parameter too many" in done.err
    assert "mail.py:16" in done.err
