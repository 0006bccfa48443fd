"""OmniQ 4.0.0 as a pure function of keyspace and operation, written from the wire contract alone.

It is as plain as the contract and has all of its quirks: a list of effects for each operation, nothing shared with our
scripts. `tests/interop/test_differential.py` shows that the real scripts do the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable

from tests.differential.acts import BATCH_MOST, Act, number
from tests.differential.lanes import Failure, Lanes, Reply, ScriptFailed, positive, read, shown
from tests.differential.state import Space, raw, text

KEPT = 100
ERROR_BYTES = 4096
GROUP_POPS = 10
LANES = {"wait": "wait", "gwait": "wait", "delayed": "delayed", "failed": "failed", "completed": "completed"}
LANE_COUNTERS = {
    "wait": ("waiting", "waiting_total"),
    "gwait": ("group_waiting", "waiting_total"),
    "delayed": ("delayed",),
    "failed": ("failed",),
    "completed": ("completed_kept",),
}


class Model:
    """The reference that is always at hand."""

    def run(self, before: Space, act: Act) -> tuple[Reply, Space]:
        """What the operation replies and leaves; `before` stays as it is."""
        queue = Queue(before.copy(), act.base)
        try:
            reply = getattr(queue, act.name)(*act.argv)
        except ScriptFailed as failed:
            reply = Failure(str(failed))
        return reply, queue.space


class Queue(Lanes):
    """The operations, by the names of their scripts."""

    # enqueue --------------------------------------------------------------------------------------------------

    def enqueue(self, job_id: str = "", payload: str = "", *rest: str) -> Reply:
        attempts, lease, backoff, clock, due_at, gid, given_limit = (rest + (None,) * 7)[:7]
        now, due, limit = _setting(clock, 0), _setting(due_at, 0), read(given_limit)
        times = {field: shown(now) for field in ("created_ms", "updated_ms", "queued_ms")}
        settings = {
            "max_attempts": shown(_setting(attempts, 1)),
            "timeout_ms": shown(_setting(lease, 60000)),
            "backoff_ms": shown(_setting(backoff, 5000)),
        }
        empty = dict.fromkeys(("first_started_ms", "last_started_ms", "completed_ms", "failed_ms"), "")
        self.space.hset(self.job(job_id), id=job_id, payload=payload, state="wait", attempt="0", **settings, **times, **empty)
        if gid:
            self.space.hset(self.job(job_id), gid=gid)
            self.space.write(self.key("has_groups"), "1")
            if limit > 0 and self.space.text(self.key(f"g:{gid}:limit")) is None:
                self.space.write(self.key(f"g:{gid}:limit"), str(limit))
        if due > now:
            self.space.zadd(self.key("delayed"), job_id, due)
            self.index("delayed", job_id, now)
            self.space.hset(self.job(job_id), state="delayed", due_ms=shown(due))
            self.add("delayed", 1)
            self.put(last_activity_ms=now, last_enqueue_ms=now)
            return ["OK", job_id]
        counter = "group_waiting" if gid else "waiting"
        self.space.push(self.key(f"g:{gid}:wait" if gid else "wait"), job_id)
        self.index("wait", job_id, now)
        self.add(counter, 1)
        self.add("waiting_total", 1)
        self.put(last_activity_ms=now, last_enqueue_ms=now)
        if gid and self.inflight_as_written(gid) < self.limit_as_written(gid):
            self.make_ready(gid, now)
        return ["OK", job_id]

    def limit_as_written(self, gid: str) -> float:
        """Enqueue reads it more literally than all else (Q23)."""
        return _literal(self.space.text(self.key(f"g:{gid}:limit")), 1)

    def inflight_as_written(self, gid: str) -> float:
        return _literal(self.space.text(self.key(f"g:{gid}:inflight")), 0)

    # reserve --------------------------------------------------------------------------------------------------

    def reserve(self, clock: str = "") -> Reply:
        now = float(read(clock))
        if self.space.text(self.key("paused")) is not None:
            return ["PAUSED"]
        is_plain_turn = (self.space.text(self.key("lane:rr")) or "0") != "0"
        tries = [self.from_groups, self.from_wait]
        for take in reversed(tries) if is_plain_turn else tries:
            if (job_id := take(now)) is not None:
                self.space.write(self.key("lane:rr"), "0" if is_plain_turn else "1")
                return self.lease(job_id, now)
        return ["EMPTY"]

    def from_wait(self, now: float) -> str | None:
        job_id = self.space.pop_end(self.key("wait"), left=True)
        if job_id is not None:
            self.add("waiting", -1)
            self.add("waiting_total", -1)
        return job_id

    def from_groups(self, now: float) -> str | None:
        for _ in range(GROUP_POPS):
            if not (order := self.space.zset(self.key("groups:ready")).ordered()):
                return None
            gid = order[0]
            self.space.zrem(self.key("groups:ready"), gid)
            self.add("groups_ready", -1)
            if self.inflight(gid) >= self.limit(gid):
                self.make_ready(gid, now + 1)
                continue
            if (job_id := self.space.pop_end(self.key(f"g:{gid}:wait"), left=True)) is None:
                continue
            self.space.write(self.key(f"g:{gid}:inflight"), str(self.inflight(gid) + 1))
            self.add("group_waiting", -1)
            self.add("waiting_total", -1)
            if self.can_serve(gid):
                self.make_ready(gid, now)
            return job_id
        return None

    def lease(self, job_id: str, now: float) -> Reply:
        job = self.space.hash(self.job(job_id))
        sequence = read(self.space.text(self.key("lease:seq"))) + 1
        self.space.write(self.key("lease:seq"), str(sequence))
        deadline = now + positive(job.get("timeout_ms"), 60000)
        attempt = read(job.get("attempt")) + 1
        token = hashlib.sha1(raw(f"{job_id}:{shown(now)}:{sequence}"), usedforsecurity=False).hexdigest()
        fields = {"state": "active", "attempt": shown(attempt), "lock_until_ms": shown(deadline), "lease_token": token}
        if not job.get("first_started_ms"):
            fields["first_started_ms"] = shown(now)
        self.space.hset(self.job(job_id), **fields, updated_ms=shown(now), last_started_ms=shown(now))
        self.index("wait", job_id, None)
        self.index("active", job_id, now)
        self.space.zadd(self.key("active"), job_id, deadline)
        self.add("active", 1)
        self.put(last_activity_ms=now, last_reserve_ms=now)
        most = shown(read(job.get("max_attempts")))
        return ["JOB", job_id, job.get("payload", ""), shown(deadline), shown(attempt), most, job.get("gid", ""), token]

    # what a lease's holder says ---------------------------------------------------------------------------------

    def refusal(self, job_id: str, token: str) -> Reply | None:
        """The token check of wire §6."""
        if not token:
            return ["ERR", "TOKEN_REQUIRED"]
        if self.space.hash(self.job(job_id)).get("lease_token", "") != token:
            return ["ERR", "TOKEN_MISMATCH"]
        if job_id not in self.space.zset(self.key("active")):
            return ["ERR", "NOT_ACTIVE"]
        return None

    def heartbeat(self, job_id: str = "", clock: str = "", token: str = "") -> Reply:
        now = float(read(clock))
        if refused := self.refusal(job_id, token):
            return refused
        timeout = positive(self.space.hash(self.job(job_id)).get("timeout_ms"), 60000)
        deadline = max(self.space.zset(self.key("active"))[job_id], now) + timeout
        self.space.hset(self.job(job_id), lock_until_ms=shown(deadline), updated_ms=shown(now))
        self.space.zadd(self.key("active"), job_id, deadline)
        return ["OK", shown(deadline)]

    def ack_success(self, job_id: str = "", clock: str = "", token: str = "") -> Reply:
        now = float(read(clock))
        if refused := self.refusal(job_id, token):
            return refused
        self.space.zrem(self.key("active"), job_id)
        times = {"updated_ms": shown(now), "completed_ms": shown(now)}
        self.space.hset(self.job(job_id), state="completed", lease_token="", lock_until_ms="", **times)
        self.index("active", job_id, None)
        self.index("completed", job_id, now)
        self.add("active", -1)
        self.put(last_activity_ms=now, last_finish_ms=now)
        self.release(self.space.hash(self.job(job_id)).get("gid", ""), now)
        self.space.push(self.key("completed"), job_id, left=True)
        while len(self.space.list(self.key("completed"))) > KEPT:
            oldest = self.space.pop_end(self.key("completed"), left=False)
            assert oldest is not None
            self.index("completed", oldest, None)
            self.space.drop(self.job(oldest))
        self.put(completed_kept=len(self.space.list(self.key("completed"))))
        return ["OK"]

    def ack_fail(self, job_id: str = "", clock: str = "", token: str = "", error: str = "") -> Reply:
        now = float(read(clock))
        if refused := self.refusal(job_id, token):
            return refused
        self.space.zrem(self.key("active"), job_id)
        self.add("active", -1)
        self.put(last_activity_ms=now, last_finish_ms=now)
        if error:
            self.space.hset(self.job(job_id), last_error=text(raw(error)[:ERROR_BYTES]), last_error_ms=shown(now))
        due = self.ended(job_id, now)
        if due is None:
            self.add("failed", 1)
            return ["FAILED"]
        self.add("delayed", 1)
        return ["RETRY", shown(due)]

    def ended(self, job_id: str, now: float) -> float | None:
        """Slot, state and lane after an attempt without success; the due time unless it was the last."""
        job = self.space.hash(self.job(job_id))
        self.release(job.get("gid", ""), now)
        self.index("active", job_id, None)
        ends = {"updated_ms": shown(now), "lease_token": "", "lock_until_ms": ""}
        if read(job.get("attempt")) >= positive(job.get("max_attempts"), 1):
            self.space.hset(self.job(job_id), state="failed", failed_ms=shown(now), **ends)
            self.index("failed", job_id, now)
            self.space.push(self.key("failed"), job_id, left=True)
            return None
        due = now + read(job.get("backoff_ms"))
        self.space.hset(self.job(job_id), state="delayed", due_ms=shown(due), **ends)
        self.index("delayed", job_id, now)
        self.space.zadd(self.key("delayed"), job_id, due)
        return due

    # upkeep ---------------------------------------------------------------------------------------------------

    def due(self, lane: str, now: float, most: int) -> list[str]:
        scores = self.space.zset(self.key(lane))
        found = [member for member in scores.ordered() if scores[member] <= now]
        return found if most < 0 else found[:most]

    def promote_delayed(self, clock: str = "", most: str = "1000") -> Reply:
        now = float(read(clock))
        counts: Counter[str] = Counter()
        ids = self.due("delayed", now, read(most))
        for job_id in ids:
            self.space.zrem(self.key("delayed"), job_id)
            self.space.hset(self.job(job_id), state="wait", updated_ms=shown(now))
            self.index("delayed", job_id, None)
            counts[self.requeue(job_id, now)] += 1
        if ids:
            self.add("delayed", -len(ids))
            self.waiting(counts)
            self.put(last_activity_ms=now)
        return ["OK", str(len(ids))]

    def waiting(self, counts: Counter[str]) -> None:
        for counter, n in counts.items():
            self.add(counter, n)
        self.add("waiting_total", counts.total())

    def reap_expired(self, clock: str = "", most: str = "1000") -> Reply:
        now = float(read(clock))
        counts: Counter[str] = Counter()
        ids = self.due("active", now, read(most))
        for job_id in ids:
            self.space.zrem(self.key("active"), job_id)
            if self.space.hash(self.job(job_id)):
                counts["failed" if self.ended(job_id, now) is None else "delayed"] += 1
            else:
                self.index("active", job_id, None)
        if ids:
            self.add("active", -len(ids))
            for counter, n in counts.items():
                self.add(counter, n)
            self.put(last_activity_ms=now)
        return ["OK", str(len(ids))]

    def pause(self) -> Reply:
        self.space.write(self.key("paused"), "1")
        return "OK"

    def resume(self) -> Reply:
        was_paused = self.space.text(self.key("paused")) is not None
        self.space.drop(self.key("paused"))
        return int(was_paused)

    # retry and removal ----------------------------------------------------------------------------------------

    def retry_failed(self, job_id: str = "", clock: str = "") -> Reply:
        now = float(read(clock))
        counts: Counter[str] = Counter()
        code = self.retry(job_id, now, counts, alone=True)
        if code != "OK":
            return ["ERR", code]
        self.retried(counts, now)
        return ["OK"]

    def retry(self, job_id: str, now: float, counts: Counter[str], *, alone: bool) -> str:
        job = self.space.hash(self.job(job_id))
        if not job:
            return "NO_JOB"
        if job.get("state") != "failed":
            return "NOT_FAILED"
        if alone:
            self.space.zrem(self.key("active"), job_id)
        self.space.zrem(self.key("delayed"), job_id)
        self.space.lrem(self.key("wait"), job_id, all=True)
        self.space.lrem(self.key("failed"), job_id, all=True)
        self.index("delayed", job_id, None)
        self.index("failed", job_id, None)
        ends = {"lease_token": "", "lock_until_ms": "", "due_ms": "", "failed_ms": ""}
        self.space.hset(self.job(job_id), state="wait", attempt="0", updated_ms=shown(now), **ends)
        counts[self.requeue(job_id, now)] += 1
        return "OK"

    def retried(self, counts: Counter[str], now: float) -> None:
        if counts:
            self.add("failed", -counts.total())
            self.waiting(counts)
            self.put(last_activity_ms=now)

    def retry_failed_batch(self, clock: str = "", count: str = "", *ids: str) -> Reply:
        now, n, counts = float(read(clock)), read(count), Counter[str]()
        if n <= 0:
            return []
        if n > BATCH_MOST:
            return ["ERR", "BATCH_TOO_LARGE", str(BATCH_MOST)]
        if len(ids) < n:
            return ["ERR", "BAD_ARGS"]
        reply = _results(ids[:n], lambda job_id: self.retry(job_id, now, counts, alone=False))
        self.retried(counts, now)
        return reply

    def remove_job(self, job_id: str = "", lane: str = "", clock: str = "") -> Reply:
        """`clock` stands for the server's own time, which the real script reads."""
        counts: Counter[str] = Counter()
        code = self.remove(job_id, lane, counts, alone=True)
        if code != "OK":
            return ["ERR", code]
        self.removed(lane, counts, float(read(clock)))
        return ["OK"]

    def remove(self, job_id: str, lane: str, counts: Counter[str], *, alone: bool) -> str:
        job = self.space.hash(self.job(job_id))
        if not job:
            return "NO_JOB"
        if job_id in self.space.zset(self.key("active")):
            return "ACTIVE"
        gid = job.get("gid", "")
        if job.get("state") != LANES.get(lane, "?") or (lane == "gwait" and not gid):
            return "LANE_MISMATCH"
        if gid and (job.get("lease_token") or job.get("lock_until_ms")):
            self.free_slot(gid)
        was_there = self.take_out(job_id, lane, gid)
        if lane == "gwait" and (was_there or alone):
            change = self.after_removal(gid)
            counts["groups_ready"] += change if was_there else 0
        if not was_there:
            return "NOT_IN_LANE"
        self.space.drop(self.job(job_id))
        self.index(LANES[lane], job_id, None)
        counts["removed"] += 1
        return "OK"

    def take_out(self, job_id: str, lane: str, gid: str) -> bool:
        if lane == "delayed":
            return self.space.zrem(self.key("delayed"), job_id)
        return bool(self.space.lrem(self.key(f"g:{gid}:wait" if lane == "gwait" else lane), job_id))

    def after_removal(self, gid: str) -> int:
        """Ready with score 0 (Q12), or out of the ready set; how the number of ready groups changes."""
        if self.can_serve(gid):
            return int(self.space.zadd(self.key("groups:ready"), gid, 0, nx=True))
        return -int(self.space.zrem(self.key("groups:ready"), gid))

    def removed(self, lane: str, counts: Counter[str], now: float) -> None:
        if counts["removed"]:
            for counter in LANE_COUNTERS[lane]:
                self.add(counter, -counts["removed"])
            if counts["groups_ready"]:
                self.add("groups_ready", counts["groups_ready"])
            self.put(last_activity_ms=now)

    def remove_jobs_batch(self, lane: str = "", count: str = "", *rest: str) -> Reply:
        n, counts = read(count), Counter[str]()
        if n <= 0:
            return []
        if n > BATCH_MOST:
            return ["ERR", "BATCH_TOO_LARGE", str(BATCH_MOST)]
        if lane not in LANES:
            return ["ERR", "BAD_LANE"]
        if len(rest) < n:
            return ["ERR", "BAD_ARGS"]
        reply = _results(rest[:n], lambda job_id: self.remove(job_id, lane, counts, alone=False))
        self.removed(lane, counts, float(read(rest[n] if len(rest) > n else "")))
        return reply

    # the completion counter -------------------------------------------------------------------------------------

    def childs_init(self, expected: str = "") -> Reply:
        if not expected:
            return ["ERR", "NO_EXPECTED"]
        if read(expected) <= 0:
            return ["ERR", "BAD_EXPECTED"]
        if self.space.text(self.key("count")) is not None:
            return ["ERR", "ALREADY_INIT"]
        self.space.write(self.key("count"), shown(read(expected)))
        self.space.drop(self.key("done"))
        return ["OK"]

    def child_ack(self, child: str = "") -> Reply:
        if not child:
            return ["ERR", "CHILD_REQUIRED"]
        count = self.space.text(self.key("count"))
        if count is None:
            return ["ERR", "NO_COUNTER"]
        if not self.space.sadd(self.key("done"), child):
            return ["OK", str(max(read(count), 0))]
        left = read(count) - 1
        if left <= 0:
            self.space.drop(self.key("count"), self.key("done"))
            return ["OK", "0"]
        self.space.write(self.key("count"), str(left))
        return ["OK", str(left)]


def _setting(value: str | None, default: float) -> float:
    return default if value is None else float(number(value) or 0)


def _literal(value: str | None, default: float) -> float:
    if value is None:
        return default
    found = number(value)
    if found is None:
        raise ScriptFailed(f"{value!r} is compared as a number")
    return found


def _results(ids: Iterable[str], work: Callable[[str], str]) -> list[str]:
    reply = []
    for job_id in ids:
        code = work(job_id) if job_id else "BAD_JOB_ID"
        reply += [job_id, "OK"] if code == "OK" else [job_id, "ERR", code]
    return reply
