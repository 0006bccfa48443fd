"""Retries: how a run is brought back after its end, what a life of it must do again, and what it must leave alone."""

from __future__ import annotations

from typing import cast

from omniq_flow.errors import Conflict
from omniq_flow.model.names import FlowJobId, StepRun
from omniq_flow.model.runs import Fact
from omniq_flow.model.states import RunState, StepState
from omniq_flow.ops import admin, keys, runs
from omniq_flow.ops.command import Command
from tests.invariants.derived import Replay
from tests.invariants.snapshot import Snapshot
from tests.oracle import deeds
from tests.oracle.compare import compare
from tests.oracle.life import Life, Track, Wanted
from tests.oracle.world import LAST_LIFE

FROM_A_HANDLER = (StepState.SUCCEEDED, StepState.SKIPPED)


def begin(life: Life, track: Track) -> None:
    """A run goes on after its end: because it was told to, or because somebody asked for failed jobs of it."""
    if track.wanted is None:
        life.demand(bool(track.asked), f"{track.run_id} went on by itself")
        life.stats["lives for failures that were asked for"] += 1
    # What was asked for is worked as well, whatever else the retry asks for; a revived job that nobody took is yet to be seen.
    track.asked = {(at, epoch) for at, epoch in track.asked if _still_failed(track, at, epoch)}
    heard = {(at, epoch) for at, epoch in track.asked if not _is_to_come(life, track, at, epoch)}
    is_whole = track.wanted is not None and not track.wanted.only
    only = frozenset() if is_whole else frozenset(at for at, _ in heard) | (track.wanted.only if track.wanted else frozenset())
    track.wanted = Wanted(only, track.wanted.redo if track.wanted else ())
    track.oracle.begin_life(track.wanted.redo)
    track.asked -= heard
    track.is_cancelled = False
    track.ended.clear()
    track.losses.clear()
    track.suspects.clear()
    track.outside.clear()
    life.note(f"{track.run_id} begins life {track.oracle.world.life}: {track.wanted}")


def _still_failed(track: Track, at: StepRun, epoch: int) -> bool:
    fact = track.facts.get(at, Fact())
    return fact.state is StepState.FAILED and fact.epoch == epoch


def _is_to_come(life: Life, track: Track, at: StepRun, epoch: int) -> bool:
    """Whether a failure that was asked for is left to the next life, or its revived job is still to be taken."""
    r, job_id = life.execute.connection, str(FlowJobId(track.run_id, at, epoch))
    is_left = r.sismember(keys.asked(life.queue, track.run_id), f"{at.id}.{epoch}")
    return bool(is_left) or r.hget(keys.job(life.queue, job_id), "state") in (b"wait", b"active", b"delayed")


def end(life: Life, track: Track) -> None:
    """A life of a run is over: compare it, then what was to be done again with what was done."""
    compare(life, track)
    before, facts = track.facts, deeds.all_facts(life, track)
    if track.oracle.world.life > 1 and not is_stopped(life, track):
        _done_again(life, track, before, facts)
        _kept(life, track, before)
    track.facts, track.wanted = facts, None
    if track.is_cancelled:
        # Nobody who asked before brings it back; a job that was revived and not taken yet will.
        track.asked = {(at, epoch) for at, epoch in track.asked if _is_to_come(life, track, at, epoch)}


def is_stopped(life: Life, track: Track) -> bool:
    """Whether a life did not come to its end."""
    return track.is_cancelled or life.execute.connection.hget(keys.header(life.queue, track.run_id), "stopped") == b"1"


def _done_again(life: Life, track: Track, before: dict[StepRun, Fact], facts: dict[StepRun, Fact]) -> None:
    wanted, world = track.wanted, track.oracle.world
    assert wanted is not None
    for at, fact in facts.items():
        was = before.get(at, Fact())
        is_asked = at.step in wanted.redo or (was.state is StepState.FAILED and (not wanted.only or at in wanted.only))
        # Lists that were made anew end elements of before and make others of their name.
        if is_asked and fact.epoch > 0:
            life.demand(world.worked.get(at) == world.life, f"{at} was {was}, is {fact}, was asked for, and was not worked again")


