"""Every vector, replayed against our scripts through our operations: same replies, same keyspace after each step."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.lua import assemble
from tests.conformance.adapter import Adapter
from tests.conformance.differences import LEFT_OUT_QUIRKS, LEFT_OUT_VECTORS, why_left_out
from tests.conformance.replay import Vector, replay, sources, vectors

ALL = list(vectors())
REPLAYED = [vector for vector in ALL if not why_left_out(vector)]


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The scripts as other clients get them."""
    folder: Path = tmp_path_factory.mktemp("scripts")
    assemble.export(folder)
    return sources(folder)


@pytest.mark.parametrize("vector", REPLAYED, ids=[vector["name"] for vector in REPLAYED])
def test_vector(vector: Vector, client: Client, redis_conn: redis.Redis, scripts: dict[str, str]) -> None:
    assert replay(vector, Adapter(client), redis_conn, scripts) == []


def test_only_what_is_decided_is_left_out() -> None:
    """Each entry of the table leaves something out, and the rest is replayed."""
    names = {vector["name"] for vector in ALL}
    used = {quirk for vector in ALL for quirk in vector.get("quirks", ()) if quirk in LEFT_OUT_QUIRKS}
    assert used == set(LEFT_OUT_QUIRKS)
    assert set(LEFT_OUT_VECTORS) <= names
    assert (len(ALL), len(REPLAYED)) == (94, 71)


def test_a_difference_is_noticed(client: Client, redis_conn: redis.Redis, scripts: dict[str, str]) -> None:
    """The replay compares what it should: one digit changed in a vector is told with its place."""
    vector = next(vectors("publish-ungrouped"))
    vector["steps"][0]["state"]["{q}:stats"][1]["waiting"] = "2"
    assert replay(vector, Adapter(client), redis_conn, scripts) == ["step 1 publish", "  {q}:stats .waiting: want '2', have '1'"]
