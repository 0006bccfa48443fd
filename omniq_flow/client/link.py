"""One connection of redis-py, blocking or asyncio: bytes out, replies in, in order.

A link is made, used and thrown away; it never reconnects and never sends anything twice. `talk` does not
raise for trouble on the way but tells how far it came (`Heard`): which replies arrived, and whether anything
left at all. That is what a decision about sending again needs (H02).

The asyncio link is shared by all tasks. redis-py opens it; then the link itself takes the bytes off the transport, without
a stream and a task between, for each of those costs a turn of the loop. Replies are dealt out in order. A task that is
cancelled leaves its place in the queue, so the link stays good for the others.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import hiredis
from redis.exceptions import RedisError

from omniq_flow.client.connect import ServerInfo, Target, welcome
from omniq_flow.client.reach import (
    CLOSED_BY_SERVER,
    NO_REDIS,
    AsUnreachable,
    ErrorReply,
    awaited_connection,
    blocking_connection,
    forgiven,
    greeting,
    within,
    words,
)
from omniq_flow.client.trouble import Refusal
from omniq_flow.ops.command import Arg


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
    try:
        packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]
    except UnicodeEncodeError:
        escaped = tuple(a.encode("utf-8", "backslashreplace") if isinstance(a, str) else a for a in command)
        packed = hiredis.pack_command(escaped)  # type: ignore[arg-type]
    return packed


class Link:
    """A blocking connection, for one thread at a time."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.info: ServerInfo | None = None
        self.era = 0

    @classmethod
    def open(cls, target: Target, timeout_ms: int) -> Link:
        """Connect and say hello within `timeout_ms`; `Unreachable` tells why not."""
        with AsUnreachable(target):
            return cls._open(target, timeout_ms) if target.path else within(timeout_ms / 1000, partial(cls._open, target, timeout_ms))

    @classmethod
    def _open(cls, target: Target, timeout_ms: int) -> Link:
        link = cls(blocking_connection(target, timeout_ms / 1000))
        try:
            link._connection.connect()
            hello, *others = greeting(target)
            link._connection.send_packed_command((pack([hello, *others]),), check_health=False)
            link.info = welcome(link._connection.read_response(disable_decoding=True), target)
            for command in others:
                with forgiven(command):
                    link._connection.read_response()
        except BaseException:
            link.close()
            raise
        return link

    def is_good(self) -> bool:
        """Whether an idle link may be used: what nobody asked for is an end, or puts it out of step."""
        sock = self._connection._sock
        if sock is not None and not isinstance(sock, ssl.SSLSocket):
            return _is_quiet(sock.fileno())
        # TLS has messages of its own, so redis-py has to look whether there is more.
        try:
            return not self._connection.can_read(0)
        except (RedisError, OSError):
            return False

    def talk(self, data: bytes, count: int, timeout_ms: int) -> Heard:
        """Send and read `count` replies; after trouble the link is closed."""
        replies: list[Any] = []
        connection = self._connection
        try:
            # redis-py before 8 has no public way to change the limit of an open connection.
            if connection._sock.gettimeout() != (limit_s := max(timeout_ms, 1) / 1000):
                connection._sock.settimeout(limit_s)
            connection.send_packed_command((data,), check_health=False)
            while len(replies) < count:
                try:
                    replies.append(connection.read_response(disable_decoding=True, disconnect_on_error=False))
                except Refusal as refusal:
                    replies.append(refusal)
        except (RedisError, OSError) as error:
            self.close()
            return Heard(replies, words(error, timeout_ms))
        except BaseException:
            self.close()
            raise
        return Heard(replies)

    def close(self) -> None:
        self._connection.disconnect()


@dataclass(slots=True, eq=False)
class _Waiter:
    """A place in the queue of those who wait for replies."""

    data: bytes
    count: int
    done: asyncio.Future[Heard]
    replies: list[Any] = field(default_factory=list)

    def finish(self, lost: str = "", *, was_sent: bool = True) -> None:
        if not self.done.done():
            self.done.set_result(Heard(self.replies, lost, was_sent))


