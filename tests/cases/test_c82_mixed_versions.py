"""C82: old and new clients on one queue, and workers in other languages that take jobs of a flow."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from omniq_flow.lua import assemble
from omniq_flow.model.jobs import JobOptions, Lease
from omniq_flow.model.states import RunState, StepState
from omniq_flow.ops import keys
from omniq_flow.ops.admin import promote_delayed
from omniq_flow.ops.jobs import ack_fail, ack_success, publish, reserve
from omniq_flow.ops.ticks import Settled, list_stage, tick
from tests.cases.old_client import OldClient, OldLease
from tests.cases.rig import ROOT, Rig
from tests.invariants.checker import check
from tests.invariants.snapshot import Snapshot
from tests.support.until import wait_until

FLOW = """
flow = Flow("case", input=N, lease="2s", retry=QUICK)

@flow.step
def source(n: N) -> list[int]:
    return list(range(n.n))

@flow.step
def item(ctx: StepContext, i: int = each(source)) -> int:
    effect(ctx)
    return i

@flow.step
def strict(ctx: StepContext, items: list[int] = gather(item)) -> list[int]:
    effect(ctx)
    return items
"""
RECORDING = """
@flow.step
def recording(ctx: StepContext, items: list[int | Failure] = gather(item, failed="record")) -> list[str]:
    effect(ctx)
    return [str(item) for item in items]
"""
SAID = "its job was completed outside the flow"
GROUPS = {"": 0, "one": 1, "two": 2}


class Foreign:
    """A client in another language: it has OmniQ's operations as the exported scripts, and knows nothing of flows."""

    def __init__(self, conn: redis.Redis, queue: str, folder: Path) -> None:
        self._conn, self._anchor = conn, keys.anchor(queue)
        self._scripts = {path.stem: path.read_text(encoding="utf-8") for path in assemble.export(folder)}

    def call(self, name: str, *args: str | int) -> list[str]:
        reply = cast("list[bytes]", self._conn.eval(self._scripts[name], 1, self._anchor, *args))
        return [word.decode() for word in reply]

    def reserve(self) -> tuple[str, str]:
        """Id and token of a job."""
        word, job_id, *_, token = self.call("reserve", _now())
        assert word == "JOB"
        return job_id, token


@pytest.mark.parametrize("how", ["published", "leased"])
def test_c82_a_mix_is_told_at_the_start(rig: Rig, how: str) -> None:
    """A worker that finds a job of the old layout, published or leased by an old client, says so once and names both versions."""
    rig.write(FLOW)
    old = OldClient(rig.conn, rig.flow.queue)
    if how == "published":
        old.publish("from-old", "{}", attempts=2)
    else:
        rig.client.execute(publish(rig.flow.queue, {}, job_id="from-new"))
        assert old.reserve() is not None
    worker = rig.worker()
    wait_until(lambda: "shared with an OmniQ client before 3.0" in worker.said(), "the mix is told", 8)
    assert "that of 4.0" in worker.said()
    assert worker.stop() == 0
    assert worker.said().count("shared with an OmniQ client") == 1
    # What an old client leases drifts out of the figures: that is what the warning says.
    rig.conn.flushall()


def test_c82_a_queue_without_old_clients_is_not_warned_of(rig: Rig) -> None:
    """Jobs of the 4.0 layout, waiting, leased and done, are no reason for a warning."""
    rig.write(FLOW)
    rig.client.execute(publish(rig.flow.queue, {}, job_id="leased"))
    assert isinstance(rig.client.execute(reserve(rig.flow.queue)), Lease)
    worker = rig.worker()
    run = rig.start({"n": 20})
    assert rig.ends(run) is RunState.SUCCEEDED
    assert worker.stop() == 0
    assert "OmniQ client" not in worker.said()


def test_c82_jobs_that_an_old_client_published_are_worked(rig: Rig) -> None:
    """Jobs of the 1.x layout are leased and ended like others, within their groups' limits, and every figure is right in the end."""
    rig.write(FLOW)
    queue = rig.flow.queue
    old = OldClient(rig.conn, queue)
    for n in range(12):
        gid = ("", "one", "two")[n % 3]
        old.publish(f"job-{n}", "{}", gid=gid, limit=GROUPS[gid], attempts=2)
    done: list[str] = []
    leases: list[Lease] = []
    most: Counter[str] = Counter()
    while len(done) < 12:
        lease = rig.client.execute(reserve(queue))
        if isinstance(lease, Lease):
            assert lease.max_attempts == 2
            leases.append(lease)
            continue
        most |= Counter(lease.gid for lease in leases if lease.gid)
        assert leases, "there is always one to be had"
        done += [lease.job_id for lease in leases]
        rig.client.execute_all([ack_success(lease) for lease in leases])
        leases.clear()
    assert most == {"one": 1, "two": 2}
    assert sorted(done) == sorted(f"job-{n}" for n in range(12))


