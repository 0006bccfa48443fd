"""Why a step does not go on: a sentence for each thing that holds it, with its numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.client.steering import cancel_run
from omniq_flow.model.clock import now_ms
from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import Plan
from omniq_flow.model.runs import new_run_id
from omniq_flow.observe.run_watch import Focus, look_closely
from omniq_flow.observe.server_state import ServerState, server_state
from omniq_flow.observe.why import why_waiting
from omniq_flow.ops import keys
from omniq_flow.ops.jobs import publish
from omniq_flow.ops.runs import run_pause, run_start
from omniq_flow.ops.steering import queue_pause
from omniq_flow.ops.ticks import Settled
from tests.observe.drive import Again, Bad, Drive
from tests.observe.flows import join, nested, pages
from tests.support.server import ScratchServer
from tests.support.until import wait_until


def why(client: Client, queue: str, run_id: str, step: str) -> str:
    """What holds a step, `read`, or one element, `read[3]`."""
    view = look_closely(client, queue, run_id, Focus.on(StepRun.parse(step)))
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
    assert why(client, queue, run_id, "merge") == "waits for clean 0/3: clean[0], clean[1] and 1 more"
    assert why(client, queue, run_id, "clean[2]") == "waits for read[2]"
    assert why(client, queue, run_id, "clean") == ""


def test_no_worker_serves_the_queue(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    run_id = Drive(client, pages(queue)).start()
    assert why(client, queue, run_id, "split") == f"no worker serves queue {queue}"


@pytest.mark.usefixtures("worker")
def test_the_queue_is_paused(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    run_id = Drive(client, pages(queue)).start()
    client.execute(queue_pause(queue, by="ann@host", reason="deploy"))
    assert re.fullmatch(rf"queue {queue} is paused by ann@host \d+ms ago: deploy", why(client, queue, run_id, "split"))
    redis_conn.delete(keys.pause_note(queue))
    assert why(client, queue, run_id, "split") == f"queue {queue} is paused"


@pytest.mark.usefixtures("worker")
def test_the_run_is_paused(client: Client, queue: str) -> None:
    run_id = Drive(client, pages(queue)).start()
    client.execute(run_pause(queue, run_id, by="ann@host", reason="wrong customer"))
    assert re.fullmatch(r"the run is paused by ann@host \d+ms ago: wrong customer", why(client, queue, run_id, "split"))


@pytest.mark.usefixtures("worker")
def test_no_worker_has_code_for_the_step(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    run_id = Drive(client, pages(queue)).start()
    redis_conn.hset(keys.worker(queue, "w"), "serves", '{"other": ["split"]}')
    assert why(client, queue, run_id, "split") == f"no code for step split: w serves queue {queue} without it"
    redis_conn.hset(keys.worker(queue, "w"), "serves", '{"looked_at": ["split"]}')
    assert why(client, queue, run_id, "split") == ""


@pytest.mark.usefixtures("worker")
def test_the_slots_of_the_run_are_all_in_use(client: Client, queue: str) -> None:
    drive = Drive(client, replace(pages(queue), max_parallel=2))
    run_id = drive.start()
    drive.settle(drive.take(), {"split": [1, 2, 3, 4, 5]})
    reason = why(client, queue, run_id, "read")
    assert reason.startswith("3 wait for a slot: the run itself 2/2 in use by read[0], read[1], a lease ends in ")
    assert why(client, queue, run_id, "read[4]") == "1 waits for a slot: the run itself 2/2 in use by read[0], read[1]"
    assert why(client, queue, run_id, "read[0]") == ""


def started(client: Client, plan: Plan, gid: str) -> str:
    """A run whose jobs share a group with others."""
    run_id = new_run_id()
    client.execute(run_start(plan, run_id, b"{}", gid=gid, with_plan=True))
    return run_id


@pytest.mark.usefixtures("worker")
def test_who_holds_the_slots_of_a_shared_group(client: Client, queue: str) -> None:
    drive = Drive(client, replace(pages(queue), max_parallel=2))
    first = started(client, drive.plan, "acme")
    drive.take(1)
    client.execute(publish(queue, {}, job_id="plain-1", options=JobOptions(gid="acme")))
    client.execute(publish(queue, {}, job_id="elsewhere", options=JobOptions(gid="other")))
    drive.take(2)
    second = started(client, drive.plan, "acme")
    reason = why(client, queue, second, "split")
    assert reason == f"1 waits for a slot: group acme 2/2 in use by split of run {first[-6:]}, job plain-1"


@pytest.mark.usefixtures("worker")
def test_a_group_whose_holders_are_not_found(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    run_id = started(client, replace(pages(queue), max_parallel=2), "acme")
    redis_conn.set(keys.queue_key(queue, "g", "acme", "inflight"), 2)
    assert why(client, queue, run_id, "split") == "1 waits for a slot: group acme holds 2 of 2"


def test_all_slots_of_the_workers_are_busy(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    run_id = Drive(client, pages(queue)).start()
    redis_conn.zadd(keys.workers(queue), {"w": now_ms() + 60_000})
    redis_conn.hset(keys.worker(queue, "w"), mapping={"serves": '{"looked_at": ["split"]}', "concurrency": 4, "busy": 4})
    assert why(client, queue, run_id, "split") == "1 waits for a worker: all 4 slots are busy"


@pytest.mark.usefixtures("worker")
def test_back_off_until_the_next_attempt(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue, attempts=3))
    run_id = drive.start()
    drive.settle(drive.settle(drive.take(), {"split": [1]}), {"read[0]": Again(60_000)})
    assert re.fullmatch(r"read\[0\]: in back-off, retry 2/3 in (59\.\d|60\.0)s", why(client, queue, run_id, "read"))


@pytest.mark.usefixtures("worker")
def test_a_job_that_was_handed_back_is_delayed(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue))
    run_id = drive.start()
    (job,) = drive.take()
    drive.take(0, settled=[Settled(job.job_id, job.token, "release", 60_000)])
    assert re.fullmatch(r"split: delayed until \d\d:\d\d:\d\d, in (59\.\d|60\.0)s", why(client, queue, run_id, "split"))


@pytest.mark.usefixtures("worker")
def test_the_lease_of_a_silent_worker_has_ended(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    drive = Drive(client, pages(queue))
    run_id = drive.start()
    (job,) = drive.take()
    redis_conn.hset(keys.job(queue, job.job_id), "lock_until_ms", 1)
    assert why(client, queue, run_id, "split") == "split: the lease of a worker that is silent ended; it is taken back soon"


@pytest.mark.parametrize("how", ["it is not present", "it extends no lease"])
def test_a_lease_is_held_by_a_silent_worker(client: Client, redis_conn: redis.Redis, queue: str, how: str) -> None:
    redis_conn.zadd(keys.workers(queue), {"other" if how == "it is not present" else "w": now_ms() + 60_000})
    drive = Drive(client, pages(queue))
    run_id = drive.start()
    (job,) = drive.take()
    quiet_ms = 2_000 if how == "it is not present" else 20_500
    redis_conn.hset(keys.job(queue, job.job_id), "lock_until_ms", now_ms() + 30_000 - quiet_ms)
    redis_conn.hset(keys.job(queue, job.job_id), "last_started_ms", now_ms() - 60_000)
    said = r"split: leased to worker w that is silent, last heard of (2|20)\.\ds ago; the lease ends in (27|28|9)\.\ds"
    assert re.fullmatch(said, why(client, queue, run_id, "split"))


def test_a_lease_that_was_extended_in_time_is_no_reason(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    """A worker that is not known yet, and one that is a little late."""
    drive = Drive(client, pages(queue))
    run_id = drive.start()
    (job,) = drive.take()
    assert why(client, queue, run_id, "split") == f"no worker serves queue {queue}"
    redis_conn.zadd(keys.workers(queue), {"w": now_ms() + 60_000})
    redis_conn.hset(keys.job(queue, job.job_id), mapping={"lock_until_ms": now_ms() + 15_000, "last_started_ms": now_ms() - 60_000})
    assert why(client, queue, run_id, "split") == ""


@pytest.mark.usefixtures("worker")
def test_a_job_that_ended_without_a_report(client: Client, redis_conn: redis.Redis, queue: str) -> None:
    drive = Drive(client, pages(queue))
    run_id = drive.start()
    (job,) = drive.take()
    redis_conn.hset(keys.job(queue, job.job_id), "state", "completed")
    assert why(client, queue, run_id, "split") == "split: its job ended without a report; the next sweep looks after it"


@pytest.mark.usefixtures("worker")
def test_a_failure_above_it(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue))
    run_id = drive.finished({"split": [1, 2], "read[1]": Bad("no")})
    assert why(client, queue, run_id, "merge") == "never tried: read[1] failed"
    assert why(client, queue, run_id, "clean[1]") == "never tried: read[1] failed"


@pytest.mark.usefixtures("worker")
def test_a_run_that_was_cancelled(client: Client, queue: str) -> None:
    drive = Drive(client, join(queue))
    run_id = drive.start()
    (x1, *_) = drive.take(1)
    cancel_run(client, queue, run_id, by="ann@host", reason="wrong customer")
    by = r" by ann@host \d+ms ago: wrong customer"
    assert re.fullmatch(rf"the run is being cancelled{by}: 1 of its step runs are still open", why(client, queue, run_id, "x1"))
    drive.report([x1], {"x1": Bad("stopped")})
    assert re.fullmatch(rf"cancelled with the run{by}", why(client, queue, run_id, "y1"))
    assert re.fullmatch(rf"never tried: the run was cancelled{by}", why(client, queue, run_id, "j"))


@pytest.mark.usefixtures("worker")
def test_elements_of_a_map_of_maps(client: Client, queue: str) -> None:
    """They are found by the heads of the lanes, and by name."""
    drive = Drive(client, replace(nested(queue), max_parallel=2))
    run_id = drive.start()
    taken = drive.settle(drive.take(), {"pages": [1, 2]})
    drive.settle(taken, {"regions": [1, 2, 3]})
    reason = why(client, queue, run_id, "cell")
    assert reason.startswith("4 wait for a slot: the run itself 2/2 in use by cell[0][0], cell[0][1], a lease ends in ")
    assert why(client, queue, run_id, "cell[1][2]").startswith("1 waits for a slot")
    assert why(client, queue, run_id, "sum[1]") == "waits for cell[1]"


@pytest.mark.usefixtures("worker")
def test_elements_far_behind_in_a_long_list_are_found(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue, attempts=3))
    run_id = drive.start()
    taken = drive.settle(drive.take(), {"split": list(range(90))})
    more = drive.settle(taken, lambda run: Again(60_000) if run == StepRun("read", (88,)) else run.step)
    drive.settle(more, lambda run: Again(60_000) if run == StepRun("read", (88,)) else run.step)
    assert why(client, queue, run_id, "read").startswith("read[88]: in back-off, retry 2/3 in ")


def test_what_the_server_says_of_itself() -> None:
    """A server that refuses writes says so in what it tells; one that serves says nothing."""
    parse = server_state().parse
    serving = "used_memory:100\r\nmaxmemory:200\r\nmaxmemory_policy:noeviction\r\nrole:master\r\nrdb_last_bgsave_status:ok\r\n"
    assert parse(serving.encode()).refusals == []
    assert parse(serving.encode()).memory == 0.5
    assert parse(b"").refusals == []
    full = serving.replace("used_memory:100", f"used_memory:{3 << 20}").replace("maxmemory:200", f"maxmemory:{2 << 20}")
    assert parse(full).refusals == ["the server is out of memory, 3.0 MiB of 2.0 MiB: it refuses what needs more (OOM)"]
    assert parse(full + f"mem_not_counted_for_evict:{2 << 20}\r\n").refusals == []
    assert parse(full.replace("noeviction", "allkeys-lru")).refusals == []
    (said,) = parse(serving.replace("bgsave_status:ok", "bgsave_status:err")).refusals
    assert said.endswith("it refuses writes, if stop-writes-on-bgsave-error is on (MISCONF)")
    assert parse(serving + "aof_last_write_status:err\r\n").refusals == [
        "the server could not write its append-only file: it refuses writes (MISCONF)"
    ]
    replica = serving.replace("master", "slave") + "master_host:db1\r\nmaster_port:6379\r\nslave_read_only:1\r\n"
    assert parse(replica).refusals == ["the server is a read-only replica of db1:6379 (READONLY)"]
    assert parse(replica.replace("read_only:1", "read_only:0")) == replace(parse(serving))


def test_a_server_that_refuses_writes_is_the_first_reason() -> None:
    """Out of memory, and then a replica of nobody who is there: asked, not guessed."""
    with ScratchServer() as own, Client.open(own.url) as client, own.connection() as conn:
        run_id = Drive(client, pages("full")).start()
        conn.zadd(keys.workers("full"), {"w": now_ms() + 60_000})
        conn.config_set("maxmemory", "100kb")
        assert why(client, "full", run_id, "split").startswith("the server is out of memory, ")
        conn.config_set("maxmemory", "0")
        conn.execute_command("REPLICAOF", "127.0.0.1", "1")
        assert why(client, "full", run_id, "split") == "the server is a read-only replica of 127.0.0.1:1 (READONLY)"
        conn.execute_command("REPLICAOF", "NO", "ONE")
        (own.folder / "dump.rdb").mkdir()
        conn.execute_command("BGSAVE")
        wait_until(lambda: client.execute(server_state()).cannot_save, "the save has failed")
        assert "(MISCONF)" in why(client, "full", run_id, "split")


def test_who_may_not_ask_the_server_is_told_the_rest(client: Client, redis_conn: redis.Redis) -> None:
    with ScratchServer() as own, Client.open(own.url) as admin:
        run_id = Drive(admin, pages("mine")).start()
        with Client.open(own.user("ann", "secret", "~*", "+@all", "-@dangerous")) as limited:
            assert why(limited, "mine", run_id, "split") == "no worker serves queue mine"
            assert look_closely(limited, "mine", run_id, Focus("split")).close.server == ServerState()


@pytest.mark.usefixtures("worker")
def test_what_is_worked_or_done_waits_for_nothing(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue))
    run_id = drive.start()
    drive.take()
    assert why(client, queue, run_id, "split") == ""
    done = drive.finished({"split": [1]})
    assert why(client, queue, done, "merge") == ""
