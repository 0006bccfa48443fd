"""`start` begins a run; `run` begins one, works it in this process and waits."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omniq_flow.cli.session import Session, read_duration
from omniq_flow.errors import InputError, UsageError

if TYPE_CHECKING:
    from omniq_flow.client.client import Client
    from omniq_flow.flow.definition import Flow
    from omniq_flow.ops.runs import Started

INTERRUPTED = 130

Name = Annotated[str, typer.Argument(metavar="FLOW", help="The name of the flow.")]
Input = Annotated[str | None, typer.Option("-i", "--input", metavar="JSON", help="The input: JSON, @file, or - for stdin.")]
SET_HELP = "Set one field of the input; JSON if it is, else text. Wins over -i."
Set = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help=SET_HELP)]
Key = Annotated[str, typer.Option("--key", help="Run key: the same key with the same input is the same run.")]
TAG_HELP = "Give the run a tag to find it by; may be repeated."
Tag = Annotated[list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help=TAG_HELP)]
TIMEOUT_HELP = "Give up waiting after this time, as 30s or 10m; the run goes on."
Timeout = Annotated[str | None, typer.Option("--timeout", metavar="TIME", help=TIMEOUT_HELP)]
Concurrency = Annotated[int | None, typer.Option("-c", "--concurrency", min=1, help="How many steps to work at once.")]


def start(
    context: typer.Context,
    flow: Name,
    input: Input = None,
    set: Set = None,
    key: Key = "",
    tag: Tag = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run has ended; print its result.")] = False,
    timeout: Timeout = None,
) -> int:
    """Begin a run and print its id; workers do the rest."""
    session: Session = context.obj
    timeout_ms = read_duration(timeout, "--timeout")
    if timeout_ms is not None and not wait:
        raise UsageError("--timeout bounds a wait", hint="add --wait")
    tags = read_tags(tag or ())
    found, value = prepare(session, flow, input, set, key, tags)
    with session.client() as client:
        started = _begin(client, found, value, key, tags)
        if not wait:
            _print_start(session, found, started, key)
            return 0
        return _wait(session, client, found.queue, started.run_id, timeout_ms)


def run(
    context: typer.Context,
    flow: Name,
    input: Input = None,
    set: Set = None,
    key: Key = "",
    tag: Tag = None,
    timeout: Timeout = None,
    concurrency: Concurrency = None,
) -> int:
    """Begin a run, work it in this process, and print its result."""
    import asyncio

    from omniq_flow.cli.outcome import say_it_goes_on, tell
    from omniq_flow.cli.running import work_run

    session: Session = context.obj
    session.configure(concurrency=concurrency)
    timeout_ms = read_duration(timeout, "--timeout")
    tags = read_tags(tag or ())
    found, value = prepare(session, flow, input, set, key, tags)
    try:
        with session.client() as client:
            started = _begin(client, found, value, key, tags)
            snapshot = asyncio.run(work_run(session, client, found, started.run_id, timeout_ms))
            if snapshot.is_ended:
                return tell(session.output, client, snapshot)
            say_it_goes_on(session.output, started.run_id)
            return INTERRUPTED
    finally:
        session.stop_own_server()


def prepare(
    session: Session, name: str, source: str | None, settings: list[str] | None, key: str, tags: dict[str, str]
) -> tuple[Flow, Any]:
    """The flow and the input, both checked; no server was asked for anything yet."""
    from omniq_flow.cli.inputs import read_input
    from omniq_flow.engine.starting import prepare as check

    flow = session.flow(name)
    value = read_input(source, settings or ())
    # A flow whose fields all have defaults needs no input.
    value = {} if value is None and flow.input is not None else value
    try:
        check(flow, value, key=key, tags=tags)
    except InputError as error:
        error.where = error.where or f"flow {name} ({flow.where})"
        error.hint = error.hint or f"omniq-flow flows show {name}"
        raise
    return flow, value


def read_tags(given: Iterable[str]) -> dict[str, str]:
    """The tags of `--tag NAME=VALUE`; what they may be is checked with the input."""
    tags: dict[str, str] = {}
    for text in given:
        name, is_one, value = text.partition("=")
        if not is_one:
            raise UsageError(f"--tag: {text!r} is no tag", hint="write --tag NAME=VALUE, as --tag env=prod")
        if tags.setdefault(name, value) != value:
            raise UsageError(f"--tag: {name} has two values, {tags[name]!r} and {value!r}")
    return tags


def _begin(client: Client, flow: Flow, value: Any, key: str, tags: dict[str, str]) -> Started:
    from omniq_flow.engine.starting import start as begin

    return begin(client, flow, value, key=key, tags=tags)


def _print_start(session: Session, flow: Flow, started: Started, key: str) -> None:
    fields = {"run_id": started.run_id, "flow": flow.name, "queue": flow.queue, "key": key or None, "is_new": started.is_new}
    if session.output.is_json:
        session.output.objects([fields])
        return
    session.output.data(started.run_id)
    if not started.is_new:
        session.output.talk(f"this is the run that the key {key!r} began before")
    elif sys.stderr.isatty():
        session.output.talk(f"started; omniq-flow worker works it, omniq-flow runs wait {started.run_id} follows it")


def _wait(session: Session, client: Client, queue: str, run_id: str, timeout_ms: int | None) -> int:
    from omniq_flow.cli.outcome import follow, tell

    session.output.talk(f"run {run_id}")
    return tell(session.output, client, follow(session.output, client, queue, run_id, timeout_ms=timeout_ms))
