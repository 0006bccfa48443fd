"""A list of runs follows what happens between two looks at it."""

from __future__ import annotations

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.model.clock import now_ms
from omniq_flow.observe import run_list
from omniq_flow.observe.run_list import RunList, RunWindow
from omniq_flow.observe.run_query import InputFits, RunQuery
from omniq_flow.ops import keys
from omniq_flow.ops.runs import run_purge, run_retry
from tests.observe.drive import Bad, Drive
from tests.observe.flows import join, plan, step

ALL, FAILED, SUCCEEDED = RunQuery(), RunQuery("failed"), RunQuery(state="succeeded")
FAR_MS = 10**14


def look(client: Client, queue: str, runs: RunList, query: RunQuery = ALL, count: int = 10) -> RunWindow:
    return runs.read(client, [queue], query, 0, count, now_ms=now_ms())


def searched(client: Client, queue: str, runs: RunList, query: RunQuery) -> list[str]:
    """The ids that a search has found when it is through."""
    for _ in range(10):
        window = look(client, queue, runs, query)
        if not window.is_partial:
            return [row.header.run_id for row in window.rows]
    raise AssertionError("the search has no end")


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


def test_a_run_that_fits_no_more_is_not_shown(client: Client, queue: str, drive: Drive) -> None:
    """What is shown was read just now, whatever was known of it."""
    run_id = drive.finished({"a": Bad("no")})
    runs = RunList()
    assert searched(client, queue, runs, FAILED) == [run_id]
    retried(client, drive, run_id)
    window = look(client, queue, runs, FAILED)
    assert (window.rows, window.total) == ((), 0)


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


def test_runs_are_searched_by_their_tags(client: Client, queue: str, drive: Drive) -> None:
    """All that are asked for; a name fits any value, a star any rest."""
    old, new, _ = (drive.start(tags=tags) for tags in ((("env", "prod"), ("team", "data")), (("env", "test"),), ()))
    runs = RunList()

    def found(*tags: str) -> list[str]:
        return searched(client, queue, runs, RunQuery(tags=tags))

    assert (found("env"), found("env=prod"), found("env=*"), found("env=te*")) == ([new, old], [old], [new, old], [new])
    assert (found("env", "team=data"), found("env=test", "team"), found("env=pro"), found("en")) == ([old], [], [], [])


def test_inputs_are_searched_also_large_ones(client: Client, queue: str, drive: Drive) -> None:
    """An input above 64 KiB is a value of its own."""
    inputs = ({"who": {"name": "ann"}}, {"who": {"name": "bob"}}, {"who": {"name": "ann"}, "text": "x" * 70_000}, None)
    one, _, large, none = (drive.start(value) for value in inputs)
    runs = RunList()
    assert searched(client, queue, runs, RunQuery(inputs=(InputFits("who.name", "ann"),))) == [large, one]
    assert searched(client, queue, runs, RunQuery(inputs=(InputFits("who.name", "b*"), InputFits("text", "x*")))) == []
    assert searched(client, queue, runs, RunQuery(text=none, inputs=(InputFits("who", "x"),))) == []


def test_a_search_sees_how_runs_that_go_on_change(client: Client, queue: str) -> None:
    """One that is found is read again with each window, one that is not in its turn."""
    drive = Drive(client, join(queue))
    ids = [drive.start() for _ in range(30)]
    runs = RunList()
    assert searched(client, queue, runs, FAILED) == []
    taken = drive.take()
    drive.report([job for job in taken if job.flow and job.flow.run_id in ids[:3] and job.flow.step_run.step == "y1"], {"y1": Bad("no")})
    look(client, queue, runs, FAILED)
    look(client, queue, runs, FAILED)
    assert searched(client, queue, runs, FAILED) == [ids[2], ids[1], ids[0]]


def test_ages_are_those_of_now(client: Client, queue: str, drive: Drive) -> None:
    run_id = drive.start()
    runs, began = RunList(), now_ms()
    for query, later_ms in ((RunQuery(younger_ms=60_000), 0), (RunQuery(older_ms=60_000), 120_000)):
        for now, rows in ((began + later_ms, [run_id]), (began + 120_000 - later_ms, [])):
            runs.read(client, [queue], query, 0, 10, now_ms=now)
            assert [s.header.run_id for s in runs.read(client, [queue], query, 0, 10, now_ms=now).rows] == rows


def test_a_search_ends_where_runs_have_vanished(client: Client, queue: str, drive: Drive, redis_conn: redis.Redis) -> None:
    """Somebody removed the keys of a run, and left it in the index."""
    gone, without_input, here = (drive.start({"n": 1}) for _ in range(3))
    redis_conn.delete(keys.header(queue, gone))
    redis_conn.delete(keys.outputs(queue, without_input))
    runs = RunList()
    assert searched(client, queue, runs, RunQuery(state="running")) == [here, without_input]
    assert searched(client, queue, runs, RunQuery(inputs=(InputFits("n", "1"),))) == [here]
