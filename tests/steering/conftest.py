"""The desk: an empty server, a queue of the test's own, operations at a time of their own."""

from __future__ import annotations

import pytest
import redis

from tests.flowscripts.desk import Desk


@pytest.fixture
def desk(redis_conn: redis.Redis, queue: str) -> Desk:
    return Desk(redis_conn, queue)
