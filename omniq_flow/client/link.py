"""One connection to a server, blocking or asyncio: bytes out, replies in, in order.

A link is made, used and thrown away; it never reconnects and never sends anything twice. `talk` does not
raise for trouble on the way but tells how far it came (`Heard`): which replies arrived, and whether anything
left at all. That is what a decision about sending again needs, and what redis-py does not tell, so its
connections are not used here (H02).

The asyncio link is shared by all tasks: each writes at once and the replies are dealt out in order. A task
that is cancelled leaves its place in the queue, so the link stays good for the others.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import hiredis

from omniq_flow.client.connect import ServerInfo, Target, greeting, welcome
from omniq_flow.client.dial import KEEPALIVE, NO_REDIS, AsUnreachable, left_ms, socket_to, transport_to, words
from omniq_flow.client.trouble import Refusal, Unreachable
from omniq_flow.model.clock import monotonic_ms
from omniq_flow.ops.command import Arg

_MISSING = object()
_CHUNK = 65_536
CLOSED_BY_SERVER = "the server closed the connection"


@dataclass(frozen=True, slots=True)
class Heard:
    """How far an exchange came. `lost` is empty if all replies are here, else the reason why not."""

    replies: list[Any]
    lost: str = ""
    was_sent: bool = True


def pack(commands: Sequence[tuple[Arg, ...]]) -> bytes:
    """The bytes of some commands. A lone surrogate becomes its escape, as JSON would write it (H20)."""
    return b"".join(map(_pack_one, commands))


def _pack_one(command: tuple[Arg, ...]) -> bytes:
    parts: Any = command  # hiredis says that it takes tuples of one
    try:
        packed: bytes = hiredis.pack_command(parts)
    except UnicodeEncodeError:
        parts = tuple(a.encode("utf-8", "backslashreplace") if isinstance(a, str) else a for a in command)
        packed = hiredis.pack_command(parts)
    return packed


def _new_reader() -> hiredis.Reader:
    return hiredis.Reader(replyError=Refusal.read, notEnoughData=_MISSING)


class Link:
    """A blocking connection, for one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = _new_reader()
        self.info: ServerInfo | None = None
        self.era = 0

    @classmethod
    def open(cls, target: Target, timeout_ms: int) -> Link:
        """Connect and say hello within `timeout_ms`; `Unreachable` tells why not."""
        until_ms = monotonic_ms() + timeout_ms
        with AsUnreachable(target):
            link = cls(socket_to(target, until_ms))
            try:
                heard = link.talk(pack(greeting(target)), len(greeting(target)), left_ms(until_ms))
                link.info = welcome(_replies_of(heard), target)
            except BaseException:
                link.close()
                raise
        return link

    def is_good(self) -> bool:
        """Whether an idle link may be used."""
        return _is_quiet(self._sock.fileno())

    def talk(self, data: bytes, count: int, timeout_ms: int) -> Heard:
        """Send and read `count` replies; after trouble the link is closed."""
        replies: list[Any] = []
        try:
            self._sock.settimeout(max(timeout_ms, 1) / 1000)
            self._sock.sendall(data)
            while len(replies) < count:
                if (reply := self._reader.gets()) is not _MISSING:
                    replies.append(reply)
                elif chunk := self._sock.recv(_CHUNK):
                    self._reader.feed(chunk)
                else:
                    raise ConnectionError(CLOSED_BY_SERVER)
        except (OSError, hiredis.ProtocolError) as error:
            self.close()
            return Heard(replies, words(error, timeout_ms))
        except BaseException:
            self.close()
            raise
        return Heard(replies)

    def close(self) -> None:
        self._sock.close()


@dataclass(slots=True, eq=False)
class _Waiter:
    """A place in the queue of those who wait for replies."""

    count: int
    done: asyncio.Future[Heard]
    replies: list[Any] = field(default_factory=list)

    def finish(self, lost: str = "") -> None:
        if not self.done.done():
            self.done.set_result(Heard(self.replies, lost))


