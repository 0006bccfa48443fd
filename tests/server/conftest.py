"""A project folder whose server, if a test started one, is stopped afterwards."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from omniq_flow.server.embedded import EmbeddedServer
from omniq_flow.server.process import is_server_of


@pytest.fixture(autouse=True)
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temp folder of the test's own for sockets, here and in child processes: a killed server leaves its socket."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as short:
        monkeypatch.setenv("TMPDIR", short)
        monkeypatch.setattr(tempfile, "tempdir", short)
        yield Path(short)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "project"
    root.mkdir()
    yield root
    end_servers(root)


@pytest.fixture
def embedded(project: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer.for_project(project, patience_ms=5_000)
    yield server
    server.leave()


def servers_of(root: Path) -> list[int]:
    """The processes that work on a project's data, as the system shows them."""
    data = root / ".omniq-flow" / "data"
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and is_server_of(int(entry.name), data)]


def end_servers(root: Path) -> None:
    for pid in servers_of(root):
        os.kill(pid, signal.SIGKILL)
