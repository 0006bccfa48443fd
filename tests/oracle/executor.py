"""Carries out operations over redis-py, one at a time: what the oracle needs of a client, and no more.

`alter` may change the text of a script before it is sent; that is how faults are seeded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import redis

from omniq_flow.lua import assemble
from omniq_flow.ops.command import Command, Query

T = TypeVar("T")
Alter = Callable[[str, str], str]


class Executor:
    """One connection and the scripts it has loaded."""

    def __init__(self, connection: redis.Redis, alter: Alter | None = None) -> None:
        self.connection = connection
        self._alter = alter
        self._sources: dict[str, tuple[str, str]] = {}

    def __call__(self, op: Command[T] | Query[T]) -> T:
        """The parsed reply; a refusal by the script is raised as redis-py raises it."""
        if isinstance(op, Query):
            return op.parse(self._send(*op.args))
        source, sha = self._source(op.script)
        try:
            reply = self._send("EVALSHA", sha, len(op.keys), *op.keys, *op.args)
        except redis.exceptions.NoScriptError:
            reply = self._send("EVAL", source, len(op.keys), *op.keys, *op.args)
        return op.parse(reply)

    def _send(self, *args: Any) -> Any:
        return cast("Any", self.connection.execute_command)(*args, NEVER_DECODE=True)

    def _source(self, name: str) -> tuple[str, str]:
        if name not in self._sources:
            source = assemble.load(name).source
            source = self._alter(name, source) if self._alter else source
            self._sources[name] = source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        return self._sources[name]
