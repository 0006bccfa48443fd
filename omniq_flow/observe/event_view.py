"""The newest events of all runs that go on, merged: a feed of what happens."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from omniq_flow.client.client import Client
from omniq_flow.observe.sound import read_sound, sound
from omniq_flow.ops.runs import HistoryEntry, run_history, runs_of

KEPT = 1_000
MOST_RUNS = 60
A_RUN = 20
"""So many of the newest events of a run are read each time."""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """An event and the run it belongs to."""

    queue: str
    run_id: str
    entry: HistoryEntry


class EventReader:
    """Collects events; what it saw before a run ended stays."""

    def __init__(self) -> None:
        self._revs: dict[str, int] = {}
        self._events: deque[RunEvent] = deque(maxlen=KEPT)

    def read(self, client: Client, queues: Sequence[str]) -> tuple[RunEvent, ...]:
        """All events that are kept, the newest first. Two round trips."""
        some = list(queues)[: 140 - MOST_RUNS]
        found = client.execute_all([runs_of(queue, "live", MOST_RUNS) for queue in some]) if some else []
        places = sorted(((run_id, queue) for queue, ids in zip(some, found, strict=True) for run_id in ids), reverse=True)[:MOST_RUNS]
        # A run that has just ended is read once more: its last events are the ones that matter.
        gone = [(event.run_id, event.queue) for event in list(self._events)[-MOST_RUNS:] if self._revs.get(event.run_id, -1) >= 0]
        wanted = list(dict.fromkeys([*places, *gone]))[:MOST_RUNS]
        told = read_sound(client, [run_history(queue, run_id, -A_RUN) for run_id, queue in wanted])
        answers: list[list[HistoryEntry]] = [sound(entries, []) for entries in told]
        fresh = []
        for (run_id, queue), entries in zip(wanted, answers, strict=True):
            last = self._revs.get(run_id, 0)
            fresh += [RunEvent(queue, run_id, entry) for entry in entries if entry.rev > last]
            self._revs[run_id] = entries[-1].rev if entries else last
        self._events.extend(sorted(fresh, key=lambda event: (event.entry.at_ms, event.run_id, event.entry.rev)))
        return tuple(reversed(self._events))
