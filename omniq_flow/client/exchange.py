"""One call of `execute` or `execute_all` as a value: what to send next, what came back, whether to go on.

Both clients drive it in the same way: send `packet()`, hand what was heard to `take`, wait `pause_ms`,
until `is_done`. It does no I/O. The rules (H02, H23):

- A reply settles its member, whatever happens to the others.
- `NOSCRIPT`: nothing was done; sent again at once, once with its source for each script.
- A passing refusal (`LOADING`, `BUSY`, `READONLY`, …): nothing was done; sent again after a pause.
- The connection broke: sent again if nothing had left or if the operation is repeatable. Anything else fails
  and says that it may have been applied.
- Attempts and time are bounded; what is still open then fails as `ServerUnavailable`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from omniq_flow.client.connect import Target
from omniq_flow.client.link import Heard, pack
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.client.trouble import Meaning, Refusal, is_of_server, refusal_of
from omniq_flow.errors import OmniqFlowError, ReplyError, ServerUnavailable
from omniq_flow.lua import assemble
from omniq_flow.model.clock import Clock, monotonic_ms
from omniq_flow.ops.command import Arg, Command, Operation

_OPEN = object()


@dataclass(slots=True, eq=False)
class _Member:
    """One operation on its way: `reply` once there is one, or the `error` that it ends with."""

    op: Operation
    reply: Any = _OPEN
    error: OmniqFlowError | None = None
    needs_source: bool = False
    had_source: bool = False

    @property
    def is_open(self) -> bool:
        return self.reply is _OPEN and self.error is None

    @property
    def name(self) -> str:
        return self.op.script if isinstance(self.op, Command) else str(self.op.args[0])

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.op.parse(self.reply)


@dataclass(slots=True, eq=False)
class Exchange:
    """The state of one call; see the module."""

    target: Target
    policy: RetryPolicy
    ops: Sequence[Operation]
    clock: Clock = monotonic_ms
    spread: Callable[[], float] = random.random
    failures: int = 0
    needs_new_link: bool = False
    pause_ms: int = 0
    _began_ms: int = field(init=False)
    _members: list[_Member] = field(init=False)
    _sent: list[_Member] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._began_ms = self.clock()
        self._members = [_Member(op) for op in self.ops]

    @property
    def is_done(self) -> bool:
        return not any(member.is_open for member in self._members)

    @property
    def count(self) -> int:
        """How many replies belong to the last packet."""
        return len(self._sent)

    def packet(self) -> bytes:
        """The bytes for all members that are still open, in order."""
        self._sent = [member for member in self._members if member.is_open]
        with_source: set[str] = set()
        return pack([_args(member, with_source) for member in self._sent])

    def take(self, heard: Heard) -> None:
        """Settle what the replies settle, and decide about the rest."""
        self.pause_ms, self.needs_new_link = 0, False
        passing: list[tuple[_Member, Meaning]] = []
        for member, reply in zip(self._sent, heard.replies, strict=False):
            if isinstance(reply, Refusal):
                self._refused(member, reply, passing)
            else:
                member.reply = reply
        unheard = self._sent[len(heard.replies) :]
        if passing:
            self.needs_new_link = any(meaning.needs_new_link for _, meaning in passing)
            self._try_again([member for member, _ in passing], passing[0][1].reason, passing[0][1].hint, self._next_pause())
        if heard.lost:
            self._lost(unheard, heard)

    def results(self) -> list[Any]:
        """The results in order, or the first failure; all replies have been read by then."""
        return [member.result() for member in self._members]

    def _refused(self, member: _Member, refusal: Refusal, passing: list[tuple[_Member, Meaning]]) -> None:
        if refusal.code == "NOSCRIPT" and not member.had_source:
            member.needs_source = True
            return
        refusal = Refusal(refusal.code, self.target.scrub(refusal.text))
        meaning = refusal_of(refusal)
        if meaning.is_passing:
            passing.append((member, meaning))
        elif is_of_server(refusal):
            member.error = ServerUnavailable(meaning.reason, where=self.target.where, hint=meaning.hint)
        else:
            member.error = ReplyError(f"{member.name} failed: {refusal}", where=self.target.where)

    def _lost(self, unheard: list[_Member], heard: Heard) -> None:
        for member in unheard:
            if heard.was_sent and not member.op.is_repeatable:
                reason = f"the connection was lost ({heard.lost}) before {member.name} was answered; it may have been applied or not"
                member.error = ServerUnavailable(reason, where=self.target.where, hint="look at what it should have changed, then decide")
        # No pause of its own: making the new connection has its pauses.
        again = [member for member in unheard if member.is_open]
        self._try_again(again, f"the connection was lost: {heard.lost}", "see whether the server runs and can be reached", 0)

    def _try_again(self, members: list[_Member], reason: str, hint: str, pause_ms: int) -> None:
        self.failures += 1
        if self.policy.allows(self.failures, self.clock() - self._began_ms, pause_ms):
            self.pause_ms = max(self.pause_ms, pause_ms)
            return
        for member in members:
            member.error = ServerUnavailable(reason, where=self.target.where, hint=hint)

    def _next_pause(self) -> int:
        return self.policy.delay_ms(self.failures + 1, self.spread())


def _args(member: _Member, with_source: set[str]) -> tuple[Arg, ...]:
    """A member as a Redis command; a source that the server lacks goes with the first that wants it."""
    op = member.op
    if not isinstance(op, Command):
        return op.args
    script = assemble.load(op.script)
    if member.needs_source and script.sha not in with_source:
        with_source.add(script.sha)
        member.had_source = True
        return ("EVAL", script.source, len(op.keys), *op.keys, *op.args)
    return ("EVALSHA", script.sha, len(op.keys), *op.keys, *op.args)
