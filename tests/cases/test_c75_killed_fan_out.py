"""C75: a step that fans out is killed half-way, and its second attempt finds what the first left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from omniq_flow.lua import assemble
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.cases.rig import Rig, WorkerProcess
from tests.cases.sent import reported, staged
from tests.support.proxy import DROP_REQUEST, PASS, Action, Proxy, Seen, then
from tests.support.until import wait_until

# More than are laid down in one call (1,000), and more than one call makes jobs of (256).
MANY = 1_100
FLOW = """
flow = Flow("case", input=N, lease="1s", retry=QUICK)

@flow.step
def fan_out(ctx: StepContext, n: N) -> list[int]:
    effect(ctx)
    return list(range(n.n * 10 * ctx.attempt, n.n * 10 * ctx.attempt + n.n))

@flow.step
async def item(ctx: StepContext, i: int = each(fan_out)) -> int:
    effect(ctx)
    return i

@flow.step
def join(ctx: StepContext, items: list[int] = gather(item)) -> list[int]:
    effect(ctx)
    return items
"""
Plan = Callable[[Seen], str]


def after_the_list(command: Seen) -> str:
    """The whole list is laid down, nobody was told yet."""
    return "after" if staged(command) else ""


def amid_the_list(command: Seen) -> str:
    """A part of the list is laid down, the rest is not."""
    found = staged(command)
    return "before" if found and found[1] > 0 else ""


def after_the_report(command: Seen) -> str:
    """The step is settled and its first elements are made; its worker does not learn it."""
    return "after" if "fan_out" in reported(command) else ""


@pytest.mark.parametrize(
    ("plan", "length", "laid_down", "attempt"),
    [(after_the_list, 10, 10, 2), (amid_the_list, MANY, 1_000, 2), (after_the_report, MANY, MANY, 1)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_c75_a_killed_fan_out_makes_its_elements_once(rig: Rig, plan: Plan, length: int, laid_down: int, attempt: int) -> None:
    """Wherever a fan-out is killed, its list is that of the attempt that was heard: so many items are started, and one join.

    Settling the step and making its elements are one transition. So what is killed after it (in the middle of making many
    elements, or with all made) has committed its first attempt, and no second one is needed.
    """
    rig.write(FLOW)
    killed: list[WorkerProcess] = []
    # So that the first call lays down, and does not only learn that the server has yet to be told the script.
    rig.conn.script_load(assemble.load("flow/list_stage").source)

    def judge(_: int, command: Seen) -> Action:
        when = "" if killed else plan(command)
        if not when:
            return PASS
        killed.append(worker)
        if when == "after":
            return then(worker.kill)
        worker.kill()
        return DROP_REQUEST

    with Proxy(rig.url, judge, tcp=False) as proxy:
        worker = rig.worker(url=proxy.url)
        run = rig.start({"n": length})
        wait_until(lambda: not worker.is_alive, "the worker is killed")
        elements = keys.value(rig.flow.queue, run, "fan_out", 1)
        wait_until(lambda: rig.conn.hlen(elements) == laid_down, f"{laid_down} elements are laid down", 1)
        rig.worker()
        assert rig.ends(run, 10) is RunState.SUCCEEDED
    assert killed == [worker]
    first = length * 10 * attempt
    assert rig.output(run, "join") == list(range(first, first + length))
    names = [f"item-{n}" for n in range(length)]
    assert rig.starts(run) == {"fan_out": attempt, "join": 1} | dict.fromkeys(names, 1)
    done = [event.event.split()[1] for event in rig.events(run) if event.event.startswith("D ")]
    assert len(done) == len(set(done)), "nothing is committed twice"
    assert rig.counters() == []
