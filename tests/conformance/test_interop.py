"""The real OmniQ client runs our scripts: the same vectors, with nothing of ours between.

It lives in an environment of its own: its dependency `ulid-py` replaces a module of `python-ulid`. Marker `interop`.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest
import redis

from omniq_flow.lua import assemble
from tests.support.server import Server

ROOT = Path(__file__).resolve().parents[2]
OMNIQ = "omniq==4.0.0"


@pytest.fixture(scope="session")
def omniq_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the real client."""
    folder: Path = tmp_path_factory.mktemp("omniq") / "venv"
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", OMNIQ], check=True, timeout=240)
    return python


@pytest.mark.interop
@pytest.mark.timeout(300)
def test_the_real_client_with_our_scripts(omniq_python: Path, server: Server, redis_conn: redis.Redis, tmp_path: Path) -> None:
    assemble.export(tmp_path)
    command: list[str | Path] = [omniq_python, "-m", "tests.conformance.replay", "--url", server.url, "--scripts", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("71 passed, 0 failed, 23 left out\n", "", 0)
