"""Asking a socket who is behind it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server says of itself; `is_loading` while it reads its data and serves nobody."""

    pid: int
    started_ms: int
    version: str
    is_loading: bool
    used_memory: int
    clients: int
    """Connections of others; the one that asked is not counted."""


@contextmanager
def connection(socket: Path) -> Iterator[redis.Redis]:
    """A short-lived connection that never sends anything twice."""
    client = redis.Redis(
        unix_socket_path=str(socket),
        socket_timeout=_PATIENCE_S,
        socket_connect_timeout=_PATIENCE_S,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        yield client
    finally:
        client.close()


def probe(socket: Path, data: Path) -> Answer | None:
    """What the server at `socket` answers; None if nobody does, or if it works on other data than ours."""
    try:
        with connection(socket) as client:
            info: dict[str, Any] = client.info()
            folder: dict[str, Any] = client.config_get("dir")  # type: ignore[assignment]
    except redis.RedisError:
        return None
    if not _is_same(str(folder.get("dir", "")), data):
        return None
    return Answer(
        pid=int(info["process_id"]),
        started_ms=(int(info["server_time_usec"]) // 1_000_000 - int(info["uptime_in_seconds"])) * 1000,
        version=str(info.get("valkey_version", info["redis_version"])),
        is_loading=bool(int(info.get("loading", 0))),
        used_memory=int(info["used_memory"]),
        clients=int(info["connected_clients"]) - 1,
    )


def _is_same(folder: str, data: Path) -> bool:
    try:
        return os.path.samefile(folder, data)
    except OSError:
        return False
