"""What must hold of the lanes, groups and statistics of a queue: I4, I5, I10, I11, and the figures against a recount."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from omniq_flow.model.names import FlowJobId
from omniq_flow.model.states import StepState
from tests.invariants.snapshot import Snapshot

LANE_OF = {"wait": "wait", "active": "active", "delayed": "delayed", "failed": "failed", "completed": "completed"}


def lanes(s: Snapshot) -> dict[str, list[str]]:
    """Ids by lane, as often as they stand there; the lists of groups count as `wait`."""
    waiting = s.items("wait") + [id_ for gid in s.groups for id_ in s.items("g", gid, "wait")]
    return {
        "wait": waiting,
        "active": list(s.zset("active")),
        "delayed": list(s.zset("delayed")),
        "failed": s.items("failed"),
        "completed": s.items("completed"),
    }


def one_lane_once(s: Snapshot) -> Iterator[str]:
    """I4, I5: a job stands in the lane that its record names, there once, and nowhere else."""
    where: dict[str, list[str]] = {}
    for lane, ids in lanes(s).items():
        for id_ in ids:
            where.setdefault(id_, []).append(lane)
    for id_, found in where.items():
        if len(found) > 1:
            yield f"I5: job {id_} stands in lanes {found}"
        if id_ not in s.jobs:
            yield f"I4: {id_} stands in {found[0]} without a record"
    for id_, job in s.jobs.items():
        if where.get(id_, []) != [job.get("state", "")]:
            yield f"I4: job {id_} says {job.get('state')!r}, it stands in {where.get(id_, [])}"


def dispatched_jobs(s: Snapshot) -> Iterator[str]:
    """I4: a step run that waits for a job has one that is still to be worked; no other of our jobs is open."""
    open_lanes = ("wait", "active", "delayed")
    awaited = set()
    for rid, run in s.runs.items():
        for at, fact in run.facts.items():
            if fact.state is StepState.QUEUED:
                job_id = str(FlowJobId(rid, at, fact.epoch))
                awaited.add(job_id)
                if s.jobs.get(job_id, {}).get("state") not in open_lanes:
                    yield f"I4: {at} waits for {job_id}, which is {s.jobs.get(job_id, {}).get('state', 'gone')}"
    for id_, job in s.jobs.items():
        if id_.startswith("f.") and FlowJobId.parse(id_) and job.get("state") in open_lanes and id_ not in awaited:
            yield f"I4: {id_} is {job.get('state')}, but nothing waits for it"


def leases(s: Snapshot) -> Iterator[str]:
    """I10: every lease has a record with a token and its deadline; no deadline elsewhere."""
    for id_, score in s.zset("active").items():
        job = s.jobs.get(id_, {})
        if not job.get("lease_token"):
            yield f"I10: {id_} is active without a token"
        if job.get("lock_until_ms") != f"{score:.0f}":
            yield f"I10: {id_} is leased until {job.get('lock_until_ms')}, its score says {score:.0f}"
    for id_, job in s.jobs.items():
        if job.get("lease_token") and id_ not in s.zset("active"):
            yield f"I10: {id_} has a token and is not active"


def group_slots(s: Snapshot) -> Iterator[str]:
    """I10, I11: the slots in use are the leases of the group; who has work and a free slot stands in the ready set."""
    held = Counter(s.jobs.get(id_, {}).get("gid", "") for id_ in s.zset("active"))
    for gid in s.groups:
        inflight, limit = s.number("g", gid, "inflight"), max(s.number("g", gid, "limit"), 1)
        if inflight != held[gid]:
            yield f"I10: group {gid} counts {inflight} slots in use, {held[gid]} leases are out"
        if inflight > limit:
            yield f"I10: group {gid} uses {inflight} slots of {limit}"
        is_ready, has_work = gid in s.zset("groups", "ready"), bool(s.items("g", gid, "wait"))
        is_held = gid in s.runs and bool(s.runs[gid].header.get("paused"))
        if has_work and inflight < limit and not is_ready and not is_held:
            yield f"I11: group {gid} has work and a free slot and is not ready"
        if is_ready and not has_work:
            yield f"I11: group {gid} is ready without work"


def figures(s: Snapshot) -> Iterator[str]:
    """The statistics and index sets equal a recount."""
    where = lanes(s)
    grouped = sum(len(s.items("g", gid, "wait")) for gid in s.groups)
    want = {
        "waiting": len(s.items("wait")),
        "group_waiting": grouped,
        "waiting_total": len(where["wait"]),
        "active": len(where["active"]),
        "delayed": len(where["delayed"]),
        "failed": len(where["failed"]),
        "completed_kept": len(where["completed"]),
        "groups_ready": len(s.zset("groups", "ready")),
    }
    have = s.hash("stats")
    for name, n in want.items():
        if int(have.get(name, b"0")) != n:
            yield f"stats: {name} is {int(have.get(name, b'0'))}, a recount gives {n}"
    for lane, ids in where.items():
        index = set(s.zset("idx", lane))
        if index != set(ids):
            yield f"idx: {lane} differs by {sorted(index ^ set(ids))[:4]}"
