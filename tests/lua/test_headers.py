"""A script's header and the operation that builds its arguments say the same: how many, in which order, under which names."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any

import pytest

from omniq_flow.lua import assemble
from omniq_flow.model.jobs import JobOptions, Lease, NewJob
from omniq_flow.model.plan import Plan, StepPlan
from omniq_flow.model.routes import records
from omniq_flow.ops import admin, counters, jobs, keys, publishing, rerun, runs, steering, ticks
from omniq_flow.ops.command import Arg, Command

PLAN = Plan("mail", "q", (StepPlan("a"),), max_parallel=7)
RUN = "01JZZZZZZZZZZZZZZZZZZZZZZZ"
LEASE = Lease("q", "job", "token", until_ms=0, attempt=1, max_attempts=3)
OPTIONS = JobOptions(max_attempts=4, timeout_ms=5, backoff_ms=6, due_ms=8, gid="group", group_limit=9)
JOB = NewJob(payload={"a": 1}, job_id="job", max_attempts=4, timeout_ms=5, backoff_ms=6, due_ms=8, gid="group", group_limit=9)
EDITED = rerun.EditedInput(b"{}", "group")
ITEM = ticks.Settled("job", "token", "ok", 3, b"value", "error")


@dataclass(frozen=True)
class Sample:
    """A command, and what stands under each name of its header; a list for a name with dots."""

    command: Command[Any]
    args: dict[str, Any]


def plain(name: str, *args: Arg) -> Command[Any]:
    """One of OmniQ's operations in the place of which ours are sent: other clients send it."""
    return Command(f"omniq/{name}", (keys.anchor("q"),), args, lambda reply: reply)


