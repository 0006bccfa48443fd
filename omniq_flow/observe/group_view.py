"""The groups of a queue, a window at a time: those that can be served in their order, then those that only hold slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omniq_flow.client.client import Client
from omniq_flow.observe.groups import GroupSnapshot, read_groups
from omniq_flow.ops import lanes
from omniq_flow.ops.command import Operation

ACTIVE_LOOKED_AT = 100
"""So many active jobs are asked for their group: the slots of one queue that one screen can show."""


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

    def read(self, client: Client, queue: str, offset: int, count: int) -> GroupView:
        """The window from `offset` on, at most `count` groups."""
        if queue != self._queue:
            self._queue, self._holding, self._active = queue, {}, ()
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
        return GroupView(queue, shown, offset, n_ready + len([g for g in others if g in self._holding]), n_ready, at_ms=now_ms)
