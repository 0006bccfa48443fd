"""What the interoperation tests run on is what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.environment import NotHere, redis_server, redis_version


def program(folder: Path, version: str) -> Path:
    path = folder / "redis-server"
    path.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=00000000:0 malloc=libc bits=64 build=1'\n")
    path.chmod(0o755)
    return path


def test_the_version_is_read(tmp_path: Path) -> None:
    assert redis_version(program(tmp_path, "7.0.15")) == (7, 0, 15)


def test_a_named_server_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMNIQ_FLOW_TEST_REDIS7", str(tmp_path / "mine"))
    assert redis_server() == tmp_path / "mine"


def test_without_apt_the_installed_one_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OMNIQ_FLOW_TEST_REDIS7", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotHere, match="no apt-get, and no redis-server"):
        redis_server()
    server = program(tmp_path, "7.2.4")
    assert redis_server() == server


def test_one_that_is_too_old_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OMNIQ_FLOW_TEST_REDIS7", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "6.0.16")
    with pytest.raises(NotHere, match=r"Redis 6\.0\.16, 7\.0 is the oldest"):
        redis_server()