SAMPLES = {
    "flow/group_limit": Sample(steering.group_limit("q", "group", 5, now_ms=7), {"now_ms": 7, "gid": "group", "limit": 5}),
    "flow/job_run_now": Sample(steering.job_run_now("q", "job", by="ann", now_ms=7), {"now_ms": 7, "by": "ann", "job_id": "job"}),
    "flow/jobs_publish": Sample(
        publishing.publish_many("q", [JOB, JOB, replace(JOB, job_id="c", gid="")], now_ms=7),
        {
            "now_ms": 7,
            "n_options": 2,
            "options...": [4, 5, 6, 8, "group", 9, 4, 5, 6, 8, "", 9],
            "jobs...": ["job", b'{"a":1}', 1, "job", b'{"a":1}', 1, "c", b'{"a":1}', 2],
        },
    ),
    "flow/jobs_remove": Sample(
        admin.remove_jobs_batch("q", "wait", ["a", "b"], by="ann", budget=5, now_ms=7),
        {"now_ms": 7, "budget": 5, "form": "batch", "lane": "wait", "by": "ann", "count": 2, "job_ids...": ["a", "b"]},
    ),
    "flow/jobs_retry": Sample(
        admin.retry_failed_batch("q", ["a", "b"], by="ann", budget=5, now_ms=7),
        {"now_ms": 7, "budget": 5, "form": "batch", "by": "ann", "count": 2, "job_ids...": ["a", "b"]},
    ),
    "flow/lease_beat": Sample(
        ticks.lease_beat("q", [("job", "token"), ("other", "token2")], now_ms=7),
        {"now_ms": 7, "leases...": ["job", "token", "other", "token2"]},
    ),
    "flow/list_stage": Sample(
        ticks.list_stage("q", "job", "token", 5, [b"1", b"2"]),
        {"job_id": "job", "token": "token", "offset": 5, "elements...": [b"1", b"2"]},
    ),
    "flow/queue_pause": Sample(
        steering.queue_pause("q", by="ann", reason="why", replace=True, now_ms=7), {"now_ms": 7, "by": "ann", "reason": "why", "replace": 1}
    ),
    "flow/queue_resume": Sample(steering.queue_resume("q"), {}),
    "flow/run_cancel": Sample(
        runs.run_cancel("q", RUN, limit=5, by="ann@host", reason="why", now_ms=7),
        {"now_ms": 7, "run_id": RUN, "limit": 5, "by": "ann@host", "reason": "why"},
    ),
    "flow/run_pause": Sample(
        runs.run_pause("q", RUN, by="ann", reason="why", now_ms=7), {"now_ms": 7, "run_id": RUN, "by": "ann", "reason": "why"}
    ),
    "flow/run_purge": Sample(runs.run_purge("q", keep_runs=5, limit=6, now_ms=7), {"now_ms": 7, "keep_runs": 5, "limit": 6}),
    "flow/run_remove": Sample(runs.run_remove("q", RUN, now_ms=7), {"now_ms": 7, "run_id": RUN}),
    "flow/run_rerun": Sample(
        rerun.run_rerun("q", RUN, "old", keep=["a", "b"], edited=EDITED, once=True, by="ann", reason="why", limit=5, budget=6, now_ms=7),
        {
            "now_ms": 7,
            "run_id": RUN,
            "limit": 5,
            "budget": 6,
            "by": "ann",
            "reason": "why",
            "input": b"{}",
            "of": "old",
            "once": 1,
            "digest": hashlib.sha256(b"{}").hexdigest(),
            "gid": "group",
            "keep...": ["a", "b"],
        },
    ),
    "flow/run_resume": Sample(
        runs.run_resume("q", RUN, by="ann", reason="why", now_ms=7), {"now_ms": 7, "run_id": RUN, "by": "ann", "reason": "why"}
    ),
    "flow/run_retry": Sample(
        runs.run_retry("q", RUN, epoch=4, only=["a-1", "a-2"], redo=["a", "b"], by="ann", reason="fixed", budget=6, now_ms=7),
        {
            "now_ms": 7,
            "run_id": RUN,
            "epoch": 4,
            "budget": 6,
            "by": "ann",
            "reason": "fixed",
            "n_redo": 2,
            "redo...": ["a", "b"],
            "only...": ["a-1", "a-2"],
        },
    ),
    "flow/run_start": Sample(
        runs.run_start(PLAN, RUN, b"{}", key="key", gid="group", with_plan=True, budget=8, now_ms=7),
        {
            "now_ms": 7,
            "run_id": RUN,
            "plan": PLAN.sha,
            "flow": "mail",
            "key": "key",
            "digest": hashlib.sha256(b"{}").hexdigest(),
            "input": b"{}",
            "gid": "group",
            "limit": 7,
            "options": '{"stop": false, "window": 1000, "retention_ms": 604800000, "check_ms": 30000}',
            "budget": 8,
            "n_plan": 2 * len(records(PLAN)),
            "plan_fields...": [part for pair in records(PLAN).items() for part in pair],
        },
    ),
    "flow/run_sweep": Sample(
        runs.run_sweep("q", RUN, only=("a",), limit=5, budget=6, now_ms=7),
        {"now_ms": 7, "run_id": RUN, "limit": 5, "budget": 6, "ids...": "a"},
    ),
    "flow/tick": Sample(
        ticks.tick("q", worker="w", request="r", salt="s", settled=[ITEM, ITEM], take=3, idle_ms=4, budget=5, now_ms=7),
        {
            "now_ms": 7,
            "worker": "w",
            "request": "r",
            "salt": "s",
            "take": 3,
            "idle_ms": 4,
            "budget": 5,
            "n_items": 2,
            "items...": ["job", "token", "ok", 3, b"value", "error"] * 2,
        },
    ),
    "omniq/ack_fail": Sample(jobs.ack_fail(LEASE, "boom", now_ms=7), {"job_id": "job", "now_ms": 7, "token": "token", "error": b"boom"}),
    "omniq/ack_success": Sample(jobs.ack_success(LEASE, now_ms=7), {"job_id": "job", "now_ms": 7, "token": "token"}),
    "omniq/child_ack": Sample(counters.child_ack("k", "child"), {"child_id": "child"}),
    "omniq/childs_init": Sample(counters.childs_init("k", 3), {"expected": 3}),
    "omniq/enqueue": Sample(
        jobs.publish("q", {"a": 1}, job_id="job", options=OPTIONS, now_ms=7),
        {
            "job_id": "job",
            "payload": b'{"a":1}',
            "max_attempts": 4,
            "timeout_ms": 5,
            "backoff_ms": 6,
            "now_ms": 7,
            "due_ms": 8,
            "gid": "group",
            "group_limit": 9,
        },
    ),
    "omniq/heartbeat": Sample(jobs.heartbeat(LEASE, now_ms=7), {"job_id": "job", "now_ms": 7, "token": "token"}),
    "omniq/pause": Sample(admin.pause("q"), {}),
    "omniq/promote_delayed": Sample(admin.promote_delayed("q", most=5, now_ms=7), {"now_ms": 7, "max_promote": 5}),
    "omniq/reap_expired": Sample(admin.reap_expired("q", most=5, now_ms=7), {"now_ms": 7, "max_reap": 5}),
    "omniq/remove_job": Sample(plain("remove_job", "job", "wait", 7), {"job_id": "job", "lane": "wait", "now_ms": 7}),
    "omniq/remove_jobs_batch": Sample(
        plain("remove_jobs_batch", "wait", 2, "a", "b", 7), {"lane": "wait", "count": 2, "job_ids...": ["a", "b"], "now_ms": 7}
    ),
    "omniq/reserve": Sample(jobs.reserve("q", now_ms=7), {"now_ms": 7}),
    "omniq/resume": Sample(admin.resume("q"), {}),
    "omniq/retry_failed": Sample(plain("retry_failed", "job", 7), {"job_id": "job", "now_ms": 7}),
    "omniq/retry_failed_batch": Sample(plain("retry_failed_batch", 7, 2, "a", "b"), {"now_ms": 7, "count": 2, "job_ids...": ["a", "b"]}),
}