class AsyncLink(asyncio.Protocol):
    """An asyncio connection, shared by any number of tasks of one loop."""

    def __init__(self, connection: Any) -> None:
        self.on_lost: Callable[[str], None] | None = None
        self.info: ServerInfo | None = None
        # Kept as long as the link, for a writer that goes closes its transport; redis-py has no part in it any more.
        self._writer: asyncio.StreamWriter = connection._writer
        connection._reader = connection._writer = None
        self._transport: asyncio.Transport = self._writer.transport
        self._fileno: int = self._transport.get_extra_info("socket").fileno()
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=ErrorReply.read)
        self._unsent: deque[_Waiter] = deque()
        self._queue: deque[_Waiter] = deque()
        self._lost = ""
        self._is_retired = False
        self._is_full = False
        self._ended = self._loop.create_future()
        self._transport.set_protocol(self)

    @classmethod
    async def open(cls, target: Target, timeout_ms: int) -> AsyncLink:
        """Connect and say hello within `timeout_ms`; `Unreachable` tells why not. `on_lost`, if set, hears of a later end."""
        with AsUnreachable(target):
            connection = awaited_connection(target, timeout_ms / 1000)
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    await connection.connect()
                    hello, *others = greeting(target)
                    await connection.send_packed_command((pack([hello, *others]),), check_health=False)
                    info = welcome(await connection.read_response(disable_decoding=True), target)
                    for command in others:
                        with forgiven(command):
                            await connection.read_response()
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            link = cls(connection)
            link.info = info
        return link

    def is_good(self) -> bool:
        """Whether a new call may use this link. A busy loop may not have seen the end yet, so the socket is asked."""
        if not self._lost and not self._queue and not _is_quiet(self._fileno):
            self._break(CLOSED_BY_SERVER)
        return not self._lost and not self._is_retired and not self._transport.is_closing()

    async def talk(self, data: bytes, count: int, timeout_ms: int) -> Heard:
        """Send and wait for `count` replies; after a time-out the link is over for everybody."""
        if self._lost:
            return Heard([], self._lost, was_sent=False)
        loop = asyncio.get_running_loop()
        waiter = _Waiter(data, count, loop.create_future())
        alarm = loop.call_later(timeout_ms / 1000, self._expire, waiter, timeout_ms)
        try:
            self._send(waiter)
            return await waiter.done
        finally:
            alarm.cancel()

    def retire(self) -> None:
        """Take no new calls; close when the running ones are answered."""
        self._is_retired = True
        if not self._queue and not self._unsent:
            self.close()

    def close(self, reason: str = "the client was closed") -> None:
        self._lost = self._lost or reason
        while self._queue:
            self._queue.popleft().finish(self._lost)
        while self._unsent:
            self._unsent.popleft().finish(self._lost, was_sent=False)
        self._transport.abort()

    async def ended(self) -> None:
        """Wait until a closed link has let go of everything."""
        await asyncio.wait([self._ended])

    # what the transport tells

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._deal(reply)
        except hiredis.ProtocolError:
            self._break(NO_REDIS)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(words(exc, 0) if exc else CLOSED_BY_SERVER)
        if not self._ended.done():
            self._ended.set_result(None)

    def _send(self, waiter: _Waiter) -> None:
        """Hand over what a waiter wants sent. While replies are awaited, what a turn of the loop brings goes out together."""
        if self._unsent or self._queue or self._is_full:
            self._unsent.append(waiter)
            if len(self._unsent) == 1:
                self._loop.call_soon(self._write)
            return
        self._queue.append(waiter)
        self._transport.write(waiter.data)

    def _write(self) -> None:
        if self._unsent and not self._is_full and not self._lost:
            self._queue.extend(self._unsent)
            self._transport.writelines([waiter.data for waiter in self._unsent])
            self._unsent.clear()

    def _deal(self, reply: Any) -> None:
        if not self._queue:
            self._break("the server said something that nobody asked for")
            return
        waiter = self._queue[0]
        waiter.replies.append(reply)
        if len(waiter.replies) == waiter.count:
            self._queue.popleft().finish()
            if self._is_retired and not self._queue and not self._unsent:
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


def _is_quiet(fileno: int) -> bool:
    """Whether nothing has come over an idle connection: what nobody asked for is an end, or puts it out of step."""
    try:
        poll = select.poll()
        poll.register(fileno, select.POLLIN)
        return not poll.poll(0)
    except (OSError, ValueError):
        return False
