"""Why a step does not go on: one sentence for each thing that holds it, from a run looked at closely.

Nothing is read here, so the same sentences stand on screens and in commands.
"""

from __future__ import annotations

from omniq_flow.model.clock import show_duration
from omniq_flow.model.states import Lane, RunState, StepState
from omniq_flow.observe.run_watch import Close, JobPlace, Member
from omniq_flow.observe.snapshot import RUNNING, RunSnapshot, StepTally

MOST_NAMED = 3


def why_waiting(snapshot: RunSnapshot, close: Close) -> list[str]:
    """The reasons, those that hold most first; empty for a step that is done or being worked."""
    tally = snapshot.step(close.step)
    if tally.is_settled:
        return _settled(tally)
    if snapshot.is_ended:
        return [f"the run has ended: {snapshot.word}"]
    if tally.state == StepState.PENDING.word:
        return _needs(snapshot, tally)
    return [*_around(snapshot, tally, close), *_jobs(close)]


def _settled(tally: StepTally) -> list[str]:
    if tally.state == StepState.UPSTREAM_FAILED.word:
        return ["never tried: what it needs has failed"]
    return []


def _needs(snapshot: RunSnapshot, tally: StepTally) -> list[str]:
    """The steps that it waits for."""
    if snapshot.header.state is RunState.CANCELLING:
        return ["the run is being cancelled"]
    sources = dict.fromkeys(i.step for i in snapshot.plan.by_name[tally.step].inputs if i.is_edge)
    open_ = [snapshot.step(name) for name in sources if not snapshot.step(name).is_settled]
    if not open_:
        return []
    named = [f"{s.step} {s.done}/{s.total}" if s.is_map and s.total else s.step for s in open_]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return [f"waits for {', '.join(named[:MOST_NAMED])}{more}"]


def _around(snapshot: RunSnapshot, tally: StepTally, close: Close) -> list[str]:
    """What holds everything of this queue or group."""
    reasons = []
    queue = snapshot.header.queue
    if tally.state not in (RUNNING, StepState.QUEUED.word):
        return []
    if pause := snapshot.header.paused:
        reasons.append(
            f"the run is paused{f' by {pause.by}' if pause.by not in ('', '-') else ''}{f': {pause.reason}' if pause.reason else ''}"
        )
    if close.is_paused:
        reasons.append(f"queue {queue} is paused")
    if not close.workers:
        reasons.append(f"no worker serves queue {queue}")
    elif len(close.without_code) == close.workers:
        reasons.append(f"no code for step {tally.step}: {', '.join(close.without_code[:MOST_NAMED])} serves queue {queue} without it")
    waiting = sum(m.job.state == Lane.WAIT for m in close.members)
    limit = close.group.limit or 1
    if waiting and close.group.active >= limit:
        frees = min((m.job.lock_until_ms for m in close.members if m.job.state == Lane.ACTIVE), default=0)
        soon = f", a lease ends in {show_duration(max(frees - close.at_ms, 0))}" if frees else ""
        reasons.append(f"{waiting} wait for a slot: group {snapshot.header.gid} holds {close.group.active} of {limit}{soon}")
    return reasons


def _jobs(close: Close) -> list[str]:
    """What holds single jobs."""
    late = [m for m in close.members if m.job.state == Lane.DELAYED]
    dead = [m for m in close.members if m.job.state == Lane.ACTIVE and m.job.lock_until_ms < close.at_ms]
    gone = [m for m in close.members if m.fact.state is StepState.QUEUED and m.job.state in (Lane.FAILED, Lane.COMPLETED)]
    reasons = [_delayed(late, close.at_ms)] if late else []
    reasons += [f"{_names(dead)}: the lease of a worker that is silent ended; it is taken back soon"] if dead else []
    reasons += [f"{_names(gone)}: its job ended without a report; the next sweep looks after it"] if gone else []
    return reasons


def _delayed(late: list[Member], now_ms: int) -> str:
    first = min(late, key=lambda m: m.job.due_ms)
    left = show_duration(max(first.job.due_ms - now_ms, 0))
    again = f"attempt {first.job.attempt + 1} of {first.job.max_attempts}" if first.job.attempt else "its time"
    return f"{_names(late)}: {'back-off, ' if first.job.attempt else 'delayed, '}{again} in {left}"


def _names(members: list[Member]) -> str:
    shown = ", ".join(str(m.step_run) for m in members[:MOST_NAMED])
    return shown + (f" and {len(members) - MOST_NAMED} more" if len(members) > MOST_NAMED else "")


def active_and_waiting(close: Close) -> tuple[int, int]:
    """How many of the jobs that were looked at are worked, and how many are not."""
    states: list[JobPlace] = [m.job for m in close.members if m.job.state]
    active = sum(job.state == Lane.ACTIVE for job in states)
    return active, len(states) - active
