"""What workers send, as a proxy sees it: the jobs that a beat reports, the lists that are laid down."""

from __future__ import annotations

from omniq_flow.lua import assemble
from omniq_flow.model.names import FlowJobId
from tests.support.proxy import Seen

ARGV = 4
ITEMS, ITEM = ARGV + 8, 6


def is_call_of(script: str, command: Seen) -> bool:
    """Whether this command runs a script, by its hash or its text."""
    found = assemble.load(script)
    return command.is_script and command.args[1].decode() in (found.sha, found.source)


def reported(command: Seen) -> dict[str, str]:
    """Step run -> how it ended, of all that a tick reports; empty for another command."""
    if not is_call_of("flow/tick", command):
        return {}
    items = command.args[ITEMS:]
    return {_step_run(items[n]): items[n + 2].decode() for n in range(0, len(items), ITEM)}


def put_off(command: Seen) -> list[tuple[str, int]]:
    """Step run and the ms until its next attempt, of all that a tick reports as failed in passing."""
    if not is_call_of("flow/tick", command):
        return []
    items = command.args[ITEMS:]
    return [(_step_run(items[n]), int(items[n + 3])) for n in range(0, len(items), ITEM) if items[n + 2] == b"fail"]


def staged(command: Seen) -> tuple[str, int, int] | None:
    """Step run, first index and number of the elements that are laid down; None for another command."""
    if not is_call_of("flow/list_stage", command):
        return None
    job_id, _, offset, *elements = command.args[ARGV:]
    return _step_run(job_id), int(offset), len(elements)


def _step_run(job_id: bytes) -> str:
    parsed = FlowJobId.parse(job_id.decode())
    assert parsed, f"{job_id!r} is no job of a flow"
    return parsed.step_run.id
