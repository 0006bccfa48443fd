"""A run that failed goes on: flows and workers by the command line, the retry with public names only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omniq_flow import OmniqClient, OperationRefused, QueueMonitor
from tests.support.server import Server

ROOT = Path(__file__).parents[2]
FLOW = """
from pathlib import Path

from omniq_flow import Flow, Retry, each, gather

flow = Flow("washing_up", retry=Retry(attempts=1))
washed = Path("washed")


@flow.step
def collect() -> list[str]:
    return ["cup", "plate", "pan"]


@flow.step
def wash(dish: str = each(collect)) -> str:
    with washed.open("a") as log:
        log.write(dish + "\\n")
    if dish == "pan" and not Path("brush").exists():
        raise LookupError("no brush for the pan")
    return dish


@flow.step
def put_away(dishes: list[str] = gather(wash)) -> str:
    return ", ".join(dishes)
"""
Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def omniq(server: Server, redis_conn: object) -> OmniqClient:
    return OmniqClient(redis_url=server.url)


@pytest.fixture
def omniq_flow(server: Server, omniq: OmniqClient, tmp_path: Path) -> Iterator[Shell]:
    """The command line in a project with one flow, and a worker that runs there."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "washing_up.py").write_text(FLOW, encoding="utf-8")
    command = [sys.executable, "-m", "omniq_flow.cli.main"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMNIQ_FLOW_URL": server.url}

    def call(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *args], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
        )

    worker = subprocess.Popen([*command, "--quiet", "worker"], cwd=tmp_path, env=env)
    try:
        yield call
    finally:
        worker.terminate()
        worker.wait(15)


def test_a_failed_step_is_retried_with_all_it_held_back(omniq_flow: Shell, omniq: OmniqClient, tmp_path: Path) -> None:
    """Retrying the job that failed lets its run go on: the pan is washed again, the other dishes are not, then all is put away.

    `omniq-flow jobs retry washing_up --all-failed` does the same for all that failed.
    """
    failed = omniq_flow("start", "washing_up", "--wait")
    assert failed.returncode == 1
    assert "wash[2]: LookupError: no brush for the pan" in failed.stderr

    (tmp_path / "brush").touch()
    (job,) = QueueMonitor(omniq).sample_failed("washing_up")
    omniq.retry_failed(queue="washing_up", job_id=job.job_id)

    ended = omniq_flow("runs", "wait", "@last")
    assert ended.returncode == 0
    assert sorted((tmp_path / "washed").read_text().split()) == ["cup", "pan", "pan", "plate"]
    with pytest.raises(OperationRefused, match="NO_JOB"):
        omniq.retry_failed(queue="washing_up", job_id=job.job_id)
