"""The two clients: `execute` carries out an operation of `ops`, blocking or awaited.

    with Client.open("redis://localhost") as client:
        client.execute(jobs.publish("mail", {"to": "ann"}))

What holds for both: replies are bytes until an operation parses them; every wait is bounded; a call is sent
again only if that is safe (`client/exchange.py`); trouble with the server is a `ServerUnavailable` that names
the address, without its password, and what to do. A server that went away and came back is found again by
the next call; there is nothing to reopen.

A server that says it is a node of a cluster is asked for the others, and each operation goes to the node that has its
keys (`client/cluster.py`). After trouble with a node the others are asked who serves its hash slots now.

`Client` may be shared by threads: each call has a connection to itself, and idle ones are kept. `AsyncClient`
belongs to one event loop, where all tasks share one connection to a server and their calls travel in one stream.
Neither survives a fork.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Generic, TypeVar

from omniq_flow.client.cluster import ASK_FOR_SLOTS, Routes, slot_of_key
from omniq_flow.client.connect import ServerInfo, Target
from omniq_flow.client.exchange import Exchange
from omniq_flow.client.link import Heard, pack
from omniq_flow.client.node import CLOSED, AsyncNode, Node
from omniq_flow.client.patience import Journal
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.client.trouble import Refusal, Unreachable, refusal_of
from omniq_flow.errors import ServerUnavailable
from omniq_flow.ops.command import Arg, Command, Operation, Query

T = TypeVar("T")
N = TypeVar("N", Node, AsyncNode)

CONNECT_TIMEOUT_S = 5.0
REPLY_TIMEOUT_S = 5.0
ONCE = RetryPolicy(attempts=1)


class _Base(ABC, Generic[N]):
    """What both clients know: where, how patient, which nodes there are, and whether they were closed."""

    def __init__(
        self, target: Target, connect_timeout: float, reply_timeout: float, retry: RetryPolicy, *, log_level: int = logging.WARNING
    ) -> None:
        self.target = target
        self.retry = retry
        self._connect_ms = round(connect_timeout * 1000)
        self._reply_ms = round(reply_timeout * 1000)
        self._log_level = log_level
        self._start: N = self._new_node(target)
        self._nodes: dict[Target, N] = {target: self._start}
        self._is_ready = False
        self._is_closed = False
        self._routes: Routes | None = None
        self._looks = 0
        self._trouble = ""

    @property
    def server(self) -> ServerInfo:
        """What the server of our address said of itself at the latest connection."""
        assert self._start.info is not None
        return self._start.info

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.target.where}>"

    @abstractmethod
    def _new_node(self, target: Target) -> N: ...

    def _journal(self, target: Target) -> Journal:
        return Journal(target, level=self._log_level)

    def _node(self, place: Target) -> N:
        if place is self.target:
            return self._start
        if (node := self._nodes.get(place)) is None:
            if self._is_closed:
                raise ServerUnavailable(CLOSED, where=place.where)
            node = self._nodes.setdefault(place, self._new_node(place))
        return node

    def _informed(self, doubtful: Target) -> list[Target]:
        """Whom to ask for the map: anybody, at random, since one may be behind; last the one that is in doubt."""
        places = list({self.target, *(self._routes.known if self._routes else ())})
        random.shuffle(places)
        return sorted(places, key=lambda place: place == doubtful)

    def _learn(self, heard: Heard, said_by: Target) -> bool:
        """Take over a map, if it is one."""
        reply = None if heard.lost else heard.replies[0]
        if isinstance(reply, Refusal):
            self._trouble = refusal_of(Refusal(reply.code, self.target.scrub(reply.text))).reason
        elif not reply:
            self._trouble = heard.lost or "no node of the cluster serves any hash slot"
        else:
            self._routes, self._trouble = Routes.read(reply, said_by), ""
        return not self._trouble

    def _need_map(self) -> None:
        if self._routes is None:
            raise ServerUnavailable(
                f"the cluster gives no map: {self._trouble}", where=self.target.where, hint="look at CLUSTER INFO there"
            )


class Client(_Base[Node]):
    """The blocking client; safe to share between threads."""

    def __init__(
        self, target: Target, connect_timeout: float, reply_timeout: float, retry: RetryPolicy, *, log_level: int = logging.WARNING
    ) -> None:
        super().__init__(target, connect_timeout, reply_timeout, retry, log_level=log_level)
        self._looking = threading.Lock()

    @classmethod
    def open(
        cls,
        url: str | Target,
        *,
        connect_timeout: float = CONNECT_TIMEOUT_S,
        reply_timeout: float = REPLY_TIMEOUT_S,
        retry: RetryPolicy | None = None,
    ) -> Client:
        """A client that has reached its server; `ServerUnavailable` within `connect_timeout` seconds if it cannot.

        `connect_timeout` bounds each later reconnection as well, `reply_timeout` the wait for one answer.
        """
        target = url if isinstance(url, Target) else Target.parse(url)
        client = cls(target, connect_timeout, reply_timeout, retry or RetryPolicy())
        try:
            client._begin(client._connect_ms, once=False)
        except BaseException:
            client.close()
            raise
        return client

    def execute(self, op: Command[T] | Query[T]) -> T:
        """Carry out one operation and give what its `parse` makes of the reply."""
        result: T = self.execute_all((op,))[0]
        return result

    def execute_all(self, ops: Sequence[Operation]) -> list[Any]:
        """Carry out several operations in one round trip, in order; the first failure is raised when all are answered.

        Not atomic: each operation is on its own, and after a lost script or connection some are sent again later. In a
        cluster, a round trip for each node, and the order holds among the operations of a queue.
        """
        if not self._is_ready:
            self._begin(self._connect_ms, once=False)
        return self._carry_out(ops, self.retry, self._connect_ms, self._reply_ms, once=False)

    def execute_once(self, op: Command[T] | Query[T], timeout_ms: int) -> T:
        """As `execute`, for callers who come back anyway: `timeout_ms` for each step, and no second try after trouble."""
        if not self._is_ready:
            try:
                self._begin(timeout_ms, once=True)
            except Unreachable as trouble:
                raise trouble.as_error(self.target.where) from trouble
        result: T = self._carry_out((op,), ONCE, timeout_ms, timeout_ms, once=True)[0]
        return result

    def close(self) -> None:
        """Close all connections; a call that is running in another thread is finished first."""
        self._is_closed = True
        for node in list(self._nodes.values()):
            node.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _new_node(self, target: Target) -> Node:
        return Node(target, self.retry, self._journal(target))

    def _begin(self, timeout_ms: int, *, once: bool) -> None:
        self._start.give_back(self._start.take(timeout_ms, once=once))
        if self.server.is_cluster:
            self._look_again(self.target, timeout_ms)
            self._need_map()
        self._is_ready = True

    def _carry_out(self, ops: Sequence[Operation], policy: RetryPolicy, connect_ms: int, reply_ms: int, *, once: bool) -> list[Any]:
        exchange = Exchange(self.target, policy, ops, self._routes)
        while not exchange.is_done:
            node = self._node(exchange.aim())
            try:
                link = node.take(connect_ms, once=once or exchange.routes is not None)
            except Unreachable as trouble:
                exchange.unreachable(trouble)
            else:
                heard = link.talk(exchange.packet(), exchange.count, reply_ms)
                if heard.lost:
                    node.lost(link, heard.lost)
                exchange.take(heard)
                node.journal.answered(exchange.refused, exchange.is_served)
                if exchange.needs_new_link:
                    node.drop_idle()
                    link.close()
                elif not heard.lost:
                    node.give_back(link)
            if exchange.needs_map:
                self._look_again(node.target, connect_ms)
                exchange.routes = self._routes
            if exchange.pause_ms:
                time.sleep(exchange.pause_ms / 1000)
        return exchange.results()

    def _look_again(self, doubtful: Target, timeout_ms: int) -> None:
        """Read the cluster's map anew; whoever waited while another thread did so has it."""
        looks = self._looks
        with self._looking:
            if self._looks == looks:
                any(self._learn(self._ask(self._node(place), timeout_ms), place) for place in self._informed(doubtful))
                self._looks += 1

    def _ask(self, node: Node, timeout_ms: int) -> Heard:
        try:
            link = node.take(timeout_ms, once=True)
        except Unreachable as trouble:
            return Heard([], trouble.reason, was_sent=False)
        heard = link.talk(pack([ASK_FOR_SLOTS]), 1, timeout_ms)
        if heard.lost:
            node.lost(link, heard.lost)
        else:
            node.give_back(link)
        return heard


