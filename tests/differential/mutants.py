"""Our scripts with one thing broken in each: the comparison must see every one.

`python -m tests.differential --mutants` looks for all of them, the default run for those marked here as `QUICK`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import redis

from tests.differential.campaign import Fault, Sides, draw, smaller
from tests.differential.model import Model
from tests.differential.reference import Scripts, our_sources

MOST_SEQUENCES = 300


@dataclass(frozen=True, slots=True)
class Mutant:
    """What is broken, in which script, and the piece of text that becomes another."""

    what: str
    script: str
    old: str
    new: str

    def alter(self, name: str, source: str) -> str:
        return source.replace(self.old, self.new) if name == self.script else source


REFUSED = "  if job.holds_slot then queue.release_slot(q, job.gid) end\n"
QUICK = (
    Mutant("publishing forgets the group's limit", "enqueue", "if limit > 0 and not g.has_limit then", "if false then"),
    Mutant("reserve gives two turns to groups", "reserve", "t.turn = is_second and '0' or '1'", "t.turn = '0'"),
    Mutant("a success keeps its slot", "ack_success", "math.max(g.inflight - 1, 0)", "g.inflight"),
    Mutant("a failure has one attempt more", "ack_fail", "if job.attempt >= job.max then", "if job.attempt > job.max then"),
    Mutant("a retry keeps the attempts", "retry_failed", "'attempt', '0', 'updated_ms'", "'updated_ms'"),
    Mutant("a removal leaves the index set", "remove_job", "queue.index(q, job.rule.index, job.id)", ""),
)  # fmt: skip
OTHERS = (
    Mutant("a known id is published again", "enqueue", "if redis.call('EXISTS', hash) == 1 then", "if false then"),
    Mutant("a due time of now is later", "enqueue", "if job.due and job.due > q.now then", "if job.due and job.due >= q.now then"),
    Mutant("a full group is served", "reserve", "if g and g.inflight < g.limit then", "if g then"),
    Mutant("a ghost is leased", "reserve", "if job.err or not job[3] and not job[5] then return nil end", "if job.err then return nil end"),
    Mutant("the first start is written each time", "reserve", "is_first = not job[4] or job[4] == ''", "is_first = true"),
    Mutant("a heartbeat adds to the deadline", "heartbeat", "num.text(now + job.timeout)", "num.text(now + 1 + job.timeout)"),
    Mutant("any token extends", "heartbeat", "if job.token ~= token then", "if false then"),
    Mutant("trimming deletes what lives", "ack_success", "redis.pcall('HGET', key, 'state') == 'completed'", "true"),
    Mutant("a hundred and one are kept", "ack_success", "local KEPT = 100", "local KEPT = 101"),
    Mutant("an error is cut inside a character", "ack_fail", "if byte < 128 or byte >= 192 then break end", "do break end"),
    Mutant("a back-off doubles", "ack_fail", "local due = q.now + job.backoff", "local due = q.now + 2 * job.backoff"),
    Mutant("promotion goes by the client's list", "promote_delayed", "queue.push(q, id, gid)\nend", "queue.push(q, id, nil)\nend"),
    Mutant("a lapsed lease says nothing", "reap_expired", "job, lease.lost_text(job))", "job, '')"),
    Mutant("a lease of now has not lapsed", "reap_expired", "'-inf', num.text(now)", "'-inf', '(' .. num.text(now)"),
    Mutant("a resumed queue says it was not paused", "resume", "return was_paused", "return 0"),
    Mutant("pausing pauses for no one", "pause", "':paused', '1'", "':pause', '1'"),
    Mutant("strays stay", "retry_failed", "ipairs({'active', 'delayed', 'failed'})", "ipairs({'failed'})"),
    Mutant("a batch retries what has not failed", "retry_failed_batch", "if have[1] ~= 'failed' or", "if"),
    Mutant("a batch takes one more", "retry_failed_batch", "local MOST = 100", "local MOST = 500"),
    Mutant("a refused removal frees a slot", "remove_jobs_batch", "  if not take_out", REFUSED + "  if not take_out"),
    Mutant("an emptied group stays ready", "remove_job", "elseif g.was_cut and redis.call('ZREM'", "elseif false and redis.call('ZREM'"),
    Mutant("a child counts each time", "child_ack", "if added > 0 then\n", "if true then\n    added = 1\n"),
    Mutant("a counter starts over", "childs_init", "if redis.call('EXISTS', base .. ':count') == 1 then", "if false then"),
    Mutant("counters fall below zero", "reserve", "math.max(num.read(have), -(s.low[field] or 0))", "num.read(have)"),
)  # fmt: skip
MUTANTS = QUICK + OTHERS


def stale() -> list[Mutant]:
    """Those whose text is in no script any more, so that they break nothing."""
    return [mutant for mutant in MUTANTS if our_sources(mutant.alter) == our_sources()]


def first_fault(conn: redis.Redis, mutant: Mutant, seed: int, most: int = MOST_SEQUENCES) -> tuple[int, Fault | None]:
    """How many sequences it takes until something is seen, and what."""
    sides = Sides(Scripts(conn, our_sources(mutant.alter)), Model())
    for n in range(most):
        if fault := draw(sides, f"{seed}/{n}"):
            return n + 1, smaller(sides, fault)
    return most, None


def show_all(conn: redis.Redis, seed: int) -> int:
    """Print what becomes of each mutant; the number of those that live."""
    unseen = 0
    for mutant in MUTANTS:
        began = time.monotonic()
        sequences, fault = first_fault(conn, mutant, seed)
        unseen += fault is None
        took = f"after {sequences} sequences, {time.monotonic() - began:.1f} s"
        shown = f": {len(fault.acts)} acts, {fault.message.splitlines()[0][:100]}" if fault else ""
        print(f"{'seen  ' if fault else 'UNSEEN'}  {mutant.script}: {mutant.what}, {took}{shown}", flush=True)
    print(f"{len(MUTANTS)} mutants, {unseen} unseen")
    return unseen
