"""C87: a flow that is cleaned up job by job leaves helper keys behind, until the server has no memory left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from omniq_flow.errors import NotFound
from omniq_flow.model.states import RunState
from omniq_flow.ops import admin
from omniq_flow.ops.runs import run_header, run_purge, run_retry
from tests.cases.rig import FAR_MS, Rig
from tests.support.until import wait_until

# Lists in lists in lists, as deep as they go. The values of `large` have keys of their own.
FLOW = """
flow = Flow("case", input=N, lease="1s", retry=QUICK, retention="7d")

@flow.step
def shelves(n: N) -> list[int]:
    return [0, 1]

@flow.step
def books(shelf: int = each(shelves)) -> list[int]:
    return [0, 1]

@flow.step
def pages(book: int = each(books)) -> list[int]:
    return list(range(10))

@flow.step
def large(book: int = each(books)) -> str:
    return "x" * 70_000

@flow.step
async def read(ctx: StepContext, n: N, page: int = each(pages)) -> int:
    effect(ctx)
    if page == 5 and n.text == "fails":
        ctx.fail("page 5 is bad")
    if page == 5 and n.text == "mended" and not os.path.exists(ctx.run_id):
        ctx.fail("page 5 is bad for now")
    while n.text == "held" and not os.path.exists("go"):
        await asyncio.sleep(0.01)
    return page

@flow.step
def of_book(read: list[int] = gather(read), text: str = result(large)) -> int:
    return sum(read) + len(text)

@flow.step
def total(all_books: list[list[int]] = gather(gather(of_book))) -> int:
    return sum(map(sum, all_books))
"""
LEAVES = 40
EACH = 4


def keyspace(rig: Rig) -> dict[str, Any]:
    """All keys with what they hold, but for what workers tell of themselves, which expires."""
    read: dict[str, Callable[[bytes], Any]] = {
        "string": rig.conn.get,
        "hash": rig.conn.hgetall,
        "set": rig.conn.smembers,
        "list": lambda key: rig.conn.lrange(key, 0, -1),
        "zset": lambda key: rig.conn.zrange(key, 0, -1),
    }
    kinds = {key: cast("bytes", rig.conn.type(key)).decode() for key in rig.conn.scan_iter(count=1_000) if rig.conn.ttl(key) < 0}
    return {key.decode(): read[kind](key) for key, kind in kinds.items() if kind != "none"}


def purge(rig: Rig, limit: int = 200) -> int:
    """What the upkeep of a worker does when the retention of all runs is over; how many calls it took."""
    calls = 1
    while rig.client.execute(run_purge("case", keep_runs=0, limit=limit, now_ms=FAR_MS)).has_more:
        calls += 1
    return calls


def runs_in_all_states(rig: Rig) -> dict[str, list[str]]:
    """A few runs that succeeded, failed, were retried with and without success, and lost a worker in their fan-out."""
    runs = {"succeeds": [rig.start() for _ in range(EACH)]}
    runs |= {word: [rig.start({"text": word}) for _ in range(2 * EACH)] for word in ("fails", "mended")}
    for run in (*runs["fails"], *runs["mended"]):
        assert rig.ends(run) is RunState.FAILED
    for n, run in enumerate(runs["mended"]):
        (rig.folder / run).touch()
        if n % 2:
            rig.client.execute(run_retry("case", run, epoch=1))
        else:
            failed = [f"f.{run}.{at.id}.1" for at, fact in rig.facts(run).items() if fact.state == "F"]
            assert {item.status for item in rig.client.execute(admin.retry_failed_batch("case", failed))} == {"OK"}
    for run in runs["fails"][::2]:
        # Done again from its list on, and failed again.
        rig.client.execute(run_retry("case", run, epoch=1, redo=["books"]))
    runs["held"] = [rig.start({"text": "held"}) for _ in range(2)]
    victim = rig.worker("-c", "4")
    wait_until(lambda: any(e.pid == victim.pid for e in rig.effects()), "the victim works")
    victim.kill()
    (rig.folder / "go").touch()
    for word, some in runs.items():
        for run in some:
            assert rig.ends(run) is (RunState.FAILED if word == "fails" else RunState.SUCCEEDED)
    return runs


@pytest.mark.parametrize("limit", [200, 7], ids=["pieces", "small pieces"])
def test_c87_nothing_is_left_of_a_run_however_it_ended(rig: Rig, limit: int) -> None:
    """Succeeded, failed, retried, killed amid its fan-out, with lists three deep: after the purge no key is more than there was before.

    A purge goes by pieces, so that none holds up the server. 26 runs stand for 200. `S6`.
    """
    rig.write(FLOW)
    rig.worker("-c", "8")
    first = rig.start()
    assert rig.ends(first) is RunState.SUCCEEDED
    purge(rig)
    before = keyspace(rig)
    runs = [run for some in runs_in_all_states(rig).values() for run in some]
    assert purge(rig, limit) > len(runs) * (limit < LEAVES)
    after = keyspace(rig)
    assert set(after) - set(before) == set()
    assert [key for key, held in after.items() if any(run in f"{key} {held}" for run in [first, *runs])] == []


def test_c87_a_run_that_goes_on_is_not_purged(rig: Rig) -> None:
    """Whatever the clock says, a run that goes on stays, also one that is retried; it ends well, and then it is purged."""
    rig.write(FLOW)
    rig.worker("-c", "8")
    mended = rig.start({"text": "mended"})
    assert rig.ends(mended) is RunState.FAILED
    held = rig.start({"text": "held"})
    wait_until(lambda: rig.starts(held), "the other run works")
    (worker,) = rig.crew
    worker.freeze()
    (rig.folder / mended).touch()
    rig.client.execute(run_retry("case", mended, epoch=1))
    assert purge(rig) == 1
    assert {rig.header(run).state for run in (held, mended)} == {RunState.RUNNING}
    worker.thaw()
    (rig.folder / "go").touch()
    for run in (held, mended):
        assert rig.ends(run) is RunState.SUCCEEDED
    purge(rig)
    for run in (held, mended):
        with pytest.raises(NotFound):
            rig.client.execute(run_header("case", run))
