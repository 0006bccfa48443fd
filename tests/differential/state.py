"""A keyspace as a value: what a server holds, with the few commands that a model of it needs.

Text is kept as `str`; bytes that are no UTF-8 become lone surrogates and come back as the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

import redis


class Hash(dict[str, str]):
    """Fields."""


class List(list[str]):
    """Left to right."""


class Zset(dict[str, float]):
    """Member to score; `ordered` as the server orders them."""

    def ordered(self) -> list[str]:
        return sorted(self, key=lambda member: (self[member], raw(member)))


class Set(set[str]):
    """Members."""


class Text(str):
    """A string."""


Entry: TypeAlias = Hash | List | Zset | Set | Text
Kind = TypeVar("Kind", Hash, List, Zset, Set, Text)


def _copy(entry: Entry) -> Entry:
    copied: Entry = type(entry)(entry)  # type: ignore[arg-type]
    return copied


def raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


class Space(dict[str, Entry]):
    """All keys. What becomes empty is gone, as on a server; reading an absent key gives an empty one."""

    def copy(self) -> Space:
        return Space({key: _copy(entry) for key, entry in self.items()})

    def hash(self, key: str) -> Hash:
        return self._read(key, Hash)

    def list(self, key: str) -> List:
        return self._read(key, List)

    def zset(self, key: str) -> Zset:
        return self._read(key, Zset)

    def text(self, key: str) -> str | None:
        return self._read(key, Text) if key in self else None

    def _read(self, key: str, kind: type[Kind]) -> Kind:
        if key not in self:
            return kind()
        entry = self[key]
        assert isinstance(entry, kind), f"{key} is a {type(entry).__name__}"
        return entry

    def write(self, key: str, value: str) -> None:
        self[key] = Text(value)

    def drop(self, *keys: str) -> None:
        for key in keys:
            self.pop(key, None)

    def hset(self, key: str, **fields: str) -> None:
        self[key] = Hash(self.hash(key) | fields)

    def push(self, key: str, member: str, *, left: bool = False) -> None:
        have = self.list(key)
        self[key] = List([member, *have] if left else [*have, member])

    def pop_end(self, key: str, *, left: bool) -> str | None:
        have = self.list(key)
        if not have:
            return None
        member = have.pop(0 if left else -1)
        self._tidy(key)
        return member

    def lrem(self, key: str, member: str, *, all: bool = False) -> int:
        have, before = self.list(key), len(self.list(key))
        if member in have:
            if all:
                have[:] = [other for other in have if other != member]
            else:
                have.remove(member)
        self._tidy(key)
        return before - len(have)

    def zadd(self, key: str, member: str, score: float, *, nx: bool = False) -> bool:
        """True if the member is new."""
        have = self.zset(key)
        is_new = member not in have
        if is_new or not nx:
            self[key] = Zset({**have, member: float(score)})
        return is_new

    def zrem(self, key: str, member: str) -> bool:
        was_there = self.zset(key).pop(member, None) is not None
        self._tidy(key)
        return was_there

    def sadd(self, key: str, member: str) -> bool:
        have = self._read(key, Set)
        is_new = member not in have
        self[key] = Set({*have, member})
        return is_new

    def _tidy(self, key: str) -> None:
        if key in self and not self[key]:
            del self[key]


def differences(want: Space, have: Space) -> Iterator[str]:
    """Lines that say where two keyspaces differ, down to the field of a hash."""
    for key in sorted(want.keys() | have.keys()):
        w, h = want.get(key), have.get(key)
        if type(w) is type(h) and w == h:
            continue
        if isinstance(w, Hash) and isinstance(h, Hash):
            for field in sorted(w.keys() | h.keys()):
                if w.get(field) != h.get(field):
                    yield f"{key} .{field}: want {w.get(field)!r:.200}, have {h.get(field)!r:.200}"
        else:
            yield f"{key}: want {_show(w)}, have {_show(h)}"


def _show(entry: Entry | None) -> str:
    return "nothing" if entry is None else f"{type(entry).__name__.lower()} {entry!r:.300}"


DUMP = """#!lua
local out = {}
for i, key in ipairs(redis.call('KEYS', '*')) do
  local kind, value = redis.call('TYPE', key).ok
  if kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'set' then value = redis.call('SMEMBERS', key)
  else value = {redis.call('GET', key)} end
  out[i] = {key, kind, value, redis.call('PTTL', key)}
end
return out
"""


def dumped(reply: Iterable[tuple[bytes, bytes, list[bytes], int]]) -> Space:
    """The keyspace out of what `DUMP` replied; a key that expires is refused, since none may."""
    out = Space()
    for key, kind, values, ttl in reply:
        assert ttl == -1, f"{key!r} expires in {ttl} ms"
        texts = [text(value) for value in values]
        pairs = zip(texts[::2], texts[1::2], strict=False)
        match kind:
            case b"hash":
                out[text(key)] = Hash(pairs)
            case b"list":
                out[text(key)] = List(texts)
            case b"zset":
                out[text(key)] = Zset({member: float(score) for member, score in pairs})
            case b"set":
                out[text(key)] = Set(texts)
            case _:
                out[text(key)] = Text(texts[0])
    return out


def load(conn: redis.Redis, space: Space) -> None:
    """Empty the database and write the keyspace into it."""
    pipe = conn.pipeline(transaction=False)
    pipe.flushdb()
    for key, entry in space.items():
        name: Any = raw(key)
        match entry:
            case Hash():
                pipe.hset(name, mapping={raw(field): raw(value) for field, value in entry.items()})
            case List():
                pipe.rpush(name, *map(raw, entry))
            case Zset():
                pipe.zadd(name, {raw(member): score for member, score in entry.items()})
            case Set():
                pipe.sadd(name, *map(raw, entry))
            case Text():
                pipe.set(name, raw(entry))
    pipe.execute()
