"""What begins, heals and removes runs, and what reads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from omniq_flow.errors import Conflict, NotFound, OmniqFlowError, UsageError
from omniq_flow.model.clock import SERVER_TIME
from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import Plan
from omniq_flow.model.routes import JSON, records
from omniq_flow.model.runs import Fact, RunHeader, RunPause
from omniq_flow.model.states import RunState, StepState
from omniq_flow.model.tags import Tags, parse_tags, stored
from omniq_flow.ops import keys
from omniq_flow.ops.command import Arg, Command, Query, number, one_word, text, texts

INPUT = ":input"


@dataclass(frozen=True, slots=True)
class Started:
    """The answer to a start: the run, and whether this call began it. `needs_plan`: send it again with the plan."""

    run_id: str
    is_new: bool
    needs_plan: bool = False


def run_start(
    plan: Plan,
    run_id: str,
    input_json: bytes,
    *,
    key: str = "",
    gid: str = "",
    tags: Tags = (),
    with_plan: bool = False,
    budget: int = 0,
    now_ms: int = SERVER_TIME,
) -> Command[Started]:
    """Begin a run, or find the one that this run id or run key began before.

    The same key with the same input gives the same run; with another input `Conflict`, and nothing is changed. Without
    `with_plan` the answer may be `needs_plan`; nothing was written then. `gid` is the group of all its jobs, the run by default. A
    run that is found keeps the tags it has.
    """
    options: dict[str, Any] = {
        "stop": plan.on_failure == "stop",
        "window": plan.window,
        "retention_ms": plan.retention_ms,
        "check_ms": check_ms(plan),
        **({"tags": stored(tags)} if tags else {}),
    }
    fields = [part for pair in records(plan).items() for part in pair] if with_plan else []
    args: tuple[Arg, ...] = (
        now_ms,
        run_id,
        plan.sha,
        plan.flow,
        key,
        hashlib.sha256(input_json).hexdigest(),
        input_json,
        gid or run_id,
        plan.max_parallel,
        json.dumps(options),
        budget,
        len(fields),
        *fields,
    )

    def parse(reply: Any) -> Started:
        code = text(reply[0])
        if code == "NO_PLAN":
            return Started(run_id, False, needs_plan=True)
        found = text(reply[1])
        if code == "CONFLICT":
            what = f"run key {key!r}" if key else f"run id {run_id}"
            raise Conflict(
                f"{what} belongs to run {found}, which was started with a different input",
                where=f"flow {plan.flow}",
                hint="use another key, or start it with the input it had",
            )
        if code == "LEFTOVER":
            raise Conflict(
                f"run id {run_id} was used before, and parts of that run are left",
                where=found,
                hint=f"use another id; or remove {keys.states(plan.queue, run_id)}, its siblings and the jobs f.{run_id}.*",
            )
        return Started(found, code == "STARTED")

    return Command("flow/run_start", (keys.anchor(plan.queue),), args, parse)


def check_ms(plan: Plan) -> int:
    """How often a run is looked after: the shortest lease of its steps, within 5 to 60 s."""
    return min(max(min((s.options.lease_ms for s in plan.steps), default=30_000), 5_000), 60_000)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found in one slice of a run."""

    checked: int = 0
    lost: int = 0
    failed: int = 0
    is_gone: bool = False


def run_sweep(
    queue: str, run_id: str, *, only: Sequence[str] = (), limit: int = 200, budget: int = 0, now_ms: int = SERVER_TIME
) -> Command[Swept]:
    """Compare a slice of a run, or only the step runs that are named, with the jobs that are there and heal what differs."""

    def parse(reply: Any) -> Swept:
        if text(reply[0]) == "GONE":
            return Swept(is_gone=True)
        return Swept(number(reply[1]), number(reply[2]), number(reply[3]))

    return Command("flow/run_sweep", (keys.anchor(queue),), (now_ms, run_id, limit, budget, *only), parse)


MAX_ONLY = 1_000


@dataclass(frozen=True, slots=True)
class Retried:
    """The answer to a retry: the run's epoch since, and whether this call began it (False: an earlier, equal one did)."""

    epoch: int
    is_new: bool


