"""What the server says of itself, as far as it decides whether anything can be written: memory, role, saving. One command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omniq_flow.client.client import Client
from omniq_flow.errors import ServerUnavailable
from omniq_flow.ops.command import Operation, Query, number, text


@dataclass(frozen=True, slots=True)
class ServerState:
    """One moment. Bytes; `most_bytes` 0: no limit. Empty where the server, or the rights of the user, tell nothing."""

    used_bytes: int = 0
    most_bytes: int = 0
    policy: str = ""
    primary: str = ""
    """Whom a replica follows that takes no writes; empty for every other server."""
    cannot_save: str = ""
    """What could not be saved last time: `snapshot` or `append-only file`."""

    @property
    def memory(self) -> float:
        """How much of its memory is used, 0…1; 0 without a limit."""
        return self.used_bytes / self.most_bytes if self.most_bytes else 0.0

    @property
    def refusals(self) -> list[str]:
        """Why it refuses writes, with the code that they are refused with."""
        found = [f"the server is a read-only replica of {self.primary} (READONLY)"] if self.primary else []
        if self.most_bytes and self.used_bytes > self.most_bytes and self.policy in ("", "noeviction"):
            full = f"the server is out of memory, {mebibytes(self.used_bytes)} of {mebibytes(self.most_bytes)}"
            found.append(f"{full}: it refuses what needs more (OOM)")
        if self.cannot_save:
            found.append(
                f"the server could not save its {self.cannot_save}: it refuses writes, if stop-writes-on-bgsave-error is on (MISCONF)"
                if self.cannot_save == SNAPSHOT
                else f"the server could not write its {self.cannot_save}: it refuses writes (MISCONF)"
            )
        return found


SNAPSHOT = "snapshot"
UNKNOWN = ServerState()
_SECTIONS = ("memory", "replication", "persistence")


def server_state() -> Query[ServerState]:
    """Read what the server says of itself."""

    def parse(reply: Any) -> ServerState:
        said = dict(row.strip().partition(":")[::2] for row in text(reply).splitlines())
        is_bound = said.get("role") == "slave" and said.get("slave_read_only", "1") == "1"
        cannot = SNAPSHOT if said.get("rdb_last_bgsave_status") == "err" else ""
        return ServerState(
            max(number(said.get("used_memory")) - number(said.get("mem_not_counted_for_evict")), 0),
            number(said.get("maxmemory")),
            said.get("maxmemory_policy", ""),
            f"{said.get('master_host', '?')}:{said.get('master_port', '?')}" if is_bound else "",
            "append-only file" if said.get("aof_last_write_status") == "err" else cannot,
        )

    return Query(("INFO", *_SECTIONS), parse)


class ServerWatch:
    """Asks the server along with other things, as long as the user may: a right that is missing must not hide the rest."""

    def __init__(self) -> None:
        self._may_ask = True

    def execute_all(self, client: Client, ops: Sequence[Operation]) -> tuple[ServerState, list[Any]]:
        """The state of the server and the answers to `ops`, in one round trip."""
        if self._may_ask:
            try:
                state, *answers = client.execute_all([server_state(), *ops])
            except ServerUnavailable as error:
                if "(NOPERM)" not in error.message:
                    raise
                # Whether it was this one that was refused is told by the others going through without it.
                self._may_ask = False
            else:
                return state, answers
        return UNKNOWN, client.execute_all(ops)


def mebibytes(number_: int) -> str:
    return f"{number_ / (1 << 20):.1f} MiB"