def _kept(life: Life, track: Track, before: dict[StepRun, Fact]) -> None:
    """What succeeded is worked again for a reason only: a newer input, or because it was asked for."""
    world, snapshot = track.oracle.world, Snapshot.read(life.execute.connection, life.queue, life.now)
    run = snapshot.runs[track.run_id]
    replay, wanted = Replay(run), track.wanted
    assert wanted is not None
    for at, was in before.items():
        stood = was.state in FROM_A_HANDLER or (wanted.only and was.state is StepState.FAILED and at not in wanted.only)
        if not (stood and was.epoch > 0 and at in run.facts and world.worked.get(at) == world.life) or at.step in wanted.redo:
            continue
        # What was to be done again in a life that was stopped first is done in a later one.
        newest = max(replay.newest_input(at), int(run.header.get(f"redo:{at.step}", 0)))
        life.demand(newest > was.epoch, f"{at} stood at {was}, nothing of it is newer than {newest}, and it was worked again")
        life.stats["step runs worked again for what changed"] += 1


def nothing_is_asked(life: Life, track: Track) -> None:
    """In the end nobody waits for a failure to be worked again."""
    is_left = life.execute.connection.exists(keys.asked(life.queue, track.run_id))
    life.demand(not is_left, f"{track.run_id} ended, and what was asked for was never worked")
    if track.header and track.header.state is RunState.FAILED:
        left = [(at, epoch) for at, epoch in track.asked if _still_failed(track, at, epoch)]
        life.demand(not left, f"{track.run_id}: {left} were asked for and never worked")


def retry_some(life: Life) -> bool:
    """Bring back some of the runs that failed or were cancelled; False if all shall rest."""
    ended_badly = (RunState.FAILED, RunState.CANCELLED)
    again = [t for t in life.tracks if t.header and t.header.state in ended_badly and t.oracle.world.life < LAST_LIFE]
    chosen = [t for t in again if life.rng.random() < 0.7]
    for track in chosen:
        life.rng.choice((_retry, _retry, _retry_some, _retry_jobs, _revive))(life, track)
    return any(not t.is_over for t in life.tracks)


def _retry(life: Life, track: Track) -> None:
    names = list(track.plan.by_name)
    redo = tuple(life.rng.sample(names, life.rng.choice((1, 1, 2)))) if life.rng.random() < 0.4 else ()
    _send(life, track, Wanted(redo=redo))


def _retry_some(life: Life, track: Track) -> None:
    failed = sorted(at for at, fact in track.facts.items() if fact.state is StepState.FAILED)
    if not failed:
        return
    only = life.rng.sample(failed, life.rng.randint(1, len(failed)))
    names = list(track.plan.by_name)
    redo = (life.rng.choice(names),) if life.rng.random() < 0.3 else ()
    _refused(life, track)
    _send(life, track, Wanted(frozenset(only), redo))


def _send(life: Life, track: Track, wanted: Wanted) -> None:
    """As a client does; now and then its reply is lost and it is sent again."""
    assert track.header is not None
    seen = track.header.epoch
    if life.rng.random() < 0.3:
        _demand_conflict(life, _command(life, track, seen + 1, wanted), "a retry that saw another epoch")
    track.wanted = wanted
    op = _command(life, track, seen, wanted)
    done = life.call(f"retry {track.run_id} {wanted}", op)
    life.demand(done.is_new and done.epoch == seen + 1, f"not retried: {done}")
    life.stats["retries"] += 1
    if life.rng.random() < 0.3:
        again = life.call("the same retry again", op, may_make=0)
        life.demand(not again.is_new and again.epoch == seen + 1, f"retried twice: {again}")
    if life.rng.random() < 0.2:
        other = Wanted(redo=(track.plan.steps[0].name, track.plan.steps[-1].name, track.plan.steps[0].name))
        _demand_conflict(life, _command(life, track, seen, other), "another retry of the same epoch")


def _command(life: Life, track: Track, epoch: int, wanted: Wanted) -> Command[runs.Retried]:
    only = sorted(at.id for at in wanted.only)
    return runs.run_retry(life.queue, track.run_id, epoch=epoch, only=only, redo=wanted.redo, budget=life.budget, now_ms=life.now)