def run_retry(
    queue: str,
    run_id: str,
    *,
    epoch: int,
    only: Sequence[str] = (),
    redo: Sequence[str] = (),
    by: str = "",
    reason: str = "",
    budget: int = 0,
    now_ms: int = SERVER_TIME,
) -> Command[Retried]:
    """Let a run that failed or was cancelled go on; `epoch` is the one its header showed (levels §5).

    What succeeded is kept unless something it was made from has changed. `only` are ids of failed step runs (`read-3`, at
    most 1,000): other failures stay and fail the run again. `redo` are steps that are done again although they succeeded.
    `by` and `reason` go into the run's history.
    Safe to send twice: the epoch goes up, so a repeat finds the retry that it asked for. `Conflict` if the run is in
    another state, at another epoch or damaged, or for an id that did not fail itself; `NotFound` for no such run.
    """
    if len(only) > MAX_ONLY:
        raise ValueError(f"at most {MAX_ONLY} step runs a call, {len(only)} were given")

    def parse(reply: Any) -> Retried:
        code, *about = texts(reply)
        if code not in ("RETRIED", "APPLIED"):
            raise _not_retried(queue, run_id, code, about)
        return Retried(int(about[0]), code == "RETRIED")

    args: tuple[Arg, ...] = (now_ms, run_id, epoch, budget, *signed(by, reason), len(redo), *redo, *only)
    return Command("flow/run_retry", (keys.anchor(queue),), args, parse)


def _not_retried(queue: str, run_id: str, code: str, about: list[str]) -> OmniqFlowError:
    where = f"queue {queue}"
    match code:
        case "GONE":
            return no_run(queue, run_id)
        case "DAMAGED":
            return Conflict(f"run {run_id} is damaged and can not be retried: {about[0]}", where=where, hint="start a new run")
        case "NO_STEP":
            return UsageError(f"run {run_id} has no step {about[0]!r} to do again", where=where)
        case "UPSTREAM":
            step_run, cause = StepRun.parse(about[0]), about[1] and StepRun.parse(about[1])
            named = f"{cause} failed above it" if cause else "something above it failed"
            return Conflict(
                f"{step_run} did not run: {named}", where=f"run {run_id}", hint=f"retry {cause}" if cause else "retry all failures"
            )
        case "NOT_FAILED":
            return Conflict(f"{about[0]} is {StepState(about[1]).word}, only failed step runs can be asked for", where=f"run {run_id}")
        case _:
            state, epoch = about
            ended = state in (RunState.FAILED, RunState.CANCELLED)
            what = f"has gone on since: it is at epoch {epoch}" if ended else f"is {state}; runs that failed or were cancelled are retried"
            return Conflict(f"run {run_id} {what}", where=where, hint="look at it again")


WORDS = 500
"""So many characters of a reason are kept."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The answer to a cancel: how the run stands, how many of its step runs are still open, whether a further call may find
    some of them to take away now, and whether this call began it."""

    state: RunState
    open: int
    has_more: bool
    is_new: bool


def run_cancel(queue: str, run_id: str, *, limit: int = 0, by: str = "", reason: str = "", now_ms: int = SERVER_TIME) -> Command[Cancelled]:
    """End a run without finishing it: what waits goes, what is being worked is told and counts if it ends well.

    One call takes away about `limit` (256) waiting jobs; send it again while `has_more`, or leave the rest to the workers. Safe
    to send twice. `by` and `reason` go into the run's history. `Conflict` for a run that succeeded or failed, `NotFound` for
    no such run.
    """

    def parse(reply: Any) -> Cancelled:
        code, *about = reply
        if text(code) == "GONE":
            raise no_run(queue, run_id)
        if text(code) == "CONFLICT":
            raise Conflict(f"run {run_id} has ended: it {_ended(text(about[0]))}", where=f"queue {queue}", hint="nothing is left to cancel")
        state, open_, has_more, is_new = about
        return Cancelled(RunState(text(state)), number(open_), bool(number(has_more)), bool(number(is_new)))

    return Command("flow/run_cancel", (keys.anchor(queue),), (now_ms, run_id, limit, *signed(by, reason)), parse)


@dataclass(frozen=True, slots=True)
class PauseChanged:
    """The answer to a pause or a resume of a run: whether it was paused before, and the note of that pause or of the new one."""

    was_paused: bool
    note: RunPause | None


