"""What replaying a vector needs: dumps of a keyspace, seeds, and one step against a client.

Nothing here knows how a queue works: expectations live in `vectors/*.json`, whose format `README.md` describes. It
needs no more than redis-py, so that it also runs where another client is installed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import operator
import re
import time
from typing import Any

import redis

SERVER_TIME = "$SERVER_TIME"
"""Stands in a dump for a time that came from the server's own clock."""

VECTOR_SERVER_TIME = "$SERVER_TIME_S*1000"
"""The same in the vectors, whose writer cut it to whole seconds."""

LONG = 256
"""Longer byte strings are dumped as length, SHA-1 and first characters."""

CLOSE_S = 600

State = dict[str, list[Any]]


def short(value: bytes | str | float) -> Any:
    """Bytes or text as text; long or undecodable strings as a fingerprint."""
    raw = value if isinstance(value, bytes) else str(value).encode("utf-8")
    try:
        text, is_good = raw.decode("utf-8"), True
    except UnicodeDecodeError:
        text, is_good = raw.decode("utf-8", "ignore"), False
    if is_good and len(raw) <= LONG:
        return text
    mark: dict[str, Any] = {"$len": len(raw), "$sha1": hashlib.sha1(raw).hexdigest(), "$head": text[:12]}
    if not is_good:
        mark["$utf8"] = False
    return mark


def _score(score: float) -> int | float:
    return int(score) if float(score).is_integer() else float(score)


def dump(conn: Any) -> State:
    """The whole keyspace as `{key: [type, value]}`; `conn` must give bytes."""
    names = sorted(conn.scan_iter(count=1000))
    with conn.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.type(name).pttl(name)
        found = pipe.execute()
        kinds, ttls = [kind.decode() for kind in found[::2]], found[1::2]
        for name, kind in zip(names, kinds, strict=True):
            _read(pipe, name, kind)
        values = pipe.execute()
    out: State = {}
    for name, kind, value, ttl in zip(names, kinds, values, ttls, strict=True):
        out[name.decode("utf-8")] = [kind, _shown(kind, value), *([{"pttl": ttl}] if ttl >= 0 else [])]
    return out


def _read(pipe: Any, key: bytes, kind: str) -> None:
    match kind:
        case "hash":
            pipe.hgetall(key)
        case "list":
            pipe.lrange(key, 0, -1)
        case "zset":
            pipe.zrange(key, 0, -1, withscores=True)
        case "set":
            pipe.smembers(key)
        case _:
            pipe.get(key)


def _shown(kind: str, value: Any) -> Any:
    match kind:
        case "hash":
            return {short(k): short(v) for k, v in sorted(value.items())}
        case "list":
            return [short(v) for v in value]
        case "zset":
            return [[short(m), _score(s)] for m, s in value]
        case "set":
            return sorted(short(v) for v in value)
        case _:
            return short(value)


def mark_server_time(state: State, known_ms: set[int]) -> State:
    """Put a placeholder for each time of the statistics that is close to the present and was not given by a step."""
    for key, entry in state.items():
        if entry[0] == "hash" and key.endswith(":stats"):
            for field, seen in entry[1].items():
                if seen == VECTOR_SERVER_TIME or (field.endswith("_ms") and _is_present(str(seen), known_ms)):
                    entry[1][field] = SERVER_TIME
    return state


def _is_present(seen: str, known_ms: set[int]) -> bool:
    return seen.isdigit() and int(seen) not in known_ms and abs(time.time() - int(seen) / 1000) < CLOSE_S


def seed(conn: Any, keys: dict[str, list[Any]]) -> None:
    """Write a dump, or a part of one, into the keyspace; the named keys are replaced."""
    for key, (kind, value) in keys.items():
        conn.delete(key)
        if kind == "hash":
            conn.hset(key, mapping=value)
        elif kind == "list":
            conn.rpush(key, *value)
        elif kind == "zset":
            conn.zadd(key, dict(value))
        elif kind == "set":
            conn.sadd(key, *value)
        else:
            conn.set(key, value)


def expand(value: Any) -> Any:
    """Undo the two shorthands that keep arguments small in the files."""
    if isinstance(value, dict):
        if set(value) == {"$repeat"}:
            unit, count = value["$repeat"]
            return unit * count
        if set(value) == {"$ids"}:
            prefix, count = value["$ids"]
            return [f"{prefix}{i}" for i in range(1, count + 1)]
        return {k: expand(v) for k, v in value.items()}
    if isinstance(value, list):
        return [expand(v) for v in value]
    return value


def plain(value: Any) -> Any:
    """A client's return value as plain JSON data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (str, bytes)):
        return short(value)
    return value


def error_code(error: Exception) -> str:
    """What a failure is called in the vectors: a reason code, SCRIPT_ERROR, or VALIDATION for what was never sent."""
    if isinstance(error, redis.exceptions.ResponseError):
        return "SCRIPT_ERROR"
    found = re.search(r" failed: ([A-Z_]+(?: \S+)?)$", str(error))
    return found.group(1) if found else "VALIDATION"


def perform(client: Any, conn: Any, op: str, args: dict[str, Any], sources: dict[str, str]) -> dict[str, Any]:
    """Carry out one step and give its reply, `{"ok": value}` or `{"error": code}`.

    `client` has the method names and keyword arguments of OmniQ's client, and those of its monitor under `monitor`; `conn`
    gives bytes; `sources` are the scripts by name.
    """
    args = expand(args)
    if op == "seed":
        seed(conn, args["keys"])
        return {"ok": None}
    if op == "redis":
        conn.execute_command(*args["cmd"])
        return {"ok": None}
    if "now_ms" in args:
        args["now_ms_override"] = args.pop("now_ms")
    try:
        if op == "script":
            return {"ok": plain(conn.eval(sources[args["script"]], 1, args["key"], *args["argv"]))}
        return {"ok": plain(operator.attrgetter(op)(client)(**args))}
    except Exception as error:  # every failure is an outcome to compare
        return {"error": error_code(error)}