def _refused(life: Life, track: Track) -> None:
    """Asked for what did not fail itself, nothing is done."""
    assert track.header is not None
    others = sorted(at for at, fact in track.facts.items() if fact.state is not StepState.FAILED)
    if others:
        op = _command(life, track, track.header.epoch, Wanted(frozenset({life.rng.choice(others)})))
        _demand_conflict(life, op, "a retry of what did not fail")


def _demand_conflict(life: Life, op: Command[runs.Retried], what: str) -> None:
    try:
        life.execute(op)
    except Conflict:
        life.look(0, 0)
        return
    life.demand(False, f"{what} was not refused")


def failed_jobs(life: Life, run_id: str = "") -> list[FlowJobId]:
    """What stands in the failed lane, of one run or of all."""
    ids = cast("list[bytes]", life.execute.connection.lrange(keys.queue_key(life.queue, "failed"), 0, -1))
    jobs = [FlowJobId.parse(id_.decode()) for id_ in ids]
    return sorted((j for j in jobs if j and j.run_id.startswith(run_id)), key=str)


def ask(life: Life, jobs: list[FlowJobId]) -> bool:
    """Somebody retries failed jobs by our operation: what each answers is known by reading."""
    wanted = {str(job): _answer(life, job) for job in jobs}
    for job in jobs:
        if wanted[str(job)] == "OK":
            life.attempts[str(job)] = 0
            track = life.track_of(job.run_id)
            if _fact(life, job).state is StepState.FAILED:
                track.asked.add((job.step_run, job.epoch))
    ids = [str(job) for job in jobs]
    op = admin.retry_failed_batch(life.queue, ids, budget=life.budget, now_ms=life.now)
    results = life.call(f"retry jobs {[i[28:] for i in ids]}", op)
    for result in results:
        got = result.reason or result.status
        life.demand(got == wanted[result.job_id], f"retry of {result.job_id} answered {got}, not {wanted[result.job_id]}")
        life.stats[f"job retry {got}"] += 1
    return True


def _answer(life: Life, job: FlowJobId) -> str:
    fact, track = _fact(life, job), life.track_of(job.run_id)
    if life.execute.connection.hget(keys.job(life.queue, str(job)), "state") != b"failed":
        return "NOT_FAILED" if life.execute.connection.exists(keys.job(life.queue, str(job))) else "NO_JOB"
    if track.header and track.header.state is RunState.SUCCEEDED:
        return "RUN_SUCCEEDED"
    if track.header and track.header.state is RunState.CANCELLING:
        return "RUN_CANCELLING"
    return "OK" if fact.state in (StepState.FAILED, StepState.QUEUED) and fact.epoch == job.epoch else "STALE_JOB"


def _fact(life: Life, job: FlowJobId) -> Fact:
    return life.execute(runs.run_facts(life.queue, job.run_id, (job.step_run.id,)))[0]


def _retry_jobs(life: Life, track: Track) -> None:
    """Some of its failed jobs are retried, by our operation on jobs."""
    jobs = failed_jobs(life, track.run_id)
    if jobs:
        ask(life, life.rng.sample(jobs, life.rng.randint(1, len(jobs))))


def _revive(life: Life, track: Track) -> None:
    """Some of its failed jobs are started over by a client that knows no flows."""
    jobs = failed_jobs(life, track.run_id)
    for job in life.rng.sample(jobs, life.rng.randint(1, len(jobs))) if jobs else []:
        revive(life, job)
    for _ in range(20):
        deeds.tick(life, life.workers[0], [], take=16)
        life.now += 400
        if not track.is_over:
            return


def revive(life: Life, job: FlowJobId) -> bool:
    """OmniQ's own retry of one job."""
    if _answer(life, job) == "OK" and _fact(life, job).state is StepState.FAILED:
        life.track_of(job.run_id).asked.add((job.step_run, job.epoch))
    life.attempts[str(job)] = 0
    life.faults |= {"I4"}
    life.note(f"foreign: revive {job}")
    life.stats["foreign retry_failed"] += 1
    op = Command("omniq/retry_failed", (keys.anchor(life.queue),), (str(job), life.now), list)
    return life.execute(op) == [b"OK"]
