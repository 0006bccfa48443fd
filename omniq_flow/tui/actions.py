"""What can be done to what, as values: words for people, the command of the command line, and what is sent.

An action is built from what is selected or marked, shown in a dialog if that is asked for, and carried out by `Hands`,
the only thing here that can change anything. Batches are sent in slices of at most a hundred; the server checks each
job again, so one that has moved meanwhile is refused with a reason and is never harmed.

The action of a new command is one more function below; what a run can be told stands in `run_actions`.
"""

from __future__ import annotations

import getpass
import shlex
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from omniq_flow.client.client import Client
from omniq_flow.errors import OmniqFlowError, ServerUnavailable
from omniq_flow.model.names import FlowJobId
from omniq_flow.observe.groups import GroupSnapshot
from omniq_flow.observe.queues import QueueSnapshot
from omniq_flow.ops import admin
from omniq_flow.ops.admin import MAX_BATCH
from omniq_flow.ops.command import Command
from omniq_flow.ops.replies import BatchResultItem
from omniq_flow.ops.runs import Started
from omniq_flow.ops.steering import group_limit, job_run_now, queue_pause, queue_resume

MANY = 50
"""More things than this are confirmed by typing how many."""
PROGRAM = "omniq-flow"
_NAMED = 20


class Risk(IntEnum):
    """How an action is confirmed."""

    NONE = 0
    ASK = 1
    TYPE = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one thing fared; `why` tells why it was refused, or what there is to say."""

    id: str
    is_done: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """A piece of an action that is not interrupted: how it is sent, and the things it is about."""

    send: Callable[[Client], Any]
    ids: tuple[str, ...]

    @classmethod
    def of(cls, command: Command[Any], ids: tuple[str, ...]) -> Slice:
        """A piece that is one command."""
        return cls(lambda client: client.execute(command), ids)


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done now."""

    kind: str
    label: str
    command: str
    slices: tuple[Slice, ...]
    risk: Risk = Risk.NONE
    typed: str = ""
    """What has to be typed to confirm it."""
    details: tuple[str, ...] = ()
    signed: Callable[[str], Action] | None = None
    """The same with a reason that is kept; None for what keeps none."""
    queue: str = ""
    """Where a run begins."""

    def because(self, reason: str) -> Action:
        """The same with a reason, where one is kept."""
        return self.signed(reason) if reason and self.signed is not None else self

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(id for piece in self.slices for id in piece.ids)


@dataclass(frozen=True, slots=True)
class Deed:
    """An action that was carried out, or begun: what the command log keeps."""

    at_ms: int
    action: Action
    outcomes: tuple[Outcome, ...]
    was_stopped: bool = False

    @property
    def done(self) -> int:
        return sum(outcome.is_done for outcome in self.outcomes)

    @property
    def refused(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if not outcome.is_done)


