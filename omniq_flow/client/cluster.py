"""Where the keys of a cluster are: which node serves which hash slot.

Each operation of ours touches one hash slot: a script has one key, whose tag all other keys of the queue share, and a plain
command has its key in the second place. So an operation goes to one node, whole. The map is what a node said last
(`CLUSTER SLOTS`), corrected by each `MOVED`; it may be old, never wrong for long, and a wrong node changes nothing.

Two kinds of command have no key. `TIME` and the like go wherever the others of their call go. `SCAN` looks through one node:
the cursor of a cluster holds the number of the node as well, so that a search goes through them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from redis.crc import key_slot

from omniq_flow.client.connect import Target
from omniq_flow.ops.command import Command, Operation, Query, number

ASK_FOR_SLOTS = ("CLUSTER", "SLOTS")
MOST_NODES = 1_024
_SLOTS = 16_384
_KEYLESS = frozenset({"TIME", "SCAN", "PING", "ECHO"})


class Routes:
    """The nodes of a cluster, and which of them serves each hash slot; threads may share it."""

    def __init__(self, ranges: Iterable[tuple[int, int, Sequence[Target]]]) -> None:
        self._owners: list[Target | None] = [None] * _SLOTS
        primaries, others = set(), set()
        for first, last, (primary, *replicas) in ranges:
            self._owners[first : last + 1] = [primary] * (last + 1 - first)
            primaries.add(primary)
            others.update(replicas)
        self.nodes: tuple[Target, ...] = tuple(sorted(primaries, key=lambda node: (node.host, node.port)))
        self.known = primaries | others
        """The nodes, and their replicas, any of which can be asked for a newer map."""

    @classmethod
    def read(cls, reply: Any, said_by: Target) -> Routes:
        """The reply to `CLUSTER SLOTS`: ranges with their nodes, first the primary."""
        return cls((int(first), int(last), [_place(said_by, node) for node in nodes]) for first, last, *nodes in reply)

    def owner(self, slot: int) -> Target:
        """Who serves a hash slot; anybody, who will know better, if nobody is known to."""
        return self._owners[slot] or self.nodes[0]

    def moved(self, text: str, said_by: Target) -> Target:
        """Learn from what follows `MOVED`, the hash slot and its node; gives the node."""
        node = redirected(text, said_by)
        self._owners[int(text.partition(" ")[0])] = node
        return node

    def local(self, op: Operation) -> tuple[Operation, Target | None]:
        """An operation as one node understands it, and that node if it must be this one."""
        if isinstance(op, Command) or op.args[0] != "SCAN":
            return op, None
        cursor, at = divmod(int(op.args[1]), MOST_NODES)
        at = min(at, len(self.nodes) - 1)
        following = at + 1 if at + 1 < len(self.nodes) else 0

        def parse(reply: Any) -> Any:
            left = number(reply[0])
            return op.parse([left * MOST_NODES + at if left else following, reply[1]])

        return Query(("SCAN", cursor, *op.args[2:]), parse), self.nodes[at]


def slot_of(op: Operation) -> int | None:
    """The hash slot of an operation; None for a command without a key."""
    if isinstance(op, Command):
        return slot_of_key(op.keys[0])
    return None if op.args[0] in _KEYLESS else slot_of_key(op.args[1])


def slot_of_key(key: Any) -> int:
    raw = key if isinstance(key, bytes) else str(key).encode("utf-8", "backslashreplace")
    return key_slot(raw)


def redirected(text: str, said_by: Target) -> Target:
    """The node in what follows `MOVED` or `ASK`: `3999 10.0.0.7:6379`."""
    host, _, port = text.partition(" ")[2].rpartition(":")
    return _at(said_by, host, int(port))


def _place(said_by: Target, node: Any) -> Target:
    host, port, *_ = node
    return _at(said_by, "" if host in (None, b"?") else host.decode(), int(port))


def _at(said_by: Target, host: str, port: int) -> Target:
    # A cluster that does not know the host by which it is reached leaves it out: it is the one that we used.
    return replace(said_by, host=host or said_by.host or "localhost", port=port, path="")
