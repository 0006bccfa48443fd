"""Following a run to its end, and saying how it ended: the result on stdout, all else on stderr."""

from __future__ import annotations

from threading import Event

from omniq_flow.cli.output import Output, dump
from omniq_flow.cli.progress import Progress, progress_for
from omniq_flow.cli.trouble import error_object
from omniq_flow.cli.views import duration, failure_lines, run_object
from omniq_flow.client.client import Client
from omniq_flow.errors import RunFailed
from omniq_flow.model.clock import show_duration
from omniq_flow.model.states import RunState
from omniq_flow.observe.causes import failures
from omniq_flow.observe.results import result_of
from omniq_flow.observe.snapshot import RunSnapshot, StepFailure
from omniq_flow.observe.waiting import wait_run

LONELY_MS = 3_000


def follow(
    output: Output,
    client: Client,
    queue: str,
    run_id: str,
    *,
    timeout_ms: int | None = None,
    stop: Event | None = None,
    progress: Progress | None = None,
    is_worked: bool = False,
) -> RunSnapshot:
    """Show a run until it has ended, or `stop` is set; gives the last picture of it.

    Unless its worker is known to be there (`is_worked`), it is said once if nothing happens to the run from the start.
    """
    progress = progress or progress_for(output)
    is_lonely = not is_worked
    last: RunSnapshot | None = None

    def quiet(ms: int) -> None:
        nonlocal is_lonely
        progress.tick()
        if is_lonely and ms > LONELY_MS and last is not None and not any(step.is_settled for step in last.steps):
            is_lonely = False
            progress.note(f"nothing happens yet; does a worker serve queue {queue}? omniq-flow worker")

    try:
        for last in wait_run(client, queue, run_id, timeout_ms=timeout_ms, stop=stop, on_quiet=quiet):
            progress.update(last)
    except KeyboardInterrupt:
        say_it_goes_on(output, run_id)
        raise
    assert last is not None
    return last


def say_it_goes_on(output: Output, run_id: str) -> None:
    """What somebody should know who stops to wait."""
    output.talk("", f"interrupted; the run goes on as soon as a worker takes it: omniq-flow runs wait {run_id}")


def tell(output: Output, client: Client, snapshot: RunSnapshot) -> int:
    """Say how a run ended; gives the exit code."""
    found = failures(client, snapshot)
    is_good = snapshot.header.state is RunState.SUCCEEDED
    result = result_of(client, snapshot) if is_good else None
    if output.is_json:
        fields = run_object(snapshot, found)
        output.data(dump({**fields, "result": result} if is_good else {**fields, "error": error_object(_error(snapshot, found))}))
    elif is_good:
        output.value(result)
    took = show_duration(duration(snapshot.header))
    output.talk(f"run {snapshot.run_id} {snapshot.word} after {took}")
    if not is_good and not output.is_json:
        # How it ended is said even by a quiet command: there is no result that could say it.
        lines = [f"  {line}" for line in failure_lines(snapshot, found)]
        output.err.write("".join(f"{line}\n" for line in [*lines, f" next: omniq-flow runs show {snapshot.run_id}"]))
        output.err.flush()
    return 0 if is_good else RunFailed.exit_code


def _error(snapshot: RunSnapshot, found: tuple[StepFailure, ...]) -> RunFailed:
    cause = f": {found[0]}" if found else f": {snapshot.header.damage}" if snapshot.header.damage else ""
    return RunFailed(
        f"run {snapshot.run_id} {snapshot.word}{cause}",
        where=f"flow {snapshot.header.flow}",
        hint=f"omniq-flow runs show {snapshot.run_id}",
    )