class Hands:
    """Carries actions out, over a client of its own; whoever only looks has none."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Client | None = None

    def carry_out(self, action: Action, goes_on: Callable[[tuple[Outcome, ...]], bool]) -> Iterator[Outcome]:
        """Send slice after slice while `goes_on`, which is told of each, allows it; gives what became of each thing."""
        for piece in action.slices:
            outcomes = self._send(piece)
            yield from outcomes
            if not goes_on(outcomes):
                return

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _send(self, piece: Slice) -> tuple[Outcome, ...]:
        try:
            if self._client is None:
                self._client = Client.open(self._url, connect_timeout=2.0, reply_timeout=5.0)
            return tuple(_outcomes(piece.ids, piece.send(self._client)))
        except ServerUnavailable:
            raise
        except OmniqFlowError as error:
            return tuple(Outcome(id, False, str(error)) for id in piece.ids)


def _outcomes(ids: Sequence[str], answer: Any) -> Iterator[Outcome]:
    """What an answer says of each thing: a batch tells it one by one, anything else was done as a whole."""
    if isinstance(answer, Started):
        yield Outcome(answer.run_id, True, "" if answer.is_new else "the key had begun it before")
        return
    items = answer if isinstance(answer, list) else [answer]
    if all(isinstance(item, BatchResultItem) for item in items):
        for item in items:
            yield Outcome(item.job_id, item.status == "OK", item.reason or "")
        return
    for id in ids:
        yield Outcome(id, True, "")


def retry_jobs(queue: str, ids: Sequence[str], *, is_filter: bool = False) -> Action | None:
    """Start failed jobs over; the run of a step run goes on with it."""
    if not ids:
        return None
    slices = tuple(Slice.of(admin.retry_failed_batch(queue, piece, by=whoami()), piece) for piece in _pieces(ids))
    label = f"retry {_count(ids, 'failed job')} of queue {queue}"
    action = Action("retry", label, command_of("jobs", f"retry {queue}", ids), slices, details=_kinds(ids))
    return graded(action, free=1, is_filter=is_filter)


def remove_jobs(queue: str, lane: admin.Lane, ids: Sequence[str], *, is_filter: bool = False) -> Action | None:
    """Remove jobs of a lane for good."""
    if not ids:
        return None
    slices = tuple(Slice.of(admin.remove_jobs_batch(queue, lane, piece, by=whoami()), piece) for piece in _pieces(ids))
    label = f"remove {_count(ids, 'job')} from {lane} of queue {queue}"
    has_steps = any(FlowJobId.parse(job_id) for job_id in ids)
    details = (*_kinds(ids), *(["a step run that waits for its job fails as JobRemoved"] if has_steps else []))
    return graded(
        Action("remove", label, command_of("jobs", f"remove {queue} --lane {lane}", ids), slices, details=details), is_filter=is_filter
    )


def run_jobs_now(queue: str, ids: Sequence[str]) -> Action | None:
    """Let delayed jobs wait for a worker now."""
    if not ids:
        return None
    slices = tuple(Slice.of(job_run_now(queue, job_id, by=whoami()), (job_id,)) for job_id in ids)
    label = f"run {_count(ids, 'delayed job')} of queue {queue} now"
    return graded(Action("run_now", label, command_of("jobs", f"run-now {queue}", ids), slices), free=1)


def pause_queue(queue: QueueSnapshot) -> Action:
    """Pause a queue, or let it go on."""
    name = queue.name
    if queue.is_paused:
        return Action("pause", f"resume queue {name}", f"{PROGRAM} queues resume {name}", (Slice.of(queue_resume(name), (name,)),))
    return Action("pause", f"pause queue {name}", f"{PROGRAM} queues pause {name}", (Slice.of(queue_pause(name, by=whoami()), (name,)),))


def limit_group(group: GroupSnapshot, limit: int | None) -> Action:
    """Change the limit of a group; one below what it holds is confirmed by typing the queue's name."""
    word = "--clear" if limit is None else str(limit)
    is_lower = (limit or 1) < group.active
    return Action(
        "limit",
        f"set the limit of group {group.gid} to {limit or 'none'}",
        f"{PROGRAM} groups limit {shlex.quote(group.queue)} {shlex.quote(group.gid)} {word}",
        (Slice.of(group_limit(group.queue, group.gid, limit), (group.gid,)),),
        Risk.TYPE if is_lower else Risk.NONE,
        group.queue if is_lower else "",
        (f"{group.active} of it are worked now; no job is stopped",) if is_lower else (),
    )


def whoami() -> str:
    """Who is at work here, for notes that others read."""
    user = "somebody"
    with suppress(OSError, KeyError, ImportError):
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}"


def graded(action: Action, *, free: int = 0, is_filter: bool = False) -> Action:
    """The action with its confirmation: none for `free` things, a question for more, the number typed for many."""
    number = len(action.ids)
    if number > MANY or is_filter:
        risk, typed = Risk.TYPE, str(number)
    else:
        risk, typed = (Risk.NONE if number <= free else Risk.ASK), ""
    return replace(action, risk=risk, typed=typed)


def _pieces(ids: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for at in range(0, len(ids), MAX_BATCH):
        yield tuple(ids[at : at + MAX_BATCH])


def command_of(noun: str, verb: str, ids: Sequence[str]) -> str:
    """The command of the command line that does this; of many things it names the first."""
    shown = " ".join(map(shlex.quote, ids[:_NAMED])) + (f" … and {len(ids) - _NAMED} more" if len(ids) > _NAMED else "")
    return f"{PROGRAM} {noun} {verb} {shown}"


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things)} {noun}{'s' if len(things) != 1 else ''}"


def _kinds(ids: Sequence[str]) -> tuple[str, ...]:
    steps = sum(FlowJobId.parse(job_id) is not None for job_id in ids)
    return (f"{steps} of step runs, {len(ids) - steps} plain",)
