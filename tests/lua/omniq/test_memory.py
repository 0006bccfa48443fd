"""A server without memory refuses what brings new work, before any write; all that gets work done goes on (H17)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from omniq_flow.lua import assemble
from tests.support.server import ScratchServer

T0 = 1_800_000_000_000
NOW = str(T0 + 5000)
Script = Callable[..., Any]

REFUSED = {"enqueue": ["new", "{}"], "childs_init": ["2"]}
GO_ON = {
    "heartbeat": ["active", NOW, "tok"],
    "ack_success": ["active", NOW, "tok"],
    "ack_fail": ["active", NOW, "tok", "boom"],
    "reserve": [NOW],
    "promote_delayed": [NOW],
    "reap_expired": [NOW],
    "retry_failed": ["failed", NOW],
    "retry_failed_batch": [NOW, "1", "failed"],
    "remove_job": ["failed", "failed", NOW],
    "remove_jobs_batch": ["failed", "1", "failed", NOW],
    "pause": [],
    "resume": [],
    "child_ack": ["c"],
}


@pytest.fixture(scope="module")
def full_server() -> Iterator[ScratchServer]:
    with ScratchServer(options=("--maxmemory-policy", "noeviction")) as server:
        yield server


@pytest.fixture
def conn(full_server: ScratchServer) -> Iterator[Any]:
    """A queue with a job in each lane, on a server that has used more than it may."""
    with full_server.connection() as opened:
        conn: Any = opened
        conn.config_set("maxmemory", "0")
        conn.flushall()
        for state in ("wait", "active", "delayed", "failed"):
            job = {"id": state, "state": state, "payload": "{}", "lease_token": "tok" if state == "active" else ""}
            conn.hset(f"{{q}}:job:{state}", mapping=job)
        conn.rpush("{q}:wait", "wait")
        conn.zadd("{q}:active", {"active": T0})
        conn.zadd("{q}:delayed", {"delayed": T0})
        conn.rpush("{q}:failed", "failed")
        conn.set("{cc:k}:count", "2")
        conn.config_set("maxmemory", "1")
        yield conn


def call(conn: Any, name: str, argv: list[str]) -> Any:
    anchor = "{cc:new}:meta" if name == "childs_init" else "{cc:k}:meta" if name == "child_ack" else "{q}:meta"
    return conn.eval(assemble.load(f"omniq/{name}").source, 1, anchor, *argv)


def test_every_operation_is_looked_at() -> None:
    assert sorted([*REFUSED, *GO_ON]) == [name[6:] for name in assemble.names() if name.startswith("omniq/")]


@pytest.mark.parametrize("name", REFUSED)
def test_new_work_is_refused_before_any_write(conn: Any, name: str) -> None:
    keys = sorted(conn.keys("*"))
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        call(conn, name, REFUSED[name])
    assert sorted(conn.keys("*")) == keys


@pytest.mark.parametrize("name", GO_ON)
def test_what_is_there_can_be_worked_off(conn: Any, name: str) -> None:
    reply = call(conn, name, GO_ON[name])
    assert reply in (1, 0) or (reply if isinstance(reply, bytes) else b" ".join(reply)) not in (b"EMPTY", b"OK 0")
    assert not isinstance(reply, list) or b"ERR" not in reply
