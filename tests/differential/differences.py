"""What must come of an act: what OmniQ 4.0.0 makes of it, changed by the differences that are on purpose.

Both sides start from the same keyspace, so each difference shows as it arises and is named by its id. A rule says what
must come out; none says "anything" (those on numbers and clocks are in `numerals.py`). Where the reference would go wrong
from the start (an id without a job, a limit that is no number), the rule repairs the keyspace first and lets the reference
work on that.

Of D1–D16 these can show here. D10, D11 and D14 are operations of their own, D12 concerns a full server, D13 adds fields
that no script of the fifteen writes, D16 and Q26 are the client's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.differential.acts import Act, clock_place, number
from tests.differential.lanes import Reply, positive, read
from tests.differential.model import ERROR_BYTES, KEPT
from tests.differential.numerals import digits, refused, tidy, timed
from tests.differential.outcome import Expected, Seen
from tests.differential.reference import Reference
from tests.differential.state import Hash, Space, raw, text

SHOWN = ("D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "D9", "Q11", "Q12", "Q14", "Q19", "Q23")
"""Differences that sequences meet; the letters Q are those of D15."""

GHOSTS = 10


def expected(reference: Reference, before: Space, act: Act, seen: Seen) -> Expected:
    """`seen` is what our scripts made of it: of that only the server's time is used, and only where none was given."""
    if refusal := refused(reference, before, act):
        return refusal
    plain, hits = tidy(act)
    if plain.name == "remove_jobs_batch" and clock_place(plain) is None:
        return Expected(*reference.run(before, plain), hits)
    clocked = timed(plain, seen)
    if clocked != plain:
        hits.add("D8" if plain.name == "remove_jobs_batch" else "D1")
    rule = RULES.get(act.name, _same)
    return digits(before, rule(_Case(reference, before, clocked, hits)))


# the operations -----------------------------------------------------------------------------------------------------


@dataclass
class _Case:
    """One act on one keyspace, and the differences met so far."""

    reference: Reference
    before: Space
    act: Act
    hits: set[str]

    @property
    def now(self) -> int:
        place = clock_place(self.act)
        return read(self.act.arg(place)) if place is not None else 0

    def key(self, name: str) -> str:
        return f"{self.act.base}:{name}"

    def job(self, job_id: str) -> Hash:
        return self.before.hash(self.key(f"job:{job_id}"))

    def is_ghost(self, job_id: str) -> bool:
        """Without a job; what Q06 and Q07 leave of an id is none."""
        return not self.job(job_id).keys() & {"payload", "max_attempts"}

    def done(self) -> Expected:
        """What the reference makes of it, as a copy that may be changed."""
        reply, after = self.reference.run(self.before, self.act)
        return Expected(reply, after.copy(), self.hits)

    def repaired(self, hit: str) -> Space:
        """A copy of the keyspace to repair, which the reference will work on."""
        self.before = self.before.copy()
        self.hits.add(hit)
        return self.before

    def limit(self, gid: str) -> int:
        return positive(self.before.text(self.key(f"g:{gid}:limit")), 1)

    def is_full(self, gid: str) -> bool:
        return read(self.before.text(self.key(f"g:{gid}:inflight"))) >= self.limit(gid)


def _same(case: _Case) -> Expected:
    return case.done()


def _lower(space: Space, key: str, *fields: str) -> None:
    """Counters go down by one, to zero at the least."""
    for name in fields:
        space.hset(key, **{name: str(max(read(space.hash(key).get(name)) - 1, 0))})


def _enqueue(case: _Case) -> Expected:
    """D2: a known id is left as it is. Q23: a limit that is no number above zero counts as 1."""
    job_id, gid = case.act.arg(0) or "", case.act.arg(7)
    if case.job(job_id):
        return Expected(["OK", job_id], case.before, case.hits | {"D2"})
    key = case.key(f"g:{gid}:limit")
    written = case.before.text(key)
    is_waiting = read(case.act.arg(6)) <= case.now
    if not gid or written is None or not is_waiting or (number(written) or 0) >= 1:
        return case.done()
    case.repaired("Q23").write(key, "1")
    result = case.done()
    result.after.write(key, written)
    return result