class AsyncLink(asyncio.Protocol):
    """An asyncio connection, shared by any number of tasks of one loop."""

    def __init__(self) -> None:
        self.on_lost: Callable[[str], None] | None = None
        self._reader = _new_reader()
        self._queue: deque[_Waiter] = deque()
        self._transport: asyncio.Transport | None = None
        self._fileno = -1
        self._lost = ""
        self._is_retired = False
        self.info: ServerInfo | None = None

    @classmethod
    async def open(cls, target: Target, timeout_ms: int) -> AsyncLink:
        """Connect and say hello within `timeout_ms`; `Unreachable` tells why not. `on_lost`, if set, hears of a later end."""
        until_ms = monotonic_ms() + timeout_ms
        with AsUnreachable(target):
            link = await transport_to(cls, target, until_ms)
            try:
                heard = await link.talk(pack(greeting(target)), len(greeting(target)), left_ms(until_ms))
                link.info = welcome(_replies_of(heard), target)
            except BaseException:
                link.close()
                raise
        return link

    def is_good(self) -> bool:
        """Whether a new call may use this link. A busy loop may not have seen the end yet, so the socket is asked."""
        if not self._lost and not self._queue and not _is_quiet(self._fileno):
            self._break(CLOSED_BY_SERVER)
        return not self._lost and not self._is_retired

    async def talk(self, data: bytes, count: int, timeout_ms: int) -> Heard:
        """Send and wait for `count` replies; after a time-out the link is over for everybody."""
        if self._lost or self._transport is None:
            return Heard([], self._lost or "the connection is closed", was_sent=False)
        loop = asyncio.get_running_loop()
        waiter = _Waiter(count, loop.create_future())
        self._queue.append(waiter)
        self._transport.write(data)
        alarm = loop.call_later(timeout_ms / 1000, self._expire, waiter, timeout_ms)
        try:
            return await waiter.done
        finally:
            alarm.cancel()

    def retire(self) -> None:
        """Take no new calls; close when the running ones are answered."""
        self._is_retired = True
        if not self._queue:
            self.close()

    def close(self, reason: str = "the client was closed") -> None:
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        self._fileno = sock.fileno()
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(*KEEPALIVE)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _MISSING:
                self._deal(reply)
        except hiredis.ProtocolError as error:
            self._break(words(error, 0))

    def connection_lost(self, error: Exception | None) -> None:
        self._break(words(error or ConnectionError(CLOSED_BY_SERVER), 0))

    def _deal(self, reply: Any) -> None:
        if not self._queue:
            self._break("the server said something that nobody asked for")
            return
        waiter = self._queue[0]
        waiter.replies.append(reply)
        if len(waiter.replies) == waiter.count:
            self._queue.popleft().finish()
            if self._is_retired and not self._queue:
                self.close()

    def _expire(self, waiter: _Waiter, timeout_ms: int) -> None:
        # After a long stall of this loop the reply may have come in the same turn: then nothing is late.
        if not waiter.done.done():
            self._break(words(TimeoutError(), timeout_ms))

    def _break(self, reason: str) -> None:
        is_news = not self._lost
        self.close(reason)
        if is_news and self.on_lost is not None:
            self.on_lost(reason)

    def _end(self, reason: str) -> None:
        self._lost = self._lost or reason
        while self._queue:
            self._queue.popleft().finish(self._lost)


def _is_quiet(fileno: int) -> bool:
    """Whether nothing has come over an idle connection: what nobody asked for is an end, or puts it out of step."""
    try:
        poll = select.poll()
        poll.register(fileno, select.POLLIN)
        return not poll.poll(0)
    except (OSError, ValueError):
        return False


def _replies_of(heard: Heard) -> list[Any]:
    """All replies to the greeting; of a refused and closed connection the refusal is worth more than the end."""
    if heard.lost and not (heard.replies and isinstance(heard.replies[0], Refusal)):
        raise Unreachable(heard.lost, "check host and port; a port for TLS wants rediss://", is_passing=heard.lost != NO_REDIS)
    return heard.replies
