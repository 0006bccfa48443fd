"""A picture of a run shows where each step stands, from the run's own record."""

from __future__ import annotations

from threading import Event, Thread
from typing import Any

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.errors import GaveUpWaiting, NotFound
from omniq_flow.model.clock import now_ms
from omniq_flow.model.plan import Plan
from omniq_flow.model.runs import new_run_id
from omniq_flow.observe.reading import RunReader, read_run
from omniq_flow.observe.snapshot import RunSnapshot
from omniq_flow.observe.waiting import wait_run
from omniq_flow.ops.command import Operation
from tests.observe.drive import SKIP, Again, Bad, Drive
from tests.observe.flows import join, nested, pages, plan, step, take
from tests.support.until import wait_until


def words(snapshot: RunSnapshot) -> dict[str, str]:
    return {s.step: s.state for s in snapshot.steps}


def test_a_run_that_waits_for_a_worker(client: Client, queue: str) -> None:
    run_id = Drive(client, join(queue)).start({"a": 1}, key="k1")
    snapshot = read_run(client, queue, run_id)
    assert words(snapshot) == {"x1": "queued", "x2": "pending", "x3": "pending", "y1": "queued", "j": "pending", "k": "pending"}
    assert (snapshot.word, snapshot.is_ended, snapshot.header.key, snapshot.header.flow) == ("running", False, "k1", "looked_at")
    assert abs(snapshot.header.created_ms - now_ms()) < 5_000
    assert snapshot.step("x1").timing.started_ms >= snapshot.header.created_ms
    assert snapshot.plan == join(queue)


def test_a_run_that_succeeded(client: Client, queue: str) -> None:
    snapshot = read_run(client, queue, Drive(client, join(queue)).finished())
    assert set(words(snapshot).values()) == {"succeeded"}
    assert (snapshot.word, snapshot.failures, snapshot.failed) == ("succeeded", (), 0)
    x1, k = snapshot.step("x1").timing, snapshot.step("k").timing
    assert snapshot.header.created_ms <= x1.started_ms <= x1.ended_ms <= k.started_ms <= k.ended_ms <= snapshot.header.ended_ms


@pytest.mark.parametrize(("culprit", "blocked"), [("x1", ["x2", "x3"]), ("x2", ["x3"]), ("x3", [])])
def test_a_failure_blocks_what_lies_behind_it_and_nothing_else(client: Client, queue: str, culprit: str, blocked: list[str]) -> None:
    snapshot = read_run(client, queue, Drive(client, join(queue)).finished({culprit: Bad(f"bad {culprit}")}))
    found = words(snapshot)
    assert found[culprit] == "failed"
    assert {name for name, word in found.items() if word == "upstream_failed"} == {*blocked, "j", "k"}
    assert found["y1"] == "succeeded"
    assert snapshot.word == "failed"
    assert [str(f) for f in snapshot.failures] == [f"{culprit}: ValueError: bad {culprit}"]


def test_a_map_is_counted_not_listed(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue))
    run_id = drive.start()
    first = drive.settle(drive.take(), {"split": list(range(10))})
    assert len(first) == 10
    read = read_run(client, queue, run_id).step("read")
    assert (read.state, read.total, read.queued, read.pending, read.done) == ("running", 10, 10, 0, 0)
    assert read_run(client, queue, run_id).step("clean").state == "pending"
    drive.settle(first[:4], lambda run: Bad("torn") if run.index == (2,) else "text")
    read = read_run(client, queue, run_id).step("read")
    assert (read.state, read.total, read.queued, read.succeeded, read.failed, read.done) == ("running", 10, 6, 3, 1, 4)
    clean = read_run(client, queue, run_id).step("clean")
    assert (clean.queued, clean.upstream_failed, clean.pending, clean.total) == (3, 1, 6, 10)
    assert read_run(client, queue, run_id).word == "running", "a run that is failing still runs"


def test_a_map_within_a_map_adds_up_over_all_lists(client: Client, queue: str) -> None:
    drive = Drive(client, nested(queue))
    sizes: dict[tuple[int, ...], int] = {(0,): 3, (1,): 0, (2,): 2}
    ends = {"pages": [1, 2, 3]}
    run_id = drive.finished(lambda run: list(range(sizes[run.index])) if run.step == "regions" else ends.get(run.step, 1))
    snapshot = read_run(client, queue, run_id)
    assert {s.step: (s.total, s.succeeded) for s in snapshot.steps} == {
        "pages": (1, 1),
        "regions": (3, 3),
        "cell": (5, 5),
        "sum": (3, 3),
        "count": (1, 1),
    }


@pytest.mark.parametrize(
    ("end", "states"),
    [
        ([], {"split": "succeeded", "read": "succeeded", "clean": "succeeded", "merge": "succeeded", "last": "succeeded"}),
        (Bad("no"), {"split": "failed", "read": "upstream_failed", "clean": "upstream_failed", "merge": "upstream_failed"}),
        (SKIP, {"split": "skipped", "read": "skipped", "clean": "skipped", "merge": "skipped", "last": "skipped"}),
    ],
)
def test_a_map_without_elements_looks_like_its_list(client: Client, queue: str, end: Any, states: dict[str, str]) -> None:
    snapshot = read_run(client, queue, Drive(client, pages(queue)).finished({"split": end}))
    assert words(snapshot).items() >= states.items()
    assert snapshot.step("read").total == 0


