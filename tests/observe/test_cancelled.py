"""Jobs of cancelled runs that wait in a group that others share are not counted among those that wait."""

from __future__ import annotations

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.client.steering import cancel_run, retry_run
from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.runs import new_run_id
from omniq_flow.model.states import RunState
from omniq_flow.observe import cancelled
from omniq_flow.observe.cancelled import CancelledReader, hide_cancelled, hide_cancelled_in_groups
from omniq_flow.observe.group_view import GroupReader, GroupView
from omniq_flow.observe.groups import GroupSnapshot, read_groups
from omniq_flow.observe.overview import CANCELLED_RUNS, Overview, OverviewReader
from omniq_flow.observe.queues import QueueSnapshot, read_queue
from omniq_flow.ops import keys
from omniq_flow.ops.jobs import publish
from omniq_flow.ops.runs import run_header, run_start
from omniq_flow.tui.link import LookingClient
from tests.observe.drive import Again, Drive
from tests.observe.flows import plan, step
from tests.support.server import Server

SHARED = "acme"


@pytest.fixture
def drive(client: Client, queue: str) -> Drive:
    """Runs of five steps that do not wait for each other."""
    return Drive(client, plan(queue, *(step(name, attempts=3) for name in "abcde"), on_failure="continue"))


def begin(drive: Drive, gid: str = SHARED) -> str:
    return drive.client.execute(run_start(drive.plan, new_run_id(), b"null", gid=gid, with_plan=True)).run_id


def seen(client: Client, queue: str) -> QueueSnapshot:
    (found,) = hide_cancelled(client, [read_queue(client, queue)])
    return found


def group(client: Client, queue: str, gid: str = SHARED) -> GroupSnapshot:
    (found,) = hide_cancelled_in_groups(client, queue, read_groups(client, queue, [gid]))
    return found


def numbers(client: Client, queue: str) -> tuple[int, int, int, int]:
    """What waits, and what waits for nothing: of the queue, of the group."""
    of_queue, of_group = seen(client, queue), group(client, queue)
    return of_queue.group_waiting, of_queue.cancelled_waiting, of_group.waiting, of_group.cancelled_waiting


def test_what_waits_of_a_cancelled_run_is_told_apart(client: Client, queue: str, drive: Drive) -> None:
    """Beside another run and plain jobs, in this group and in another; and nothing is left of it when all were taken."""
    one, other = begin(drive), begin(drive)
    for gid in (SHARED, "else"):
        client.execute(publish(queue, {}, options=JobOptions(gid=gid)))
    assert numbers(client, queue) == (12, 0, 11, 0)
    cancel_run(client, queue, one)
    assert numbers(client, queue) == (7, 5, 6, 5)
    assert read_queue(client, queue).group_waiting == 12
    assert (group(client, queue, "else").waiting, group(client, queue, "none").waiting) == (1, 0)
    while taken := drive.take():
        drive.report([job for job in taken if job.flow])
    assert client.execute(run_header(queue, one)).state is RunState.CANCELLED
    assert client.execute(run_header(queue, other)).state is RunState.SUCCEEDED
    assert numbers(client, queue) == (0, 0, 0, 0)


def test_what_is_worked_does_not_wait(client: Client, queue: str, drive: Drive) -> None:
    run_id = begin(drive)
    (job,) = drive.take(1)
    cancel_run(client, queue, run_id)
    assert numbers(client, queue) == (0, 4, 0, 4)
    drive.report([job])
    assert numbers(client, queue) == (0, 4, 0, 4)


def test_what_is_delayed_does_not_wait(client: Client, queue: str, drive: Drive, redis_conn: redis.Redis) -> None:
    """A cancel that has taken away only a piece leaves delayed jobs for the next."""
    run_id = begin(drive)
    drive.report(drive.take(1), lambda step_run: Again(60_000))
    (late,) = redis_conn.zrange(f"{{{queue}}}:delayed", 0, -1)
    redis_conn.hset(keys.header(queue, run_id), "state", "cancelling")
    assert late
    assert numbers(client, queue) == (0, 4, 0, 4)
    cancel_run(client, queue, run_id)
    assert numbers(client, queue) == (0, 4, 0, 4)


def test_runs_with_groups_of_their_own_leave_nothing(client: Client, queue: str, drive: Drive) -> None:
    cancel_run(client, queue, begin(drive, gid=""))
    assert (seen(client, queue).group_waiting, seen(client, queue).cancelled_waiting) == (0, 0)


def test_a_cancelled_run_that_was_retried_counts_again(client: Client, queue: str, drive: Drive) -> None:
    """A reader that knew it as cancelled sees that it goes on."""
    run_id = begin(drive)
    (job,) = drive.take(1)
    cancel_run(client, queue, run_id)
    reader = CancelledReader()
    assert reader.read(client, [queue])[queue].by_group == {SHARED: 4}
    drive.report([job])
    drive.work()
    retry_run(client, queue, run_id)
    assert reader.read(client, [queue])[queue].by_group == {}
    assert numbers(client, queue)[:2] == (4, 0)


def test_a_queue_of_which_only_such_jobs_wait_still_needs_a_worker(client: Client, queue: str, drive: Drive) -> None:
    cancel_run(client, queue, begin(drive))
    assert (seen(client, queue).state, group(client, queue).state) == ("no worker", "ready")


