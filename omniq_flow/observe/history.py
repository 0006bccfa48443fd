"""A run's history, folded: which step runs failed, in the order of failing.

Events come in the order of their revision and are folded once each, so a watcher reads only what is new.
The history is capped; of a large run the oldest events are gone, and what they said is then unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from omniq_flow.model.states import StepState
from omniq_flow.ops.runs import HistoryEntry

_LETTERS = frozenset(StepState)


@dataclass
class HistoryFold:
    """What the events up to `rev` say."""

    rev: int = 0
    failed: dict[str, None] = field(default_factory=dict)
    """Ids of step runs whose newest event is a failure, in the order of failing."""

    def add(self, entries: Iterable[HistoryEntry]) -> None:
        """Fold events; those that were folded before are passed over."""
        for entry in entries:
            if entry.rev <= self.rev:
                continue
            self.rev = entry.rev
            kind, _, rest = entry.event.partition(" ")
            if kind in _LETTERS:
                step_run = rest.split(" ")[0]
                self.failed.pop(step_run, None)
                if StepState(kind) is StepState.FAILED:
                    self.failed[step_run] = None

    def misses(self, entries: list[HistoryEntry]) -> bool:
        """Whether events between what is folded and these were not read."""
        return bool(entries) and entries[0].rev > self.rev + 1
