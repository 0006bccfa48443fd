"""Jobs of a lane in pages, one job, and searches that tell how far they looked."""

from __future__ import annotations

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.errors import NotFound
from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.names import StepRun
from omniq_flow.observe import jobs as looking
from omniq_flow.observe.jobs import JobFilter, find_ids, read_job, read_jobs
from omniq_flow.ops import jobs
from omniq_flow.ops.lanes import LaneName
from tests.observe.drive import Drive
from tests.observe.flows import plan, step

NOW = 1_800_000_000_000


def _failed(client: Client, queue: str, count: int) -> None:
    """Failed jobs f0 (the oldest) to f<count - 1>; the even ones in group `even`, errors `boom <n>`."""
    for n in range(count):
        options = JobOptions(max_attempts=1, gid="" if n % 2 else "even")
        client.execute(jobs.publish(queue, {"n": n}, job_id=f"f{n}", options=options, now_ms=NOW + n))
        lease = client.execute(jobs.reserve(queue, now_ms=NOW + n))
        assert not isinstance(lease, (jobs.Empty, jobs.Paused))
        client.execute(jobs.ack_fail(lease, f"Boom {n}", now_ms=NOW + n))


def _ids(client: Client, queue: str, lane: LaneName, *, gid: str = "", where: JobFilter = looking.EVERY, limit: int = 100) -> list[str]:
    return [job.job_id for job in read_jobs(client, queue, lane, gid=gid, where=where, limit=limit).jobs]


def test_each_lane_has_its_order(client: Client, queue: str) -> None:
    """What comes next first; of what has ended, the newest."""
    for n in range(3):
        client.execute(jobs.publish(queue, {}, job_id=f"w{n}", now_ms=NOW))
        client.execute(jobs.publish(queue, {}, job_id=f"g{n}", options=JobOptions(gid="g:1"), now_ms=NOW))
        client.execute(jobs.publish(queue, {}, job_id=f"d{n}", options=JobOptions(due_ms=NOW + 100 - n), now_ms=NOW + n))
    assert _ids(client, queue, "wait") == ["w0", "w1", "w2"]
    assert _ids(client, queue, "gwait", gid="g:1") == ["g0", "g1", "g2"]
    assert _ids(client, queue, "delayed") == ["d2", "d1", "d0"]
    for at in (NOW, NOW - 5_000):
        client.execute(jobs.reserve(queue, now_ms=at))
    assert _ids(client, queue, "active") == ["w0", "g0"], "the next to lapse first"
    _failed(client, f"{queue}b", 3)
    assert _ids(client, f"{queue}b", "failed") == ["f2", "f1", "f0"]
    assert _ids(client, queue, "completed") == []


def test_pages_go_through_a_lane(client: Client, queue: str) -> None:
    _failed(client, queue, 7)
    pages = [read_jobs(client, queue, "failed", offset=at, limit=3) for at in (0, 3, 6, 9)]
    assert [[job.job_id for job in page.jobs] for page in pages] == [["f6", "f5", "f4"], ["f3", "f2", "f1"], ["f0"], []]
    assert [page.has_more for page in pages] == [True, True, False, False]
    assert {page.length for page in pages} == {7}


def test_a_page_is_never_longer_than_a_hundred(client: Client, queue: str, redis_conn: redis.Redis) -> None:
    for n in range(120):
        client.execute(jobs.publish(queue, {}, job_id=f"w{n:03}"))
    page = read_jobs(client, queue, "wait", limit=1_000)
    assert (len(page.jobs), page.has_more) == (100, True)


def test_a_search_pages_over_what_fits_and_tells_how_many_it_looked_at(client: Client, queue: str) -> None:
    _failed(client, queue, 12)
    even = JobFilter(gid="even")
    first = read_jobs(client, queue, "failed", where=even, limit=4)
    assert ([job.job_id for job in first.jobs], first.looked_at, first.length) == (["f10", "f8", "f6", "f4"], 12, 12)
    assert first.has_more
    second = read_jobs(client, queue, "failed", where=even, offset=4, limit=4)
    assert [job.job_id for job in second.jobs] == ["f2", "f0"]
    assert not second.has_more


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        (JobFilter(error="boom 1"), ["f11", "f10", "f1"]),
        (JobFilter(error="BOOM 10", gid="even"), ["f10"]),
        (JobFilter(since_ms=NOW + 9), ["f11", "f10", "f9"]),
        (JobFilter(error="nothing like it"), []),
    ],
)
def test_what_fits(client: Client, queue: str, where: JobFilter, ids: list[str]) -> None:
    _failed(client, queue, 12)
    assert _ids(client, queue, "failed", where=where) == ids
    assert list(find_ids(client, queue, "failed", where).ids) == ids