def test_a_flow_that_stops_leaves_undecided_steps_pending(client: Client, queue: str) -> None:
    stopping = plan(queue, step("a"), step("b", take("result", "a")), on_failure="stop")
    snapshot = read_run(client, queue, Drive(client, stopping).finished({"a": Bad("no")}))
    assert (words(snapshot), snapshot.word) == ({"a": "failed", "b": "pending"}, "failed")


def test_tries_are_counted(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue, attempts=3))
    seen: dict[str, int] = {}

    def ends(run: Any) -> Any:
        seen[str(run)] = seen.get(str(run), 0) + 1
        if str(run) == "read[1]" and seen[str(run)] < 3:
            return Again()
        return ["a", "b"] if run.step == "split" else 1

    run_id = drive.start()

    def is_ended() -> bool:
        drive.work(ends)
        return read_run(client, queue, run_id).is_ended

    wait_until(is_ended, "the run ends")
    snapshot = read_run(client, queue, run_id)
    assert (snapshot.word, snapshot.step("read").timing.retries, snapshot.step("split").timing.retries) == ("succeeded", 2, 0)


def test_what_is_shown_outlives_the_jobs(client: Client, queue: str, redis_conn: redis.Redis) -> None:
    """The queue keeps 100 completed jobs; a run keeps its own record (C79)."""
    run_id = Drive(client, pages(queue)).finished({"split": list(range(300)), "read": 1, "clean": 2})
    kept = redis_conn.llen(f"{{{queue}}}:completed")
    assert isinstance(kept, int)
    assert kept <= 100
    snapshot = read_run(client, queue, run_id)
    assert (snapshot.step("read").succeeded, snapshot.step("merge").state) == (300, "succeeded")
    assert snapshot.step("read").timing.ended_ms >= snapshot.step("read").timing.started_ms > 0


def test_a_run_that_is_not_there(client: Client, queue: str) -> None:
    with pytest.raises(NotFound, match="no run"):
        read_run(client, queue, new_run_id())


class Counting:
    """A client that counts round trips and remembers what was sent."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.trips: list[tuple[Operation, ...]] = []

    def execute(self, op: Any) -> Any:
        return self.execute_all((op,))[0]

    def execute_all(self, ops: Any) -> list[Any]:
        self.trips.append(tuple(ops))
        return self.client.execute_all(ops)


def test_a_picture_costs_two_round_trips_and_searches_nothing(client: Client, queue: str) -> None:
    run_id = Drive(client, join(queue)).finished({"x2": Bad("no")})
    counting: Any = Counting(client)
    reader = RunReader(counting, queue, run_id)
    reader.read()
    assert len(counting.trips) == 2
    reader.read(reader.header().rev)
    assert len(counting.trips) == 5, "a header, and again two"
    sent = {op.args[0] for trip in counting.trips for op in trip}
    assert sent == {"HMGET", "HGETALL", "LRANGE", "HGET"}


def test_the_history_is_read_once(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue))
    run_id = drive.start()
    counting: Any = Counting(client)
    reader = RunReader(counting, queue, run_id)
    first = reader.read()
    taken = drive.settle(drive.take(), {"split": list(range(50))})
    drive.settle(taken, {})
    rev = reader.header().rev
    counting.trips.clear()
    again = reader.read(rev)
    asked = next(op for op in counting.trips[0] if op.args[0] == "LRANGE")
    assert -asked.args[2] < rev - first.header.rev + 20
    assert again.steps == read_run(client, queue, run_id).steps


def test_a_reader_that_was_away_for_long_reads_all_again(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue))
    run_id = drive.start()
    reader = RunReader(client, queue, run_id)
    early = reader.read()
    drive.work({"split": list(range(40))})
    # A revision that is too small makes the slice too short, as a burst of events between two calls does.
    assert reader.read(early.header.rev + 1).steps == read_run(client, queue, run_id).steps


def test_waiting_gives_a_picture_at_each_change_and_ends_with_the_run(client: Client, queue: str) -> None:
    drive = Drive(client, join(queue))
    run_id = drive.start()
    pictures: list[RunSnapshot] = []
    taken = drive.take()
    for picture in wait_run(client, queue, run_id, timeout_ms=20_000):
        pictures.append(picture)
        taken = (*taken[1:], *drive.settle(taken[:1], {}))
    revs = [p.header.rev for p in pictures]
    assert revs == sorted(set(revs))
    assert pictures[-1].word == "succeeded"
    assert not any(p.is_ended for p in pictures[:-1])


def test_waiting_gives_up_and_says_that_the_run_goes_on(client: Client, queue: str) -> None:
    run_id = Drive(client, join(queue)).start()
    pictures = wait_run(client, queue, run_id, timeout_ms=150)
    next(pictures)
    with pytest.raises(GaveUpWaiting, match="goes on") as caught:
        next(pictures)
    assert run_id in caught.value.hint


def test_waiting_can_be_stopped_from_another_thread(client: Client, queue: str) -> None:
    run_id = Drive(client, join(queue)).start()
    stop = Event()
    quiet: list[int] = []
    found: list[RunSnapshot] = []
    thread = Thread(target=lambda: found.extend(wait_run(client, queue, run_id, stop=stop, on_quiet=quiet.append)))
    thread.start()
    wait_until(lambda: quiet, "a poll finds nothing new")
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert len(found) == 1


def test_plans_of_two_runs_are_not_mixed_up(client: Client, queue: str) -> None:
    one: Plan = join(queue)
    other: Plan = pages(queue)
    ids = [Drive(client, p).start() for p in (one, other)]
    assert [read_run(client, queue, i).plan for i in ids] == [one, other]