def _reserve(case: _Case) -> Expected:
    """D9: an id without a job is passed over. Q19: a full group is left out of the ready set."""
    for _ in range(GHOSTS):
        result, ready = case.done(), case.key("groups:ready")
        leased = result.reply[1] if isinstance(result.reply, list) and result.reply[0] == "JOB" else None
        # Full groups first: going round and round, they may have hidden those that are served instead of a ghost.
        if full := [gid for gid, score in result.after.zset(ready).items() if score == case.now + 1 and case.is_full(gid)]:
            _leave_out(case, full)
        elif leased is not None and case.is_ghost(leased):
            _pass_over(case, leased, result)
        else:
            return result
    raise AssertionError("more ids without a job than one call passes over")


def _pass_over(case: _Case, ghost: str, result: Expected) -> None:
    lists = [key for key in case.before if key.endswith(":wait") and case.before.get(key) != result.after.get(key) and ":idx:" not in key]
    assert len(lists) == 1, lists
    space = case.repaired("D9")
    assert space.pop_end(lists[0], left=True) == ghost
    space.zrem(case.key("idx:wait"), ghost)
    _lower(space, case.key("stats"), "waiting" if lists[0] == case.key("wait") else "group_waiting", "waiting_total")


def _leave_out(case: _Case, full: list[str]) -> None:
    space = case.repaired("Q19")
    for gid in full:
        assert space.zrem(case.key("groups:ready"), gid)
        _lower(space, case.key("stats"), "groups_ready")


def _heartbeat(case: _Case) -> Expected:
    """D3: the deadline is now plus the lease, not the old deadline plus the lease."""
    result, job_id = case.done(), case.act.arg(0) or ""
    if not isinstance(result.reply, list) or result.reply[0] != "OK":
        return result
    ahead = case.before.zset(case.key("active"))[job_id] - case.now
    if ahead > 0:
        deadline = result.after.zset(case.key("active"))[job_id] - ahead
        result.after.zadd(case.key("active"), job_id, deadline)
        result.after.hset(case.key(f"job:{job_id}"), lock_until_ms=f"{deadline:.0f}")
        result.reply = ["OK", f"{deadline:.0f}"]
        result.hits.add("D3")
    return result


def _ack_success(case: _Case) -> Expected:
    """D5: of what is trimmed, only jobs that are still completed are deleted."""
    result = case.done()
    if result.reply != ["OK"]:
        return result
    done = case.act.arg(0) or ""
    for job_id in [done, *case.before.list(case.key("completed"))][KEPT:]:
        job = case.job(job_id)
        if job and job_id != done and job.get("state") != "completed":
            result.after[case.key(f"job:{job_id}")] = Hash(job)
            result.hits.add("D5")
    return result


def _ack_fail(case: _Case) -> Expected:
    """D6: an error text is cut before a character."""
    result, error = case.done(), raw(case.act.arg(3) or "")
    if isinstance(result.reply, list) and result.reply[0] in ("RETRY", "FAILED") and len(error) > ERROR_BYTES:
        whole = text(error[:ERROR_BYTES]).rstrip("".join(map(chr, range(0xDC80, 0xDD00))))
        key = case.key(f"job:{case.act.arg(0)}")
        if result.after.hash(key)["last_error"] != whole:
            result.after.hset(key, last_error=whole)
            result.hits.add("D6")
    return result


def _due(case: _Case, lane: str) -> list[str]:
    scores, most = case.before.zset(case.key(lane)), read(case.act.arg(1) or "1000")
    found = [job_id for job_id in scores.ordered() if scores[job_id] <= case.now]
    return found if most < 0 else found[:most]


def _promote(case: _Case) -> Expected:
    """D9: an id without a job is dropped when it is due, and not counted."""
    ghosts = [job_id for job_id in _due(case, "delayed") if not case.job(job_id)]
    if ghosts:
        space = case.repaired("D9")
        for job_id in ghosts:
            space.zrem(case.key("delayed"), job_id)
            space.zrem(case.key("idx:delayed"), job_id)
            _lower(space, case.key("stats"), "delayed")
        most = read(case.act.arg(1) or "1000")
        case.act = case.act.with_arg(1, str(most - len(ghosts) if most > 0 else most))
    return case.done()


def _reap(case: _Case) -> Expected:
    """D4: a reaped job tells of the lost lease."""
    result = case.done()
    for job_id in _due(case, "active"):
        if job := case.job(job_id):
            tells = f"lease lost: attempt {read(job.get('attempt'))}/{positive(job.get('max_attempts'), 1)} ended without a report"
            result.after.hset(case.key(f"job:{job_id}"), last_error=tells, last_error_ms=str(case.now))
            result.hits.add("D4")
    return result