@pytest.mark.parametrize("seed", range(5))
def test_c82_in_any_mix_every_job_is_done_once_within_its_limits(rig: Rig, seed: int) -> None:
    """Whoever publishes, leases and ends, old client or new: lanes, slots and readiness hold, and each job succeeds once.

    A mix is allowed, not refused or warned of: nothing is decided by statistics and index sets, the only things that drift.
    """
    rig.write(FLOW)
    rng, queue, client = random.Random(seed), rig.flow.queue, rig.client
    old = OldClient(rig.conn, queue)
    held: list[OldLease | Lease] = []
    done: Counter[str] = Counter()
    published = 0
    while sum(done.values()) < 60:
        is_old, act = rng.random() < 0.5, rng.random()
        if published < 60 and act < 0.4:
            job_id, gid = f"job-{published}", rng.choice(list(GROUPS))
            options = JobOptions(max_attempts=50, timeout_ms=60_000, backoff_ms=0, gid=gid, group_limit=GROUPS[gid])
            if is_old:
                old.publish(job_id, "{}", gid=gid, limit=GROUPS[gid], attempts=50)
            else:
                client.execute(publish(queue, {}, job_id=job_id, options=options))
            published += 1
        elif act < 0.7 or not held:
            lease = old.reserve() if is_old else client.execute(reserve(queue))
            held += [lease] if isinstance(lease, (OldLease, Lease)) else []
        else:
            lease = held.pop(rng.randrange(len(held)))
            _end(rig, old if is_old else None, lease, succeeds=rng.random() < 0.8, done=done)
        if rng.random() < 0.2:
            old.promote_delayed() if is_old else client.execute(promote_delayed(queue))
        if rng.random() < 0.1:
            assert _faults(rig) <= {"stats", "idx"}
    assert done == dict.fromkeys([f"job-{n}" for n in range(60)], 1)
    assert _faults(rig) == {"stats", "idx"}, "an old client keeps neither, so both drift"
    rig.conn.flushall()


def _end(rig: Rig, old: OldClient | None, lease: OldLease | Lease, *, succeeds: bool, done: Counter[str]) -> None:
    """One side ends what either of them leased."""
    if succeeds:
        done[lease.job_id] += 1
    if old is not None:
        (old.ack_success if succeeds else old.ack_fail)(lease.job_id, lease.token)
        return
    mine = Lease(rig.flow.queue, lease.job_id, lease.token, lease.until_ms, lease.attempt, 0)
    rig.client.execute(ack_success(mine)) if succeeds else rig.client.execute(ack_fail(mine))


def _faults(rig: Rig) -> set[str]:
    """Which invariants do not hold."""
    return {fault.partition(":")[0] for fault in check(Snapshot.read(rig.conn, rig.flow.queue))}


@pytest.mark.parametrize("join", ["strict", "recording"])
def test_c82_what_a_foreign_client_completes_fails_visibly(rig: Rig, join: str) -> None:
    """Of a map, jobs that a foreign client acks are failed as completed outside the flow; one that it fails is tried again by us.

    A plain ack carries no output, and a silent null would be a lie. The join is published once, if it records failures.
    """
    rig.write(FLOW if join == "strict" else FLOW + RECORDING)
    run = rig.start({"n": 6})
    _expand(rig, 6)
    foreign = Foreign(rig.conn, rig.flow.queue, rig.folder / "scripts")
    taken = [foreign.reserve() for _ in range(4)]
    assert [job_id for job_id, _ in taken] == [f"f.{run}.item-{i}.1" for i in range(4)]
    *acked, failed = taken
    for job_id, token in acked:
        assert foreign.call("heartbeat", job_id, _now(), token)[0] == "OK"
        assert foreign.call("ack_success", job_id, _now(), token) == ["OK"]
    assert foreign.call("ack_fail", failed[0], _now(), failed[1], "not for me")[0] == "RETRY"
    rig.worker("--poll", "100ms")
    wait_until(lambda: len(rig.starts(run)) == 3, "the others are done by us")
    assert [rig.state(run, f"item[{i}]") for i in range(3)] == [StepState.QUEUED] * 3
    # Each run is looked after every few seconds; the time has come.
    rig.conn.zadd(keys.live(rig.flow.queue), {run: 1}, xx=True)
    is_strict = join == "strict"
    assert rig.ends(run, 5) is RunState.FAILED
    assert rig.starts(run) == dict.fromkeys((f"item-{i}" for i in range(3, 6)), 1) | ({} if is_strict else {"recording": 1})
    show = _shown(rig, run)
    found = [(failure["step_run"], failure["type"], failure["message"]) for failure in show["failures"]]
    assert found == [(f"item[{i}]", "CompletedOutside", SAID) for i in range(3)]
    steps = {step["step"]: step for step in show["steps"]}
    assert (steps["item"]["succeeded"], steps["item"]["failed"], steps["item"]["total"]) == (3, 3, 6)
    assert steps["strict"]["state"] == "upstream_failed"
    assert steps["strict"]["because_of"] == [f"item[{i}]" for i in range(3)]
    if not is_strict:
        assert rig.output(run, "recording") == [f"CompletedOutside: {SAID}"] * 3 + ["3", "4", "5"]
        assert rig.dispatches(run)["recording"] == 1
    assert b"=null" not in rig.conn.hgetall(keys.outputs(rig.flow.queue, run)).values()
    assert rig.counters() == []


def _expand(rig: Rig, n: int) -> None:
    """Do the source by hand, so that the items wait and nobody has them yet."""
    queue = rig.flow.queue
    (job,) = rig.client.execute(tick(queue, worker="hand", request="1", salt="s", take=1)).taken
    rig.client.execute(list_stage(queue, job.job_id, job.token, 0, [b"%d" % i for i in range(n)]))
    settled = [Settled(job.job_id, job.token, "list", n)]
    assert rig.client.execute(tick(queue, worker="hand", request="2", salt="s", settled=settled)).codes == ("OK",)


def _shown(rig: Rig, run: str) -> dict[str, Any]:
    """What the command line shows of a run."""
    argv = [sys.executable, "-m", "omniq_flow.cli.main", "--url", rig.url, "runs", "show", run, "--json"]
    done = subprocess.run(argv, cwd=rig.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=20, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _now() -> int:
    """A foreign client's clock."""
    return int(time.time() * 1000)
