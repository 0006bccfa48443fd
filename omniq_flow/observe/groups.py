"""Groups at one moment. Those of interest are the ones that can be served and the ones that hold slots: a group with waiting
jobs is either, so this is complete (I10, I11) and nothing is searched.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from omniq_flow.client.client import Client
from omniq_flow.observe.jobs import JobSnapshot, read_some
from omniq_flow.ops import lanes
from omniq_flow.ops.command import Operation

MOST_ACTIVE = 10_000
"""So many active jobs are asked for their group."""
MOST_GROUPS = 1_000
_SLICE = 1_000


@dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """One group. `limit` is what counts, `has_limit` whether it was set: without, it is 1."""

    queue: str
    gid: str
    active: int = 0
    limit: int = 1
    has_limit: bool = False
    waiting: int = 0
    is_ready: bool = False
    ready_since_ms: int = 0
    """Since when it can be served (epoch ms); 0 if it cannot."""
    cancelled_waiting: int = 0
    """So many jobs of cancelled runs wait besides those that are counted, where that was asked: they go when they are taken."""

    @property
    def state(self) -> str:
        """`ready` to be served, `full`, `idle`; `stuck` if jobs wait, a slot is free, and yet it is not ready (I11)."""
        if self.is_ready:
            return "ready"
        if self.active >= self.limit:
            return "full"
        return "stuck" if self.waiting or self.cancelled_waiting else "idle"


@dataclass(frozen=True, slots=True)
class GroupList:
    """Groups of a queue. `is_whole`: there are no others that can be served or hold a slot."""

    groups: tuple[GroupSnapshot, ...]
    is_whole: bool


def list_groups(client: Client, queue: str, limit: int = 50) -> GroupList:
    """The groups that can be served, in that order, and then those that only hold slots."""
    limit = min(limit, MOST_GROUPS)
    ready, n_ready, active, n_active = client.execute_all(
        [
            lanes.ready_groups(queue, 0, limit),
            lanes.count_ready(queue),
            lanes.lane_ids(queue, "active", 0, MOST_ACTIVE),
            lanes.lane_length(queue, "active"),
        ]
    )
    gids = list(dict.fromkeys([*(gid for gid, _ in ready), *_groups_of(client, queue, active)]))
    return GroupList(tuple(read_groups(client, queue, gids[:limit])), n_ready <= limit and len(gids) <= limit and n_active <= MOST_ACTIVE)


def read_groups(client: Client, queue: str, gids: Iterable[str]) -> list[GroupSnapshot]:
    """Pictures of these groups, in their order; one that does not exist is idle."""
    wanted = list(gids)
    asked: list[Operation] = []
    for gid in wanted:
        asked += [lanes.group_numbers(queue, gid), lanes.lane_length(queue, "gwait", gid), lanes.ready_since(queue, gid)]
    answers = client.execute_all(asked) if asked else []
    return [
        GroupSnapshot(queue, gid, numbers.active, numbers.limit or 1, numbers.limit is not None, waiting, since is not None, since or 0)
        for gid, numbers, waiting, since in zip(wanted, answers[::3], answers[1::3], answers[2::3], strict=True)
    ]


def holders(client: Client, queue: str, gid: str) -> list[JobSnapshot]:
    """The active jobs of a group, by deadline, among the first 10,000 active ones."""
    active = client.execute(lanes.lane_ids(queue, "active", 0, MOST_ACTIVE))
    own = [job_id for job_id, group in zip(active, _groups(client, queue, active), strict=True) if group == gid]
    found = read_some(client, queue, own)
    return [found[job_id] for job_id in own if job_id in found]


def _groups_of(client: Client, queue: str, job_ids: list[str]) -> list[str]:
    return [gid for gid in _groups(client, queue, job_ids) if gid]


def _groups(client: Client, queue: str, job_ids: list[str]) -> list[str]:
    found: list[str] = []
    for at in range(0, len(job_ids), _SLICE):
        found += client.execute_all([lanes.job_group(queue, job_id) for job_id in job_ids[at : at + _SLICE]])
    return found
