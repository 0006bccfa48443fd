"""C90: failed jobs that are retried while their queue is paused end in a lane that nobody reads."""

from __future__ import annotations

from omniq_flow.model.jobs import JobOptions
from omniq_flow.observe.queues import read_queue
from omniq_flow.ops import admin
from tests.cases.plain import PLAIN, publish
from tests.cases.rig import Rig
from tests.support.until import wait_until

APP = f"""
{PLAIN}
@app.handler(queue="case")
def work(ctx: JobContext, job: dict[str, Any]) -> None:
    job_effect(ctx)
    if job.get("is_bad") and not os.path.exists("mended"):
        raise ValueError("bad")
"""
ONCE = JobOptions(max_attempts=1, timeout_ms=5_000, backoff_ms=0)
FIRST = [f"first-{n}" for n in range(10)]
BAD = [f"bad-{n}" for n in range(5)]
LATER = [f"later-{n}" for n in range(3)]


def test_c90_all_of_them_wait_and_start_after_the_resume(rig: Rig) -> None:
    """Ten wait, five have failed, the queue is paused, the five are retried and three more published: 18 wait, none starts; after the
    resume all do, the first ten in their order.
    """
    rig.write(APP)
    worker = rig.worker("-c", "1", "--poll", "50ms")
    for name in BAD:
        publish(rig, name, ONCE, {"is_bad": True})
    wait_until(lambda: read_queue(rig.client, "case").failed == len(BAD), "five have failed")
    worker.freeze()
    for name in FIRST:
        publish(rig, name, ONCE)
    rig.client.execute(admin.pause("case"))
    worker.thaw()
    before = len(rig.effects())
    assert all(item.status == "OK" for item in rig.client.execute(admin.retry_failed_batch("case", BAD)))
    for name in LATER:
        publish(rig, name, ONCE)
    (rig.folder / "mended").touch()
    seen = read_queue(rig.client, "case")
    assert (seen.waiting, seen.failed, seen.active, seen.is_paused) == (18, 0, 0, True)
    looks = seen.at_ms
    wait_until(lambda: read_queue(rig.client, "case").at_ms > looks + 1_000, "the worker has looked many times")
    assert len(rig.effects()) == before
    assert read_queue(rig.client, "case").waiting == 18
    rig.client.execute(admin.resume("case"))
    wait_until(lambda: read_queue(rig.client, "case").completed == 18, "all are done")
    started = [e.id for e in rig.effects()][before:]
    assert sorted(started) == sorted([*FIRST, *BAD, *LATER])
    assert [name for name in started if name in FIRST] == FIRST
