"""What goes wrong in a life: workers that stall and report too late, and foreign clients that end, take away or break jobs.

Clean acts are the operations that any OmniQ client has; rough ones leave the keys as an eviction or a half-applied
script of another version does. After a clean act only the step run and its job disagree until the next sweep; after a
rough one lanes, slots and figures may be off until they are counted again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from omniq_flow.model.names import FlowJobId
from omniq_flow.model.states import StepState
from omniq_flow.ops import admin, keys, runs, ticks
from omniq_flow.ops.command import Arg, Command
from tests.oracle import deeds, lives
from tests.oracle.life import Life


def report_late(life: Life) -> bool:
    """A worker that was away reports with whatever token it has: applied only if the lease still stands."""
    if not life.zombies or life.rng.random() > 0.1:
        return False
    held = life.zombies.pop(life.rng.randrange(len(life.zombies)))
    deeds.lay_down(life, held)
    deeds.tick(life, life.rng.choice(life.workers), [held], take=0)
    life.stats["late reports"] += 1
    return True


def stall(life: Life) -> bool:
    """Everybody is silent for longer than some of the leases."""
    if life.rng.random() > life.chaos / 10:
        return False
    life.now += life.rng.choice((2_500, 31_000))
    life.note(f"stall until +{life.now}")
    return True


def heartbeat(life: Life) -> bool:
    """All leases of a worker are extended to now plus the lease; those that are lost say so."""
    if life.rng.random() > 0.05:
        return False
    worker = life.rng.choice(life.workers)
    current = [deeds.is_current(life, h) for h in worker.held]
    leases = [(h.taken.job_id, h.taken.token) for h in worker.held]
    beats = life.call(f"beat {worker.name}", ticks.lease_beat(life.queue, leases, now_ms=life.now), may_make=0)
    for held, is_current, beat in zip(worker.held, current, beats, strict=True):
        life.demand(beat.is_lost != is_current, f"{beat.job_id}: a beat says lost={beat.is_lost}, the lease stands: {is_current}")
        if is_current and held.taken.flow and life.track_of(held.taken.flow.run_id).is_cancelled:
            life.demand(beat.is_cancelled, f"{beat.job_id}: nobody tells that its run is cancelled")
        if is_current and not beat.is_cancelled and held.taken.flow:
            lease = life.track_of(held.taken.flow.run_id).plan.by_name[held.taken.flow.step_run.step].options.lease_ms
            life.demand(beat.until_ms == life.now + lease, f"{beat.job_id}: extended to {beat.until_ms}")
    life.stats["beats"] += 1
    return True


def pause(life: Life) -> bool:
    """Nothing is taken while the queue is paused."""
    if life.rng.random() > life.chaos / 20:
        return False
    life.note("paused for a moment")
    life.execute.connection.set(keys.queue_key(life.queue, "paused"), "1")
    reply = deeds.tick(life, life.rng.choice(life.workers), [], take=4, may_repeat=False)
    life.demand(not reply.taken, "taken while paused")
    life.execute.connection.delete(keys.queue_key(life.queue, "paused"))
    return True


def foreign_act(life: Life) -> bool:
    """One act of somebody who knows nothing of flows."""
    if not life.harm or life.rng.random() > life.chaos / 5:
        return False
    track = life.any_of([t for t in life.tracks if t.is_started and not t.is_over])
    facts = {} if track is None else deeds.all_facts(life, track)
    queued = sorted(at for at, fact in facts.items() if fact.state is StepState.QUEUED)
    if track is None or not queued:
        return False
    at = life.rng.choice(queued)
    job_id = str(FlowJobId(track.run_id, at, facts[at].epoch))
    job = cast("dict[bytes, bytes]", life.execute.connection.hgetall(keys.job(life.queue, job_id)))
    acts = CLEAN if life.harm == "clean" else CLEAN + ROUGH
    act = life.rng.choice(acts)
    if not act(life, job_id, {k.decode(): v.decode() for k, v in job.items()}):
        return False
    life.note(f"foreign: {act.__name__} {job_id}")
    life.stats[f"foreign {act.__name__}"] += 1
    life.faults |= {"I4"} if act in CLEAN else {"I4", "I5", "I10", "I11", "stats", "idx"}
    for held in (h for w in life.workers for h in w.held if h.taken.job_id == job_id):
        held.is_clean = False
    track.suspects.add(at)
    track.losses[at] += 1
    track.outside.add(at)
    return True


# -- clean acts: (life, job id, its record) -> whether it was possible --------------------------------


def remove(life: Life, job_id: str, job: dict[str, str]) -> bool:
    lane = {"wait": "gwait", "delayed": "delayed"}.get(job.get("state", ""))
    return lane is not None and _operation(life, "remove_job", job_id, lane, life.now) == [b"OK"]


def fail(life: Life, job_id: str, job: dict[str, str]) -> bool:
    token = job.get("lease_token", "")
    return token != "" and _operation(life, "ack_fail", job_id, life.now, token, "said by somebody else")[0] != b"ERR"


def complete(life: Life, job_id: str, job: dict[str, str]) -> bool:
    token = job.get("lease_token", "")
    return token != "" and _operation(life, "ack_success", job_id, life.now, token)[0] == b"OK"


def reap(life: Life, job_id: str, job: dict[str, str]) -> bool:
    for lapsed in deeds.ids_of(life, "active", until=life.now):
        deeds.suspect(life, lapsed, is_outside=True)
    _operation(life, "reap_expired", life.now, -1)
    return True


def promote(life: Life, job_id: str, job: dict[str, str]) -> bool:
    _operation(life, "promote_delayed", life.now + 500, 100)
    return True


def retry_failed(life: Life, job_id: str, job: dict[str, str]) -> bool:
    """A failed job of ours starts over: wanted at once if its failure is not yet known to its run, else when the run has ended."""
    failed = lives.failed_jobs(life)
    return bool(failed) and lives.revive(life, life.rng.choice(failed))


def publish_again(life: Life, job_id: str, job: dict[str, str]) -> bool:
    """A known id is left as it is (D2)."""
    return _operation(life, "enqueue", job_id, "odd", 3, 1_000, 1_000, life.now, 0, "odd", 1)[0] == b"OK" if job else False


# -- rough acts ---------------------------------------------------------------------------------------


def evict(life: Life, job_id: str, job: dict[str, str]) -> bool:
    """The record is gone, its id stays in its lane."""
    return job.get("state") in ("wait", "active", "delayed") and bool(life.execute.connection.delete(keys.job(life.queue, job_id)))


def unlist(life: Life, job_id: str, job: dict[str, str]) -> bool:
    """The record stays, its id is in no lane."""
    r, gid = life.execute.connection, job.get("gid", "")
    match job.get("state"):
        case "wait":
            return bool(r.lrem(keys.queue_key(life.queue, "g", gid, "wait"), 0, job_id))
        case "active" | "delayed" as lane:
            return bool(r.zrem(keys.queue_key(life.queue, lane), job_id))
        case _:
            return False


def mark_failed(life: Life, job_id: str, job: dict[str, str]) -> bool:
    """A script that broke half-way: the record says failed, the lease still stands."""
    if life.execute.connection.zscore(keys.queue_key(life.queue, "active"), job_id) is None or not job:
        return False
    life.execute.connection.hset(keys.job(life.queue, job_id), "state", "failed")
    life.to_sweep.append(job_id.split(".")[1])
    return True


def lose_count(life: Life, job_id: str, job: dict[str, str]) -> bool:
    """The slots of the group are counted wrongly."""
    if not job.get("gid"):
        return False
    life.execute.connection.incrby(keys.queue_key(life.queue, "g", job["gid"], "inflight"), life.rng.choice((1, 2)))
    return True


def ask_again(life: Life) -> bool:
    """Somebody retries failed jobs of runs that may still go on, by our operation."""
    if life.rng.random() > life.chaos / 10:
        return False
    failed = lives.failed_jobs(life)
    return bool(failed) and lives.ask(life, life.rng.sample(failed, min(len(failed), life.rng.choice((1, 2, 5)))))


def take_away(life: Life) -> bool:
    """Somebody removes waiting or delayed jobs of a run by our operation: their step runs fail there and then."""
    if life.rng.random() > life.chaos / 20:
        return False
    track = life.any_of([t for t in life.tracks if t.is_started and not t.is_over])
    facts = {} if track is None else deeds.all_facts(life, track)
    queued = [FlowJobId(track.run_id, at, fact.epoch) for at, fact in sorted(facts.items()) if fact.state is StepState.QUEUED]
    lane: admin.Lane = life.rng.choice(("gwait", "delayed"))
    state = b"wait" if lane == "gwait" else b"delayed"
    there = [job for job in queued if life.execute.connection.hget(keys.job(life.queue, str(job)), "state") == state]
    if "I4" in life.faults or not there:
        return False
    for job in there:
        track.suspects.add(job.step_run)
        track.outside.add(job.step_run)
    chosen = [str(job) for job in life.rng.sample(there, life.rng.randint(1, min(len(there), 4)))]
    op = admin.remove_jobs_batch(life.queue, lane, chosen, budget=life.budget, now_ms=life.now)
    results = life.call(f"remove {lane} {[c[28:] for c in chosen]}", op, items=len(chosen), closed=len(chosen))
    life.demand(all(r.status == "OK" for r in results), f"not removed: {results}")
    life.stats["jobs removed"] += len(chosen)
    return True


def publish(life: Life) -> bool:
    """A plain job comes to the same queue, alone or in a group."""
    if life.rng.random() > 0.03:
        return False
    job_id, gid = f"plain{len(life.published)}", life.rng.choice(("", "shared"))
    _operation(life, "enqueue", job_id, "plain", 3, 30_000, 1_000, life.now, 0, gid, 2)
    life.note(f"publish {job_id} {gid}")
    life.published.add(job_id)
    return True


def _operation(life: Life, name: str, *args: Arg) -> list[Any]:
    return life.execute(Command(f"omniq/{name}", (keys.anchor(life.queue),), args, list))


def cancel(life: Life) -> bool:
    """Somebody cancels a run, in pieces of some size; now and then the reply is lost, or nobody goes on with it."""
    if not life.cancels or life.rng.random() > 0.02:
        return False
    track = life.any_of([t for t in life.tracks if t.is_started and not t.is_over])
    if track is None:
        return False
    was_cancelled = track.is_cancelled
    track.is_cancelled = True
    op = runs.run_cancel(life.queue, track.run_id, limit=life.rng.choice((1, 3, 0)), by="ann", now_ms=life.now)
    answer = life.call(f"cancel {track.run_id}", op, may_make=0)
    life.demand(answer.is_new is not was_cancelled, f"a cancel says is_new={answer.is_new}")
    for _ in range(life.rng.choice((0, 1, 30))):
        if answer.has_more or not life.rng.randrange(3):
            answer = life.call(f"cancel {track.run_id} again", op, may_make=0)
            life.demand(not answer.is_new, "cancelled twice")
    life.stats["cancels"] += 1
    return True


def pause_run(life: Life) -> bool:
    """Nothing of a run is taken while it is paused, whoever else is served."""
    if life.rng.random() > 0.01:
        return False
    going = [t for t in life.tracks if t.is_started and t.header and not t.is_over and not t.is_cancelled]
    track = life.any_of(going)
    if track is None:
        return False
    life.call(f"pause {track.run_id}", runs.run_pause(life.queue, track.run_id, by="ann", now_ms=life.now), may_make=0)
    for _ in range(life.rng.choice((1, 2, 4))):
        worker = life.rng.choice(life.workers)
        chosen = worker.held[:3]
        for held in chosen:
            deeds.lay_down(life, held)
        reply = deeds.tick(life, worker, chosen, take=4, may_repeat=False)
        taken = [t.job_id for t in reply.taken if t.flow and t.flow.run_id == track.run_id]
        life.demand(not taken, f"{taken} of a paused run were taken")
        life.now += life.rng.choice((0, 400, 5_000))
    if not track.is_over:
        life.check_all()
        life.call(f"resume {track.run_id}", runs.run_resume(life.queue, track.run_id, by="ann", now_ms=life.now), may_make=0)
    life.stats["runs paused"] += 1
    return True


Act = Callable[[Life, str, dict[str, str]], bool]
CLEAN: tuple[Act, ...] = (remove, fail, complete, reap, promote, retry_failed, publish_again)
ROUGH: tuple[Act, ...] = (evict, evict, unlist, unlist, mark_failed, lose_count)
DEEDS: tuple[Callable[[Life], bool], ...] = (
    report_late,
    stall,
    heartbeat,
    pause,
    publish,
    cancel,
    pause_run,
    ask_again,
    take_away,
    foreign_act,
)
