"""Reading many keys of which one may be of another type: it must not hide the others.

A key that somebody has overwritten answers WRONGTYPE, and then all that was asked in the same round trip would fail. What
is wrong with which key is then found out in one more, and the rest is asked again: that happens rarely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omniq_flow.client.client import Client
from omniq_flow.errors import ReplyError
from omniq_flow.model.runs import RunHeader
from omniq_flow.model.states import RunState
from omniq_flow.ops.command import Query, text

_TYPES = {"H": "hash", "L": "list", "Z": "zset", "S": "set"}


@dataclass(frozen=True, slots=True)
class Unsound:
    """Stands for the answer about a key that has another type."""

    key: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"WRONGTYPE: {self.key} is a {self.found}, not a {self.wanted}"


def read_sound(client: Client, queries: Sequence[Query[Any]]) -> list[Any]:
    """The answers in order, with an `Unsound` for each whose key has another type. Each query names its key first."""
    if not queries:
        return []
    try:
        return client.execute_all(queries)
    except ReplyError:
        names = list(dict.fromkeys(query.args[1] for query in queries if _wanted(query)))
        types = dict(zip(names, client.execute_all([_type_of(name) for name in names]), strict=True))
        faults = [_fault(query, types) for query in queries]
        if not any(faults):
            raise
        rest = [query for query, fault in zip(queries, faults, strict=True) if fault is None]
        answers = iter(client.execute_all(rest) if rest else [])
        return [fault or next(answers) for fault in faults]


def sound(answer: Any, instead: Any) -> Any:
    """The answer, or something else for one about a key of another type."""
    return instead if isinstance(answer, Unsound) else answer


def damaged(queue: str, run_id: str, fault: Unsound) -> RunHeader:
    """Stands for the header of a run whose key was overwritten: it can do nothing any more, and says why in place of its flow."""
    return RunHeader(run_id, str(fault), queue, "", RunState.FAILED, damage=str(fault))


def _type_of(key: Any) -> Query[str]:
    return Query(("TYPE", key), text)


def _wanted(query: Query[Any]) -> str:
    """The type that the command works on; empty if it takes any, or no key."""
    name = str(query.args[0]).upper()
    return "" if len(query.args) < 2 else "string" if name in ("GET", "STRLEN") else _TYPES.get(name[:1], "")


def _fault(query: Query[Any], types: dict[Any, str]) -> Unsound | None:
    wanted, found = _wanted(query), types.get(query.args[1] if len(query.args) > 1 else "", "")
    return Unsound(str(query.args[1]), found, wanted) if wanted and found not in ("none", wanted) else None
