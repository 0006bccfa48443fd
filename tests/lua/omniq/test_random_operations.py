"""Any sequence of operations leaves a queue whose lanes, slots, readiness, index sets and statistics agree."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.errors import OperationRefused
from omniq_flow.model.jobs import JobOptions, Lease
from omniq_flow.ops import admin, jobs
from tests.invariants.snapshot import Snapshot

T0 = 1_800_000_000_000
STEPS = 250
KEPT = 100
REFUSALS = {"TOKEN_MISMATCH", "NO_JOB", "NOT_FAILED", "ACTIVE", "LANE_MISMATCH", "NOT_IN_LANE"}


class Play:
    """A queue that is played with at random; `leases` are those that were granted, ended or not."""

    def __init__(self, client: Client, seed: int) -> None:
        self.client, self.random = client, random.Random(seed)
        self.now, self.next_id = T0, 0
        self.leases: list[Lease] = []

    def step(self) -> None:
        self.now += self.random.choice([0, 0, 1, 5, 40])
        weights = {
            "publish": 6,
            "reserve": 6,
            "success": 3,
            "fail": 3,
            "beat": 1,
            "promote": 2,
            "reap": 1,
            "retry": 1,
            "remove": 2,
            "pause": 1,
        }
        name = self.random.choices(list(weights), list(weights.values()))[0]
        try:
            getattr(self, name)()
        except OperationRefused as refusal:
            if refusal.code not in REFUSALS:
                raise

    def some_id(self) -> str:
        return f"j{self.random.randrange(max(self.next_id, 1))}"

    def publish(self) -> None:
        job_id = self.some_id() if self.random.random() < 0.1 else f"j{self.next_id}"
        self.next_id += 1
        options = JobOptions(
            max_attempts=self.random.choice([1, 1, 2, 3]),
            timeout_ms=self.random.choice([5, 50, 500]),
            backoff_ms=self.random.choice([0, 10, -5]),
            due_ms=self.random.choice([0, 0, 0, self.now + 30]),
            gid=self.random.choice(["", "g", "h", "i"]),
            group_limit=self.random.choice([0, 1, 2]),
        )
        self.client.execute(jobs.publish("q", {}, job_id=job_id, options=options, now_ms=self.now))

    def reserve(self) -> None:
        if isinstance(lease := self.client.execute(jobs.reserve("q", now_ms=self.now)), Lease):
            self.leases.append(lease)

    def lease(self) -> Lease:
        return self.random.choice(self.leases[-6:]) if self.leases else Lease("q", "none", "none", 0, 0, 0)

    def success(self) -> None:
        self.client.execute(jobs.ack_success(self.lease(), now_ms=self.now))

    def fail(self) -> None:
        self.client.execute(jobs.ack_fail(self.lease(), "boom", now_ms=self.now))

    def beat(self) -> None:
        self.client.execute(jobs.heartbeat(self.lease(), now_ms=self.now))

    def promote(self) -> None:
        self.client.execute(admin.promote_delayed("q", most=self.random.choice([0, 1, 1000]), now_ms=self.now))

    def reap(self) -> None:
        self.client.execute(admin.reap_expired("q", most=self.random.choice([1, 1000]), now_ms=self.now))

    def retry(self) -> None:
        ids = [self.some_id() for _ in range(4)]
        self.client.execute(admin.retry_failed_batch("q", ids, now_ms=self.now))
        self.client.execute(admin.retry_failed("q", self.some_id(), now_ms=self.now))

    def remove(self) -> None:
        lane: admin.Lane = self.random.choice(["wait", "gwait", "delayed", "failed", "completed"])
        self.client.execute(admin.remove_jobs_batch("q", lane, [self.some_id() for _ in range(4)], now_ms=self.now))
        self.client.execute(admin.remove_job("q", self.some_id(), lane, now_ms=self.now))

    def pause(self) -> None:
        if self.random.random() < 0.3:
            self.client.execute(admin.pause("q"))
        else:
            self.client.execute(admin.resume("q"))


def check(s: Snapshot) -> None:
    """All that must hold of a queue between any two operations."""
    waits = {name: texts(ids) for name, ids in s.values.items() if name.endswith("wait") and s.types[name] == "list"}
    lanes = {
        "wait": [job_id for ids in waits.values() for job_id in ids],
        "active": list(s.zset("active")),
        "delayed": list(s.zset("delayed")),
        "completed": s.items("completed"),
        "failed": s.items("failed"),
    }
    places = sorted(job_id for ids in lanes.values() for job_id in ids)
    assert places == sorted(s.jobs), "each job stands in one lane, and each entry is a job"
    for lane, ids in lanes.items():
        assert {s.jobs[job_id]["state"] for job_id in ids} <= {lane}
        assert sorted(ids) == sorted(s.zset("idx", lane))
    check_leases(s)
    check_groups(s, waits)
    check_statistics(s, lanes, waits)
    assert len(lanes["completed"]) <= KEPT


def check_leases(s: Snapshot) -> None:
    for job_id, score in s.zset("active").items():
        job = s.jobs[job_id]
        assert job["lock_until_ms"] == str(int(score))
        assert job["lease_token"]
    for job in s.jobs.values():
        assert job["state"] == "active" or not (job.get("lease_token") or job.get("lock_until_ms"))


def check_groups(s: Snapshot, waits: dict[str, list[str]]) -> None:
    held = Counter(job["gid"] for job in s.jobs.values() if job["state"] == "active" and job.get("gid"))
    ready = s.zset("groups", "ready")
    for gid in ("g", "h", "i"):
        limit = int(s.get("g", gid, "limit", default=b"1"))
        assert s.number("g", gid, "inflight") == held[gid] <= limit
        assert (gid in ready) == (held[gid] < limit and bool(waits.get(f"{{q}}:g:{gid}:wait")))


def check_statistics(s: Snapshot, lanes: dict[str, list[str]], waits: dict[str, list[str]]) -> None:
    stats = {key: int(value) for key, value in s.hash("stats").items()}
    plain = len(waits.get("{q}:wait", []))
    want = {
        "waiting": plain,
        "group_waiting": len(lanes["wait"]) - plain,
        "waiting_total": len(lanes["wait"]),
        "active": len(lanes["active"]),
        "delayed": len(lanes["delayed"]),
        "failed": len(lanes["failed"]),
        "completed_kept": len(lanes["completed"]),
        "groups_ready": len(s.zset("groups", "ready")),
    }
    assert {name: stats.get(name, 0) for name in want} == want


def texts(values: list[bytes]) -> list[str]:
    return [value.decode() for value in values]


@pytest.mark.parametrize("seed", range(12))
def test_a_queue_agrees_with_itself_after_every_step(client: Client, redis_conn: redis.Redis, seed: int) -> None:
    play = Play(client, seed)
    for _ in range(STEPS):
        play.step()
        check(Snapshot.read(redis_conn, "q"))
    assert len(play.leases) > 20
