"""The real OmniQ client runs our scripts: the same vectors, with nothing of ours between. Marker `interop`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import redis

from omniq_flow.lua import assemble
from tests.conformance.differences import why_left_out
from tests.conformance.replay import vectors
from tests.interop.environment import ROOT, omniq_python
from tests.support.server import Server


@pytest.mark.interop
@pytest.mark.timeout(300)
def test_the_real_client_with_our_scripts(server: Server, redis_conn: redis.Redis, tmp_path: Path) -> None:
    assemble.export(tmp_path)
    command: list[str | Path] = [omniq_python(), "-m", "tests.conformance.replay", "--url", server.url, "--scripts", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    every = list(vectors())
    left_out = sum(bool(why_left_out(vector)) for vector in every)
    assert (done.stdout, done.stderr, done.returncode) == (f"{len(every) - left_out} passed, 0 failed, {left_out} left out\n", "", 0)
