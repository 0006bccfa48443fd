"""A cluster for tests, on the loopback, with a password; its hash slots can be moved, its nodes stopped and started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from types import TracebackType
from typing import Any, Protocol

import redis
from redis.crc import key_slot

from omniq_flow.ops import keys
from tests.support.server import ScratchServer, free_port
from tests.support.until import wait_until

NODES = 3
SLOTS = 16_384
PASSWORD = "s3cret/pw5"


class Move(Protocol):
    """Moves some keys of the hash slot that is being moved."""

    def __call__(self, *some: bytes) -> None: ...


class ScratchCluster:
    """Primaries with an equal share of the hash slots each, then replicas of the first; `url` is the address of the first."""

    def __init__(self, primaries: int = NODES, replicas: int = 0) -> None:
        self._primaries = primaries
        self._bus = [free_port() for _ in range(primaries + replicas)]
        self.nodes = [ScratchServer(aof=True, tcp=True, password=PASSWORD, options=_options(port)) for port in self._bus]
        self._numbers = count(1)

    def __enter__(self) -> ScratchCluster:
        for node in self.nodes:
            node.start()
        for at in range(self._primaries):
            self.say(at, "CLUSTER", "ADDSLOTSRANGE", SLOTS * at // self._primaries, SLOTS * (at + 1) // self._primaries - 1)
            self.say(at, "CLUSTER", "SET-CONFIG-EPOCH", at + 1)
        for other, bus in zip(self.nodes[1:], self._bus[1:], strict=True):
            self.say(0, "CLUSTER", "MEET", "127.0.0.1", other.port, bus)
        self.is_well()
        for at in range(self._primaries, len(self.nodes)):
            self.say(at, "CLUSTER", "REPLICATE", self.say(0, "CLUSTER", "MYID"))
        replicas = len(self.nodes) - self._primaries
        wait_until(lambda: len(self.say(0, "CLUSTER", "SLOTS")[0]) == 3 + replicas, "the replicas are known", 20)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for node in self.nodes:
            node.close()

    @property
    def url(self) -> str:
        return self.nodes[0].tcp_url

    def say(self, at: int, *command: Any) -> Any:
        """A command for one node, past any routing."""
        with self.nodes[at].connection() as connection:
            return connection.execute_command(*command)

    def is_well(self) -> None:
        """Wait until every node knows all others and serves."""

        def all_serve() -> bool:
            wanted = (b"cluster_state:ok", b"cluster_known_nodes:%d" % len(self.nodes), b"cluster_slots_ok:%d" % SLOTS)
            told = [self.say(at, "CLUSTER", "INFO").split() for at in range(len(self.nodes))]
            return all(word in words for words in told for word in wanted)

        wait_until(all_serve, "the cluster serves", 20)

    def queue(self, at: int) -> str:
        """A new name of a queue that this node serves."""
        return next(name for n in self._numbers if self._has(at, slot_of(name := f"q{n}")))

    def keys_of(self, at: int, queue: str) -> list[bytes]:
        """The keys of a queue that one node has, sorted."""
        found: list[bytes] = self.say(at, "CLUSTER", "GETKEYSINSLOT", slot_of(queue), 10_000)
        return sorted(found)

    @contextmanager
    def moving(self, queue: str, source: int, to: int) -> Iterator[Move]:
        """Move a hash slot key by key: inside, it is given what moves some keys; afterwards the rest is moved."""
        slot, names = slot_of(queue), [self.say(at, "CLUSTER", "MYID").decode() for at in range(len(self.nodes))]
        self.say(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        self.say(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", names[to])

        def move(*some: bytes) -> None:
            self.say(source, "MIGRATE", "127.0.0.1", self.nodes[to].port, "", 0, 5_000, "AUTH", PASSWORD, "KEYS", *some)

        with ExitStack() as stack:
            stack.callback(self._settle, slot, names, source, to)
            yield move
            while some := self.keys_of(source, queue)[:5]:
                move(*some)

    def move_at_once(self, queue: str, source: int, to: int) -> None:
        """Move a hash slot as a whole, which the servers do among themselves; they must be Valkey 9."""
        slot = slot_of(queue)
        self.say(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self.say(to, "CLUSTER", "MYID"))
        wait_until(lambda: self._has(to, slot), "the hash slot has moved", 20)

    def _has(self, at: int, slot: int) -> bool:
        try:
            self.say(at, "EXISTS", _key_in(slot))
        except redis.ResponseError:
            return False
        return True

    def _settle(self, slot: int, names: list[str], source: int, to: int) -> None:
        # The new owner first: it must not send back what the old one sends on.
        for at in (to, source, *(set(range(len(self.nodes))) - {to, source})):
            self.say(at, "CLUSTER", "SETSLOT", slot, "NODE", names[to])


def slot_of(queue: str) -> int:
    return key_slot(keys.anchor(queue).encode())


def _key_in(slot: int) -> str:
    return next(name for n in count() if key_slot((name := str(n)).encode()) == slot)


def _options(bus: int) -> tuple[str, ...]:
    lenient = ("--cluster-require-full-coverage", "no", "--cluster-node-timeout", "2500", "--repl-diskless-sync-delay", "0")
    return ("--cluster-enabled", "yes", "--cluster-port", str(bus), "--masterauth", PASSWORD, *lenient)
