"""C61: one dead job is found and ended several times, or a job is declared dead right after its start."""

from __future__ import annotations

from collections import Counter

from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.cases.consumers import Plain
from tests.cases.rig import Rig
from tests.support.until import wait_until

WORKERS = 5
EACH = 3
FLOW = """
flow = Flow("case", lease="2s", retry=QUICK)

@flow.step
def source() -> list[int]:
    return list(range(15))

@flow.step
def work(ctx: StepContext, n: int = each(source)) -> int:
    effect(ctx)
    while not os.path.exists("go"):
        time.sleep(0.01)
    return ctx.attempt

@flow.step
def join(ctx: StepContext, all: list[int] = gather(work)) -> list[int]:
    effect(ctx)
    return all
"""


def test_c61_of_five_that_sweep_one_finds_each_dead_job(rig: Rig) -> None:
    """Five workers hold three jobs each and one is killed: its three are tried again, once and with one attempt more; no other is.

    All others run on until that has happened.
    """
    rig.write(FLOW)
    crew = rig.workers(WORKERS, "-c", str(EACH))
    run = rig.start()
    wait_until(lambda: len(rig.effects("start", run)) == WORKERS * EACH, "all work")
    held = Counter(e.pid for e in rig.effects("start", run))
    assert held == {worker.pid: EACH for worker in crew}
    dead = crew[0]
    lost = sorted(e.id for e in rig.effects("start", run) if e.pid == dead.pid)
    dead.kill()
    wait_until(lambda: sum(e.event.startswith("retry") for e in rig.events(run)) == len(lost), "its jobs are found")
    (rig.folder / "go").touch()
    assert rig.ends(run) is RunState.SUCCEEDED
    events = [event.event for event in rig.events(run)]
    assert sorted(e for e in events if e.startswith("retry")) == [f"retry {element} 1 1" for element in lost]
    assert rig.starts(run) == {f"work-{n}": 1 + (f"work-{n}" in lost) for n in range(WORKERS * EACH)} | {"join": 1}
    assert rig.output(run, "join") == [1 + (f"work-{n}" in lost) for n in range(WORKERS * EACH)]
    jobs = {element: keys.job(rig.flow.queue, f"f.{run}.{element}.1") for element in rig.starts(run) if element != "join"}
    errors = {element: rig.conn.hget(job, "last_error") or b"" for element, job in jobs.items()}
    assert {element for element, error in errors.items() if b"lease lost: attempt 1/3" in error} == set(lost)
    assert [error for element, error in errors.items() if error and element not in lost] == []


def test_c61_a_dead_consumers_plain_jobs_are_reaped_once(rig: Rig) -> None:
    """Three plain jobs with each of five consumers, one killed: three second attempts, no third, and no trace of it on the others."""
    plain = Plain(
        rig,
        """
        def handler(ctx):
            note(ctx)
            while not os.path.exists("go"):
                time.sleep(0.01)
        """,
    )
    crew = plain.consumers(WORKERS, EACH)
    names = [f"job-{n}" for n in range(WORKERS * EACH)]
    plain.publish_all(((name, None) for name in names), options=JobOptions(timeout_ms=2_000, backoff_ms=200))
    wait_until(lambda: len(rig.effects()) == len(names), "all work")
    assert Counter(e.pid for e in rig.effects()) == {consumer.pid: EACH for consumer in crew}
    lost = {e.id for e in rig.effects() if e.pid == crew[0].pid}
    crew[0].kill()
    wait_until(lambda: all(plain.field(name, "last_error") for name in lost), "its jobs are found")
    (rig.folder / "go").touch()
    plain.ends()
    assert rig.starts() == {name: 1 + (name in lost) for name in names}
    assert {name: plain.field(name, "attempt") for name in names} == {name: str(1 + (name in lost)) for name in names}
    assert {name for name in names if plain.field(name, "last_error")} == lost
