"""What workers do in a life: start runs, take, lay down lists, settle, beat, send again, let time pass."""

from __future__ import annotations

import math
from typing import cast

from omniq_flow.errors import LeaseLost
from omniq_flow.model.names import FlowJobId, StepRun
from omniq_flow.model.runs import Fact, Failure
from omniq_flow.model.states import StepState
from omniq_flow.ops import keys, runs, ticks
from omniq_flow.ops.command import Command
from omniq_flow.ops.ticks import OutcomeKind, Settled, Taken, TickReply
from tests.oracle.flows import show
from tests.oracle.life import Held, Life, Track, Worker
from tests.oracle.world import Outcome

TOKEN_CHARS = 12


def go_on(life: Life) -> None:
    """One deed that moves the runs on."""
    waiting = [t for t in life.tracks if not t.is_started]
    if waiting and (life.rng.random() < 0.3 or len(waiting) == len(life.tracks)):
        start(life, waiting[0])
    elif life.to_sweep and life.rng.random() < 0.5:
        sweep(life, life.to_sweep.pop())
    else:
        beat(life, life.rng.choice(life.workers))


def start(life: Life, track: Track) -> None:
    """Begin a run, as a client does: without the plan first; and now and then once more."""
    budget = life.budget
    make = {"key": track.key, "gid": track.gid, "budget": budget, "now_ms": life.now}
    with_plan = life.rng.random() < 0.5
    track.is_started = with_plan
    op = runs.run_start(track.plan, track.run_id, track.given, with_plan=with_plan, **make)  # type: ignore[arg-type]
    first = life.call(f"start {track.run_id} with_plan={with_plan} {show(track.plan)}", op)
    if first.needs_plan:
        track.is_started = True
        op = runs.run_start(track.plan, track.run_id, track.given, with_plan=True, **make)  # type: ignore[arg-type]
        first = life.call(f"start {track.run_id} again, with the plan", op)
    life.demand(first.run_id == track.run_id and first.is_new, f"not started: {first}")
    if life.rng.random() < 0.2:
        second = life.call(f"start {track.run_id} twice", op, may_make=0)
        life.demand(second.run_id == track.run_id and not second.is_new, f"started twice: {second}")


def sweep(life: Life, run_id: str) -> None:
    swept = life.call(
        f"sweep {run_id}",
        runs.run_sweep(life.queue, run_id, limit=life.rng.choice((3, 200)), budget=life.budget, now_ms=life.now),
        closed=0,
        may_make=10_000,
    )
    life.demand(bool(life.faults) or not (swept.lost or swept.failed), f"a sweep healed what was not ill: {swept}")
    life.stats["lost jobs made again"] += swept.lost


def beat(life: Life, worker: Worker) -> None:
    """One tick: some of what the worker holds is settled, some more is taken."""
    rng = life.rng
    chosen = [h for h in worker.held if rng.random() < 0.6][: rng.choice((1, 3, 64))]
    for held in chosen:
        lay_down(life, held)
    tick(life, worker, chosen, take=rng.choice((0, 1, 1, 2, 4, 16)))
    if not any(w.held for w in life.workers) and not life.rng.randrange(3):
        pass_time(life)


