"""C89: more failed jobs than one call takes are refused as a batch, and a half-done batch is done twice."""

from __future__ import annotations

import pytest

from omniq_flow.lua import assemble
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from omniq_flow.ops.runs import run_retry
from tests.cases.command import Said, begin, command, end
from tests.cases.rig import Rig
from tests.cases.sent import is_call_of
from tests.support.proxy import DROP_REQUEST, PASS, Action, Proxy, Seen, then
from tests.support.until import wait_until

ITEMS, SLICE = 250, 100
FLOW = f"""
flow = Flow("case", retry=NO_RETRY, max_parallel=300)

@flow.step
def source() -> list[int]:
    return list(range({ITEMS}))

@flow.step
async def item(ctx: StepContext, i: int = each(source)) -> int:
    effect(ctx)
    if not os.path.exists("mended"):
        raise ValueError(f"item {{i}} is bad")
    return i

@flow.step
def join(ctx: StepContext, items: list[int] = gather(item)) -> int:
    effect(ctx)
    return sum(items)
"""
RETRY = ("jobs", "retry", "case", "--all-failed", "--yes", "--json")
REMOVE = ("jobs", "remove", "case", "--lane", "failed", "--all", "--yes", "--json")


def all_failed(rig: Rig) -> str:
    """A run of which every element has failed, and its handlers are mended since."""
    rig.write(FLOW)
    rig.worker("-c", "16")
    run = rig.start()
    assert rig.ends(run) is RunState.FAILED
    assert rig.starts(run) == {f"item-{i}": 1 for i in range(ITEMS)}
    (rig.folder / "mended").touch()
    return run


def kill_in_the_second_slice(rig: Rig, args: tuple[str, ...], script: str, when: str) -> None:
    """Run a batch that is killed in its second slice, before or after the server has done it."""
    slices = 0

    def judge(_: int, seen: Seen) -> Action:
        nonlocal slices
        slices += is_call_of(script, seen)
        if slices != 2 or not is_call_of(script, seen):
            return PASS
        if when == "after":
            return then(admin.kill)
        admin.kill()
        return DROP_REQUEST

    # So that the first call does its slice, and does not only learn that the server has yet to be told the script.
    rig.conn.script_load(assemble.load(script).source)
    with Proxy(rig.url, judge, tcp=False) as proxy:
        admin = begin(rig, *args, url=proxy.url)
        told = end(admin)
    assert told.code < 0
    assert len(told.objects) <= SLICE
    assert slices == 2


def done(said: Said) -> set[str]:
    """The jobs of which a command said that they are done; it did not refuse any."""
    assert said.code == 0, said
    assert {(row["status"], row["reason"]) for row in said.objects} <= {("OK", None)}
    return {row["job_id"] for row in said.objects}


@pytest.mark.parametrize("when", ["before", "after"])
def test_c89_a_retry_that_was_killed_is_completed_by_the_same_command(rig: Rig, when: str) -> None:
    """250 failed elements, the command is killed in its second hundred: given again it retries the others, none a second time.

    The first hundred let the run go on at once. What is asked for while it goes on is worked when it has ended.
    """
    run = all_failed(rig)
    kill_in_the_second_slice(rig, RETRY, "flow/jobs_retry", when)
    assert len(done(command(rig, *RETRY))) == ITEMS - (SLICE if when == "before" else 2 * SLICE)
    wait_until(lambda: rig.header(run).state is RunState.SUCCEEDED, "all are done", 20)
    assert rig.starts(run) == {f"item-{i}": 2 for i in range(ITEMS)} | {"join": 1}
    assert rig.output(run, "join") == sum(range(ITEMS))
    assert rig.conn.llen(keys.queue_key("case", "failed")) == 0


def test_c89_a_batch_tells_how_many_and_why_not(rig: Rig) -> None:
    """All 250 are retried by one command, which says so; named once more, each is refused with its reason."""
    run = all_failed(rig)
    (worker,) = rig.crew
    worker.freeze()
    said = command(rig, *RETRY[:-1])
    assert (said.code, said.out) == (0, f"retried {ITEMS} of {ITEMS}\n")
    again = command(rig, "jobs", "retry", "case", "--json", *(f"f.{run}.item-{i}.1" for i in range(ITEMS)))
    assert again.code == 5
    assert [row["reason"] for row in again.objects] == ["NO_JOB"] * ITEMS
    worker.thaw()
    wait_until(lambda: rig.header(run).state is RunState.SUCCEEDED, "all are done", 20)
    assert rig.starts(run) == {f"item-{i}": 2 for i in range(ITEMS)} | {"join": 1}


def test_c89_a_removal_that_was_killed_is_completed_by_the_same_command(rig: Rig) -> None:
    """All failed jobs are removed, the command is killed in its second hundred and given again; the run is retried all the same."""
    run = all_failed(rig)
    kill_in_the_second_slice(rig, REMOVE, "flow/jobs_remove", "before")
    assert rig.conn.llen(keys.queue_key("case", "failed")) == ITEMS - SLICE
    assert len(done(command(rig, *REMOVE))) == ITEMS - SLICE
    assert rig.conn.llen(keys.queue_key("case", "failed")) == 0
    assert rig.states(run) == {f"item[{i}]": "failed" for i in range(ITEMS)} | {"source": "succeeded", "join": "upstream_failed"}
    rig.client.execute(run_retry("case", run, epoch=1))
    assert rig.ends(run) is RunState.SUCCEEDED
    assert rig.starts(run) == {f"item-{i}": 2 for i in range(ITEMS)} | {"join": 1}
