"""A list of runs follows what happens between two looks at it."""

from __future__ import annotations

import pytest

from omniq_flow.client.client import Client
from omniq_flow.model.clock import now_ms
from omniq_flow.observe import run_list
from omniq_flow.observe.run_list import RunList, RunQuery, RunWindow
from omniq_flow.ops.runs import run_purge, run_retry
from tests.observe.drive import Bad, Drive
from tests.observe.flows import plan, step

ALL, FAILED, SUCCEEDED = RunQuery(), RunQuery("failed"), RunQuery(state="succeeded")
FAR_MS = 10**14


def look(client: Client, queue: str, runs: RunList, query: RunQuery = ALL, count: int = 10) -> RunWindow:
    return runs.read(client, [queue], query, 0, count, now_ms=now_ms())


def retried(client: Client, drive: Drive, run_id: str) -> None:
    """Retry a run that failed, and work it to its end."""
    client.execute(run_retry(drive.plan.queue, run_id, epoch=1))
    drive.work()


@pytest.fixture
def drive(client: Client, queue: str) -> Drive:
    return Drive(client, plan(queue, step("a")))


@pytest.mark.parametrize("count", [10, 0], ids=["visible", "counted"])
def test_a_run_that_was_retried_and_ended_again_is_seen(client: Client, queue: str, drive: Drive, count: int) -> None:
    """It is among the ended before and after, so their number tells nothing."""
    run_id = drive.finished({"a": Bad("no")})
    runs = RunList()
    look(client, queue, runs, count=count)
    seen = look(client, queue, runs, count=count)
    assert (seen.counts.failed_day, seen.counts.done_day, [s.header.run_id for s in seen.failed]) == (1, 0, [run_id])
    retried(client, drive, run_id)
    seen = look(client, queue, runs, count=count)
    assert (seen.counts.failed_day, seen.counts.done_day, seen.failed) == (0, 1, ())
    assert look(client, queue, runs, FAILED).rows == ()
    assert [s.word for s in look(client, queue, runs, SUCCEEDED).rows] == ["succeeded"]


def test_a_run_that_goes_on_again_is_no_failure(client: Client, queue: str, drive: Drive) -> None:
    run_id = drive.finished({"a": Bad("no")})
    runs = RunList()
    look(client, queue, runs, count=0)
    client.execute(run_retry(queue, run_id, epoch=1))
    seen = look(client, queue, runs, count=0)
    assert (seen.counts.open, seen.counts.failed_day, seen.failed) == (1, 0, ())


def test_old_failures_are_looked_at_again_in_turn(client: Client, queue: str, drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many failures a few are read again with each window, the newest always."""
    monkeypatch.setattr(run_list, "AGAIN", 2)
    failed = [drive.finished({"a": Bad("no")}) for _ in range(30)]
    runs = RunList()
    look(client, queue, runs, count=0)
    for run_id in (failed[0], failed[7], failed[-1]):
        retried(client, drive, run_id)
    assert failed[-1] not in {s.header.run_id for s in look(client, queue, runs, count=0).failed}
    for _ in range(30 // 2):
        look(client, queue, runs, count=0)
    seen = look(client, queue, runs, count=0)
    assert (seen.counts.failed_day, seen.counts.done_day) == (27, 3)


def test_as_many_purged_as_ended_is_a_change(client: Client, queue: str, drive: Drive) -> None:
    """A queue that keeps so many runs has always the same number of them."""
    drive.finished()
    runs = RunList()
    look(client, queue, runs)
    client.execute(run_purge(queue, keep_runs=0, now_ms=FAR_MS))
    new = drive.finished()
    assert [s.header.run_id for s in look(client, queue, runs).rows] == [new]
