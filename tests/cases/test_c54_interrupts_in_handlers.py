"""C54: an interrupt or `sys.exit()` in a handler ends the worker, and its job stays leased."""

from __future__ import annotations

import signal
import time

import pytest

from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.cases.consumers import Plain
from tests.cases.rig import Rig
from tests.support.until import wait_until

HANDED_BACK = 9
# A second, and what a busy machine adds.
WITHIN_S = 2.0
WAYS = ("SystemExit", "KeyboardInterrupt", "CancelledError", "GeneratorExit", "MemoryError", "RecursionError")
FLOW = """
flow = Flow("case", lease="30s", retry=QUICK)

def recurse() -> None:
    recurse()

def end(way: str) -> None:
    if way == "SystemExit":
        raise SystemExit(3)
    if way == "RecursionError":
        recurse()
    raise {"KeyboardInterrupt": KeyboardInterrupt, "CancelledError": asyncio.CancelledError, "GeneratorExit": GeneratorExit,
           "MemoryError": MemoryError}[way]("from the handler")

@flow.step
def ways() -> list[str]:
    return ["SystemExit", "KeyboardInterrupt", "CancelledError", "GeneratorExit", "MemoryError", "RecursionError"]

@flow.step(retry=NO_RETRY)
def in_thread(ctx: StepContext, way: str = each(ways)) -> int:
    effect(ctx)
    end(way)
    return 1

@flow.step(retry=NO_RETRY)
async def on_loop(ctx: StepContext, way: str = each(ways)) -> int:
    effect(ctx)
    end(way)
    return 1

@flow.step(retry=NO_RETRY, process=True)
def in_process(ctx: StepContext, way: str = each(ways)) -> int:
    effect(ctx)
    end(way)
    return 1

@flow.step
def retried(ctx: StepContext, way: str = each(ways)) -> int:
    effect(ctx, f"attempt {ctx.attempt}")
    if ctx.attempt == 1:
        end(way)
    return os.getpid()
"""
HOLD = """
flow = Flow("case", input=N, lease="LEASE", retry=QUICK)

@flow.step
def work(ctx: StepContext, n: N) -> int:
    effect(ctx)
    if ctx.attempt == 1 and n.text == "exit":
        os._exit(1)
    while n.text == "hold" and not os.path.exists("go") and not ctx.is_cancelled:
        time.sleep(0.02)
    return ctx.attempt
"""


def test_c54_whatever_a_handler_raises_ends_its_attempt_and_nothing_else(rig: Rig) -> None:
    """In a thread, on the loop, in a process: the step fails within a second and says why, or is tried again; the worker lives."""
    rig.write(FLOW)
    worker = rig.worker()
    run = rig.start()
    assert rig.ends(run) is RunState.FAILED
    failed_at = {e.event.split()[1]: e.at_ms / 1000 for e in rig.events(run) if e.event.startswith("F ")}
    ahead = time.time() - time.monotonic()
    began_at = {e.id: e.at + ahead for e in rig.effects("start", run)}
    for step in ("in_thread", "on_loop", "in_process"):
        for n, way in enumerate(WAYS):
            assert rig.failure(run, f"{step}[{n}]").type == way
            assert failed_at[f"{step}-{n}"] - began_at[f"{step}-{n}"] <= WITHIN_S
    assert rig.failure(run, "in_thread[0]").message == "3"
    assert rig.failure(run, "on_loop[1]").message == "from the handler"
    assert [rig.output(run, f"retried[{n}]") for n in range(len(WAYS))] == [worker.pid] * len(WAYS)
    assert len(rig.effects("attempt 2", run)) == len(WAYS)
    assert worker.is_alive


def test_c54_a_handler_that_ends_its_process_is_recovered_when_its_lease_is_over(rig: Rig) -> None:
    """`os._exit` is a death like any other: another worker has the job within lease, backoff and two looks (C49)."""
    rig.write(HOLD.replace("LEASE", "1s"))
    first = rig.worker()
    run = rig.start({"text": "exit"})
    assert first.process.wait(5) == 1
    died = time.monotonic()
    rig.crew.remove(first)
    rig.worker()
    # Lease and backoff, or when there is a worker again; and two looks.
    latest = max(died + 1 + 0.2, time.monotonic()) + 2
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.output(run, "work") == 2
    assert rig.effects("start", run)[1].at <= latest


@pytest.mark.parametrize("times", [1, 2])
def test_c54_a_real_interrupt_stops_the_worker(rig: Rig, times: int) -> None:
    """ctrl-c lets the worker finish its job and leave; a second one gives the job back at once, with its attempt and its lease."""
    rig.write(HOLD.replace("LEASE", "30s"))
    first = rig.worker()
    run = rig.start({"text": "hold"})
    wait_until(lambda: rig.starts(run)["work"], "the job runs")
    first.process.send_signal(signal.SIGINT)
    wait_until(lambda: "drains: 1 jobs" in first.said(), "the worker drains")
    if times == 1:
        (rig.folder / "go").touch()
        assert first.process.wait(5) == 0
        assert rig.ends(run, 1) is RunState.SUCCEEDED
    else:
        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(5) == HANDED_BACK
        assert "Traceback" not in first.said()
        rig.crew.remove(first)
        job = keys.job(rig.flow.queue, f"f.{run}.work.1")
        assert rig.conn.hmget(job, "state", "attempt", "lease_token") == [b"wait", b"0", b""]
        rig.conn.flushall()


PLAIN = """
def recurse():
    recurse()

def handler(ctx):
    note(ctx)
    way = ctx.payload
    if way == "exit" and ctx.attempt == 1:
        os._exit(1)
    if way == "SystemExit":
        raise SystemExit(3)
    if way == "RecursionError":
        recurse()
    if way == "CancelledError":
        raise asyncio.CancelledError
    if way in ("KeyboardInterrupt", "GeneratorExit", "MemoryError"):
        raise {"KeyboardInterrupt": KeyboardInterrupt, "GeneratorExit": GeneratorExit, "MemoryError": MemoryError}[way]("from the handler")
"""


def test_c54_a_plain_job_that_raises_such_a_thing_fails_and_says_so(rig: Rig) -> None:
    """Each fails within a second with the type in its error, and the consumer works on; one that takes its process with it is recovered."""
    plain = Plain(rig, PLAIN)
    first = plain.consumer()
    plain.publish_all(((way, way) for way in WAYS), options=JobOptions(max_attempts=1))
    wait_until(lambda: all(plain.field(way, "state") == "failed" for way in WAYS), "all have failed")
    ahead = time.time() - time.monotonic()
    for start in rig.effects():
        assert plain.field(start.id, "last_error").startswith(start.id)
        assert int(plain.field(start.id, "failed_ms")) / 1000 - (start.at + ahead) <= WITHIN_S
    assert first.is_alive
    plain.publish("exit", "exit", options=JobOptions(timeout_ms=1_000, backoff_ms=200))
    assert first.process.wait(5) == 1
    rig.crew.remove(first)
    plain.consumer()
    wait_until(lambda: plain.field("exit", "state") == "completed", "another one does it", 5)
    assert plain.field("exit", "attempt") == "2"
