"""A run once more, as a new run: what the steps before the chosen ones gave is copied, the rest is worked.

The old run stays as it is. Facts and values are copied in bounded pieces, and with the last of them the new run begins:
until then there is no run of that id, and a copy that nobody goes on with is taken away an hour later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from omniq_flow.errors import Conflict, OmniqFlowError, UsageError
from omniq_flow.model.clock import SERVER_TIME
from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import Plan
from omniq_flow.ops import keys
from omniq_flow.ops.command import Arg, Command, number, text
from omniq_flow.ops.runs import INPUT, no_run, signed


@dataclass(frozen=True, slots=True)
class EditedInput:
    """Another input for a re-run, checked and written down; `gid` is the group that it gives, "" for one of the run's own."""

    json: bytes
    gid: str = ""


@dataclass(frozen=True, slots=True)
class Rerun:
    """The answer to a re-run: the new run, and whether this call began it. `copied` counts the step runs whose results it has
    so far; with `has_more` there is no run yet, and the same call goes on with the copying."""

    run_id: str
    is_new: bool = False
    copied: int = 0
    has_more: bool = False


def kept_steps(plan: Plan, steps: Iterable[str]) -> tuple[str, ...]:
    """The steps that neither are among these nor take or wait for anything of them; with no steps named none is kept.

    `UsageError` for a name that is no step of the plan.
    """
    again = set(steps)
    if not again:
        return ()
    if unknown := again - set(plan.by_name):
        raise UsageError(f"flow {plan.flow} has no step {min(unknown)!r}", hint=f"its steps are {', '.join(plan.by_name)}")
    grows = True
    while grows:
        behind = {s.name for s in plan.steps if any(i.step in again for i in s.inputs)}
        grows = not behind <= again
        again |= behind
    return tuple(s.name for s in plan.steps if s.name not in again)


def run_rerun(
    queue: str,
    run_id: str,
    of: str,
    *,
    keep: Sequence[str] = (),
    edited: EditedInput | None = None,
    once: bool = False,
    by: str = "",
    reason: str = "",
    limit: int = 0,
    budget: int = 0,
    now_ms: int = SERVER_TIME,
) -> Command[Rerun]:
    """Begin run `run_id`, which the caller chose, as a re-run of `of`; send it again, just so, while the answer `has_more`.

    What the steps `keep` gave (successes, and skips by their handlers) is copied, about `limit` (256) step runs and list
    elements a call; everything else is worked. `once`: at most one such run for each life of `of`, the answer names it.
    Safe to send twice, and after any stop: the id is that of the request.
    `Conflict` for a run that still goes on, for one that was retried meanwhile, for a value that is not there any more, and for
    an id that is that of another run; `NotFound` for no such run. Nothing is left of the copy then.
    """
    digest = hashlib.sha256(edited.json).hexdigest() if edited else ""
    given, gid = (edited.json, edited.gid) if edited else (b"", "")
    args: tuple[Arg, ...] = (now_ms, run_id, limit, budget, *signed(by, reason), given, of, int(once), digest, gid, *keep)

    def parse(reply: Any) -> Rerun:
        code, *about = reply
        match text(code):
            case "MORE":
                return Rerun(run_id, copied=number(about[0]), has_more=True)
            case "STARTED":
                return Rerun(run_id, is_new=True, copied=number(about[1]))
            case "EXISTS":
                return Rerun(text(about[0]))
            case other:
                raise _refused(queue, run_id, of, other, text(about[0]) if about else "")

    return Command("flow/run_rerun", (keys.anchor(queue),), args, parse)


def _refused(queue: str, run_id: str, of: str, code: str, about: str) -> OmniqFlowError:
    where = f"run {of} in queue {queue}"
    match code:
        case "GONE":
            return no_run(queue, of)
        case "OPEN":
            hint = f"omniq-flow runs wait {of} waits for its end, omniq-flow runs cancel {of} ends it"
            return Conflict(f"run {of} is {about}; a run that has ended is re-run", where=f"queue {queue}", hint=hint)
        case "CHANGED":
            return Conflict(f"run {of} has gone on while it was copied", where=where, hint="look at it again")
        case "DAMAGED":
            hint = "re-run it from its start, with no step chosen"
            return Conflict(f"run {of} is damaged, what its steps gave is not copied: {about}", where=where, hint=hint)
        case "LOST":
            what = "its input" if about == INPUT else f"the output of {StepRun.parse(about)}"
            hint = "give an input" if about == INPUT else f"re-run it from {StepRun.parse(about).step}, or from a step before it"
            return Conflict(f"run {of} can not be re-run: {what} is gone", where=where, hint=hint)
        case "LEFTOVER":
            return Conflict(f"run id {run_id} was used before, and parts of that run are left", where=about, hint="use another id")
        case _:
            return Conflict(f"run id {run_id} is that of another run", where=f"queue {queue}", hint="use another id")
