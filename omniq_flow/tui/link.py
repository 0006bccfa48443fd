"""A client that can only look: whoever holds it cannot change anything, whatever keys are pressed.

It finds out whether its user could, by what changes nothing: removing a key and resuming a run that never exist. It counts what
it asks for, so that a screen can be held to its budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omniq_flow.client.client import Client
from omniq_flow.client.connect import Target
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.errors import OmniqFlowError, ServerUnavailable
from omniq_flow.model.clock import Clock, monotonic_ms
from omniq_flow.ops import keys
from omniq_flow.ops.command import Operation, Query, number
from omniq_flow.ops.runs import run_resume

_READS = """
    EXISTS GET HGET HGETALL HLEN HMGET HSCAN HSTRLEN INFO LINDEX LLEN LPOS LRANGE MGET PTTL SCAN SCARD SISMEMBER SMEMBERS SMISMEMBER SSCAN
    STRLEN TIME TYPE ZCARD ZCOUNT ZMSCORE ZRANGE ZRANGEBYSCORE ZRANK ZREVRANGE ZSCAN ZSCORE
"""
READS = frozenset(_READS.split())
HINT = "read-only is set by --read-only, OMNIQ_FLOW_READ_ONLY, the settings or the profile"
PATIENCE = RetryPolicy(attempts=2, first_ms=20, cap_ms=100, patience_ms=500)
"""A screen tells of a lost server at once and asks again with its next tick."""

MOST_PROBED = 8
"""So many queues are tried: a user who may change one of them is not read-only."""
_NOBODY = "0" * 26
_REFUSED = {"(NOPERM)": "this user may change nothing on the server (NOPERM)", "(READONLY)": "the server is a replica (READONLY)"}


class ReadOnly(OmniqFlowError):
    """Something would have been changed through a client that only looks; nothing was sent."""

    code = "READ_ONLY"
    exit_code = 8


class LookingClient(Client):
    """A client for reads. `trips`, `commands` and `rtt_ms` tell what was asked since `start_count`."""

    def __init__(self, target: Target, connect_timeout: float, reply_timeout: float, retry: RetryPolicy) -> None:
        super().__init__(target, connect_timeout, reply_timeout, retry)
        self.clock: Clock = monotonic_ms
        self.start_count()

    def start_count(self) -> None:
        self.trips = 0
        self.commands = 0
        self.rtt_ms = 0

    def execute_all(self, ops: Sequence[Operation]) -> list[Any]:
        """As `Client.execute_all`; `ReadOnly` if one of the operations could write, and none is sent then."""
        for op in ops:
            if not (isinstance(op, Query) and str(op.args[0]).upper() in READS):
                name = str(op.args[0]) if isinstance(op, Query) else op.script
                raise ReadOnly(
                    f"{name} was refused: this client only looks",
                    hint=HINT,
                )
        asked_at = self.clock()
        try:
            return super().execute_all(ops)
        finally:
            self.trips += 1
            self.commands += len(ops)
            self.rtt_ms = max(self.rtt_ms, self.clock() - asked_at)

    def why_read_only(self, queues: Sequence[str]) -> str:
        """Why this user can change nothing in these queues; empty if he can in one of them, and if that cannot be told.

        What changes something needs two rights: to write keys of the queue, and to run scripts on them.
        """
        why = ""
        for queue in queues[:MOST_PROBED]:
            why = self._refusal(queue)
            if not why:
                break
        return why

    def _refusal(self, queue: str) -> str:
        probe = Query(("UNLINK", keys.flow_key(queue, "probe")), number)
        try:
            super().execute_all((probe, run_resume(queue, _NOBODY)))
        except ServerUnavailable as error:
            return next((why for code, why in _REFUSED.items() if code in error.message), "")
        except OmniqFlowError:
            # There is no such run: everything was allowed. Whatever else it is, it is no refusal to write.
            return ""
        return ""