def test_a_search_for_all_is_bounded_and_says_so(client: Client, queue: str) -> None:
    _failed(client, queue, 12)
    found = find_ids(client, queue, "failed", most=5)
    assert (found.ids, found.looked_at, found.left) == (("f11", "f10", "f9", "f8", "f7"), 5, 7)
    assert find_ids(client, queue, "failed").left == 0


def test_ids_without_jobs_are_left_out_of_a_page_but_not_of_a_search_for_all(client: Client, queue: str, redis_conn: redis.Redis) -> None:
    """A ghost can be named, so that it can be dealt with; there is nothing of it to show."""
    _failed(client, queue, 3)
    redis_conn.delete(f"{{{queue}}}:job:f1")
    assert _ids(client, queue, "failed") == ["f2", "f0"]
    assert find_ids(client, queue, "failed").ids == ("f2", "f1", "f0")


@pytest.mark.parametrize("size", [2, 500])
def test_an_id_that_stands_twice_in_a_lane_is_shown_once(
    client: Client, queue: str, redis_conn: redis.Redis, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """In one slice, or in two: a lane moves while it is walked."""
    monkeypatch.setattr(looking, "_SLICE", size)
    _failed(client, queue, 3)
    redis_conn.rpush(f"{{{queue}}}:failed", "f2")
    assert _ids(client, queue, "failed", where=JobFilter(error="Boom")) == ["f2", "f1", "f0"]
    assert find_ids(client, queue, "failed").ids == ("f2", "f1", "f0")


def test_only_short_payloads_are_read_for_a_list(client: Client, queue: str) -> None:
    client.execute(jobs.publish(queue, {"a": 1}, job_id="short"))
    client.execute(jobs.publish(queue, {"a": "x" * 5_000}, job_id="long"))
    found = {job.job_id: (job.payload, job.payload_bytes) for job in read_jobs(client, queue, "wait", with_payload=True).jobs}
    assert found == {"short": ('{"a":1}', 7), "long": (None, 5_008)}
    assert read_job(client, queue, "long").payload == '{"a":"' + "x" * 5_000 + '"}'


def test_one_job_with_all_that_is_known_of_it(client: Client, queue: str) -> None:
    options = JobOptions(max_attempts=5, timeout_ms=9_000, backoff_ms=70, gid="g")
    client.execute(jobs.publish(queue, {"a": 1}, job_id="j", options=options, now_ms=NOW))
    lease = client.execute(jobs.reserve(queue, now_ms=NOW + 1))
    assert not isinstance(lease, (jobs.Empty, jobs.Paused))
    found = read_job(client, queue, "j")
    assert (found.state, found.gid, found.attempt, found.max_attempts) == ("active", "g", 1, 5)
    assert (found.timeout_ms, found.backoff_ms, found.lock_until_ms, found.since_ms) == (9_000, 70, NOW + 9_001, NOW + 1)
    assert (found.worker, found.step) == ("", None)
    client.execute(jobs.ack_fail(lease, "no", now_ms=NOW + 2))
    found = read_job(client, queue, "j")
    assert (found.state, found.due_ms, found.last_error, found.lock_until_ms) == ("delayed", NOW + 72, "no", 0)


def test_a_job_of_a_flow_tells_its_step_and_its_worker(client: Client, queue: str, redis_conn: redis.Redis) -> None:
    drive = Drive(client, plan(queue, step("a")))
    run_id = drive.start()
    redis_conn.zadd(f"{{{queue}}}:flow:w", {"other": 4e12, "w": 4e12})
    (taken,) = drive.take(1)
    found = read_job(client, queue, taken.job_id)
    assert found.step is not None
    assert (found.step.run_id, found.step.step_run, found.worker) == (run_id, StepRun("a"), "w")
    redis_conn.hset(f"{{{queue}}}:job:{taken.job_id}", "lease_token", "of-somebody-else")
    assert read_job(client, queue, taken.job_id).worker == "", "the lease that w took is not the one that counts"


def test_a_job_that_is_not_there_is_not_found(client: Client, queue: str) -> None:
    with pytest.raises(NotFound, match="no job 'none'"):
        read_job(client, queue, "none")


def test_an_error_that_is_no_utf8_is_shown_with_escapes(client: Client, queue: str, redis_conn: redis.Redis) -> None:
    _failed(client, queue, 1)
    redis_conn.hset(f"{{{queue}}}:job:f0", "last_error", b"caf\xc3")
    assert read_jobs(client, queue, "failed").jobs[0].last_error == "caf\\xc3"
