"""Those who carry out an act: our scripts, or OmniQ's own as files, each in a database of a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import redis

from omniq_flow.lua import assemble
from tests.differential.acts import OPERATIONS, Act
from tests.differential.lanes import Failure, Reply
from tests.differential.outcome import Seen
from tests.differential.state import DUMP, Space, dumped, load, raw, text

Alter = Callable[[str, str], str]
"""Makes another text of a script's, given its name."""


class Reference(Protocol):
    """Says what OmniQ 4.0.0 does."""

    def run(self, before: Space, act: Act) -> tuple[Reply, Space]: ...


class Scripts:
    """Scripts on a database of their own; what it holds is remembered, so that it is rarely written anew."""

    def __init__(self, conn: redis.Redis, sources: dict[str, str]) -> None:
        self._conn = conn
        self._sha = {name: str(conn.script_load(source)) for name, source in sources.items()}
        self._dump = str(conn.script_load(DUMP))
        self._holds = Space()
        conn.flushdb()

    def run(self, before: Space, act: Act) -> tuple[Reply, Space]:
        seen = self.see(before, act)
        return seen.reply, seen.after

    def see(self, before: Space, act: Act) -> Seen:
        if self._holds != before:
            load(self._conn, before)
        pipe: Any = self._conn.pipeline(transaction=False)
        pipe.time()
        pipe.evalsha(self._sha[act.name], 1, raw(act.anchor), *map(raw, act.argv))
        pipe.evalsha(self._dump, 0)
        pipe.time()
        since, reply, dump, until = pipe.execute(raise_on_error=False)
        self._holds = dumped(dump)
        return Seen(read_reply(reply), self._holds, _ms(since), _ms(until))


def our_sources(alter: Alter | None = None) -> dict[str, str]:
    """Our fifteen scripts as other clients get them, or with something broken in them."""
    sources = {name: assemble.load(f"omniq/{name}").source for name in OPERATIONS}
    return {name: alter(name, source) for name, source in sources.items()} if alter else sources


def sources_in(folder: Path) -> dict[str, str]:
    """The fifteen scripts of a folder, by name."""
    return {name: (folder / f"{name}.lua").read_text(encoding="utf-8") for name in OPERATIONS}


def read_reply(reply: Any) -> Reply:
    """A raw reply as a value."""
    match reply:
        case redis.ResponseError():
            return Failure(str(reply))
        case Exception():
            raise reply
        case bytes():
            return text(reply)
        case list():
            return [text(value) if isinstance(value, bytes) else str(value) for value in reply]
        case _:
            return int(reply)


def _ms(time: tuple[int, int]) -> int:
    return time[0] * 1000 + time[1] // 1000
