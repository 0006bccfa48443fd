"""The empty server, and ways to call a script: as it is, past the operations; as our clients do and as others do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from omniq_flow.lua import assemble
from omniq_flow.ops import admin
from tests.conformance import exported


@pytest.fixture
def script(redis_conn: redis.Redis) -> Callable[..., Any]:
    """`script("reserve", "0")` gives the raw reply of a script of the queue `q`."""

    def call(name: str, *argv: str, anchor: str = "{q}:meta") -> Any:
        return redis_conn.eval(assemble.load(f"omniq/{name}").source, 1, anchor, *argv)

    return call


@pytest.fixture
def conn(redis_conn: redis.Redis) -> Any:
    """The empty server, seen as it is; typed loosely, since only dumps and damage pass here."""
    return redis_conn


@pytest.fixture(params=[admin, exported], ids=["ours", "omniq"])
def steer(request: pytest.FixtureRequest) -> Any:
    """Retries and removals, as our clients send them and as others do."""
    return request.param