def run_pause(queue: str, run_id: str, *, by: str = "", reason: str = "", now_ms: int = SERVER_TIME) -> Command[PauseChanged]:
    """Begin nothing of a run until it is resumed; what is being worked goes on, and the next jobs are made and wait.

    A run that is paused keeps the note that it has. `Conflict` for a run that has ended or is being cancelled.
    """
    return _pausing("flow/run_pause", queue, run_id, by, reason, now_ms)


def run_resume(queue: str, run_id: str, *, by: str = "", reason: str = "", now_ms: int = SERVER_TIME) -> Command[PauseChanged]:
    """Let a paused run go on; jobs of it in a list that others share begin within 5 s. `Conflict` as for a pause."""
    return _pausing("flow/run_resume", queue, run_id, by, reason, now_ms)


def _pausing(script: str, queue: str, run_id: str, by: str, reason: str, now_ms: int) -> Command[PauseChanged]:
    def parse(reply: Any) -> PauseChanged:
        code, *about = map(text, reply)
        if code == "GONE":
            raise no_run(queue, run_id)
        if code == "CONFLICT":
            what = "is being cancelled" if about[0] == RunState.CANCELLING else f"has ended: it {_ended(about[0])}"
            raise Conflict(f"run {run_id} {what}", where=f"queue {queue}", hint="only a run that goes on is paused and resumed")
        was_paused, note = about
        return PauseChanged(was_paused == "1", RunPause.parse(note))

    return Command(script, (keys.anchor(queue),), (now_ms, run_id, *signed(by, reason)), parse)


def run_remove(queue: str, run_id: str, *, now_ms: int = SERVER_TIME) -> Command[None]:
    """End the retention of a run that has ended: `run_purge` takes it away next, and nobody can retry it from now on.

    Safe to send twice. `Conflict` for a run that has not ended, `NotFound` for no such run.
    """

    def parse(reply: Any) -> None:
        code, *about = texts(list(reply))
        if code == "GONE":
            raise no_run(queue, run_id)
        if code == "CONFLICT":
            raise Conflict(f"run {run_id} is {about[0]}", where=f"queue {queue}", hint=f"omniq-flow runs cancel {run_id} ends it first")

    return Command("flow/run_remove", (keys.anchor(queue),), (now_ms, run_id), parse)


def no_run(queue: str, run_id: str) -> NotFound:
    return NotFound(f"no run {run_id} in queue {queue}", hint="omniq-flow runs list shows the runs there are")


def _ended(state: str) -> str:
    return "was cancelled" if state == RunState.CANCELLED else state


def signed(by: str, reason: str) -> tuple[str, str]:
    """Who and why, as one line of a history holds them: who is one word."""
    return one_word(by), " ".join(reason.split())[:WORDS]


def newest_failed(queue: str, count: int) -> Query[list[str]]:
    """Read the ids of the jobs that failed last, whoever failed them; the newest first."""
    return Query(("LRANGE", keys.queue_key(queue, "failed"), 0, count - 1), texts)


@dataclass(frozen=True, slots=True)
class Purged:
    """How many runs were removed, and whether something is left to remove now."""

    runs: int
    has_more: bool


def run_purge(queue: str, *, keep_runs: int = 1_000, limit: int = 200, now_ms: int = SERVER_TIME) -> Command[Purged]:
    """Remove runs whose retention is over, and the oldest beyond `keep_runs` (0: no bound); a bounded piece a call."""
    return Command(
        "flow/run_purge",
        (keys.anchor(queue),),
        (now_ms, keep_runs, limit),
        lambda reply: Purged(number(reply[1]), bool(number(reply[2]))),
    )


HEADER_FIELDS = (
    *("flow", "sha", "state", "epoch", "open", "rev", "gid", "key", "created_ms", "ended_ms", "damage", "paused"),
    *("rerun_of", "rerun_as", "tags"),
)


def run_header(queue: str, run_id: str) -> Query[RunHeader]:
    """Read a run's header; `NotFound` if there is no such run in this queue."""

    def parse(reply: Any) -> RunHeader:
        if reply[0] is None:
            raise no_run(queue, run_id)
        flow, sha, state, epoch, open_, rev, gid, key, created, ended, damage, paused, rerun_of, rerun_as, tags = reply
        return RunHeader(
            run_id,
            text(flow),
            queue,
            text(sha),
            RunState(text(state)),
            number(epoch),
            number(open_),
            number(rev),
            text(gid),
            text(key),
            number(created),
            number(ended),
            text(damage),
            RunPause.parse(text(paused)),
            text(rerun_of),
            text(rerun_as),
            parse_tags(text(tags)),
        )

    return Query(("HMGET", keys.header(queue, run_id), *HEADER_FIELDS), parse)


