"""Why a step does not go on: one sentence for each thing that holds it, from a run looked at closely.

Nothing is read here, so the same sentences stand on screens and in commands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from omniq_flow.model.clock import show_duration
from omniq_flow.model.names import FlowJobId, StepRun
from omniq_flow.model.runs import Fact
from omniq_flow.model.states import Lane, RunState, StepState
from omniq_flow.observe.causes import culprits
from omniq_flow.observe.notes import pause_words, signed
from omniq_flow.observe.run_watch import MOST_WORKERS, Close, JobPlace, Member, is_single, needs_of
from omniq_flow.observe.snapshot import RUNNING, RunSnapshot, StepTally

MOST_NAMED = 3
MOST_HOLDERS = 8
LEAST_SILENCE_MS = 1_500
"""A lease is extended every third of its length, at least every second; a worker that missed two of these is silent."""


def why_waiting(snapshot: RunSnapshot, close: Close) -> list[str]:
    """The reasons, those that hold most first; empty for a step, or an element, that is done or being worked."""
    tally = snapshot.step(close.step)
    state = state_of(snapshot, close)
    if state == StepState.UPSTREAM_FAILED.word:
        return [_blocked(snapshot, close)]
    if state == StepState.CANCELLED.word or (snapshot.header.state is RunState.CANCELLED and not _is_settled(state)):
        return [_cancelled(snapshot, close, state)]
    if _is_settled(state):
        return []
    if snapshot.is_ended:
        return [f"the run has ended: {snapshot.word}" + (f", {snapshot.header.damage}" if snapshot.header.damage else "")]
    reasons = list(close.server.refusals)
    if snapshot.header.state is RunState.CANCELLING:
        reasons.append(f"the run is being cancelled{_by_whom(close)}: {snapshot.header.open} of its step runs are still open")
    is_dispatched = state != StepState.PENDING.word and (tally.queued > 0 or close.element is not None)
    if not is_dispatched and (needs := _needs(snapshot, close)):
        return [*reasons, needs]
    return [*reasons, *_around(snapshot, close, is_dispatched=is_dispatched), *_jobs(close)]


def state_of(snapshot: RunSnapshot, close: Close) -> str:
    """The word for the state of what is looked at: the step, or one element of it."""
    if close.element is None:
        return snapshot.step(close.step).state
    return close.members[0].fact.state.word if close.members else StepState.PENDING.word


def active_and_waiting(close: Close) -> tuple[int, int]:
    """How many of the jobs that were looked at are worked, and how many are not."""
    states: list[JobPlace] = [m.job for m in close.members if m.job.state]
    active = sum(job.state == Lane.ACTIVE for job in states)
    return active, len(states) - active


def _is_settled(state: str) -> bool:
    return state not in (RUNNING, StepState.PENDING.word, StepState.QUEUED.word)


def _blocked(snapshot: RunSnapshot, close: Close) -> str:
    failed = [failure.step_run for failure in snapshot.failures]
    roots = culprits(snapshot.plan, failed, close.element or StepRun(close.step))
    return f"never tried: {_some(roots)} failed" if roots else "never tried: what it needs has failed"


def _cancelled(snapshot: RunSnapshot, close: Close, state: str) -> str:
    tally = snapshot.step(close.step)
    was_dispatched = tally.cancelled > 0 if close.element is None else state == StepState.CANCELLED.word
    return f"{'cancelled with the run' if was_dispatched else 'never tried: the run was cancelled'}{_by_whom(close)}"


def _by_whom(close: Close) -> str:
    return signed(close.cancel.by, close.cancel.at_ms, close.cancel.reason, close.at_ms) if close.cancel else ""


def _needs(snapshot: RunSnapshot, close: Close) -> str:
    """The steps and elements that it waits for."""
    if close.element is not None:
        facts = dict(close.needs)
        runs = [run for run in needs_of(snapshot, close.element) if not _is_decided(snapshot, run, facts)]
        return f"waits for {_some(runs)}" if runs else ""
    sources = dict.fromkeys(i.step for i in snapshot.plan.by_name[close.step].inputs if i.is_edge)
    open_ = [snapshot.step(name) for name in sources if not snapshot.step(name).is_settled]
    return f"waits for {_listed([_need(tally, close) for tally in open_])}" if open_ else ""


def _is_decided(snapshot: RunSnapshot, run: StepRun, facts: dict[StepRun, Fact]) -> bool:
    if not is_single(snapshot, run):
        return snapshot.step(run.step).is_settled
    return run in facts and facts[run].state.is_final


def _need(tally: StepTally, close: Close) -> str:
    """A step that is not done; of a map how many elements are, and some of those that are not."""
    if not tally.is_map or not tally.total:
        return tally.step
    missing = sorted(run for run in close.under_way if run.step == tally.step)
    left = tally.total - tally.done
    named = f": {_listed([str(run) for run in missing], left)}" if missing and left >= len(missing) else ""
    return f"{tally.step} {tally.done}/{tally.total}{named}"


def _around(snapshot: RunSnapshot, close: Close, *, is_dispatched: bool) -> list[str]:
    """What holds everything of this run, queue or group."""
    queue, reasons = snapshot.header.queue, []
    if pause := snapshot.header.paused:
        reasons.append(f"the run is paused{pause_words(pause, close.at_ms)}")
    if close.is_paused:
        reasons.append(f"queue {queue} is paused{pause_words(close.pause, close.at_ms)}")
    if not close.workers:
        reasons.append(f"no worker serves queue {queue}")
    elif len(close.without_code) == min(close.workers, MOST_WORKERS):
        who = _listed(close.without_code)
        reasons.append(f"no code for step {close.step}: {who} serve{'s' if close.workers == 1 else ''} queue {queue} without it")
    if not is_dispatched:
        return reasons or ["its turn comes with the next beat of a worker"]
    waiting = sum(m.job.state == Lane.WAIT for m in _members(close))
    busy, slots = close.slots
    if waiting and close.group.active >= (close.group.limit or 1):
        reasons.append(_full(snapshot, close, waiting))
    elif waiting and not reasons and 0 < slots <= busy:
        reasons.append(f"{waiting} wait{'s' if waiting == 1 else ''} for a worker: all {slots} slots are busy")
    return reasons


def _full(snapshot: RunSnapshot, close: Close, waiting: int) -> str:
    """Jobs wait for a slot of their group: who holds those, as far as that was found."""
    header, limit = snapshot.header, close.group.limit or 1
    group = "the run itself" if header.gid == header.run_id else f"group {header.gid}"
    frees = min((m.job.lock_until_ms for m in _members(close) if m.job.state == Lane.ACTIVE), default=0)
    soon = f", a lease ends in {show_duration(max(frees - close.at_ms, 0))}" if frees else ""
    begins = f"{waiting} wait{'s' if waiting == 1 else ''} for a slot: "
    if not close.holders:
        return f"{begins}{group} holds {close.group.active} of {limit}{soon}"
    who = _listed(_by_run(close.holders[:MOST_HOLDERS], header.run_id), most=MOST_HOLDERS)
    more = close.group.active - min(len(close.holders), MOST_HOLDERS)
    return f"{begins}{group} {close.group.active}/{limit} in use by {who}{f' and {more} more' if more > 0 else ''}{soon}"


def _by_run(job_ids: Iterable[str], run_id: str) -> list[str]:
    """Who holds slots: step runs of this run by name, of others with the end of their run's id, plain jobs by id."""
    jobs = [(job_id, FlowJobId.parse(job_id)) for job_id in job_ids]
    return [
        f"job {job_id}" if job is None else f"{job.step_run}" if job.run_id == run_id else f"{job.step_run} of run {job.run_id[-6:]}"
        for job_id, job in jobs
    ]


