"""The two clients: `execute` carries out an operation of `ops`, blocking or awaited.

    with Client.open("redis://localhost") as client:
        client.execute(jobs.publish("mail", {"to": "ann"}))

What holds for both: replies are bytes until an operation parses them; every wait is bounded; a call is sent
again only if that is safe (`client/exchange.py`); trouble with the server is a `ServerUnavailable` that names
the address, without its password, and what to do. A server that went away and came back is found again by
the next call; there is nothing to reopen.

`Client` may be shared by threads: each call has a connection to itself, and idle ones are kept. `AsyncClient`
belongs to one event loop, where all tasks share one connection and their calls travel in one stream. Neither
survives a fork.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from omniq_flow.client.connect import ServerInfo, Target
from omniq_flow.client.exchange import Exchange
from omniq_flow.client.link import AsyncLink, Heard, Link, pack
from omniq_flow.client.patience import Attempts, Journal
from omniq_flow.client.reach import CLOSED_BY_SERVER
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.client.trouble import Refusal, Unreachable, refusal_of
from omniq_flow.errors import ServerUnavailable
from omniq_flow.ops.command import Arg, Command, Operation, Query

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0
REPLY_TIMEOUT_S = 5.0
KEPT_LINKS = 8
CLOSED = "this client was closed"


class _Base:
    """What both clients know: where, how patient, and whether they were closed."""

    def __init__(self, target: Target, connect_timeout: float, reply_timeout: float, retry: RetryPolicy) -> None:
        self.target = target
        self.retry = retry
        self._connect_ms = round(connect_timeout * 1000)
        self._reply_ms = round(reply_timeout * 1000)
        self._journal = Journal(target)
        self._info: ServerInfo | None = None
        self._is_closed = False

    @property
    def server(self) -> ServerInfo:
        """What the server said of itself at the latest connection."""
        assert self._info is not None
        return self._info

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.target.where}>"

    def _attempts(self) -> Attempts:
        if self._is_closed:
            raise ServerUnavailable(CLOSED, where=self.target.where)
        return Attempts(self.target, self.retry, self._connect_ms, is_first=self._info is None)

    def _welcome(self, info: ServerInfo | None) -> int:
        """Note a new connection; gives the era it belongs to."""
        self._info = info
        return self._journal.connected()


class Client(_Base):
    """The blocking client; safe to share between threads."""

    def __init__(self, target: Target, connect_timeout: float, reply_timeout: float, retry: RetryPolicy) -> None:
        super().__init__(target, connect_timeout, reply_timeout, retry)
        self._idle: list[Link] = []
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        url: str,
        *,
        connect_timeout: float = CONNECT_TIMEOUT_S,
        reply_timeout: float = REPLY_TIMEOUT_S,
        retry: RetryPolicy | None = None,
    ) -> Client:
        """A client that has reached its server; `ServerUnavailable` within `connect_timeout` seconds if it cannot.

        `connect_timeout` bounds each later reconnection as well, `reply_timeout` the wait for one answer.
        """
        client = cls(Target.parse(url), connect_timeout, reply_timeout, retry or RetryPolicy())
        client._give_back(client._connect())
        return client

    def execute(self, op: Command[T] | Query[T]) -> T:
        """Carry out one operation and give what its `parse` makes of the reply."""
        result: T = self.execute_all((op,))[0]
        return result

    def execute_all(self, ops: Sequence[Operation]) -> list[Any]:
        """Carry out several operations in one round trip, in order; the first failure is raised when all are answered.

        Not atomic: each operation is on its own, and after a lost script or connection some are sent again later.
        """
        exchange = Exchange(self.target, self.retry, ops)
        while not exchange.is_done:
            link = self._take_link()
            heard = link.talk(exchange.packet(), exchange.count, self._reply_ms)
            if heard.lost:
                self._lost(link, heard.lost)
            exchange.take(heard)
            if exchange.needs_new_link:
                self._drop_all()
                link.close()
            elif not heard.lost:
                self._give_back(link)
            if exchange.pause_ms:
                time.sleep(exchange.pause_ms / 1000)
        return exchange.results()

    def close(self) -> None:
        """Close all connections; a call that is running in another thread is finished first."""
        self._is_closed = True
        self._drop_all()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _take_link(self) -> Link:
        while link := self._pop_idle():
            if link.is_good():
                return link
            link.close()
            self._lost(link, CLOSED_BY_SERVER)
        return self._connect()

    def _connect(self) -> Link:
        attempts = self._attempts()
        while True:
            try:
                link = Link.open(self.target, attempts.left_ms())
            except Unreachable as trouble:
                time.sleep(attempts.pause_ms(trouble) / 1000)
            else:
                link.era = self._welcome(link.info)
                return link

    def _pop_idle(self) -> Link | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give_back(self, link: Link) -> None:
        with self._lock:
            if not self._is_closed and len(self._idle) < KEPT_LINKS:
                self._idle.append(link)
                return
        link.close()

    def _lost(self, link: Link, reason: str) -> None:
        """One broken connection casts doubt on the idle ones: they go too."""
        self._journal.lost(reason, link.era)
        self._drop_all()

    def _drop_all(self) -> None:
        with self._lock:
            dropped, self._idle = self._idle, []
        for link in dropped:
            link.close()


class AsyncClient(_Base):
    """The asyncio client; its tasks share one connection, blocking pops have their own."""

    def __init__(self, target: Target, connect_timeout: float, reply_timeout: float, retry: RetryPolicy) -> None:
        super().__init__(target, connect_timeout, reply_timeout, retry)
        self._link: AsyncLink | None = None
        self._connecting: asyncio.Task[AsyncLink] | None = None
        self._idle: list[AsyncLink] = []
        self._popping: set[AsyncLink] = set()

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        connect_timeout: float = CONNECT_TIMEOUT_S,
        reply_timeout: float = REPLY_TIMEOUT_S,
        retry: RetryPolicy | None = None,
    ) -> AsyncClient:
        """As `Client.open`."""
        client = cls(Target.parse(url), connect_timeout, reply_timeout, retry or RetryPolicy())
        await client._shared_link()
        return client

    async def execute(self, op: Command[T] | Query[T]) -> T:
        """As `Client.execute`. A cancelled call may have been applied; the connection stays good for the others."""
        result: T = (await self.execute_all((op,)))[0]
        return result

    async def execute_all(self, ops: Sequence[Operation]) -> list[Any]:
        """As `Client.execute_all`."""
        exchange = Exchange(self.target, self.retry, ops)
        while not exchange.is_done:
            link = await self._shared_link()
            exchange.take(await link.talk(exchange.packet(), exchange.count, self._reply_ms))
            if exchange.needs_new_link:
                link.retire()
            if exchange.pause_ms:
                await asyncio.sleep(exchange.pause_ms / 1000)
        return exchange.results()

    async def pop_blocking(self, keys: Sequence[str], timeout_s: float) -> tuple[str, bytes] | None:
        """Wait for an element of one of the lists, on a connection of its own; gives list and element.

        None means: look for yourself. Either nothing came in time, or the connection broke, and an element
        may have been lost with it; so what is pushed must be a hint, never the work.
        """
        if not timeout_s > 0:
            raise ValueError(f"timeout_s is {timeout_s}; a wait has an end")
        command: tuple[Arg, ...] = ("BLPOP", *keys, f"{timeout_s:.3f}")
        link = await self._popping_link()
        heard = Heard([], "the call was cancelled")
        try:
            heard = await link.talk(pack([command]), 1, round(timeout_s * 1000) + self._reply_ms)
        finally:
            self._popping.discard(link)
            # Of a caller who left, the server would go on popping for the link.
            if heard.lost or self._is_closed or isinstance(heard.replies[0], Refusal):
                link.close()
            else:
                self._idle.append(link)
        return await self._popped(heard)

    async def close(self) -> None:
        """Close all connections; calls that are running fail."""
        self._is_closed = True
        if (connecting := self._connecting) is not None:
            connecting.cancel()
            await asyncio.wait([connecting])
        links = [link for link in (self._link, *self._idle, *self._popping) if link is not None]
        for link in links:
            link.close()
        self._link = None
        self._idle.clear()
        for link in links:
            await link.ended()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _shared_link(self) -> AsyncLink:
        """The connection of all tasks; while it is made, everybody waits for the same attempts and shares their failure."""
        if self._link is not None and self._link.is_good():
            return self._link
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._renew())
            # A failure that nobody waits for any more is no news.
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._connecting)

    async def _renew(self) -> AsyncLink:
        try:
            self._link = await self._connect()
        except asyncio.CancelledError:
            # Only `close` cancels this task; to those who wait it must not look as if they were cancelled.
            raise ServerUnavailable(CLOSED, where=self.target.where) from None
        finally:
            self._connecting = None
        return self._link

    async def _connect(self) -> AsyncLink:
        attempts = self._attempts()
        while True:
            try:
                link = await AsyncLink.open(self.target, attempts.left_ms())
            except Unreachable as trouble:
                await asyncio.sleep(attempts.pause_ms(trouble) / 1000)
            else:
                link.on_lost = partial(self._journal.lost, era=self._welcome(link.info))
                return link

    async def _popping_link(self) -> AsyncLink:
        good = [link for link in self._idle if link.is_good()]
        self._idle = good[:-1]
        link = good[-1] if good else await self._connect()
        self._popping.add(link)
        return link

    async def _popped(self, heard: Heard) -> tuple[str, bytes] | None:
        if heard.lost or heard.replies[0] is None:
            return None
        if isinstance(reply := heard.replies[0], Refusal):
            meaning = refusal_of(Refusal(reply.code, self.target.scrub(reply.text)))
            if not meaning.is_passing:
                raise ServerUnavailable(meaning.reason, where=self.target.where, hint=meaning.hint)
            await asyncio.sleep(self.retry.delay_ms(1) / 1000)
            return None
        key, element = reply
        return key.decode(), element
