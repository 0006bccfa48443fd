"""The socket's folder is short and private, whatever the temp folder is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from omniq_flow.server.paths import MAX_SOCKET_PATH, ServerPaths, new_socket, socket_folder


def test_the_folder_lies_in_the_temp_folder_and_is_private(temp: Path) -> None:
    folder = socket_folder()
    assert folder == temp / f"omniq-flow-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert socket_folder() == folder


def test_a_long_temp_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("t" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    assert len(os.fsencode(new_socket())) <= MAX_SOCKET_PATH
    assert list(long.iterdir()) == []


@pytest.mark.parametrize("kind", ["open to others", "a link", "a file"])
def test_a_folder_that_others_could_enter_is_not_used(kind: str, temp: Path) -> None:
    planted = temp / f"omniq-flow-{os.getuid()}"
    if kind == "open to others":
        planted.mkdir()
        planted.chmod(0o777)
    elif kind == "a link":
        (temp / "elsewhere").mkdir(mode=0o700)
        planted.symlink_to(temp / "elsewhere")
    else:
        planted.write_text("")
    assert socket_folder() != planted
    assert socket_folder().stat().st_mode & 0o777 == 0o700


def test_two_sockets_never_share_a_path() -> None:
    assert new_socket() != new_socket()


def test_the_root_is_resolved(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert ServerPaths.of(tmp_path / "link").root == ServerPaths.of(tmp_path / "real").root
