"""The fixtures of the cases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cases import effects
from tests.cases.rig import Rig
from tests.support.server import ScratchServer


@pytest.fixture(scope="session")
def case_server() -> Iterator[ScratchServer]:
    """A server of the cases' own; a case that harms it starts another."""
    with ScratchServer() as server:
        yield server


@pytest.fixture
def rig(tmp_path: Path, case_server: ScratchServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """An empty project on an empty server; the invariants are checked when the test has passed."""
    monkeypatch.setenv(effects.VARIABLE, str(tmp_path / "effects"))
    with case_server.connection() as conn:
        conn.flushall()
    made = Rig(tmp_path, case_server)
    try:
        yield made
        made.check()
    finally:
        made.close()
        assert os.environ[effects.VARIABLE]
