"""A run's history, folded: when steps began and ended, what failed.

Events come in the order of their revision and are folded once each, so a watcher reads only what is new.
The history is capped; of a large run the oldest events are gone, and what they said is then unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from omniq_flow.model.names import StepRun
from omniq_flow.model.states import StepState
from omniq_flow.observe.snapshot import Timing
from omniq_flow.ops.runs import HistoryEntry

_LETTERS = frozenset(StepState)


@dataclass
class HistoryFold:
    """What the events up to `rev` say."""

    rev: int = 0
    failed: dict[str, None] = field(default_factory=dict)
    """Ids of step runs whose newest event is a failure, in the order of failing."""
    _started: dict[str, int] = field(default_factory=dict)
    _ended: dict[str, int] = field(default_factory=dict)
    _knows_starts: bool = True

    def add(self, entries: Iterable[HistoryEntry]) -> None:
        """Fold events; those that were folded before are passed over."""
        for entry in entries:
            if entry.rev <= self.rev:
                continue
            if entry.rev > self.rev + 1:
                self._knows_starts = False
            self.rev = entry.rev
            kind, _, rest = entry.event.partition(" ")
            if kind in _LETTERS:
                self._settle(StepState(kind), rest.split(" ")[0], entry.at_ms)

    def misses(self, entries: list[HistoryEntry]) -> bool:
        """Whether events between what is folded and these were not read."""
        return bool(entries) and entries[0].rev > self.rev + 1

    def timings(self) -> dict[str, Timing]:
        """By step."""
        names = {*self._started, *self._ended}
        return {name: Timing(self._started.get(name, 0), self._ended.get(name, 0)) for name in names}

    def _settle(self, state: StepState, step_run: str, at_ms: int) -> None:
        step = _step(step_run)
        self.failed.pop(step_run, None)
        if state is StepState.QUEUED:
            # Behind a gap the first dispatch seen need not be the first there was.
            if self._knows_starts:
                self._started.setdefault(step, at_ms)
        elif state.is_final:
            self._ended[step] = at_ms
        if state is StepState.FAILED:
            self.failed[step_run] = None


def _step(step_run_id: str) -> str:
    return StepRun.parse(step_run_id).step
