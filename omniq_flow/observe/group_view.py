"""The groups of a queue, a window at a time: those that can be served in their order, then those that only hold slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from omniq_flow.client.client import Client
from omniq_flow.observe.cancelled import CancelledJobs, CancelledReader
from omniq_flow.observe.groups import GroupSnapshot, read_groups
from omniq_flow.ops import lanes
from omniq_flow.ops.command import Operation

ACTIVE_LOOKED_AT = 100
"""So many active jobs are asked for their group: the slots of one queue that one screen can show."""
CANCELLED_EVERY = 8
CANCELLED_AGAIN = 2
"""So many windows are one that counts jobs of cancelled runs instead; the second, while there are such jobs."""
CANCELLED_STATES = 100
CANCELLED_RUNS = 20


@dataclass(frozen=True, slots=True)
class GroupView:
    """Some groups: those from `offset` on of `total`. `ready` of them can be served."""

    queue: str
    groups: tuple[GroupSnapshot, ...] = ()
    offset: int = 0
    total: int = 0
    ready: int = 0
    is_paused: bool = False
    at_ms: int = 0


class GroupReader:
    """Reads windows in two round trips; who holds slots was found out by the window before."""

    def __init__(self) -> None:
        self._holding: dict[str, None] = {}
        self._active: Sequence[str] = ()
        self._queue = ""
        self._tick = 0
        self._window = (0, 0)
        self._view = GroupView("")
        self._cancelled_runs = CancelledReader()
        self._cancelled = CancelledJobs()

    def read(self, client: Client, queue: str, offset: int, count: int) -> GroupView:
        """The window from `offset` on, at most `count` groups."""
        if queue != self._queue:
            self._queue, self._holding, self._active = queue, {}, ()
            self._tick, self._cancelled = 0, CancelledJobs()
        self._tick += 1
        is_turn = self._tick % (CANCELLED_AGAIN if self._cancelled.by_group else CANCELLED_EVERY) == 0 or self._tick == CANCELLED_AGAIN
        if is_turn and (offset, count) == self._window:
            found = self._cancelled_runs.read(client, [queue], most=CANCELLED_STATES, most_cancelled=CANCELLED_RUNS)
            self._cancelled = found[queue]
            return self._shown()
        self._window = (offset, count)
        # What is asked for alternates with the window, so that a tick stays small.
        looks_at = self._active[:ACTIVE_LOOKED_AT] if count <= 20 or not offset else ()
        asked: list[Operation] = [
            lanes.server_time(),
            lanes.count_ready(queue),
            lanes.ready_groups(queue, offset, count),
            lanes.lane_ids(queue, "active", 0, ACTIVE_LOOKED_AT),
            lanes.statistics(queue),
            *(lanes.job_group(queue, job_id) for job_id in looks_at[: max(140 - 3 * count, 0)]),
        ]
        now_ms, n_ready, ready, self._active, _, *gids = client.execute_all(asked)
        self._holding |= {gid: None for gid in gids if gid}
        in_window = [gid for gid, _ in ready]
        others = [gid for gid in self._holding if gid not in in_window]
        rest = others[max(offset - n_ready, 0) :][: max(count - len(in_window), 0)] if offset + count > n_ready else []
        groups = read_groups(client, queue, [*in_window, *rest])
        # One that neither waits nor holds a slot is of no interest any more.
        for group in groups:
            if group.state == "idle":
                self._holding.pop(group.gid, None)
        shown = tuple(group for group in groups if group.state != "idle")
        total = n_ready + len([g for g in others if g in self._holding])
        self._view = GroupView(queue, shown, offset, total, n_ready, at_ms=now_ms)
        return self._shown()

    def _shown(self) -> GroupView:
        return replace(self._view, groups=tuple(self._cancelled.out_of_group(group) for group in self._view.groups))
