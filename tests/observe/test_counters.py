"""Counters: who is missing and where that is; and what does not fit together is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.errors import NotFound
from omniq_flow.model.names import StepRun
from omniq_flow.observe.counters import check_run, read_run_counter, run_counters
from omniq_flow.ops.ticks import Taken
from tests.observe.drive import Again, Bad, Drive
from tests.observe.flows import join, nested, pages


@pytest.fixture
def drive(client: Client, queue: str) -> Drive:
    return Drive(client, pages(queue, attempts=3))


def _by_name(drive: Drive, most: int = 64) -> dict[str, Taken]:
    return {str(t.flow.step_run): t for t in drive.take(most) if t.flow}


def _started(drive: Drive, length: int) -> str:
    run_id = drive.start()
    drive.report(drive.take(1), {"split": list(range(length))})
    return run_id


def test_a_list_that_is_worked_has_a_counter_with_its_missing_elements(client: Client, queue: str, drive: Drive) -> None:
    """Of five pages one is clean, two are at work, two are to be read again."""
    run_id = _started(drive, 5)
    reads = _by_name(drive, 4)
    drive.report([reads[f"read[{n}]"] for n in range(3)], {"read[2]": Again(60_000)})
    rest = _by_name(drive)
    drive.report([rest["clean[0]"], rest["read[4]"]], {"read[4]": Again(60_000)})
    (found,) = run_counters(client, queue, run_id)
    assert (found.name, found.kind, found.of, found.expected, found.left, found.counted, found.done) == (
        "of:clean",
        "collection",
        StepRun("clean"),
        5,
        4,
        4,
        1,
    )
    _, missing = read_run_counter(client, queue, run_id, "of:clean")
    assert {m.name: m.where for m in missing} == {
        "1": "active",
        "2": "waits for read[2]: delayed",
        "3": "waits for read[3]: active",
        "4": "waits for read[4]: delayed",
    }
    assert {m.name: m.job_id.split(".", 2)[2] for m in missing} == {"1": "clean-1.1", "2": "read-2.1", "3": "read-3.1", "4": "read-4.1"}


def test_a_join_has_a_counter_of_its_inputs(client: Client, queue: str) -> None:
    drive = Drive(client, join(queue))
    run_id = drive.start()
    drive.report([_by_name(drive)["y1"]])
    (found,) = run_counters(client, queue, run_id)
    assert (found.name, found.kind, found.expected, found.left) == ("in:j", "gate", 2, 1)
    _, (missing,) = read_run_counter(client, queue, run_id, "in:j")
    assert (missing.name, missing.step_run, missing.where) == ("from_x3", StepRun("x3"), "waits for x1: active")


def test_a_list_of_lists_names_the_list_that_is_missing(client: Client, queue: str) -> None:
    drive = Drive(client, nested(queue))
    run_id = drive.start()
    drive.report(drive.take(1), {"pages": [1, 2]})
    drive.report(drive.take(1), {"regions": [1, 2, 3]})
    names = {c.name: (c.left, c.expected) for c in run_counters(client, queue, run_id)}
    assert names["of:cell"] == (2, 2)
    assert names["of:cell-0"] == (3, 3)
    _, missing = read_run_counter(client, queue, run_id, "of:cell")
    assert [(m.name, m.step_run, m.where) for m in missing] == [("0", None, "see of:cell-0"), ("1", None, "see of:cell-1")]


def test_a_run_that_has_ended_has_no_counters(client: Client, queue: str) -> None:
    run_id = Drive(client, join(queue)).finished()
    assert run_counters(client, queue, run_id) == []
    assert check_run(client, queue, run_id) == []
    with pytest.raises(NotFound, match="no counter 'in:j'"):
        read_run_counter(client, queue, run_id, "in:j")


def test_at_no_point_of_a_sound_run_something_does_not_fit(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue))
    run_id = drive.start()
    assert check_run(client, queue, run_id) == []
    while taken := drive.take(1):
        drive.report(taken, {"split": list(range(4)), "read[1]": Bad("no")})
        assert check_run(client, queue, run_id) == []


Damage = Callable[[redis.Redis, str, str], object]
CC = "{{{q}}}:cc:{r}.0:of:clean"
DAMAGES: dict[str, tuple[Damage, str]] = {
    "the counter says too much": (
        lambda r, q, run: r.incr(CC.format(q=q, r=run) + ":count"),
        "its record waits for 2, the counter waits for 3",
    ),
    "the counter is gone": (lambda r, q, run: r.delete(CC.format(q=q, r=run) + ":count"), "its record waits for 2, the counter is gone"),
    "a member was taken away": (lambda r, q, run: r.spop(CC.format(q=q, r=run) + ":done"), "1 have reported by its record, 0 are noted"),
    "a member was forgotten": (
        lambda r, q, run: r.srem(CC.format(q=q, r=run) + ":done", "0"),
        "clean[0] is succeeded and was not counted",
    ),
    "a member was put in": (
        lambda r, q, run: r.sadd(CC.format(q=q, r=run) + ":done", "1", "2"),
        "has reported and is pending",
    ),
    "a job is gone": (lambda r, q, run: r.delete(f"{{{q}}}:job:f.{run}.clean-1.1"), "clean[1] is queued and its job is gone"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_does_not_fit_is_found(client: Client, queue: str, redis_conn: redis.Redis, name: str) -> None:
    """Of three pages one is clean, one is to be cleaned, one is at work."""
    damage, words = DAMAGES[name]
    drive = Drive(client, pages(queue))
    run_id = _started(drive, 3)
    reads = _by_name(drive)
    drive.report([reads["read[0]"]])
    drive.report(drive.take())
    drive.report([reads["read[1]"]])
    generation = redis_conn.hget(f"{{{queue}}}:flow:r:{run_id}", "gen")
    assert generation == b"0", "the damage names its key by it"
    assert check_run(client, queue, run_id) == []
    damage(redis_conn, queue, run_id)
    found = check_run(client, queue, run_id)
    assert [words in f"{f.counter} {f.what}" for f in found].count(True) == 1, found
    assert {f.run_id for f in found} == {run_id}


def test_a_run_that_stands_still_is_found(client: Client, queue: str, redis_conn: redis.Redis, drive: Drive) -> None:
    run_id = _started(drive, 2)
    redis_conn.hset(f"{{{queue}}}:flow:r:{run_id}", "open", 0)
    assert [f.what for f in check_run(client, queue, run_id)] == ["nothing is dispatched and no work is left, yet the run has not ended"]
