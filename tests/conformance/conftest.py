"""Calling a script as it is, past the operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from omniq_flow.lua import assemble


@pytest.fixture
def script(redis_conn: redis.Redis) -> Callable[..., Any]:
    """`script("reserve", "0")` gives the raw reply of a script of the queue `q`."""

    def call(name: str, *argv: str, anchor: str = "{q}:meta") -> Any:
        return redis_conn.eval(assemble.load(f"omniq/{name}").source, 1, anchor, *argv)

    return call