def lay_down(life: Life, held: Held) -> None:
    """Stage the elements of a list that is mapped, in slices, sometimes from the start again, sometimes not to the end."""
    if not is_mapped(life, held):
        return
    rng, elements = life.rng, held.outcome.elements or ()
    size = max(1, len(elements) // rng.choice((1, 1, 2, 3)))
    offsets = list(range(0, len(elements), size))
    if rng.random() < life.chaos / 4:
        offsets = offsets[:-1]
    elif rng.random() < 0.2:
        offsets = [0, *offsets]
    for offset in offsets:
        life.note(f"stage {held.taken.job_id} from {offset}")
        try:
            life.execute(ticks.list_stage(life.queue, held.taken.job_id, held.taken.token, offset, elements[offset : offset + size]))
        except LeaseLost:
            life.demand(not is_current(life, held), f"{held.taken.job_id}: its list was refused though its lease holds")


def is_mapped(life: Life, held: Held) -> bool:
    flow = held.taken.flow
    if flow is None or held.outcome.kind != "v":
        return False
    return flow.step_run.step in life.track_of(flow.run_id).oracle.world.mapped


def report(life: Life, held: Held) -> Settled:
    """How a worker says it: now and then it fails for the moment, or gives the job back."""
    taken, rng = held.taken, life.rng
    if taken.flow is None:
        return Settled(taken.job_id, taken.token, "ok")
    roll = rng.random()
    if roll < life.chaos / 4:
        return Settled(taken.job_id, taken.token, "release", rng.choice((0, 500)))
    if roll < life.chaos and taken.attempt < taken.max_attempts:
        return Settled(taken.job_id, taken.token, "fail", rng.choice((0, 300, 2_000)), failure(taken), "not this time")
    match held.outcome.kind:
        case "s":
            return Settled(taken.job_id, taken.token, "skip")
        case "f":
            kind: OutcomeKind = "fail" if taken.attempt == taken.max_attempts else "fatal"
            return Settled(taken.job_id, taken.token, kind, 0, failure(taken), "it failed")
        case "v":
            pass
    if is_mapped(life, held):
        return Settled(taken.job_id, taken.token, "list", len(held.outcome.elements or ()))
    return Settled(taken.job_id, taken.token, "ok", 0, held.outcome.value)


def failure(taken: Taken) -> bytes:
    return Failure("ValueError", "it failed", taken.flow.step_run.id if taken.flow else "", taken.attempt).json.encode()


def is_current(life: Life, held: Held) -> bool:
    """Whether the server still knows the lease."""
    r = life.execute.connection
    token = r.hget(keys.job(life.queue, held.taken.job_id), "lease_token")
    return token == held.taken.token.encode() and r.zscore(keys.queue_key(life.queue, "active"), held.taken.job_id) is not None


def expected(life: Life, held: Held, said: Settled) -> str:
    """The code that this item must get, by reading what it is decided by."""
    flow, r = held.taken.flow, life.execute.connection
    if not is_current(life, held):
        if flow is None:
            return "LOST"
        known = r.hget(keys.tokens(life.queue, flow.run_id), f"{flow.step_run.id}.{flow.epoch}")
        return "DUP" if known == held.taken.token[:TOKEN_CHARS].encode() else "LOST"
    if flow is not None:
        (fact,) = life.execute(runs.run_facts(life.queue, flow.run_id, (flow.step_run.id,)))
        if fact.state is not StepState.QUEUED or fact.epoch != flow.epoch:
            return "STALE"
        length = r.hlen(keys.value(life.queue, flow.run_id, flow.step_run.id, flow.epoch)) if said.kind == "list" and said.number else 0
        if said.kind == "list" and said.number != length:
            return "BAD_LIST"
        if life.track_of(flow.run_id).is_cancelled and said.kind in ("fail", "fatal", "release"):
            return "CANCELLED"
    if said.kind == "fail":
        return "RETRY" if held.taken.attempt < held.taken.max_attempts else "FAILED"
    return "FAILED" if said.kind == "fatal" else "OK"


def tick(life: Life, worker: Worker, ready: list[Held], take: int, *, may_repeat: bool = True) -> TickReply:
    worker.beats += 1
    said = [report(life, h) for h in ready]
    wanted = [expected(life, h, s) for h, s in zip(ready, said, strict=True)]
    op = ticks.tick(
        life.queue,
        worker=worker.name,
        request=f"{worker.name}-{worker.beats}",
        salt=f"{life.rng.random()}",
        settled=said,
        take=take,
        idle_ms=life.rng.choice((0, 5_000)),
        budget=life.budget,
        now_ms=life.now,
    )
    closes = sum(1 for h, s, code in zip(ready, said, wanted, strict=True) if h.taken.flow and ends(s, code))
    for held, item, want in zip(ready, said, wanted, strict=True):
        note(life, held, item, want)
    items = len(said) + lapse(life)
    text = " ".join(f"{s.kind}:{s.job_id[28:] or s.job_id}" for s in said)
    reply = life.call(f"tick {worker.name} take {take} settle {text}", op, items=items, closed=closes)
    for item, code, want in zip(said, reply.codes, wanted, strict=True):
        life.demand(code == want, f"{item.job_id} {item.kind} got {code}, not {want}")
    worker.held = [h for h in worker.held if h not in ready]
    got = [receive(life, t) for t in reply.taken]
    if may_repeat and life.rng.random() < max(life.chaos / 2, 0.02):
        got += again(life, op, said, reply)
    if life.rng.random() < life.chaos / 3:
        life.zombies += got
        life.note(f"{worker.name} dies with {[g.taken.job_id[28:] for g in got]}")
    else:
        worker.held += got
    life.to_sweep += [rid for rid in reply.to_sweep if rid not in life.to_sweep]
    life.next_ms = reply.next_ms
    if not reply.taken and not any(w.held for w in life.workers) and take and not life.to_sweep:
        jump(life)
    return reply


def ends(said: Settled, code: str) -> bool:
    return code == "FAILED" or (code == "OK" and said.kind != "release")


def note(life: Life, held: Held, said: Settled, code: str) -> None:
    """Keep account of what was applied; nothing may be applied twice."""
    life.stats[f"code {code}"] += 1
    flow = held.taken.flow
    if said.kind == "release" and code == "OK":
        life.attempts[said.job_id] -= 1
    if flow is not None and ends(said, code):
        track = life.track_of(flow.run_id)
        life.demand(flow.step_run not in track.ended, f"L7: {flow.step_run} ended twice")
        track.ended[flow.step_run] = held.outcome.kind
        track.oracle.worked(flow.step_run)
        life.stats["step runs worked"] += 1


def receive(life: Life, taken: Taken) -> Held:
    """Check what a take handed over; the handler's outcome is known at once."""
    life.attempts[taken.job_id] += 1
    life.demand(taken.attempt == life.attempts[taken.job_id], f"{taken.job_id}: attempt {taken.attempt}, not {life.attempts[taken.job_id]}")
    others = [h for w in life.workers for h in w.held if h.taken.job_id == taken.job_id and h.is_clean]
    life.demand(not others or others[0].taken.until_ms <= life.now, f"{taken.job_id} is leased twice at once")
    if taken.flow is None:
        life.demand(taken.job_id in life.published and taken.payload == b"plain", f"{taken.job_id} is unknown")
        return Held(taken, Outcome("v", b"null"))
    track, at = life.track_of(taken.flow.run_id), taken.flow.step_run
    life.demand(not track.is_cancelled, f"{taken.job_id} was begun after the cancel")
    options = track.plan.by_name[at.step].options
    life.demand(taken.plan_sha == track.plan.sha and taken.gid == track.gid, f"{taken.job_id}: wrong plan or group")
    life.demand(taken.max_attempts == options.attempts and taken.until_ms == life.now + options.lease_ms, f"{taken.job_id}: wrong options")
    life.demand(taken.fact.state is StepState.QUEUED and taken.fact.epoch == taken.flow.epoch, f"{taken.job_id} taken at {taken.fact}")
    want, got = track.oracle.args(at), track.reader.args(at, taken.inputs)
    life.demand(got == want, f"{at} was handed {str(got)[:300]}, not {str(want)[:300]}")
    return Held(taken, track.oracle.world.outcome(at, got, track.oracle.world.life))


def again(life: Life, op: Command[TickReply], said: list[Settled], first: TickReply) -> list[Held]:
    """The reply was lost and the tick is sent again: the same leases, and nothing applied twice."""
    r = life.execute.connection
    # A lease that lapsed was taken back in the same tick in which its list was refused.
    leased = {item.job_id for item in said if r.hget(keys.job(life.queue, item.job_id), "lease_token") == item.token.encode()}
    reply = life.call("the same tick again", op, items=0)
    for item, before, code in zip(said, first.codes, reply.codes, strict=True):
        want: str = (
            "DUP"
            if (ends(item, before) or before == "CANCELLED") and item.job_id.startswith("f.")
            else before
            if before == "DUP"
            else "LOST"
        )
        want = before if before == "BAD_LIST" and item.job_id in leased else want
        life.demand(code == want, f"{item.job_id}: {before} was sent again and got {code}, not {want}")
    if first.taken:
        life.demand([t.job_id for t in reply.taken] == [t.job_id for t in first.taken], "a tick sent again leased something else")
        for old, new in zip(first.taken, reply.taken, strict=True):
            same = (new.token, new.until_ms, new.attempt, new.max_attempts, new.gid, new.payload, new.plan_sha, new.fact, new.inputs)
            life.demand(
                same == (old.token, old.until_ms, old.attempt, old.max_attempts, old.gid, old.payload, old.plan_sha, old.fact, old.inputs),
                f"{old.job_id} came back different",
            )
    life.to_sweep += [rid for rid in reply.to_sweep if rid not in life.to_sweep]
    life.stats["ticks sent again"] += 1
    # A tick that took nothing leaves no memory: sent again it may find what has become free since.
    return [] if first.taken else [receive(life, taken) for taken in reply.taken]


def lapse(life: Life) -> int:
    """How many leases are over at this time: their step runs may fail in the next tick."""
    over = ids_of(life, "active", until=life.now)
    for job_id in over:
        suspect(life, job_id)
    return len(over)


def ids_of(life: Life, lane: str, until: float = math.inf) -> list[str]:
    """Ids in a lane that is kept by time."""
    found = life.execute.connection.zrangebyscore(keys.queue_key(life.queue, lane), "-inf", until)
    return [name.decode() for name in cast("list[bytes]", found)]


def suspect(life: Life, job_id: str, *, is_outside: bool = False) -> None:
    """Note that a step run may fail without a word of its handler."""
    if job := FlowJobId.parse(job_id):
        track = life.track_of(job.run_id)
        track.suspects.add(job.step_run)
        if is_outside:
            track.outside.add(job.step_run)


def pass_time(life: Life) -> None:
    life.now += life.rng.choice((1, 40, 400, 3_000))


def jump(life: Life) -> None:
    """Nothing can be done now: go to when the tick said that something is due."""
    if life.next_ms > life.now:
        life.now = life.next_ms
    life.note(f"the clock jumps to +{life.now}")


def settle_down(life: Life) -> None:
    """The runs are over: what is held is reported too late, what harm left behind is taken away."""
    life.chaos = 0.0
    for held in life.zombies[:20]:
        tick(life, life.workers[0], [held], take=0, may_repeat=False)
    for _ in range(40):
        life.now += 120_000
        for worker in life.workers:
            tick(life, worker, list(worker.held), take=16)
        if not any(ids_of(life, lane) for lane in ("active", "delayed")):
            return
    life.demand(False, "leases and delayed jobs without end")


def purge(life: Life) -> None:
    """Time goes by until nothing of the runs may be left."""
    life.now += 3_700_000
    for track in life.tracks:
        track.is_purged = True
    for _ in range(200):
        reply = life.call("purge", runs.run_purge(life.queue, limit=life.rng.choice((5, 200)), now_ms=life.now), may_make=0)
        if not reply.has_more:
            return
    life.demand(False, "the purge never ends")


def all_facts(life: Life, track: Track) -> dict[StepRun, Fact]:
    found: dict[StepRun, Fact] = {}
    cursor = 0
    while True:
        cursor, page = life.execute(runs.run_facts_page(life.queue, track.run_id, cursor))
        found.update(page)
        if cursor == 0:
            return found
