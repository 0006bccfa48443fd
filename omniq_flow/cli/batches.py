"""Doing one thing to many jobs: in slices, stoppable between them, with a result for each job.

What is to be done is settled before: the ids are known and counted. So a batch ends, whatever happens to the lane
meanwhile; the server looks at each job again and refuses those that have changed.
"""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from omniq_flow.cli.output import Output
from omniq_flow.cli.text import visible
from omniq_flow.errors import Conflict, NotFound, OmniqFlowError
from omniq_flow.ops.replies import BatchResultItem

SLICE = 100
"""What the server takes in one call."""
PARTLY_DONE = 9
INTERRUPTED = 130
MOST_REFUSED = 20
"""So many refused jobs are named to people; programs get all."""

REASONS: Mapping[str, str] = {
    "NO_JOB": "there is no such job",
    "NOT_FAILED": "it is not in the failed lane",
    "NOT_DELAYED": "it is not delayed",
    "ACTIVE": "it is being worked",
    "LANE_MISMATCH": "it is in another lane",
    "NOT_IN_LANE": "it is in another lane",
    "BAD_JOB_ID": "that is no id",
    "RUN_GONE": "its run is gone",
    "RUN_DAMAGED": "its run is damaged",
    "RUN_CANCELLING": "its run is being cancelled",
    "RUN_SUCCEEDED": "its run has succeeded without it",
    "STALE_JOB": "its step went on without this job",
}


@dataclass
class Tally:
    """What has been done so far, of how many."""

    total: int
    done: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    is_stopped: bool = False

    @property
    def seen(self) -> int:
        return len(self.done) + len(self.refused)

    @property
    def exit_code(self) -> int:
        """0 all done, 9 some, 5 none of the jobs is there, 6 all refused; 130 if it was stopped."""
        if self.is_stopped:
            return INTERRUPTED
        if not self.refused:
            return 0
        if self.done:
            return PARTLY_DONE
        return NotFound.exit_code if set(self.refused.values()) == {"NO_JOB"} else Conflict.exit_code

    def add(self, results: Sequence[BatchResultItem]) -> None:
        for result in results:
            if result.status == "OK":
                self.done.append(result.job_id)
            else:
                self.refused[result.job_id] = result.reason or ""


def slices(ids: Sequence[str], size: int = SLICE) -> Iterator[Sequence[str]]:
    """The ids in pieces, each id once."""
    distinct = list(dict.fromkeys(ids))
    for at in range(0, len(distinct), size):
        yield distinct[at : at + size]


def carry_out(output: Output, verb: str, ids: Sequence[str], act: Callable[[Sequence[str]], Sequence[BatchResultItem]]) -> int:
    """Do it slice by slice and tell how it went; gives the exit code. `verb` is the past form: `retried`.

    ctrl-c stops after the slice that is running; a second one at once. When the server is lost, what was done until then
    is told before the error goes on.
    """
    tally = Tally(len(dict.fromkeys(ids)))
    try:
        with stopping() as is_asked:
            for piece in slices(ids):
                results = act(piece)
                tally.add(results)
                _show(output, verb, tally, results)
                if is_asked() and tally.seen < tally.total:
                    tally.is_stopped = True
                    break
    except (OmniqFlowError, KeyboardInterrupt):
        _finish(output, verb, tally)
        if tally.total > SLICE:
            output.talk(f"the slice that was under way, of at most {SLICE} jobs, may have been {verb} as well")
        raise
    _finish(output, verb, tally)
    return tally.exit_code


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """While it lasts, a first ctrl-c is only noted; calling what it gives tells whether there was one."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def note(*_: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def summary_lines(verb: str, tally: Tally) -> list[str]:
    """How it went, for people: the number, then why the others were refused."""
    is_single = tally.total == 1 and tally.done
    lines = [f"{verb} {visible(tally.done[0])}" if is_single else f"{verb} {len(tally.done)} of {tally.total}"]
    if tally.is_stopped:
        lines.append(f"stopped; {tally.total - tally.seen} were not looked at")
    for job_id, reason in list(tally.refused.items())[:MOST_REFUSED]:
        lines.append(f"  refused {visible(job_id)}: {REASONS.get(reason, reason)}")
    if len(tally.refused) > MOST_REFUSED:
        counts = Counter(REASONS.get(reason, reason) for reason in tally.refused.values())
        lines.append(f"  … {len(tally.refused)} in all: " + ", ".join(f"{n} {reason}" for reason, n in counts.most_common()))
    return lines


def _show(output: Output, verb: str, tally: Tally, results: Sequence[BatchResultItem]) -> None:
    if output.is_json:
        output.objects({"job_id": r.job_id, "status": r.status, "reason": r.reason} for r in results)
    elif output.is_quiet:
        output.data(*(r.job_id for r in results if r.status == "OK"))
    if tally.total <= SLICE:
        return
    if output.is_live:
        output.err.write(f"\r{verb} {tally.seen} of {tally.total}\x1b[K" + ("\r\x1b[K" if tally.seen == tally.total else ""))
        output.err.flush()
    elif tally.seen % (10 * SLICE) == 0:
        output.talk(f"{tally.seen} of {tally.total}")


def _finish(output: Output, verb: str, tally: Tally) -> None:
    if output.is_live and tally.total > SLICE and tally.seen < tally.total:
        output.err.write("\r\x1b[K")
    if output.is_json or output.is_quiet or not tally.total:
        return
    first, *more = summary_lines(verb, tally)
    output.data(first)
    output.talk(*more)