def _retry(case: _Case) -> Expected:
    """Q14: all that the job left in other lanes goes, also out of `active` and its group's list."""
    ids = [case.act.arg(0) or ""] if case.act.name == "retry_failed" else case.act.argv[2:]
    result = case.done()
    for job_id in ids:
        job = case.job(job_id)
        if job_id and job.get("state") == "failed" and result.after.hash(case.key(f"job:{job_id}")).get("state") == "wait":
            _clear(case, job_id, f"g:{job.get('gid')}:wait")
    return case.done() if "Q14" in case.hits else result


def _clear(case: _Case, job_id: str, group_list: str) -> None:
    space = case.before.copy()
    strays = [space.zrem(case.key(lane), job_id) for lane in ("active", "idx:active")]
    strays.append(bool(space.lrem(case.key(group_list), job_id, all=True)))
    if any(strays):
        case.repaired("Q14")
        case.before = space


def _remove_job(case: _Case) -> Expected:
    """Q11: a refusal changes nothing. Q12: a group becomes ready as of now."""
    result, job_id = case.done(), case.act.arg(0) or ""
    if result.reply == ["ERR", "NOT_IN_LANE"]:
        return Expected(result.reply, case.before, case.hits | ({"Q11"} if result.after != case.before else set()))
    if result.reply == ["OK"]:
        # The real script knows the server's time only, in whole seconds (Q10).
        result.after.hset(case.key("stats"), last_activity_ms=str(case.now))
        _ready_for_slots(case, result, case.act.arg(1) or "", [job_id])
    return _as_of_now(case, result)


def _remove_batch(case: _Case) -> Expected:
    result = case.done()
    items = _items(result.reply)
    if refused := [place for place, _, code in items if code == "NOT_IN_LANE"]:
        ids = list(case.act.argv)
        for place in refused:
            ids[2 + place] = ""
        clean = replace(case, act=replace(case.act, argv=tuple(ids))).done()
        if clean.after != result.after:
            result = Expected(result.reply, clean.after, case.hits | {"Q11"})
    _ready_for_slots(case, result, case.act.arg(0) or "", [job_id for _, job_id, code in items if code == "OK"])
    return _as_of_now(case, result)


def _ready_for_slots(case: _Case, result: Expected, lane: str, removed: list[str]) -> None:
    """Q11: a slot that is given back with a removed job makes its group ready, as every slot does that is given back."""
    for job_id in removed:
        job = case.job(job_id)
        gid = job.get("gid", "")
        if lane == "gwait" or not gid or not (job.get("lease_token") or job.get("lock_until_ms")):
            continue
        has_slot = read(result.after.text(case.key(f"g:{gid}:inflight"))) < case.limit(gid)
        can_serve = has_slot and result.after.list(case.key(f"g:{gid}:wait"))
        if can_serve and result.after.zadd(case.key("groups:ready"), gid, case.now, nx=True):
            stats = case.key("stats")
            result.after.hset(stats, groups_ready=str(read(result.after.hash(stats).get("groups_ready")) + 1))
            result.hits.add("Q11")


def _items(reply: Reply) -> list[tuple[int, str, str]]:
    """Place, id and code of each result of a batch."""
    found: list[tuple[int, str, str]] = []
    rest = list(reply) if isinstance(reply, list) else []
    while len(rest) > 1:
        job_id, word, *rest = rest
        code = rest.pop(0) if word == "ERR" else word
        found.append((len(found), job_id, code))
    return found


def _as_of_now(case: _Case, result: Expected) -> Expected:
    key = case.key("groups:ready")
    for gid, score in result.after.zset(key).items():
        if score == 0 and case.before.zset(key).get(gid) != 0:
            result.after.zadd(key, gid, case.now)
            result.hits.add("Q12")
    return result


RULES: dict[str, Callable[[_Case], Expected]] = {
    "enqueue": _enqueue,
    "reserve": _reserve,
    "heartbeat": _heartbeat,
    "ack_success": _ack_success,
    "ack_fail": _ack_fail,
    "promote_delayed": _promote,
    "reap_expired": _reap,
    "retry_failed": _retry,
    "retry_failed_batch": _retry,
    "remove_job": _remove_job,
    "remove_jobs_batch": _remove_batch,
}
