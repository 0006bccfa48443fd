"""What the handlers of a run write with `ctx.log`, read from where one stopped reading; between it what people did to the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from omniq_flow.client.client import Client
from omniq_flow.observe.audit import steering
from omniq_flow.ops import keys
from omniq_flow.ops.command import Query, number, text
from omniq_flow.ops.runs import HistoryEntry, run_history

MATCHED = 4
"""So many lines before the news must be the ones that were read last: lines may be equal."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a handler wrote with `ctx.log`; or what somebody did, to the step runs that it names or to the run."""

    at_ms: int
    step_run: str
    text: str


class LogReader:
    """Reads a log again and again; each line is given once."""

    def __init__(self, queue: str, run_id: str) -> None:
        self._place = queue, run_id
        self._last: list[LogLine] = []
        self._rev = 0

    def read(self, client: Client) -> list[LogLine]:
        """The lines that are new; all that are kept at first, and where so many were written that the thread is lost."""
        lines, entries = client.execute_all([log_lines(*self._place), run_history(*self._place)])
        done = steered_lines(entry for entry in entries if entry.rev > self._rev)
        self._rev = entries[-1].rev if entries else self._rev
        return sorted([*self._new(lines), *done], key=lambda line: line.at_ms)

    def _new(self, lines: list[LogLine]) -> list[LogLine]:
        known = self._last
        self._last = lines[-MATCHED:] or known
        for end in range(len(lines), 0, -1):
            if known and lines[max(end - len(known), 0) : end] == known[-end:]:
                return lines[end:]
        return lines


def steered_lines(entries: Iterable[HistoryEntry]) -> list[LogLine]:
    """What people did, as lines of a log."""
    return [
        LogLine(done.at_ms, done.target, f"{done.what} by {done.by or 'somebody'}{f': {done.reason}' if done.reason else ''}")
        for done in map(steering, entries)
        if done is not None
    ]


def log_lines(queue: str, run_id: str, most: int = 1_000) -> Query[list[LogLine]]:
    """Read the newest lines of a log, the oldest of them first."""

    def parse(reply: Sequence[Any]) -> list[LogLine]:
        rows = [text(row).split("|", 2) for row in reply]
        return [LogLine(number(row[0]), row[1], row[2]) for row in rows if len(row) == 3]

    return Query(("LRANGE", keys.log(queue, run_id), -most, -1), parse)