@pytest.mark.parametrize(("name", "value"), [("MOST_RUNS", 2), ("MOST_IDS", 0)])
def test_what_cannot_be_told_is_counted_and_said(
    client: Client, queue: str, drive: Drive, monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    """Too many runs go on, or too many jobs are worked, to look at them all."""
    runs = [begin(drive) for _ in range(4)]
    drive.take(1)
    assert not seen(client, queue).may_count_cancelled
    monkeypatch.setattr(cancelled, name, value)
    cancel_run(client, queue, runs[0])
    found = seen(client, queue)
    assert found.may_count_cancelled
    assert found.group_waiting + found.cancelled_waiting == 19


def test_states_are_read_in_turn_where_there_are_many(client: Client, queue: str, drive: Drive) -> None:
    """It is not whole until each was read once, and sees changes within a round."""
    runs = [begin(drive) for _ in range(10)]
    reader = CancelledReader()
    told = [reader.read(client, [queue], most=3)[queue].is_whole for _ in range(4)]
    assert told == [False, False, False, True]
    for run_id in runs[2:6]:
        cancel_run(client, queue, run_id)
    found = [reader.read(client, [queue], most=3)[queue] for _ in range(4)][-1]
    assert (found.by_group, found.is_whole) == ({SHARED: 20}, True)
    found = reader.read(client, [queue], most=3, most_cancelled=3)[queue]
    assert (found.by_group, found.is_whole) == ({SHARED: 15}, False)


def test_it_takes_three_round_trips(server: Server, client: Client, queue: str, drive: Drive) -> None:
    for _ in range(10):
        cancel_run(client, queue, begin(drive))
    with LookingClient.open(server.url) as looking:
        assert isinstance(looking, LookingClient)
        hide_cancelled(looking, [QueueSnapshot(queue, group_waiting=1), QueueSnapshot(f"{queue}b", group_waiting=1)])
        assert (looking.trips, looking.commands) == (3, 4 + 10 + (10 + 1 + 3))


def test_the_first_screen_does_not_count_them(client: Client, queue: str, drive: Drive) -> None:
    """Soon after it was opened, and no longer than they are there."""
    run_id = begin(drive)
    client.execute(publish(queue, {}, options=JobOptions(gid="else")))
    cancel_run(client, queue, run_id)
    reader = OverviewReader()
    (found,) = [reader.read(client, [queue]).queues for _ in range(3)][-1]
    assert (found.group_waiting, found.cancelled_waiting) == (1, 5)
    while taken := drive.take():
        drive.report([job for job in taken if job.flow])
    picture = [reader.read(client, [queue]) for _ in range(5)][-1]
    assert (picture.queues[0].group_waiting, picture.queues[0].cancelled_waiting) == (0, 0)


def test_a_queue_of_which_only_such_jobs_wait_is_told_to_need_a_worker(client: Client, queue: str, drive: Drive) -> None:
    cancel_run(client, queue, begin(drive))
    reader = OverviewReader()
    needs = [reader.read(client, [queue]).needs for _ in range(4)][-1]
    assert [need.what for need in needs] == ["5 of cancelled runs to put away, no worker serves it"]


def test_the_list_of_groups_does_not_count_them(client: Client, queue: str, drive: Drive) -> None:
    runs = [begin(drive), begin(drive)]
    cancel_run(client, queue, runs[0])
    reader = GroupReader()
    (found,) = [reader.read(client, queue, 0, 20).groups for _ in range(3)][-1]
    assert (found.waiting, found.cancelled_waiting) == (5, 5)
    drive.work()
    assert [reader.read(client, queue, 0, 20).groups for _ in range(2)][-1] == ()


def test_screens_keep_to_their_budget_with_many_of_them(server: Server, client: Client, redis_conn: redis.Redis) -> None:
    """Twenty queues, in each thirty runs of which ten are being cancelled, in groups of their customers."""
    names = [f"busy{n:02}" for n in range(20)]
    pipe = redis_conn.pipeline(transaction=False)
    for name in names:
        pipe.hset(keys.queue_key(name, "stats"), "group_waiting", 60)
        for n in range(30):
            gid, state = f"g{n}", "cancelling" if n % 3 == 0 else "running"
            pipe.zadd(keys.live(name), {f"r{n}": n})
            pipe.hset(keys.header(name, f"r{n}"), mapping={"state": state, "open": 2, "gid": gid, "flow": "f", "sha": "x"})
            pipe.rpush(keys.queue_key(name, "g", gid, "wait"), "a", "b")
            pipe.zadd(keys.queue_key(name, "groups", "ready"), {gid: n})
    pipe.execute()
    overview, groups, picture, view = OverviewReader(), GroupReader(), Overview(), GroupView("")
    with LookingClient.open(server.url) as looking:
        assert isinstance(looking, LookingClient)
        for _ in range(60):
            looking.start_count()
            picture = overview.read(looking, names)
            assert (looking.trips <= 3, looking.commands <= 150) == (True, True)
            looking.start_count()
            view = groups.read(looking, names[0], 0, 30)
            assert (looking.trips <= 3, looking.commands <= 150) == (True, True)
    assert {g.gid: (g.waiting, g.cancelled_waiting) for g in view.groups} == {f"g{n}": (0, 2) if n % 3 == 0 else (2, 0) for n in range(30)}
    assert sum(queue.cancelled_waiting for queue in picture.queues) == 2 * CANCELLED_RUNS
    assert all(queue.may_count_cancelled for queue in picture.queues if queue.cancelled_waiting < 20)
    assert {queue.group_waiting + queue.cancelled_waiting for queue in picture.queues} == {60}
