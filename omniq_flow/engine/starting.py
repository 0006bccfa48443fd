"""Starting a run: the input is checked and written here, before anything is sent.

What the server gets is the whole truth: canonical bytes of the input, whose digest decides whether two starts with one
key are the same, and the group's name. So a start that is sent twice is one run, and a bad input costs no round trip.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

from omniq_flow.client.client import AsyncClient, Client
from omniq_flow.errors import Fault, InputError, OmniqFlowError, UsageError, ValueNotJson, ValueTooLarge
from omniq_flow.flow.definition import Flow
from omniq_flow.flow.group import render_group
from omniq_flow.model.names import is_run_id
from omniq_flow.model.plan import Plan
from omniq_flow.model.runs import new_run_id
from omniq_flow.model.tags import Tags, checked_tags
from omniq_flow.ops import keys
from omniq_flow.ops.command import Command, Query
from omniq_flow.ops.lanes import GroupNumbers, group_numbers
from omniq_flow.ops.rerun import EditedInput
from omniq_flow.ops.runs import Started, run_start

logger = logging.getLogger("omniq_flow.start")

MAX_KEY = 512
NO_TAGS: Mapping[str, str] = MappingProxyType({})
MOST_TOLD = 10_000


@dataclass(frozen=True, slots=True)
class Start:
    """A run that is ready to begin."""

    plan: Plan
    run_id: str
    input_json: bytes
    gid: str = ""
    key: str = ""
    tags: Tags = ()

    def command(self, *, with_plan: bool = False) -> Command[Started]:
        return run_start(self.plan, self.run_id, self.input_json, key=self.key, gid=self.gid, tags=self.tags, with_plan=with_plan)


def prepare(flow: Flow, value: Any = None, *, key: str = "", run_id: str | None = None, tags: Mapping[str, str] = NO_TAGS) -> Start:
    """Check an input (a model, a dict, JSON text or bytes) and write it down.

    Raises `FlowDefinitionError` for a flow that is wired wrongly, `InputError` with every field that is wrong, or if the
    input is too large; `UsageError` for a key, run id or tag that cannot be one. Nothing was sent then.
    """
    plan = flow.plan()
    given = edit_input(flow, plan, value)
    return Start(plan, _checked_id(run_id), given.json, given.gid, _checked_key(key), _checked_tags(tags))


def edit_input(flow: Flow, plan: Plan, value: Any) -> EditedInput:
    """Check an input and write it down, with the group that it gives under a plan: the flow's, or that of an older run.

    Raises `InputError` as `prepare`.
    """
    document = flow.read_input(value)
    try:
        written = flow.input_codec.encode(document)
    except (ValueNotJson, ValueTooLarge) as error:
        raise InputError("the input cannot be stored", (Fault(error.message),)) from None
    return EditedInput(written, render_group(plan.group, document) if plan.group else "")


def start(
    client: Client, flow: Flow, value: Any = None, *, key: str = "", run_id: str | None = None, tags: Mapping[str, str] = NO_TAGS
) -> Started:
    """Begin a run, or find the one that this key or run id began before; `Conflict` if that had another input.

    `tags` are names with values to find the run by; one that is found keeps those it has.
    """
    begin = prepare(flow, value, key=key, run_id=run_id, tags=tags)
    started = client.execute(begin.command())
    if started.needs_plan:
        started = client.execute(begin.command(with_plan=True))
    if started.is_new and _is_news(client, begin.plan.queue):
        # A listing without this queue is worse than none of it, a start that fails for it worse still.
        with contextlib.suppress(OmniqFlowError):
            client.execute(announce_queue(begin.plan.queue))
    if started.is_new and begin.gid and _is_news(client, begin.plan.queue, begin.gid, str(begin.plan.max_parallel)):
        with contextlib.suppress(OmniqFlowError):
            _compare_limits(begin, client.execute(group_numbers(begin.plan.queue, begin.gid)))
    return started


async def start_async(
    client: AsyncClient, flow: Flow, value: Any = None, *, key: str = "", run_id: str | None = None, tags: Mapping[str, str] = NO_TAGS
) -> Started:
    """As `start`."""
    begin = prepare(flow, value, key=key, run_id=run_id, tags=tags)
    started = await client.execute(begin.command())
    if started.needs_plan:
        started = await client.execute(begin.command(with_plan=True))
    if started.is_new and _is_news(client, begin.plan.queue):
        with contextlib.suppress(OmniqFlowError):
            await client.execute(announce_queue(begin.plan.queue))
    if started.is_new and begin.gid and _is_news(client, begin.plan.queue, begin.gid, str(begin.plan.max_parallel)):
        with contextlib.suppress(OmniqFlowError):
            _compare_limits(begin, await client.execute(group_numbers(begin.plan.queue, begin.gid)))
    return started


def announce_queue(queue: str) -> Query[Any]:
    """Note a home queue for listings. A command of its own, as its key has another hash slot."""
    return Query(("SADD", keys.QUEUES, queue), lambda reply: reply)


def _compare_limits(begin: Start, group: GroupNumbers) -> None:
    """A group keeps the limit that it was given first (D10): who brings another one is told, once for each of them."""
    wanted, limit = begin.plan.max_parallel, group.limit or 1
    if limit != wanted:
        queue, gid = begin.plan.queue, begin.gid
        logger.warning(
            "group %s has a limit of %d, which holds; flow %s says max_parallel=%d: omniq-flow groups limit %s '%s' %d changes it",
            gid,
            limit,
            begin.plan.flow,
            wanted,
            queue,
            gid,
            wanted,
        )


_told: WeakKeyDictionary[Client | AsyncClient, set[tuple[str, ...]]] = WeakKeyDictionary()


def _is_news(client: Client | AsyncClient, *what: str) -> bool:
    """Once per client, and again when it has been told very much."""
    known = _told.setdefault(client, set())
    if what in known:
        return False
    if len(known) >= MOST_TOLD:
        known.clear()
    known.add(what)
    return True


def _checked_id(run_id: str | None) -> str:
    if run_id is None:
        return new_run_id()
    if not is_run_id(run_id):
        raise UsageError(f"{run_id!r} is no run id", hint="leave it out, or give a ULID: 26 characters, capitals and digits")
    return run_id


def _checked_tags(tags: Mapping[str, str]) -> Tags:
    try:
        return checked_tags(tags)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _checked_key(key: str) -> str:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise UsageError(f"run key {key!r} is no proper text") from None
    if size > MAX_KEY:
        raise UsageError(f"the run key has {size} bytes, {MAX_KEY} is the limit", hint="use a digest of it")
    return key
