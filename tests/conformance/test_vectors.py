"""Every vector, replayed against our operations and our OmniQ clients: same replies, same keyspace after each step."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.lua import assemble
from omniq_flow.omniq.async_client import AsyncOmniqClient
from omniq_flow.omniq.client import OmniqClient
from omniq_flow.omniq.monitor import QueueMonitor
from omniq_flow.ops import keys
from tests.conformance.adapter import Adapter, Face
from tests.conformance.differences import LEFT_OUT_QUIRKS, LEFT_OUT_VECTORS, why_left_out
from tests.conformance.replay import Vector, replay, sources, vectors
from tests.support.server import Server

HINTS: dict[str, tuple[str, ...]] = {"operations": (), "OmniqClient": (keys.COUNTERS,), "AsyncOmniqClient": (keys.COUNTERS,)}
ALL = list(vectors())
REPLAYED = [vector for vector in ALL if not why_left_out(vector)]


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The scripts as other clients get them."""
    folder: Path = tmp_path_factory.mktemp("scripts")
    assemble.export(folder)
    return sources(folder)


@pytest.fixture(scope="module")
def faces(server: Server) -> Iterator[dict[str, Any]]:
    """All that speaks by OmniQ's names."""
    with asyncio.Runner() as runner, Client.open(server.url) as client, OmniqClient(redis_url=server.url) as blocking:
        awaited = AsyncOmniqClient(redis_url=server.url)
        faces: dict[str, Any] = {"operations": Adapter(client), "OmniqClient": Face(blocking, runner)}
        faces["AsyncOmniqClient"] = Face(awaited, runner)
        for face in faces.values():
            face.monitor = QueueMonitor(blocking)
        yield faces
        runner.run(awaited.close())


@pytest.mark.parametrize("face", HINTS)
@pytest.mark.parametrize("vector", REPLAYED, ids=[vector["name"] for vector in REPLAYED])
def test_vector(vector: Vector, face: str, faces: dict[str, Any], redis_conn: redis.Redis, scripts: dict[str, str]) -> None:
    assert replay(vector, faces[face], redis_conn, scripts, hints=HINTS[face]) == []


def test_only_what_is_decided_is_left_out() -> None:
    """Each entry of the table leaves something out, and the rest is replayed."""
    names = {vector["name"] for vector in ALL}
    used = {quirk for vector in ALL for quirk in vector.get("quirks", ()) if quirk in LEFT_OUT_QUIRKS}
    assert used == set(LEFT_OUT_QUIRKS)
    assert set(LEFT_OUT_VECTORS) <= names
    assert (len(ALL), len(REPLAYED)) == (94, 74)


def test_a_difference_is_noticed(client: Client, redis_conn: redis.Redis, scripts: dict[str, str]) -> None:
    """The replay compares what it should: one digit changed in a vector is told with its place."""
    vector = next(vectors("publish-ungrouped"))
    vector["steps"][0]["state"]["{q}:stats"][1]["waiting"] = "2"
    assert replay(vector, Adapter(client), redis_conn, scripts) == ["step 1 publish", "  {q}:stats .waiting: want '2', have '1'"]
