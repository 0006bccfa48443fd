"""The connections to one server: kept while idle, made again when they broke.

`Node` gives each call a connection to itself and keeps idle ones. `AsyncNode` has one connection for all tasks, and some for
those who wait in a blocking pop. Making a connection is tried again until its time is over; with `once`, the first failure is
`Unreachable`: the caller has somebody else to ask, or comes back anyway.
"""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial

from omniq_flow.client.connect import ServerInfo, Target
from omniq_flow.client.link import AsyncLink, Link
from omniq_flow.client.patience import Attempts, Journal
from omniq_flow.client.reach import CLOSED_BY_SERVER
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.client.trouble import Unreachable
from omniq_flow.errors import ServerUnavailable

KEPT_LINKS = 8
CLOSED = "this client was closed"


class _Base:
    """What both kinds know of their server."""

    def __init__(self, target: Target, policy: RetryPolicy, journal: Journal) -> None:
        self.target = target
        self.info: ServerInfo | None = None
        self._policy = policy
        self.journal = journal
        self._is_closed = False

    def _attempts(self, timeout_ms: int) -> Attempts:
        if self._is_closed:
            raise ServerUnavailable(CLOSED, where=self.target.where)
        return Attempts(self.target, self._policy, timeout_ms, is_first=self.info is None)

    def _welcome(self, info: ServerInfo | None) -> int:
        """Note a new connection; gives the era it belongs to."""
        self.info = info
        return self.journal.connected()


class Node(_Base):
    """The connections of the blocking client; threads may share it."""

    def __init__(self, target: Target, policy: RetryPolicy, journal: Journal) -> None:
        super().__init__(target, policy, journal)
        self._idle: list[Link] = []
        self._lock = threading.Lock()

    def take(self, timeout_ms: int, *, once: bool = False) -> Link:
        """A connection for one caller, who gives it back or tells that it is lost."""
        while link := self._pop_idle():
            if link.is_good():
                return link
            link.close()
            self.lost(link, CLOSED_BY_SERVER)
        return self._connect(timeout_ms, once)

    def give_back(self, link: Link) -> None:
        with self._lock:
            if not self._is_closed and len(self._idle) < KEPT_LINKS:
                self._idle.append(link)
                return
        link.close()

    def lost(self, link: Link, reason: str) -> None:
        """One broken connection casts doubt on the idle ones: they go too."""
        self.journal.lost(reason, link.era)
        self.drop_idle()

    def drop_idle(self) -> None:
        with self._lock:
            dropped, self._idle = self._idle, []
        for link in dropped:
            link.close()

    def close(self) -> None:
        """Close what is idle; what is out is closed when it comes back."""
        self._is_closed = True
        self.drop_idle()

    def _connect(self, timeout_ms: int, once: bool) -> Link:
        attempts = self._attempts(timeout_ms)
        while True:
            try:
                link = Link.open(self.target, attempts.left_ms())
            except Unreachable as trouble:
                if once:
                    raise
                time.sleep(attempts.pause_ms(trouble) / 1000)
            else:
                link.era = self._welcome(link.info)
                return link

    def _pop_idle(self) -> Link | None:
        with self._lock:
            return self._idle.pop() if self._idle else None


class AsyncNode(_Base):
    """The connections of the asyncio client, for the tasks of one loop."""

    def __init__(self, target: Target, policy: RetryPolicy, journal: Journal) -> None:
        super().__init__(target, policy, journal)
        self._link: AsyncLink | None = None
        self._connecting: asyncio.Task[AsyncLink] | None = None
        self._idle: list[AsyncLink] = []
        self._popping: set[AsyncLink] = set()

    async def shared(self, timeout_ms: int, *, once: bool = False) -> AsyncLink:
        """The connection of all tasks; while it is made, everybody waits for the same attempts and shares their failure."""
        if self._link is not None and self._link.is_good():
            return self._link
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._renew(timeout_ms, once))
            # A failure that nobody waits for any more is no news.
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._connecting)

    async def popping(self, timeout_ms: int, *, once: bool = False) -> AsyncLink:
        """A connection for one blocking pop; `popped` takes it back."""
        good = [link for link in self._idle if link.is_good()]
        self._idle = good[:-1]
        link = good[-1] if good else await self._connect(timeout_ms, once)
        self._popping.add(link)
        return link

    def popped(self, link: AsyncLink, *, is_clean: bool) -> None:
        """Take a connection back; one that is not clean is closed: the server would go on popping for a caller who left."""
        self._popping.discard(link)
        if is_clean and not self._is_closed:
            self._idle.append(link)
        else:
            link.close()

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

    async def _renew(self, timeout_ms: int, once: bool) -> AsyncLink:
        try:
            self._link = await self._connect(timeout_ms, once)
        except asyncio.CancelledError:
            # Only `close` cancels this task; to those who wait it must not look as if they were cancelled.
            raise ServerUnavailable(CLOSED, where=self.target.where) from None
        finally:
            self._connecting = None
        return self._link

    async def _connect(self, timeout_ms: int, once: bool) -> AsyncLink:
        attempts = self._attempts(timeout_ms)
        while True:
            try:
                link = await AsyncLink.open(self.target, attempts.left_ms())
            except Unreachable as trouble:
                if once:
                    raise
                await asyncio.sleep(attempts.pause_ms(trouble) / 1000)
            else:
                link.on_lost = partial(self.journal.lost, era=self._welcome(link.info))
                return link
