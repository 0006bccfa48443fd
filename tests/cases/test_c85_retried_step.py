"""C85: a failed step is retried and succeeds, and what it held back stays "upstream failed"."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from omniq_flow.model.runs import Failure
from omniq_flow.model.states import RunState
from omniq_flow.observe.reading import read_run
from omniq_flow.ops.runs import run_retry
from tests.cases.command import command
from tests.cases.rig import Rig

BRANCHES = """
flow = Flow("case", retry=NO_RETRY)

@flow.step
def a(ctx: StepContext) -> int:
    effect(ctx)
    if not os.path.exists("mended"):
        raise ValueError("not yet")
    return 1

@flow.step
def b(ctx: StepContext, n: int = result(a)) -> int:
    effect(ctx)
    return n + 1

@flow.step
def x(ctx: StepContext) -> int:
    effect(ctx)
    return 10

@flow.step
def c(ctx: StepContext, n: int = result(b), more: int = result(x)) -> int:
    effect(ctx)
    return n + more
"""
ITEMS, BAD, WORSE = 50, 7, 31
MAP = f"""
flow = Flow("case", retry=NO_RETRY)

@flow.step
def source(ctx: StepContext) -> list[int]:
    effect(ctx)
    return list(range({ITEMS}))

@flow.step
def item(ctx: StepContext, i: int = each(source)) -> int:
    effect(ctx)
    if os.path.exists(f"bad-{{i}}"):
        raise ValueError(f"item {{i}} is bad")
    return i

@flow.step
def join(ctx: StepContext, items: list[int] = gather(item)) -> int:
    effect(ctx)
    return sum(items)
"""
Retry = Callable[[Rig, str, str], None]


def by_job(rig: Rig, run: str, step_run: str) -> None:
    """Retry the job that failed, by the command line."""
    job = f"f.{run}.{step_run}.1"
    failed = {found["job_id"]: found["step"] for found in command(rig, "jobs", "list", "case", "--lane", "failed", "--json").objects}
    assert failed[job]["run_id"] == run
    said = command(rig, "jobs", "retry", "case", job)
    assert (said.code, said.out) == (0, f"retried {job}\n")


def by_step_run(rig: Rig, run: str, step_run: str) -> None:
    """Retry the run, but only this failure."""
    assert rig.client.execute(run_retry("case", run, epoch=1, only=[step_run])).is_new


def by_run(rig: Rig, run: str, step_run: str) -> None:
    """Retry the whole run."""
    assert rig.client.execute(run_retry("case", run, epoch=1)).is_new


def words(rig: Rig, run: str) -> list[str]:
    """The states of the run, one after the other."""
    return [entry.event.split()[1] for entry in rig.events(run) if entry.event.startswith("run ")]


@pytest.mark.parametrize("retry", [by_job, by_step_run, by_run])
def test_c85_what_a_failed_step_held_back_runs_after_it(rig: Rig, retry: Retry) -> None:
    """`a` failed for good and held back b and c: retried, all three run and x does not; the run is failed, running, succeeded."""
    rig.write(BRANCHES)
    rig.worker()
    run = rig.start()
    assert rig.ends(run) is RunState.FAILED
    assert rig.states(run) == {"a": "failed", "b": "upstream_failed", "c": "upstream_failed", "x": "succeeded"}
    (rig.folder / "mended").touch()
    retry(rig, run, "a")
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.states(run) == dict.fromkeys("abcx", "succeeded")
    assert rig.output(run, "c") == 12
    assert rig.starts(run) == {"a": 2, "b": 1, "c": 1, "x": 1}
    assert rig.dispatches(run) == {"a": 2, "b": 1, "c": 1, "x": 1}
    assert words(rig, run)[-3:] == ["failed", "running", "succeeded"]
    assert rig.counters() == []
    snapshot = read_run(rig.client, "case", run)
    assert (snapshot.word, snapshot.failures) == ("succeeded", ())


@pytest.mark.parametrize("retry", [by_job, by_step_run])
def test_c85_one_element_is_worked_again_and_the_join_after_it(rig: Rig, retry: Retry) -> None:
    """Of 50 elements one failed: retried, this one and the join run, and nothing else."""
    rig.write(MAP)
    rig.worker("-c", "4")
    (rig.folder / f"bad-{BAD}").touch()
    run = rig.start()
    assert rig.ends(run) is RunState.FAILED
    before = rig.starts(run)
    assert before == {"source": 1} | {f"item-{i}": 1 for i in range(ITEMS)}
    (rig.folder / f"bad-{BAD}").unlink()
    retry(rig, run, f"item-{BAD}")
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.starts(run) - before == {f"item-{BAD}": 1, "join": 1}
    assert rig.output(run, "join") == sum(range(ITEMS))
    assert words(rig, run)[-3:] == ["failed", "running", "succeeded"]
    assert rig.counters() == []


def test_c85_a_failure_that_was_not_asked_for_stays(rig: Rig) -> None:
    """Two elements failed and one is retried: the other is left alone and fails the run again; the join runs when both are mended."""
    rig.write(MAP)
    rig.worker("-c", "4")
    for bad in (BAD, WORSE):
        (rig.folder / f"bad-{bad}").touch()
    run = rig.start()
    assert rig.ends(run) is RunState.FAILED
    for bad in (BAD, WORSE):
        (rig.folder / f"bad-{bad}").unlink()
    by_step_run(rig, run, f"item-{BAD}")
    assert rig.ends(run) is RunState.FAILED
    starts = rig.starts(run)
    assert (starts[f"item-{BAD}"], starts[f"item-{WORSE}"], starts["join"]) == (2, 1, 0)
    assert rig.failure(run, f"item[{WORSE}]") == Failure("ValueError", f"item {WORSE} is bad", f"item-{WORSE}", 1)
    by_job(rig, run, f"item-{WORSE}")
    assert rig.ends(run) is RunState.SUCCEEDED
    starts = rig.starts(run)
    assert (starts[f"item-{BAD}"], starts[f"item-{WORSE}"], starts["join"]) == (2, 2, 1)
    assert starts.total() == ITEMS + 4
