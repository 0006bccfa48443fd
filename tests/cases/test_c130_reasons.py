"""C130: a step just looks stuck, and nothing tells what holds it."""

from __future__ import annotations

import json
import re
from typing import Any

from omniq_flow.model.clock import now_ms
from omniq_flow.model.names import StepRun
from omniq_flow.model.states import RunState
from omniq_flow.observe.run_watch import Focus, look_closely
from omniq_flow.observe.why import why_waiting
from omniq_flow.ops import keys
from omniq_flow.ops.ticks import Settled, tick
from omniq_flow.tui.run_text import step_lines
from omniq_flow.tui.text import plain
from tests.cases.command import command
from tests.cases.rig import Rig
from tests.support.until import wait_until

ONE = """
flow = Flow("NAME", queue="NAME", lease="60s")

@flow.step
def first(ctx: StepContext) -> int:
    effect(ctx)
    time.sleep(HOLDS)
    return 1

@flow.step
def second(n: int = result(first)) -> int:
    return n
"""
CASE = """
from pathlib import Path

flow = Flow("case", input=N, max_parallel=2, group="{input.text}", retry=Retry(attempts=3, backoff="fixed", delay="60s", jitter=False))

@flow.step
def items(n: N) -> list[int]:
    return list(range(n.n))

@flow.step
async def work(ctx: StepContext, i: int = each(items)) -> int:
    effect(ctx)
    while i >= 3 and not Path("open").exists():
        await asyncio.sleep(0.02)
    return i

@flow.step
def join(found: list[int] = gather(work)) -> int:
    return len(found)

@flow.step
def last(n: int = result(join)) -> int:
    return n

@flow.step
def flaky(ctx: StepContext) -> int:
    if ctx.attempt == 1 and not Path("open").exists():
        raise ValueError("no")
    return 1
"""
LATER_STEP = """
@flow.step
def added() -> int:
    return 1
"""
WHO = r"\S+@\S+ \S+ ago: "
AGE = r"[\dms.]+"


def test_c130_one_line_with_the_right_reason_for_each(rig: Rig) -> None:
    """Ten steps that do not go on, for ten reasons: the command and the screen's picture tell the same one, with its numbers."""
    source = ONE.replace("HOLDS", "60")
    flows = {name: rig.write(source.replace("NAME", name), name) for name in ("paused", "nobody", "later", "old", "held")}
    rig.worker("-q", "held")
    held = rig.start()
    wait_until(lambda: rig.starts(held), "the silent worker has it")
    rig.crew[0].freeze()
    # What it said of itself expires after 15 s; the case does not wait for that.
    rig.conn.delete(keys.workers("held"))
    later = rig.start(flow=flows["later"])
    (job,) = rig.client.execute(tick("later", worker="hand", request="1", salt="s", take=1)).taken
    rig.client.execute(tick("later", worker="hand", request="2", salt="s", settled=[Settled(job.job_id, job.token, "release", 60_000)]))
    assert command(rig, "queues", "pause", "paused", "--reason", "deploy").code == 0
    rig.write(CASE)
    rig.worker(*(word for name in ("case", "paused", "later", "old", "held") for word in ("-q", name)))
    newer = rig.write(source.replace("NAME", "old") + LATER_STEP, "old")
    rig.flow = rig.write(CASE)
    run = rig.start({"n": 5, "text": "acme"})
    wait_until(lambda: len(rig.starts(run)) == 5 and rig.states(run).get("flaky") == "queued", "three of five are done")
    wait_until(lambda: sum(word == "succeeded" for word in rig.states(run).values()) == 4, "and reported")
    behind = rig.start({"n": 1, "text": "acme"})
    old = rig.start(flow=newer)
    paused, nobody = rig.start(flow=flows["paused"]), rig.start(flow=flows["nobody"])
    gone = rig.start(flow=flows["nobody"])
    assert command(rig, "runs", "cancel", gone, "--yes", "--reason", "wrong customer").code == 0

    tail = run[-6:]
    reasons = {
        (held, "first"): rf"first: leased to worker \S+ that is silent, last heard of {AGE} ago; the lease ends in {AGE}",
        (run, "last"): "waits for join",
        (run, "join"): r"waits for work 3/5: work\[3\], work\[4\]",
        (behind, "items"): rf"1 waits for a slot: group acme 2/2 in use by work\[3\] of run {tail}, work\[4\] of run {tail}",
        (run, "flaky"): rf"flaky: in back-off, retry 2/3 in {AGE}",
        (paused, "first"): rf"queue paused is paused by {WHO}deploy",
        (later, "first"): rf"first: delayed until \d\d:\d\d:\d\d, in {AGE}",
        (nobody, "first"): "no worker serves queue nobody",
        (old, "added"): r"no code for step added: \S+ serves queue old without it",
        (gone, "second"): rf"never tried: the run was cancelled by {WHO}wrong customer",
    }
    wait_until(lambda: any("silent" in reason for reason in seen(rig, "held", held, "first")), "nothing was heard of it")
    said: dict[str, dict[str, Any]] = {}
    for (run_id, step), reason in reasons.items():
        queue = {run: "case", behind: "case", old: "old", paused: "paused", later: "later", held: "held"}.get(run_id, "nobody")
        if run_id not in said:
            said[run_id] = {told["step"]: told for told in command(rig, "runs", "why", run_id, "--json").objects}
        told = said[run_id][step]
        assert re.fullmatch(reason, told["reasons"][0]), (step, told)
        shown = seen(rig, queue, run_id, step)
        assert re.fullmatch(reason, shown[0]), (step, shown)
        others = [r for r in reasons.values() if r != reason and any(re.fullmatch(r, one) for one in told["reasons"][:1])]
        assert others == [], "no two are the same"
    text = command(rig, "runs", "why", run).out
    assert [line.split()[0] for line in text.splitlines()] == ["STEP", "join", "last", "flaky"]
    (rig.folder / "open").touch()
    rig.conn.zadd("{case}:delayed", {member: 1 for member, _ in rig.conn.zscan_iter("{case}:delayed")})
    assert [rig.ends(one) for one in (run, behind)] == [RunState.SUCCEEDED] * 2


def seen(rig: Rig, queue: str, run: str, step: str) -> list[str]:
    """What the screen of the run says in its pane, read through the same picture."""
    view = look_closely(rig.client, queue, run, Focus.on(StepRun.parse(step)))
    reasons = why_waiting(view.snapshot, view.close)
    pane = "".join(plain(row) for row in step_lines(view, 300, now_ms(), 60))
    assert all(reason in pane for reason in reasons), json.dumps([reasons, pane])
    return reasons