def run_facts(queue: str, run_id: str, ids: tuple[str, ...]) -> Query[list[Fact]]:
    """Read the states of some step runs, in the order asked; pending where there is no record."""
    return Query(("HMGET", keys.states(queue, run_id), *ids), lambda reply: [Fact.parse(v) for v in reply])


def run_facts_page(queue: str, run_id: str, cursor: int = 0, count: int = 500) -> Query[tuple[int, dict[StepRun, Fact]]]:
    """Read a slice of all states: the next cursor (0: that was all) and the facts."""

    def parse(reply: Any) -> tuple[int, dict[StepRun, Fact]]:
        fields = reply[1].items() if isinstance(reply[1], dict) else zip(reply[1][::2], reply[1][1::2], strict=True)
        return number(reply[0]), {StepRun.parse(text(k)): Fact.parse(v) for k, v in fields}

    return Query(("HSCAN", keys.states(queue, run_id), cursor, "COUNT", count), parse)


def run_outputs(queue: str, run_id: str, ids: tuple[str, ...]) -> Query[list[bytes | None]]:
    """Read raw outputs (`=json`, `@epoch`, `#epoch:n`, `!failure`) of some step runs."""
    return Query(("HMGET", keys.outputs(queue, run_id), *ids), list)


def large_value(queue: str, run_id: str, step_run_id: str, epoch: int) -> Query[bytes | None]:
    """Read a value that lives in a key of its own (`@epoch`)."""
    return Query(("GET", keys.value(queue, run_id, step_run_id, epoch)), lambda reply: reply)


def elements(queue: str, run_id: str, step_run_id: str, epoch: int, indices: range) -> Query[list[bytes | None]]:
    """Read elements of a list that is stored per element (`#epoch:n`); at most 1,000 a call."""
    return Query(("HMGET", keys.value(queue, run_id, step_run_id, epoch), *map(str, indices)), list)


def run_tallies(queue: str, run_id: str) -> Query[dict[str, int]]:
    """Read the tallies of a run: `<step>:<letter>`, `<step>:t` total known, `<step>:r` retries, `<list step>:i` open inside."""

    def parse(reply: Any) -> dict[str, int]:
        fields = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
        return {text(k): number(v) for k, v in fields}

    return Query(("HGETALL", keys.tallies(queue, run_id)), parse)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One event of a run: `Q analyse-3 1`, `D split 1`, `retry a 1 2`, `run failed`, `checkpoint …`."""

    rev: int
    at_ms: int
    event: str


def run_history(queue: str, run_id: str, start: int = 0, stop: int = -1) -> Query[list[HistoryEntry]]:
    """Read events of a run, oldest first."""

    def parse(reply: Any) -> list[HistoryEntry]:
        rows = [line.split("|", 2) for line in texts(reply)]
        return [HistoryEntry(int(rev), int(at), event) for rev, at, event in rows]

    return Query(("LRANGE", keys.history(queue, run_id), start, stop), parse)


def plan_of(queue: str, sha: str) -> Query[Plan]:
    """Read a stored plan; `NotFound` if it is gone."""

    def parse(reply: Any) -> Plan:
        if reply is None:
            raise NotFound(f"plan {sha[:12]} is not stored in queue {queue}")
        return Plan.from_json(reply)

    return Query(("HGET", keys.plan(queue, sha), JSON), parse)


def runs_of(queue: str, which: Literal["live", "ended"], limit: int = 100) -> Query[list[str]]:
    """Read run ids: those that go on, or those that ended; the newest of the ended first."""
    key = keys.live(queue) if which == "live" else keys.ended(queue)
    return Query(("ZRANGE", key, 0, limit - 1, "REV"), texts)


LOG_LINES = 1_000


def log_append(queue: str, run_id: str, lines: tuple[str, ...]) -> tuple[Query[Any], Query[Any]]:
    """Add lines to a run's log; the newest 1,000 are kept."""
    key = keys.log(queue, run_id)
    return Query(("RPUSH", key, *lines), lambda reply: reply), Query(("LTRIM", key, -LOG_LINES, -1), lambda reply: reply)
