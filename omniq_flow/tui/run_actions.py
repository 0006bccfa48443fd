"""What a run can be told, as actions and keys: the same on the list of runs and on the screen of one."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from omniq_flow.client.client import Client
from omniq_flow.client.steering import cancel_run, remove_run, retry_run
from omniq_flow.model.runs import RunHeader
from omniq_flow.model.states import RunState
from omniq_flow.ops.runs import run_pause, run_resume
from omniq_flow.tui.actions import MANY, Action, Slice, command_of, graded, whoami
from omniq_flow.tui.keys import Key

RUN_KEYS = (
    Key("r", "act('retry')", "retry", "retry from the failures, keeping every success"),
    Key("R", "act('rerun')", "re-run", "once more, as a new run, from this step", is_hint=False),
    Key("c", "act('cancel')", "cancel", "end it: what waits goes, what is worked is told"),
    Key("p", "act('pause')", "pause", "begin nothing of it, or resume it"),
    Key("d,delete", "act('remove')", "remove", "remove a run that has ended, for good"),
)
WHY_NOT = {
    "retry": "only runs that failed or were cancelled can be retried",
    "rerun": "only runs that have ended can be re-run; c cancels one",
    "cancel": "only runs that go on can be cancelled",
    "pause": "only runs that go on can be paused or resumed",
    "remove": "only runs that have ended can be removed; c cancels one",
}


def run_action(kind: str, headers: Sequence[RunHeader], *, is_filter: bool = False) -> Action | None:
    """The action of a key of `RUN_KEYS` for those runs that it fits; None if there is none."""
    return next(iter(_BY_KEY[kind](headers, is_filter)), None)


def run_actions(headers: Sequence[RunHeader], *, is_filter: bool = False) -> list[Action]:
    """All that can be done with some of these runs."""
    return [action for make in _BY_KEY.values() for action in make(headers, is_filter)]


def _retry(headers: Sequence[RunHeader], is_filter: bool) -> list[Action]:
    fit = [h for h in headers if h.state in (RunState.FAILED, RunState.CANCELLED)]
    return _action("retry", fit, lambda h, why, client: retry_run(client, h.queue, h.run_id, by=whoami(), reason=why), is_filter, free=1)


def _cancel(headers: Sequence[RunHeader], is_filter: bool) -> list[Action]:
    fit = [h for h in headers if not h.state.is_ended]
    return _action("cancel", fit, lambda h, why, client: cancel_run(client, h.queue, h.run_id, by=whoami(), reason=why), is_filter)


def _pause(headers: Sequence[RunHeader], is_filter: bool) -> list[Action]:
    """To pause those that are not; then to resume those that are."""
    going = [h for h in headers if h.state in (RunState.RUNNING, RunState.FAILING)]
    pause = _action(
        "pause",
        [h for h in going if h.paused is None],
        lambda h, why, client: client.execute(run_pause(h.queue, h.run_id, by=whoami(), reason=why)),
        is_filter,
        free=MANY,
    )
    resume = _action(
        "resume",
        [h for h in going if h.paused is not None],
        lambda h, why, client: client.execute(run_resume(h.queue, h.run_id, by=whoami(), reason=why)),
        is_filter,
        free=MANY,
    )
    return pause + resume


def _remove(headers: Sequence[RunHeader], is_filter: bool) -> list[Action]:
    fit = [h for h in headers if h.state.is_ended]
    return _action("remove", fit, lambda h, why, client: remove_run(client, h.queue, h.run_id), is_filter, keeps_reason=False)


_BY_KEY: dict[str, Callable[[Sequence[RunHeader], bool], list[Action]]] = {
    "retry": _retry,
    "cancel": _cancel,
    "pause": _pause,
    "remove": _remove,
}


def _action(
    verb: str,
    fit: Sequence[RunHeader],
    send: Callable[[RunHeader, str, Client], Any],
    is_filter: bool,
    *,
    free: int = 0,
    keeps_reason: bool = True,
) -> list[Action]:
    """One action over these runs, a slice a run, which may be given a reason; none for no run."""
    if not fit:
        return []
    label = f"{verb} run {fit[0].run_id}" if len(fit) == 1 else f"{verb} {len(fit)} runs"
    details = (_states(fit), f"flow {', '.join(dict.fromkeys(h.flow for h in fit))}")

    def made(reason: str) -> Action:
        slices = tuple(Slice(partial(send, h, reason), (h.run_id,)) for h in fit)
        words = f"{verb} --reason {shlex.quote(reason)}" if reason else verb
        command = command_of("runs", words, [h.run_id for h in fit])
        return Action(verb, label, command, slices, details=details, signed=made if keeps_reason else None)

    return [graded(made(""), free=free, is_filter=is_filter)]


def _states(headers: Sequence[RunHeader]) -> str:
    states = [h.state for h in headers]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
