"""`jobs`: publishing, looking, and batches that are asked for, bounded and told."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.model.jobs import JobOptions
from omniq_flow.ops import jobs
from omniq_flow.ops.lanes import server_time
from tests.cli.conftest import Done, Project
from tests.cli.inside import Inside


@pytest.fixture
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Inside:
    return Inside(project, monkeypatch)


ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


@pytest.fixture
def failed(client: Client) -> Client:
    """Queue `mail` with 250 failed jobs, f0 the oldest; those with an odd number are in group `odd`."""
    for n in range(250):
        options = JobOptions(max_attempts=1, gid="odd" if n % 2 else "")
        client.execute(jobs.publish("mail", {"n": n}, job_id=f"f{n}", options=options))
        lease = client.execute(jobs.reserve("mail"))
        assert not isinstance(lease, (jobs.Empty, jobs.Paused))
        client.execute(jobs.ack_fail(lease, f"Boom: \x1b[31m{n}\u202e"))
    return client


def _length(conn: redis.Redis, lane: str) -> int:
    return conn.llen(f"{{mail}}:{lane}")


# -- publish ------------------------------------------------------------------------------


def test_a_job_is_published_and_shown(inside: Inside, client: Client) -> None:
    options = ["--group", "acme", "--group-limit", "2", "--attempts", "7", "--lease", "9s", "--backoff", "70ms"]
    done = inside("jobs", "publish", "mail", "-p", '{"to": {"name": "ann"}}', "--set", "to.age=7", *options)
    assert (done.code, done.err) == (0, "")
    assert ID.fullmatch(done.out.strip())
    found = inside("jobs", "show", "mail", done.out.strip(), "--json").json
    assert (found["payload"], found["gid"], found["state"]) == ({"to": {"name": "ann", "age": 7}}, "acme", "wait")
    assert (found["max_attempts"], found["timeout_ms"], found["backoff_ms"], found["step"]) == (7, 9_000, 70, None)
    shown = inside("jobs", "show", "mail", done.out.strip()).out
    assert "state     wait, attempt 0 of 7, for " in shown
    assert shown.endswith('payload   29 bytes\n{\n  "to": {\n    "name": "ann",\n    "age": 7\n  }\n}\n')


def test_a_known_id_is_left_as_it_is(inside: Inside) -> None:
    assert inside("jobs", "publish", "mail", "--set", "a=1", "--id", "j1").out == "j1\n"
    again = inside("jobs", "publish", "mail", "--set", "a=2", "--id", "j1")
    assert (again.code, again.out) == (0, "j1\n")
    assert "existed already" in again.err
    assert inside("jobs", "publish", "mail", "--set", "a=2", "--id", "j1", "--json").json == {
        "job_id": "j1",
        "queue": "mail",
        "is_new": False,
    }
    assert inside("jobs", "show", "mail", "j1", "--json").json["payload"] == {"a": 1}


def test_a_job_may_be_due_later(inside: Inside, client: Client) -> None:
    before = client.execute(server_time())
    late, set_ = (
        inside("jobs", "publish", "mail", "--set", "a=1", *when).out.strip() for when in (["--in", "1h"], ["--at", "2100-01-01T00:00Z"])
    )
    due = inside("jobs", "show", "mail", late, "--json").json["due_ms"]
    assert before + 3_600_000 <= due <= client.execute(server_time()) + 3_600_000
    assert inside("jobs", "show", "mail", set_, "--json").json["due_at"] == "2100-01-01T00:00:00.000Z"
    rows = inside("jobs", "list", "mail", "--lane", "delayed").out.splitlines()
    assert rows[0].split() == ["JOB", "TRY", "DUE", "IN"]
    assert [row.split()[0] for row in rows[1:]] == [late, set_]


def test_each_line_is_a_job(inside: Inside, redis_conn: redis.Redis) -> None:
    lines = "".join(f'{{"n": {n}}}\r\n\n' for n in range(300))
    done = inside("jobs", "publish", "mail", "--lines", "-p", "-", "--set", "kind=bulk", given=lines)
    assert (done.code, len(done.out.splitlines())) == (0, 300)
    assert _length(redis_conn, "wait") == 300
    last = inside("jobs", "show", "mail", done.out.splitlines()[-1], "--json").json
    assert last["payload"] == {"n": 299, "kind": "bulk"}


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["-p", "[1,"], 3, "the payload is no JSON"),
        (["-p", "5"], 3, "a payload is an object or a list, this is int"),
        (["-p", '{"a": NaN}'], 3, "NaN is no JSON number"),
        ([], 2, "a job needs a payload"),
        (["-p", "@nowhere.json"], 3, "the payload file cannot be read"),
        (["--set", "a=1", "--id", " x"], 2, "must not be empty, nor begin or end with a blank"),
        (["--set", "a=1", "--in", "1h", "--at", "2100-01-01"], 2, "give one"),
        (["--set", "a=1", "--at", "tomorrow"], 2, "'tomorrow' is no time"),
        (["--set", "a=1", "--in", "soon"], 2, "'soon' is no duration"),
        (["--set", "a=1", "--lease", "10ms"], 2, "1s is the least"),
        (["--set", "a=1", "--group-limit", "2"], 2, "--group-limit needs a group"),
        (["-p", "{}", "--lines", "--id", "x"], 2, "--id names one job"),
        (["--lines"], 2, "--lines needs a payload"),
        (["-p", "@bad.jsonl", "--lines"], 3, "bad.jsonl, line 2"),
    ],
)
def test_what_cannot_be_published_is_said_and_no_server_is_asked(
    inside: Inside, project: Project, args: list[str], code: int, words: str
) -> None:
    (project.root / "bad.jsonl").write_text('{"a": 1}\n{"a": \n')
    done = inside("jobs", "publish", "mail", *args, "--url", "redis://127.0.0.1:1")
    assert (done.code, done.out) == (code, "")
    assert words in done.err


# -- looking ------------------------------------------------------------------------------


def test_a_lane_is_listed_in_pages(inside: Inside, failed: Client) -> None:
    done = inside("jobs", "list", "mail", "--lane", "failed", "--limit", "2")
    head, first, second = done.out.splitlines()
    assert head.split() == ["JOB", "GROUP", "TRY", "FAILED", "ERROR"]
    assert first.split()[:3] == ["f249", "odd", "1/1"]
    assert first.endswith("Boom: ␛[31m249\\u202e"), "nothing of it reaches the terminal"
    assert second.split()[0] == "f248"
    assert done.err == "2 of 250 in failed; --offset 2 goes on\n"
    page = inside("jobs", "list", "mail", "--lane", "failed", "--offset", "248", "--quiet")
    assert (page.out, page.err) == ("f1\nf0\n", "")


def test_a_search_tells_how_many_it_looked_at(inside: Inside, failed: Client) -> None:
    done = inside("jobs", "list", "mail", "--lane", "failed", "--error", "m24", "--group", "odd", "--json")
    assert [job["job_id"] for job in done.objects] == [f"f{n}" for n in (249, 247, 245, 243, 241)]
    assert done.objects[0]["last_error"] == "Boom: \x1b[31m249\u202e", "programs get it as it is"
    nothing = inside("jobs", "list", "mail", "--lane", "failed", "--error", "never")
    assert (nothing.out, nothing.err) == ("", "no job in failed of mail fits; looked at 250 of 250\n")
    assert inside("jobs", "list", "mail", "--lane", "failed", "--since", "1h", "--limit", "1").out
    assert not inside("jobs", "list", "mail", "--lane", "failed", "--since", "1ms", "--limit", "1").out


def test_the_jobs_of_a_run_are_shown_as_its_steps(inside: Inside) -> None:
    run_id = inside("start", "hello").out.strip()
    queue = inside("runs", "show", run_id, "--json").json["queue"]
    (job,) = inside("jobs", "list", queue, "--group", run_id, "--json").objects
    assert job["step"] == {"run_id": run_id, "step_run": "greet", "epoch": 1}
    _, row = inside("jobs", "list", queue, "--group", run_id).out.splitlines()
    assert row.split()[:3] == [f"f.{run_id}.greet.1", "(run)", "0/3"]
    assert row.endswith("step greet")
    assert f"step      greet of run {run_id}" in inside("jobs", "show", queue, job["job_id"]).out


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["show", "mail", "none"], 5, "no job 'none'"),
        (["list", "a b"], 2, "queue name 'a b' has ' '"),
        (["list", "mail", "--lane", "dead"], 2, "lanes are wait, gwait, active, delayed, failed, completed"),
        (["list", "mail", "--lane", "gwait"], 2, "add --group"),
        (["retry", "mail"], 2, "--all-failed"),
        (["retry", "mail", "a", "--all-failed"], 2, "name jobs, or say which"),
        (["remove", "mail", "a"], 2, "add --lane"),
        (["remove", "mail", "--lane", "active", "a"], 2, "there is no lane 'active' here"),
        (["remove", "mail", "--lane", "failed"], 2, "name jobs, or say which"),
    ],
)
def test_a_wrong_question_is_answered_with_the_right_one(inside: Inside, args: list[str], code: int, words: str) -> None:
    done = inside("jobs", *args)
    assert (done.code, done.out) == (code, "")
    assert words in done.err


# -- retry, remove, run-now ----------------------------------------------------------------


def test_named_jobs_are_retried_and_refused_ones_named(inside: Inside, failed: Client, redis_conn: redis.Redis) -> None:
    done = inside("jobs", "retry", "mail", "f0", "f1", "none")
    assert (done.code, done.out) == (9, "retried 2 of 3\n")
    assert "refused none: there is no such job" in done.err
    assert _length(redis_conn, "failed") == 248
    again = inside("jobs", "retry", "mail", "f0", "--json")
    assert (again.code, again.json) == (6, {"job_id": "f0", "status": "ERR", "reason": "NOT_FAILED"})
    assert inside("jobs", "retry", "mail", "none", "nor this").code == 5


def test_retrying_all_needs_a_yes(inside: Inside, failed: Client, redis_conn: redis.Redis) -> None:
    for args in (["--all-failed"], ["--error", "Boom"], ["--group", "odd"], ["--since", "1h"]):
        refused = inside("jobs", "retry", "mail", *args)
        assert (refused.code, refused.out) == (8, "")
        assert "add --yes, or look first with --dry-run" in refused.err
    assert _length(redis_conn, "failed") == 250
    dry = inside("jobs", "retry", "mail", "--all-failed", "--dry-run")
    assert (dry.code, len(dry.out.splitlines()), dry.err) == (0, 250, "would retry 250 failed jobs of queue mail; nothing was changed\n")
    assert _length(redis_conn, "failed") == 250
    done = inside("jobs", "retry", "mail", "--all-failed", "--yes")
    assert (done.code, done.out) == (0, "retried 250 of 250\n")
    assert done.err == "250 failed jobs of queue mail\n"
    assert _length(redis_conn, "failed") == 0
    nothing = inside("jobs", "retry", "mail", "--all-failed")
    assert (nothing.code, nothing.err) == (0, "0 failed jobs of queue mail fit; nothing was changed\n")


def test_a_terminal_is_asked(project: Project, failed: Client, redis_conn: redis.Redis) -> None:
    no = _on_terminal(project, "n\n", "jobs", "retry", "mail", "--group", "odd")
    assert no.code == 8
    assert "retry 125 failed jobs of queue mail on unix:///" in no.err
    assert "nothing was changed" in no.err
    assert _length(redis_conn, "failed") == 250
    yes = _on_terminal(project, "y\n", "jobs", "retry", "mail", "--group", "odd")
    assert (yes.code, yes.out) == (0, "retried 125 of 125\n")
    assert _length(redis_conn, "failed") == 125


def test_removing_needs_a_yes_always(inside: Inside, failed: Client, redis_conn: redis.Redis) -> None:
    refused = inside("jobs", "remove", "mail", "--lane", "failed", "f0")
    assert (refused.code, _length(redis_conn, "failed")) == (8, 250)
    done = inside("jobs", "remove", "mail", "--lane", "failed", "f0", "--yes")
    assert (done.code, done.out) == (0, "removed f0\n")
    assert inside("jobs", "show", "mail", "f0").code == 5
    wrong = inside("jobs", "remove", "mail", "--lane", "delayed", "f1", "--yes")
    assert (wrong.code, wrong.out) == (6, "removed 0 of 1\n")
    assert "refused f1: it is in another lane" in wrong.err
    some = inside("jobs", "remove", "mail", "--lane", "failed", "--error", "m1", "--yes", "--json")
    assert (some.code, len(some.objects), _length(redis_conn, "failed")) == (0, 111, 138)


def test_the_list_of_a_group_is_emptied(inside: Inside, client: Client) -> None:
    for n in range(3):
        client.execute(jobs.publish("mail", {}, job_id=f"g{n}", options=JobOptions(gid="g")))
    done = inside("jobs", "remove", "mail", "--lane", "gwait", "--group", "g", "--all", "--yes")
    assert (done.code, done.out) == (0, "removed 3 of 3\n")


def test_delayed_jobs_are_moved_up(inside: Inside, client: Client) -> None:
    for n in range(3):
        client.execute(jobs.publish("mail", {}, job_id=f"d{n}", options=JobOptions(due_ms=4_000_000_000_000)))
    done = inside("jobs", "run-now", "mail", "d1", "d0", "none")
    assert (done.code, done.out) == (9, "moved up 2 of 3\n")
    assert inside("jobs", "list", "mail", "--quiet").out == "d1\nd0\n"
    assert inside("jobs", "run-now", "mail", "d1", "--json").json["reason"] == "NOT_DELAYED"


def _on_terminal(project: Project, typed: str, *args: str) -> Done:
    """Run a command with a terminal for its talk and somebody who types."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        project._argv(args), cwd=project.root, env=project.env, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        out = process.stdout.read() if process.stdout else b""
        seen = b""
        # The terminal gives an error when the last who holds it has gone.
        while piece := _read(ours):
            seen += piece
    os.close(ours)
    return Done(process.returncode, out.decode(), seen.decode())


def _read(file: int) -> bytes:
    try:
        return os.read(file, 4_096)
    except OSError:
        return b""


def test_an_error_is_an_object_for_programs(inside: Inside) -> None:
    done = inside("jobs", "remove", "mail", "--lane", "wait", "--all", "--json")
    assert (done.code, done.out) == (0, ""), "nothing was there to remove, so nobody was asked"
    inside("jobs", "publish", "mail", "--set", "a=1")
    error = json.loads(inside("jobs", "remove", "mail", "--lane", "wait", "--all", "--json").out)["error"]
    assert (error["code"], error["message"][:20]) == ("NOT_CONFIRMED", "remove 1 job from wa")
