"""C53: an orderly shutdown stops extending leases, or cuts the job short, and it is run again elsewhere."""

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
FLOW = """
flow = Flow("case", input=N, lease="LEASE", retry=NO_RETRY)

@flow.step
def work(ctx: StepContext, n: N) -> int:
    effect(ctx)
    while n.text == "hold" and not os.path.exists("go") and not ctx.is_cancelled:
        time.sleep(0.02)
    return os.getpid()
"""
LEASES_S = 3.0


def test_c53_a_worker_that_drains_finishes_its_job_and_takes_no_other(rig: Rig) -> None:
    """SIGTERM amid a job of three leases: the worker that leaves commits it, once, with exit code 0; new work goes to the other."""
    rig.write(FLOW.replace("LEASE", "1s"))
    first = rig.worker()
    long = rig.start({"text": "hold"})
    wait_until(lambda: rig.starts(long)["work"], "the long job runs")
    second = rig.worker()
    first.process.terminate()
    wait_until(lambda: "drains: 1 jobs" in first.said(), "the worker drains")
    later = [rig.start({}) for _ in range(20)]
    assert [rig.ends(run) for run in later] == [RunState.SUCCEEDED] * 20
    assert {rig.output(run, "work") for run in later} == {second.pid}
    (start,) = rig.effects("start", long)
    wait_until(lambda: time.monotonic() > start.at + LEASES_S, "three leases go by")
    assert first.is_alive, "it still works its job"
    (rig.folder / "go").touch()
    assert rig.ends(long) is RunState.SUCCEEDED
    assert first.process.wait(5) == 0
    assert rig.effects("start", long) == [start]
    assert (start.pid, rig.output(long, "work")) == (first.pid, first.pid)


@pytest.mark.parametrize("how", ["second signal", "time is over"])
def test_c53_what_takes_too_long_is_handed_back_at_once(rig: Rig, how: str) -> None:
    """A second SIGTERM, or the end of `--drain-timeout`, puts the job back in its lane, and another worker starts it: its lease is 30 s.

    It costs no attempt (the step has but one), and the exit code says that work was left unfinished.
    """
    rig.write(FLOW.replace("LEASE", "30s"))
    first = rig.worker("--drain-timeout", "30s" if how == "second signal" else "500ms")
    run = rig.start({"text": "hold"})
    wait_until(lambda: rig.starts(run)["work"], "the job runs")
    second = rig.worker()
    first.process.terminate()
    wait_until(lambda: "drains: 1 jobs" in first.said(), "the worker drains")
    told = time.monotonic()
    if how == "second signal":
        first.process.terminate()
    assert first.process.wait(5) == HANDED_BACK
    assert "Traceback" not in first.said()
    rig.crew.remove(first)
    wait_until(lambda: len(rig.effects("start", run)) == 2, "the other one starts it")
    again = rig.effects("start", run)[1]
    assert again.at - told < 10, "not when the lease of 30 s ends"
    assert (again.pid, again.attempt) == (second.pid, 1)
    (rig.folder / "go").touch()
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.output(run, "work") == second.pid
    assert rig.conn.zcard(keys.queue_key(rig.flow.queue, "active")) == 0


HOLD = """
def handler(ctx):
    note(ctx)
    while ctx.payload == "hold" and not os.path.exists("go") and not ctx.is_cancelled:
        time.sleep(0.02)
    note(ctx, "end")
"""


def test_c53_a_consumer_of_plain_jobs_drains(rig: Rig) -> None:
    """SIGTERM amid a job of three leases: it is done once by the consumer that leaves, with exit code 0; new jobs go to the other."""
    plain = Plain(rig, HOLD, verbose=True)
    first = plain.consumer()
    plain.publish("long", "hold", options=JobOptions(max_attempts=1, timeout_ms=1_000))
    wait_until(lambda: rig.starts()["long"], "the long job runs")
    second = plain.consumer()
    first.process.terminate()
    wait_until(lambda: "SIGTERM" in first.said(), "the consumer drains")
    plain.publish_all(((f"new-{n}", 0) for n in range(20)), options=JobOptions(timeout_ms=1_000))
    wait_until(lambda: len(rig.effects("end")) == 20, "the new jobs are done")
    (start,) = [e for e in rig.effects() if e.id == "long"]
    wait_until(lambda: time.monotonic() > start.at + LEASES_S, "three leases go by")
    assert first.is_alive, "it still works its job"
    (rig.folder / "go").touch()
    assert first.process.wait(5) == 0
    assert plain.field("long", "state") == "completed"
    assert rig.starts()["long"] == 1
    pids = {e.id: e.pid for e in rig.effects("end")}
    assert pids == {f"new-{n}": second.pid for n in range(20)} | {"long": first.pid}


def test_c53_a_consumer_that_is_told_twice_hands_its_job_back(rig: Rig) -> None:
    """A second ctrl-c puts the job back in its lane, with its only attempt, long before its lease ends; the exit tells of the interrupt."""
    plain = Plain(rig, HOLD, verbose=True)
    first = plain.consumer()
    plain.publish("long", "hold", options=JobOptions(max_attempts=1, timeout_ms=30_000))
    wait_until(lambda: rig.starts()["long"], "the long job runs")
    first.process.send_signal(signal.SIGINT)
    wait_until(lambda: "SIGINT" in first.said(), "the consumer drains")
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(5) != 0
    rig.crew.remove(first)
    assert [plain.field("long", name) for name in ("state", "attempt", "lease_token")] == ["wait", "0", ""]
    second = plain.consumer()
    (rig.folder / "go").touch()
    wait_until(lambda: plain.field("long", "state") == "completed", "the other one does it")
    assert [(e.pid, e.attempt) for e in rig.effects()] == [(first.pid, 1), (second.pid, 1)]