class AsyncClient(_Base[AsyncNode]):
    """The asyncio client; its tasks share one connection to a server, blocking pops have their own."""

    def __init__(self, target: Target, connect_timeout: float, reply_timeout: float, retry: RetryPolicy) -> None:
        super().__init__(target, connect_timeout, reply_timeout, retry)
        self._looking = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        url: str | Target,
        *,
        connect_timeout: float = CONNECT_TIMEOUT_S,
        reply_timeout: float = REPLY_TIMEOUT_S,
        retry: RetryPolicy | None = None,
    ) -> AsyncClient:
        """As `Client.open`."""
        target = url if isinstance(url, Target) else Target.parse(url)
        client = cls(target, connect_timeout, reply_timeout, retry or RetryPolicy())
        try:
            await client.connect()
        except BaseException:
            await client.close()
            raise
        return client

    async def connect(self) -> None:
        """Reach the server now rather than at the first call; `ServerUnavailable` if that fails."""
        await self._start.shared(self._connect_ms)
        if self.server.is_cluster and self._routes is None:
            await self._look_again(self.target)
            self._need_map()
        self._is_ready = True

    async def execute(self, op: Command[T] | Query[T]) -> T:
        """As `Client.execute`. A cancelled call may have been applied; the connection stays good for the others."""
        result: T = (await self.execute_all((op,)))[0]
        return result

    async def execute_all(self, ops: Sequence[Operation]) -> list[Any]:
        """As `Client.execute_all`."""
        if not self._is_ready:
            await self.connect()
        exchange = Exchange(self.target, self.retry, ops, self._routes)
        while not exchange.is_done:
            node = self._node(exchange.aim())
            try:
                link = await node.shared(self._connect_ms, once=exchange.routes is not None)
            except Unreachable as trouble:
                exchange.unreachable(trouble)
            else:
                exchange.take(await link.talk(exchange.packet(), exchange.count, self._reply_ms))
                node.journal.answered(exchange.refused, exchange.is_served)
                if exchange.needs_new_link:
                    link.retire()
            if exchange.needs_map:
                await self._look_again(node.target)
                exchange.routes = self._routes
            if exchange.pause_ms:
                await asyncio.sleep(exchange.pause_ms / 1000)
        return exchange.results()

    async def pop_blocking(self, keys: Sequence[str], timeout_s: float) -> tuple[str, bytes] | None:
        """Wait for an element of one of the lists, on a connection of its own; gives list and element.

        None means: look for yourself. Either nothing came in time, or the connection broke, and an element
        may have been lost with it; so what is pushed must be a hint, never the work. In a cluster the lists
        have one hash slot; when it moves, the answer is None.
        """
        if not timeout_s > 0:
            raise ValueError(f"timeout_s is {timeout_s}; a wait has an end")
        if not self._is_ready:
            await self.connect()
        command: tuple[Arg, ...] = ("BLPOP", *keys, f"{timeout_s:.3f}")
        node = self._node(self._routes.owner(slot_of_key(keys[0]))) if self._routes else self._start
        try:
            link = await node.popping(self._connect_ms, once=self._routes is not None)
        except Unreachable:
            await self._look_again(node.target)
            await self._pause()
            return None
        heard = Heard([], "the call was cancelled")
        try:
            heard = await link.talk(pack([command]), 1, round(timeout_s * 1000) + self._reply_ms)
        finally:
            node.popped(link, is_clean=not heard.lost and not isinstance(heard.replies[0], Refusal))
        return await self._popped(heard, node)

    async def close(self) -> None:
        """Close all connections; calls that are running fail."""
        self._is_closed = True
        for node in list(self._nodes.values()):
            await node.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def _new_node(self, target: Target) -> AsyncNode:
        return AsyncNode(target, self.retry, self._journal(target))

    async def _look_again(self, doubtful: Target) -> None:
        """As `Client._look_again`, among tasks."""
        looks = self._looks
        async with self._looking:
            if self._looks != looks:
                return
            for place in self._informed(doubtful):
                if self._learn(await self._ask(self._node(place)), place):
                    break
            self._looks += 1

    async def _ask(self, node: AsyncNode) -> Heard:
        try:
            link = await node.shared(self._connect_ms, once=True)
        except Unreachable as trouble:
            return Heard([], trouble.reason, was_sent=False)
        return await link.talk(pack([ASK_FOR_SLOTS]), 1, self._reply_ms)

    async def _popped(self, heard: Heard, node: AsyncNode) -> tuple[str, bytes] | None:
        if heard.lost or heard.replies[0] is None:
            return None
        if isinstance(reply := heard.replies[0], Refusal):
            if self._routes is not None and reply.code == "MOVED":
                self._routes.moved(reply.text, node.target)
            elif not (self._routes is not None and reply.code == "ASK"):
                meaning = refusal_of(Refusal(reply.code, self.target.scrub(reply.text)))
                if not meaning.is_passing:
                    raise ServerUnavailable(meaning.reason, where=node.target.where, hint=meaning.hint)
            await self._pause()
            return None
        key, element = reply
        return key.decode(), element

    async def _pause(self) -> None:
        await asyncio.sleep(self.retry.delay_ms(1) / 1000)
