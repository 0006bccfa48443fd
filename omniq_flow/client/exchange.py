"""One call of `execute` or `execute_all` as a value: what to send next, what came back, whether to go on.

Both clients drive it in the same way: `aim`, send `packet()` there, hand what was heard to `take`, wait `pause_ms`,
until `is_done`. It does no I/O. The rules (H02, H23):

- A reply settles its member, whatever happens to the others.
- `NOSCRIPT`: nothing was done; sent again at once, once with its source for each script.
- A passing refusal (`LOADING`, `BUSY`, `READONLY`, …): nothing was done; sent again after a pause.
- The connection broke: sent again if nothing had left or if the operation is repeatable. Anything else fails
  and says that it may have been applied.
- Attempts and time are bounded; what is still open then fails as `ServerUnavailable`.

In a cluster (`routes`), each turn sends what is open for one node, in order, and these rules are added:

- `MOVED`: nothing was done; sent again at once to the node that was named, and after a pause if nodes go on to disagree.
- `ASK`: the hash slot is being moved, and the key is not here. A plain command is sent once to the node that was named. A
  script is sent again after a pause: it would miss all the queue's keys that have not arrived there yet. Its own key, the
  anchor, never exists, so no script of ours runs while the keys of its queue are apart.
- A node that cannot be reached: nothing was sent; again after a pause, by a new map.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from omniq_flow.client.cluster import Routes, redirected, slot_of
from omniq_flow.client.connect import Target
from omniq_flow.client.link import Heard, pack
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.client.trouble import DISAGREE, MOVING, Meaning, Refusal, Unreachable, is_of_server, refusal_of
from omniq_flow.errors import OmniqFlowError, ReplyError, ServerUnavailable
from omniq_flow.lua import assemble
from omniq_flow.model.clock import Clock, monotonic_ms
from omniq_flow.ops.command import Arg, Command, Operation

_OPEN = object()
_MOVED_AT_ONCE = 3


@dataclass(slots=True, eq=False)
class _Member:
    """One operation on its way: `reply` once there is one, or the `error` that it ends with.

    In a cluster it goes to `place`, else to the owner of `slot`.
    """

    op: Operation
    reply: Any = _OPEN
    error: OmniqFlowError | None = None
    needs_source: bool = False
    had_source: bool = False
    slot: int = 0
    place: Target | None = None
    is_asking: bool = False
    turns: int = 0
    moves: int = 0

    @property
    def name(self) -> str:
        return self.op.script if isinstance(self.op, Command) else str(self.op.args[0])

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.op.parse(self.reply)


def _is_settled(member: _Member) -> bool:
    return member.reply is not _OPEN or member.error is not None


@dataclass(slots=True, eq=False)
class Exchange:
    """The state of one call; see the module."""

    target: Target
    policy: RetryPolicy
    ops: Sequence[Operation]
    routes: Routes | None = None
    clock: Clock = monotonic_ms
    spread: Callable[[], float] = random.random
    failures: int = 0
    needs_new_link: bool = False
    needs_map: bool = False
    pause_ms: int = 0
    refused: str = ""
    """Why the server takes no calls for now, if it said so last time."""
    is_served: bool = False
    """Whether a script was carried out last time."""
    _began_ms: int = field(init=False)
    _members: list[_Member] = field(init=False)
    _sent: list[_Member] = field(init=False, default_factory=list)
    _place: Target = field(init=False)
    _is_asking: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._began_ms = self.clock()
        self._place = self.target
        self._members = [_Member(op) for op in self.ops] if self.routes is None else _placed(self.ops, self.routes)

    @property
    def is_done(self) -> bool:
        return all(map(_is_settled, self._members))

    @property
    def count(self) -> int:
        """How many replies belong to the packet."""
        return len(self._sent) + self._is_asking

    def aim(self) -> Target:
        """Choose what is sent next: the members that are still open, in a cluster those for one node; tells where they go."""
        self._sent = [member for member in self._members if not _is_settled(member)]
        if self.routes is not None:
            self._aim(self.routes)
        return self._place

    def packet(self) -> bytes:
        """The bytes for the members that were chosen, in order."""
        with_source: set[str] = set()
        before: list[tuple[Arg, ...]] = [("ASKING",)] if self._is_asking else []
        return pack(before + [_args(member, with_source) for member in self._sent])

    def take(self, heard: Heard) -> None:
        """Settle what the replies settle, and decide about the rest."""
        self.pause_ms, self.needs_new_link, self.needs_map = 0, False, False
        passing: list[tuple[_Member, Meaning]] = []
        replies = heard.replies[1:] if self._is_asking else heard.replies
        for member, reply in zip(self._sent, replies, strict=False):
            if isinstance(reply, Refusal):
                self._refused(member, reply, passing)
            else:
                member.reply = reply
        unheard = self._sent[len(replies) :]
        self.refused = passing[0][1].reason if passing else ""
        self.is_served = any(isinstance(member.op, Command) and member.reply is not _OPEN for member in self._sent)
        if passing:
            self.needs_new_link = any(meaning.needs_new_link for _, meaning in passing)
            self._try_again([member for member, _ in passing], passing[0][1].reason, passing[0][1].hint, self._next_pause())
        if heard.lost:
            self._lost(unheard, heard)
        if self.routes is not None and (self.needs_new_link or heard.lost):
            self.needs_map = True

    def unreachable(self, trouble: Unreachable) -> None:
        """Decide about those that were aimed at a server to which no connection could be made."""
        self.pause_ms, self.needs_map = 0, self.routes is not None
        if trouble.is_passing:
            self._try_again(self._sent, trouble.reason, trouble.hint, self._next_pause())
            return
        for member in self._sent:
            member.error = trouble.as_error(self._place.where)

    def results(self) -> list[Any]:
        """The results in order, or the first failure; all replies have been read by then."""
        return [member.result() for member in self._members]

    def _refused(self, member: _Member, refusal: Refusal, passing: list[tuple[_Member, Meaning]]) -> None:
        if refusal.code == "NOSCRIPT" and not member.had_source:
            member.needs_source = True
            return
        refusal = Refusal(refusal.code, self.target.scrub(refusal.text))
        meaning = refusal_of(refusal)
        if self.routes is not None and refusal.code in ("MOVED", "ASK"):
            if self._is_redirected(member, refusal, self.routes):
                return
            meaning = DISAGREE if refusal.code == "MOVED" else MOVING
        if meaning.is_passing:
            passing.append((member, meaning))
        elif is_of_server(refusal):
            member.error = ServerUnavailable(meaning.reason, where=self._place.where, hint=meaning.hint)
        else:
            member.error = ReplyError(f"{member.name} failed: {refusal}", where=self._place.where)

    def _is_redirected(self, member: _Member, refusal: Refusal, routes: Routes) -> bool:
        """Whether a member may go at once to the node that was named."""
        if refusal.code == "ASK":
            member.place = None if isinstance(member.op, Command) else redirected(refusal.text, self._place)
            member.is_asking = member.place is not None
            return member.is_asking
        self.needs_map |= routes.moved(refusal.text, self._place) not in routes.known
        member.moves += 1
        return member.moves <= _MOVED_AT_ONCE

    def _aim(self, routes: Routes) -> None:
        # Who was sent least goes first: a node that is down does not hold up the others.
        first = min(self._sent, key=lambda member: member.turns)
        self._place = first.place or routes.owner(first.slot)
        self._is_asking, first.is_asking = first.is_asking, False
        if self._is_asking:
            self._sent, first.place = [first], None
        else:
            self._sent = [m for m in self._sent if not m.is_asking and (m.place or routes.owner(m.slot)) == self._place]
        for member in self._sent:
            member.turns += 1

    def _lost(self, unheard: list[_Member], heard: Heard) -> None:
        for member in unheard:
            if heard.was_sent and not member.op.is_repeatable:
                reason = f"the connection was lost ({heard.lost}) before {member.name} was answered; it may have been applied or not"
                member.error = ServerUnavailable(reason, where=self._place.where, hint="look at what it should have changed, then decide")
        # No pause of its own: making the new connection has its pauses.
        again = [member for member in unheard if not _is_settled(member)]
        self._try_again(again, f"the connection was lost: {heard.lost}", "see whether the server runs and can be reached", 0)

    def _try_again(self, members: list[_Member], reason: str, hint: str, pause_ms: int) -> None:
        self.failures += 1
        if self.policy.allows(self.failures, self.clock() - self._began_ms, pause_ms):
            self.pause_ms = max(self.pause_ms, pause_ms)
            return
        for member in members:
            member.error = ServerUnavailable(reason, where=self._place.where, hint=hint)

    def _next_pause(self) -> int:
        return self.policy.delay_ms(self.failures + 1, self.spread())


def _placed(ops: Sequence[Operation], routes: Routes) -> list[_Member]:
    """The members of a call to a cluster; those without a key travel with the others."""
    slots = [slot_of(op) for op in ops]
    anywhere = next((slot for slot in slots if slot is not None), 0)
    members = []
    for whole, slot in zip(ops, slots, strict=True):
        op, place = routes.local(whole)
        members.append(_Member(op, slot=anywhere if slot is None else slot, place=place))
    return members


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