ANCHORS = {"omniq/child_ack": "{cc:k}:meta", "omniq/childs_init": "{cc:k}:meta"}


def test_every_script_has_a_sample() -> None:
    assert list(SAMPLES) == list(assemble.names())


@pytest.mark.parametrize("name", SAMPLES)
def test_the_header_names_what_is_sent(name: str) -> None:
    sample = SAMPLES[name]
    argv = assemble.header(name).argv
    assert tuple(sample.args) == (() if argv == ("-",) else argv)
    flat = [part for value in sample.args.values() for part in (value if isinstance(value, list) else [value])]
    assert sample.command.args == tuple(flat)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_one_key_is_the_anchor(name: str) -> None:
    assert assemble.header(name).keys == ("anchor",)
    assert SAMPLES[name].command.keys == (ANCHORS.get(name, "{q}:meta"),)
    assert SAMPLES[name].command.script == name


@pytest.mark.parametrize("name", SAMPLES)
def test_the_script_reads_no_argument_that_its_header_lacks(name: str) -> None:
    """Each `ARGV[n]` with a fixed n has a name, up to the first list."""
    body = (assemble.ROOT / f"{name}.lua").read_text(encoding="utf-8").partition("]]")[2]
    argv = assemble.header(name).argv
    named = 0 if argv == ("-",) else len(argv)
    read = {int(n) for n in re.findall(r"ARGV\[(\d+)\]", body)}
    is_open = any(word.endswith("...") for word in argv)
    assert read <= set(range(1, named + 1))
    assert is_open or read == set(range(1, named + 1))


@pytest.mark.parametrize("name", SAMPLES)
def test_the_header_begins_with_the_scripts_name(name: str) -> None:
    text = (assemble.ROOT / f"{name}.lua").read_text(encoding="utf-8")
    assert re.match(rf"#!lua(?: flags=allow-oom)?\n--\[\[\n  {name.partition('/')[2]}: \S.*\.\n", text)
