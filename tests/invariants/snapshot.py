"""The whole keyspace of one queue at one moment, read and typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import redis

from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import Plan
from omniq_flow.model.routes import JSON
from omniq_flow.model.runs import Fact
from omniq_flow.ops import keys

Raw = Any
READ: dict[str, tuple[str, ...]] = {
    "string": ("GET",),
    "hash": ("HGETALL",),
    "list": ("LRANGE", "0", "-1"),
    "zset": ("ZRANGE", "0", "-1", "WITHSCORES"),
    "set": ("SMEMBERS",),
}


@dataclass(frozen=True)
class RunKeys:
    """What Redis holds of one run, as it stands."""

    run_id: str
    header: Mapping[str, str]
    facts: Mapping[StepRun, Fact]
    outputs: Mapping[str, bytes]
    tallies: Mapping[str, int]
    history: tuple[str, ...]
    tokens: Mapping[str, str]
    plan: Plan
    gates: Mapping[str, str]
    parked: frozenset[str]
    work: tuple[str, ...]
    rests: Mapping[str, tuple[str, ...]]
    rest_counts: Mapping[str, int]
    counters: Mapping[str, int]
    done: Mapping[str, frozenset[str]]
    reach: Mapping[str, int] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()

    @property
    def state(self) -> str:
        return self.header["state"]

    @property
    def is_over(self) -> bool:
        return self.state in ("succeeded", "failed", "cancelled")

    @property
    def is_stopped(self) -> bool:
        """Facts only: a flow that stops at its first failure has met it, or the run is being cancelled."""
        return self.header.get("stopped") == "1" or self.state in ("cancelling", "cancelled")

    @property
    def since(self) -> int:
        """The epoch at which this life of the run began: 1, or that of its last retry."""
        return int(self.header["retry"].split(" ")[0]) + 1 if "retry" in self.header else 1

    @property
    def is_whole(self) -> bool:
        """Whether it has ended with everything decided."""
        return self.state in ("succeeded", "failed") and not self.is_stopped and "damage" not in self.header

    def number(self, name: str) -> int:
        return int(self.header.get(name, "0"))

    @property
    def has_work(self) -> bool:
        return bool(self.work) or any(self.rests.values())


@dataclass(frozen=True)
class Snapshot:
    """Keys of a queue with their values, bytes throughout; `ttl` holds those that expire."""

    queue: str
    now_ms: int
    values: Mapping[str, Raw]
    types: Mapping[str, str]
    ttl: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, conn: redis.Redis, queue: str, now_ms: int = 0) -> Snapshot:
        """Read every key that carries the queue's tag. `now_ms` is the clock of the test; 0 means that times are not compared with it."""
        names = sorted(cast("list[bytes]", conn.keys(_escape(keys.base(queue)) + ":*")))
        looks = _pipeline(conn, [(look, name) for name in names for look in ("TYPE", "PTTL")])
        # A key that expired since is no longer there.
        there = [(n, kind.decode(), ttl) for n, kind, ttl in zip(names, looks[::2], looks[1::2], strict=True) if kind != b"none"]
        kinds, ttls = [kind for _, kind, _ in there], [ttl for _, _, ttl in there]
        values = _pipeline(conn, [(READ[kind][0], name, *READ[kind][1:]) for name, kind, _ in there])
        shown = [name.decode("utf-8", "backslashreplace") for name, _, _ in there]
        return cls(
            queue,
            now_ms,
            {n: _typed(kind, v) for n, kind, v in zip(shown, kinds, values, strict=True)},
            dict(zip(shown, kinds, strict=True)),
            {n: ttl for n, ttl in zip(shown, ttls, strict=True) if ttl >= 0},
        )

    def get(self, *parts: str, default: Raw = None) -> Raw:
        return self.values.get(keys.queue_key(self.queue, *parts), default)

    def hash(self, *parts: str) -> dict[str, bytes]:
        return cast("dict[str, bytes]", self.get(*parts, default={}))

    def items(self, *parts: str) -> list[str]:
        return [v.decode() for v in self.get(*parts, default=[])]

    def zset(self, *parts: str) -> dict[str, float]:
        return cast("dict[str, float]", self.get(*parts, default={}))

    def number(self, *parts: str) -> int:
        return int(self.get(*parts, default=b"0"))

    @cached_property
    def jobs(self) -> dict[str, dict[str, str]]:
        """Job hashes by id."""
        prefix = keys.queue_key(self.queue, "job", "")
        return {
            name[len(prefix) :]: {k: v.decode("utf-8", "backslashreplace") for k, v in value.items()}
            for name, value in self.values.items()
            if name.startswith(prefix)
        }

    @cached_property
    def groups(self) -> set[str]:
        """Every group of which a key is there, or that stands in the ready set."""
        prefix = keys.queue_key(self.queue, "g", "")
        named = {name[len(prefix) :].rpartition(":")[0] for name in self.values if name.startswith(prefix)}
        return named | set(self.zset("groups", "ready"))

    @cached_property
    def runs(self) -> dict[str, RunKeys]:
        prefix = keys.flow_key(self.queue, "r", "")
        names = [name[len(prefix) :] for name in self.values if name.startswith(prefix)]
        # Of a run that is being purged, only parts are left.
        return {rid: self._run(rid) for rid in names if "purging" not in _texts(self.hash("flow", "r", rid))}

    def _run(self, rid: str) -> RunKeys:
        header = _texts(self.hash("flow", "r", rid))
        derived = f"{rid}.{header.get('gen', '0')}"
        rest_counts = {k: int(v) for k, v in self.hash("flow", "x", derived).items()}
        counters, done = self._counters(derived)
        return RunKeys(
            rid,
            header,
            {StepRun.parse(k): Fact.parse(v) for k, v in self.hash("flow", "s", rid).items()},
            self.hash("flow", "o", rid),
            {k: int(v) for k, v in self.hash("flow", "c", rid).items()},
            tuple(self.items("flow", "h", rid)),
            _texts(self.hash("flow", "t", rid)),
            Plan.from_json(self.hash("flow", "g", header["sha"])[JSON]),
            _texts(self.hash("flow", "n", derived)),
            frozenset(self.zset("flow", "p", derived)),
            tuple(self.items("flow", "q", derived)),
            {name: tuple(self.items("flow", "q", derived, name)) for name in self._lists(derived)},
            rest_counts,
            counters,
            done,
            {k: int(v) for k, v in self.hash("flow", "reach", rid).items()},
            self._members("asked", rid),
            self._members("only", rid),
        )

    def _members(self, kind: str, rid: str) -> frozenset[str]:
        return frozenset(v.decode() for v in self.get("flow", kind, rid, default=[]))

    def _lists(self, derived: str) -> list[str]:
        prefix = keys.flow_key(self.queue, "q", derived, "")
        return [name[len(prefix) :] for name in self.values if name.startswith(prefix)]

    def _counters(self, derived: str) -> tuple[dict[str, int], dict[str, frozenset[str]]]:
        prefix = keys.queue_key(self.queue, "cc", derived, "")
        counts: dict[str, int] = {}
        done: dict[str, frozenset[str]] = {}
        for name, value in self.values.items():
            if name.startswith(prefix):
                gate, _, part = name[len(prefix) :].rpartition(":")
                if part == "count":
                    counts[gate] = int(value)
                else:
                    done[gate] = frozenset(v.decode() for v in value)
        return counts, done


def _pipeline(conn: redis.Redis, commands: list[tuple[Any, ...]]) -> list[Any]:
    if not commands:
        return []
    with conn.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]
        return pipe.execute()


def _typed(kind: str, value: Any) -> Any:
    if kind == "hash":
        return {k.decode(): v for k, v in value.items()}
    if kind == "zset":
        return {k.decode(): float(v) for k, v in value}
    return value


def _texts(values: Mapping[str, bytes]) -> dict[str, str]:
    return {k: v.decode("utf-8", "backslashreplace") for k, v in values.items()}


def _escape(text: str) -> str:
    return "".join("\\" + c if c in "*?[]\\" else c for c in text)