def _jobs(close: Close) -> list[str]:
    """What holds single jobs."""
    members, now = _members(close), close.at_ms
    late = [m for m in members if m.job.state == Lane.DELAYED]
    dead = [m for m in members if m.job.state == Lane.ACTIVE and m.job.lock_until_ms < now]
    mute = [m for m in members if m.job.state == Lane.ACTIVE and m not in dead and _is_silent(m.job, close)]
    gone = [m for m in members if m.fact.state is StepState.QUEUED and m.job.state in (Lane.FAILED, Lane.COMPLETED)]
    reasons = [_delayed(some, now) for again in (True, False) if (some := [m for m in late if (m.job.attempt > 0) is again])]
    reasons += [_silent(mute, now)] if mute else []
    reasons += [f"{_names(dead)}: the lease of a worker that is silent ended; it is taken back soon"] if dead else []
    reasons += [f"{_names(gone)}: its job ended without a report; the next sweep looks after it"] if gone else []
    return reasons


def _is_silent(job: JobPlace, close: Close) -> bool:
    """Whether nothing was heard of the worker for long: it is present no more, or did not extend the lease when it should have."""
    quiet = close.at_ms - max(job.beat_ms, job.started_ms)
    is_away = job.worker != "" and job.worker not in close.present
    return job.beat_ms > 0 and quiet > max(0 if is_away else 2 * job.lease_ms // 3, LEAST_SILENCE_MS)


def _silent(mute: list[Member], now: int) -> str:
    first = min(mute, key=lambda m: m.job.lock_until_ms).job
    who = f"worker {first.worker}" if first.worker else "a worker"
    heard = f", last heard of {show_duration(max(now - first.beat_ms, 0))} ago" if first.beat_ms else ""
    return f"{_names(mute)}: leased to {who} that is silent{heard}; the lease ends in {show_duration(max(first.lock_until_ms - now, 0))}"


def _delayed(late: list[Member], now: int) -> str:
    """A back-off after an attempt that failed, or a job that is to begin later."""
    job = min(late, key=lambda m: m.job.due_ms).job
    left = show_duration(max(job.due_ms - now, 0))
    if job.attempt:
        return f"{_names(late)}: in back-off, retry {job.attempt + 1}/{job.max_attempts} in {left}"
    return f"{_names(late)}: delayed until {datetime.fromtimestamp(job.due_ms / 1000):%H:%M:%S}, in {left}"


def _members(close: Close) -> tuple[Member, ...]:
    return (*close.members, *close.others)


def _names(members: list[Member]) -> str:
    return _some([m.step_run for m in members])


def _some(runs: Sequence[StepRun]) -> str:
    return _listed([str(run) for run in runs])


def _listed(names: Sequence[str], total: int = 0, *, most: int = MOST_NAMED) -> str:
    """The first of them, and how many more there are."""
    more = max(total, len(names)) - min(len(names), most)
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
