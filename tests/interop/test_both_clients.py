"""The real OmniQ client and ours on one queue, both as producers and as consumers, each in processes of its own.

Every job ends as its number says, each of its attempts runs once, no group is ever served beyond its limit, and what is
left of the queue agrees with a recount.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
import redis

from tests.differential.state import DUMP, Space, dumped
from tests.interop import shift
from tests.interop.environment import ROOT, omniq_python
from tests.interop.shift import EFFECTS, QUEUE, Job, limit_of
from tests.support.server import Server
from tests.support.until import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

JOBS = 10_000
WITHIN_S = 150.0
BASE = f"{{{QUEUE}}}"
STOPS_WITHIN_S = 15.0

Starter = Callable[..., subprocess.Popen[bytes]]


@contextmanager
def processes(url: str) -> Iterator[tuple[Starter, Starter]]:
    """Two ways to start a process, theirs and ours; those that still run at the end are asked to finish, as a deployment does."""
    started: list[subprocess.Popen[bytes]] = []

    def starter(python: Path | str, module: str) -> Starter:
        def start(*what: str | int) -> subprocess.Popen[bytes]:
            started.append(subprocess.Popen([python, "-m", f"tests.interop.{module}", url, *map(str, what)], cwd=ROOT))
            return started[-1]

        return start

    try:
        yield starter(omniq_python(), "theirs"), starter(sys.executable, "ours")
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(STOPS_WITHIN_S)


def snapshot(conn: redis.Redis) -> Space:
    """What is there of OmniQ; our workers keep a few keys of their own beside it."""
    found = cast("list[tuple[bytes, bytes, list[bytes], int]]", conn.eval(DUMP, 0))
    return dumped(entry for entry in found if b":flow:" not in entry[0] and not entry[0].startswith(b"{omniq-flow}"))


def effects(conn: redis.Redis) -> list[tuple[str, int, int, str, float]]:
    return [tuple(json.loads(line)) for line in cast("list[bytes]", conn.lrange(EFFECTS, 0, -1))]


def test_ten_thousand_jobs_end_as_they_should(server: Server, redis_conn: redis.Redis) -> None:
    jobs = [Job(number) for number in range(JOBS)]
    attempts = sum(job.attempts for job in jobs)
    with processes(server.url) as (theirs, ours):
        for kind in ("consume", "consume_async"):
            ours(kind)
        for _ in range(3):
            theirs("consume")
        producers = [theirs("publish", 0, JOBS, 2), ours("publish", 1, JOBS, 2)]
        wait_until(lambda: all(process.poll() is not None for process in producers), "all is published", WITHIN_S)
        assert [process.returncode for process in producers] == [0, 0]
        wait_until(lambda: redis_conn.llen(EFFECTS) >= 2 * attempts and is_idle(redis_conn), "all is worked off", WITHIN_S)
    check_attempts(jobs, effects(redis_conn))
    check_groups(effects(redis_conn))
    check_queue(jobs, snapshot(redis_conn))


def is_idle(conn: redis.Redis) -> bool:
    counts = conn.hmget(f"{BASE}:stats", ["waiting_total", "delayed", "active"])
    return [int(count or 0) for count in cast("list[bytes | None]", counts)] == [0, 0, 0]


def check_attempts(jobs: list[Job], seen: list[tuple[str, int, int, str, float]]) -> None:
    """Each attempt began once and ended once, none too many; both clients did a good part of them."""
    runs: dict[int, list[tuple[int, str]]] = defaultdict(list)
    workers: Counter[str] = Counter()
    for what, number, attempt, by, _ in seen:
        runs[number].append((attempt, what))
        workers[by] += 1
    for job in jobs:
        assert runs[job.number] == [(n, what) for n in range(1, job.attempts + 1) for what in ("begin", "end")], job
    assert min(workers["ours"], workers["theirs"]) > len(seen) / 20, workers


def check_groups(seen: list[tuple[str, int, int, str, float]]) -> None:
    """At no moment more jobs of a group run than its limit says; and the limit is used."""
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for what, number, _, _, _ in seen:
        if gid := Job(number).gid:
            running[gid] += 1 if what == "begin" else -1
            most[gid] = max(most[gid], running[gid])
    assert most == {gid: limit_of(gid) for gid in (f"g{n}" for n in range(shift.GROUPS))}


def check_queue(jobs: list[Job], space: Space) -> None:
    """Lanes, index sets, statistics and slots say the same, and it is what the plan says."""
    failed = {job.job_id for job in jobs if not job.is_done}
    completed = space.list(f"{BASE}:completed")
    there = {key.removeprefix(f"{BASE}:job:"): space.hash(key) for key in space if key.startswith(f"{BASE}:job:")}
    assert sorted(space.list(f"{BASE}:failed")) == sorted(failed)
    assert len(completed) == 100
    assert not failed & set(completed)
    assert there.keys() == failed | set(completed)
    for job_id, job in there.items():
        plan = Job(int(job_id[1:]))
        assert (job["state"], job["attempt"]) == ("completed" if plan.is_done else "failed", str(plan.attempts)), job_id
        assert (job["lease_token"], job["lock_until_ms"]) == ("", ""), job_id
        assert plan.failures == 0 or job["last_error"].endswith(f"of {job_id}"), job
    assert set(space.zset(f"{BASE}:idx:failed")) == failed
    assert set(space.zset(f"{BASE}:idx:completed")) == set(completed)
    statistics = {"waiting": 0, "group_waiting": 0, "waiting_total": 0, "active": 0, "delayed": 0, "groups_ready": 0}
    statistics |= {"failed": len(failed), "completed_kept": 100}
    have = space.hash(f"{BASE}:stats")
    assert {name: int(have[name]) for name in statistics} == statistics
    assert space.text(f"{BASE}:lease:seq") == str(sum(job.attempts for job in jobs))
    slots = {f"{BASE}:g:g{n}:{key}": value for n in range(shift.GROUPS) for key, value in (("inflight", "0"), ("limit", str(1 + n % 3)))}
    left = {key: entry for key, entry in space.items() if ":job:" not in key}
    for key in (EFFECTS, *(f"{BASE}:{name}" for name in ("completed", "failed", "idx:failed", "idx:completed", "stats", "lease:seq"))):
        del left[key]
    assert left.keys() == slots.keys() | {f"{BASE}:has_groups", f"{BASE}:lane:rr"}
    assert {key: str(left[key]) for key in slots} == slots


def test_an_idle_consumer_finds_what_the_other_client_publishes(server: Server, redis_conn: redis.Redis) -> None:
    """Nothing wakes it: the first job is found within the slow interval, those that follow within the quick one."""
    with processes(server.url) as (theirs, ours):
        ours("consume")
        wait_until(lambda: redis_conn.exists(f"{BASE}:flow:idle"), "our consumer is idle")
        waits = [found_after(theirs, redis_conn, number) for number in range(1, 7)]
    assert waits[0] < 3.5
    assert statistics.median(waits[1:]) < 0.5, waits


def found_after(theirs: Starter, conn: redis.Redis, number: int) -> float:
    """The seconds from the publishing of one job by the real client to its handler's begin."""
    assert theirs("publish", number, number + 1, 1).wait(STOPS_WITHIN_S) == 0
    wait_until(lambda: [seen for seen in effects(conn) if seen[:2] == ("end", number)], f"job {number} ends")
    began = next(at for what, seen, _, _, at in effects(conn) if (what, seen) == ("begin", number))
    created = next(float(cast("bytes", value)) for value in [conn.hget(f"{BASE}:job:n{number}", "created_ms")])
    return began - created / 1000
