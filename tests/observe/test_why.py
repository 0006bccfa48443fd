"""Why a step does not go on: a sentence for each thing that holds it, with its numbers."""

from __future__ import annotations

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.model.clock import now_ms
from omniq_flow.observe.run_watch import Focus, RunView, RunWatch
from omniq_flow.observe.why import why_waiting
from omniq_flow.ops import keys
from omniq_flow.ops.steering import queue_pause
from tests.observe.drive import Again, Bad, Drive
from tests.observe.flows import join, pages


def look(client: Client, queue: str, run_id: str, step: str) -> RunView:
    """The run with this step looked at closely; twice, since a job is shown one tick late."""
    watch = RunWatch(queue, run_id)
    watch.read(client, Focus(step))
    return watch.read(client, Focus(step))


def why(client: Client, queue: str, run_id: str, step: str) -> str:
    view = look(client, queue, run_id, step)
    return "; ".join(why_waiting(view.snapshot, view.close))


@pytest.fixture
def worker(redis_conn: redis.Redis, queue: str) -> None:
    """A worker that says that it is there."""
    redis_conn.zadd(keys.workers(queue), {"w": now_ms() + 60_000})


@pytest.mark.usefixtures("worker")
def test_steps_and_elements_that_it_waits_for(client: Client, queue: str) -> None:
    drive = Drive(client, join(queue))
    run_id = drive.start()
    assert why(client, queue, run_id, "j") == "waits for x3, y1"
    assert why(client, queue, run_id, "k") == "waits for j"


@pytest.mark.usefixtures("worker")
def test_elements_of_a_list_are_counted(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue))
    run_id = drive.start()
    taken = drive.settle(drive.take(), {"split": [1, 2, 3]})
    drive.settle(taken[:2], {})
    assert why(client, queue, run_id, "merge") == "waits for clean 0/3"


def test_no_worker_serves_the_queue(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    run_id = Drive(client, pages(queue)).start()
    assert why(client, queue, run_id, "split") == f"no worker serves queue {queue}"


@pytest.mark.usefixtures("worker")
def test_the_queue_is_paused(client: Client, queue: str) -> None:
    run_id = Drive(client, pages(queue)).start()
    client.execute(queue_pause(queue, by="ann"))
    assert why(client, queue, run_id, "split") == f"queue {queue} is paused"


@pytest.mark.usefixtures("worker")
def test_no_worker_has_code_for_the_step(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    run_id = Drive(client, pages(queue)).start()
    redis_conn.hset(keys.worker(queue, "w"), "serves", '{"other": ["split"]}')
    assert why(client, queue, run_id, "split") == f"no code for step split: w serves queue {queue} without it"
    redis_conn.hset(keys.worker(queue, "w"), "serves", '{"looked_at": ["split"]}')
    assert why(client, queue, run_id, "split") == ""


@pytest.mark.usefixtures("worker")
def test_the_group_holds_all_its_slots(client: Client, queue: str) -> None:
    from dataclasses import replace

    drive = Drive(client, replace(pages(queue), max_parallel=2))
    run_id = drive.start()
    drive.settle(drive.take(), {"split": [1, 2, 3, 4, 5]})
    reason = why(client, queue, run_id, "read")
    assert reason.startswith(f"3 wait for a slot: group {run_id} holds 2 of 2, a lease ends in ")


@pytest.mark.usefixtures("worker")
def test_back_off_until_the_next_attempt(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue, attempts=3))
    run_id = drive.start()
    drive.settle(drive.settle(drive.take(), {"split": [1]}), {"read[0]": Again(60_000)})
    reason = why(client, queue, run_id, "read")
    assert reason.startswith("read[0]: back-off, attempt 2 of 3 in ")


@pytest.mark.usefixtures("worker")
def test_the_lease_of_a_silent_worker_has_ended(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    drive = Drive(client, pages(queue))
    run_id = drive.start()
    (job,) = drive.take()
    redis_conn.hset(keys.job(queue, job.job_id), "lock_until_ms", 1)
    assert why(client, queue, run_id, "split") == "split: the lease of a worker that is silent ended; it is taken back soon"


@pytest.mark.usefixtures("worker")
def test_a_failure_above_it(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue))
    run_id = drive.finished({"split": [1, 2], "read[1]": Bad("no")})
    assert why(client, queue, run_id, "merge") == "never tried: what it needs has failed"


@pytest.mark.usefixtures("worker")
def test_what_is_worked_or_done_waits_for_nothing(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue))
    run_id = drive.start()
    drive.take()
    assert why(client, queue, run_id, "split") == ""
    done = drive.finished({"split": [1]})
    assert why(client, queue, done, "merge") == ""
