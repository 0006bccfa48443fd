"""C71: the server is shared with a cache and evicts keys: figures, locks and jobs vanish without a word."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

import pytest

from omniq_flow.engine.worker import Worker
from omniq_flow.errors import NotFound
from omniq_flow.flow.definition import Flow
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.cases.rig import Rig
from tests.engine.life import working
from tests.support.server import ScratchServer
from tests.support.until import until, wait_until

ITEMS, SLOTS = 12, 4
FLOW = f"""
FOLDER = os.path.dirname(os.environ["CASE_EFFECTS"])
flow = Flow("case", lease="2s", retry=NO_RETRY, max_parallel={SLOTS})

@flow.step
def source() -> list[int]:
    return list(range({ITEMS}))

@flow.step
def item(ctx: StepContext, n: int = each(source)) -> int:
    effect(ctx)
    while n and not os.path.exists(os.path.join(FOLDER, "go")):
        time.sleep(0.01)
    return n

@flow.step
def join(ctx: StepContext, items: list[int] = gather(item)) -> int:
    effect(ctx)
    return sum(items)
"""
POLICIES = {"allkeys-lru": True, "volatile-lru": True, "noeviction": False}


@pytest.mark.parametrize("policy", POLICIES)
async def test_c71_a_worker_warns_of_the_policy(rig: Rig, caplog: pytest.LogCaptureFixture, policy: str) -> None:
    """At its start a worker warns once of a server that may evict, and names the policy; of one that does not it says nothing."""
    flow = rig.write(FLOW)
    with ScratchServer(options=("--maxmemory", "100mb", "--maxmemory-policy", policy)) as server:
        said = await told(caplog, flow, server, server.url)
    expected = f"{server.url.removesuffix('/0')} may remove jobs and runs when its memory is short: its maxmemory-policy is {policy}"
    assert said == ([(logging.WARNING, expected + "; set it to noeviction")] if POLICIES[policy] else [])


async def test_c71_a_policy_that_cannot_be_read_is_unknown(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A worker whose user may not ask says that it does not know, and works."""
    flow = rig.write(FLOW)
    with ScratchServer() as server:
        url = server.user("plain", "secret", "~*", "&*", "+@all", "-info", "-config")
        ((level, text),) = await told(caplog, flow, server, url)
    assert level == logging.INFO
    assert "is unknown (the user may not do this (NOPERM)" in text
    assert "secret" not in text


async def told(caplog: pytest.LogCaptureFixture, flow: Flow, server: ScratchServer, url: str) -> list[tuple[int, str]]:
    """What a worker says of the policy, seen until it has looked after its queue once."""
    caplog.set_level(logging.INFO)
    with server.connection() as conn:
        async with working(Worker([flow], url=url)):
            await until(lambda: conn.zcard(keys.workers("case")), "it has looked after its queue")
    return [(r.levelno, r.getMessage()) for r in caplog.records if "maxmemory-policy" in r.getMessage()]


def gates(rig: Rig, run: str) -> str:
    return keys.gates("case", run, int(cast("bytes", rig.conn.hget(keys.header("case", run), "gen"))))


GONE: dict[str, tuple[Callable[[Rig, str], str], str]] = {
    "counter": (lambda rig, run: rig.counters()[0], ""),
    "counted members": (lambda rig, run: rig.counters()[-1], ""),
    "group's list": (lambda rig, run: keys.queue_key("case", "g", run, "wait"), ""),
    "leases": (lambda rig, run: keys.queue_key("case", "active"), ""),
    "gates": (gates, "no collection of:item"),
    "states": (lambda rig, run: keys.states("case", run), "its states are gone"),
    "plan": (lambda rig, run: keys.plan("case", rig.flow.plan().sha), "has no step item"),
}


@pytest.mark.parametrize("kind", GONE)
def test_c71_a_key_of_a_live_run_is_gone(rig: Rig, kind: str) -> None:
    """Amid a map one of its keys is deleted: the run is repaired and succeeds with all its items, or fails and says what is missing.

    A run is looked after every 5 s here: that moment is moved to now. Jobs and outputs that are gone are C28, C72 and C20.
    """
    key_of, says = GONE[kind]
    rig.write(FLOW)
    rig.worker("-c", str(SLOTS), "--poll", "50ms")
    run = rig.start()
    wait_until(lambda: len(rig.effects()) == SLOTS + 1, "it is amid its map")
    assert rig.conn.delete(key_of(rig, run)) == 1
    (rig.folder / "go").touch()
    wait_until(lambda: not rig.conn.zcard("{case}:active") or rig.header(run).state.is_ended, "what ran has ended")
    rig.conn.zadd(keys.live("case"), {run: 1}, xx=True)
    state = rig.ends(run, 15)
    if says:
        assert state is RunState.FAILED
        assert says in rig.header(run).damage
    else:
        assert state is RunState.SUCCEEDED
        assert rig.output(run, "join") == sum(range(ITEMS))
    assert rig.starts(run)["join"] == (not says)
    rig.conn.flushall()


def test_c71_a_run_without_a_record_is_no_run(rig: Rig) -> None:
    """Once its header is gone a run cannot be told from one that never was, and says so; its jobs are put away unstarted, others go on."""
    rig.write(FLOW)
    rig.worker("-c", str(SLOTS), "--poll", "50ms")
    run = rig.start()
    wait_until(lambda: len(rig.effects()) == SLOTS + 1, "it is amid its map")
    assert rig.conn.delete(keys.header("case", run)) == 1
    (rig.folder / "go").touch()
    other = rig.start()
    assert rig.ends(other) is RunState.SUCCEEDED
    with pytest.raises(NotFound, match=f"no run {run} in queue case"):
        rig.header(run)
    wait_until(lambda: not rig.conn.llen(keys.queue_key("case", "g", run, "wait")), "its jobs are put away")
    assert len(rig.effects(run=run)) == SLOTS + 1
    rig.conn.flushall()
