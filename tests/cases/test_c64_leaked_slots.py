"""C64: slots of whoever died stay taken, and all that is behind them waits for ever."""

from __future__ import annotations

import time

import pytest

from omniq_flow.cli.commands.worker import UNFINISHED
from omniq_flow.model.jobs import JobOptions
from omniq_flow.observe.queues import read_queue
from omniq_flow.ops import keys
from tests.cases.effects import Effect
from tests.cases.plain import PLAIN, publish
from tests.cases.rig import Rig, WorkerProcess
from tests.support.until import wait_until

EACH_ROUND, LIMIT, ROUNDS, GID = 4, 2, 4, "of:1"
APP = f"""
{PLAIN}
def run(is_over) -> None:
    ends_at = time.monotonic() + 0.3
    while time.monotonic() < ends_at and not is_over():
        time.sleep(0.01)

@app.handler(queue="case")
def work_job(ctx: JobContext) -> None:
    job_effect(ctx)
    run(ctx.cancelled.is_set)
    job_effect(ctx, "end")

flow = Flow("case", input=N, group="of:{{input.n}}", max_parallel={LIMIT}, lease="1s", retry=Retry(attempts=20, delay="50ms"))

@flow.step
def work(ctx: StepContext, n: N) -> int:
    effect(ctx)
    run(ctx.cancelled.is_set)
    effect(ctx, "end")
    return ctx.attempt
"""


def attempt_of(e: Effect) -> tuple[str, str, int, int]:
    return e.run, e.id, e.attempt, e.pid


def holder(rig: Rig) -> WorkerProcess | None:
    """A worker that holds a slot right now, as far as the log of effects tells."""
    ended = {attempt_of(e) for e in rig.effects("end")}
    working = {e.pid for e in rig.effects() if attempt_of(e) not in ended}
    return next((worker for worker in rig.crew if worker.pid in working and worker.is_alive), None)


def peak(rig: Rig, gone: dict[int, float]) -> int:
    """How many handlers ran at once; what a worker ran when it was told to go counts until then."""
    ended = {attempt_of(e): e.at for e in rig.effects("end")}
    never = time.monotonic()
    spans = [(e.at, min(ended.get(attempt_of(e), never), gone.get(e.pid, never))) for e in rig.effects()]
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


def inflight(rig: Rig) -> int:
    return int(rig.conn.get(keys.queue_key("case", "g", GID, "inflight")) or b"0")


@pytest.mark.parametrize("is_plain", [False, True], ids=["flow", "plain"])
def test_c64_slots_come_back_from_whoever_is_gone(rig: Rig, is_plain: bool) -> None:
    """Workers that hold a slot are killed and sent away with no time to finish, by turns: all jobs end, never more than two at once.

    4 rounds each way stand for 20. Nobody repairs anything; the last slot is given back.
    """
    rig.write(APP)
    rig.workers(3, "-c", "1", "--drain-timeout", "0s")
    gone: dict[int, float] = {}
    most = 0
    for turn in range(ROUNDS):
        for n in range(EACH_ROUND):
            if is_plain:
                publish(rig, f"{turn}-{n}", JobOptions(20, 1_000, 50, gid=GID, group_limit=LIMIT))
            else:
                rig.start({"n": 1})
        chosen = wait_until(lambda: holder(rig), "somebody holds a slot", 20)
        assert chosen is not None
        gone[chosen.pid] = time.monotonic()
        if turn % 2:
            assert chosen.stop() == UNFINISHED
            # The rig takes any code above zero for a crash.
            rig.crew.remove(chosen)
        else:
            chosen.kill()
        rig.worker("-c", "1", "--drain-timeout", "0s", wait=False)
        most = max(most, inflight(rig))
    wait_until(lambda: read_queue(rig.client, "case").completed == ROUNDS * EACH_ROUND, "all jobs are done", 25)
    assert peak(rig, gone) == LIMIT
    assert most <= LIMIT
    assert inflight(rig) == 0
    assert len(rig.effects()) > ROUNDS * EACH_ROUND, "some of them were started again"
