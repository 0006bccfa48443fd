"""C33: retry settings of the flow are ignored for its steps, or those of a step for its join or its elements."""

from __future__ import annotations

import itertools
from collections import defaultdict

from omniq_flow.model.states import RunState
from tests.cases.rig import Rig
from tests.cases.sent import put_off
from tests.support.proxy import PASS, Action, Proxy, Seen

FLOW = """
flow = Flow("case", retry=Retry(attempts=4, backoff="fixed", delay="0.4s"))

def fails(ctx: StepContext) -> int:
    effect(ctx)
    raise ValueError(f"attempt {ctx.attempt} of {ctx.max_attempts}")

@flow.step
def plain(ctx: StepContext) -> int:
    return fails(ctx)

@flow.step(retry=Retry(attempts=1))
def once(ctx: StepContext) -> int:
    return fails(ctx)

@flow.step(retry=Retry(attempts=3, delay="0.2s", jitter=False))
def doubling(ctx: StepContext) -> int:
    return fails(ctx)

@flow.step(retry=Retry(attempts=4, delay="0.2s", cap="0.3s", jitter=False))
def capped(ctx: StepContext) -> int:
    return fails(ctx)

@flow.step
def left() -> int:
    return 1

@flow.step
def src() -> list[int]:
    return [0, 1, 2]

@flow.step
def join(ctx: StepContext, x: int = result(left), y: list[int] = result(src)) -> int:
    return fails(ctx)

@flow.step(retry=Retry(attempts=2, backoff="fixed", delay="0.7s"))
def element(ctx: StepContext, i: int = each(src)) -> int:
    return fails(ctx)

@flow.step
def every(ctx: StepContext, x: list[int] = gather(element)) -> int:
    return fails(ctx)
"""
DELAYS = {"plain": [0.4] * 3, "once": [], "doubling": [0.2, 0.4], "capped": [0.2, 0.3, 0.3], "join": [0.4] * 3}
DELAYS |= {f"element-{n}": [0.7] for n in range(3)}


def waits(rig: Rig, run: str, step: str) -> list[float]:
    """How long passed between the starts of a step's attempts."""
    starts = [effect for effect in rig.effects("start", run) if effect.id == step]
    assert [effect.attempt for effect in starts] == list(range(1, len(DELAYS[step]) + 2))
    return [later.at - earlier.at for earlier, later in itertools.pairwise(starts)]


def test_c33_each_step_is_tried_as_it_says_else_as_the_flow_says(rig: Rig) -> None:
    """A step is tried as often, and after as long a wait, as it declares itself; one that declares nothing, as its flow declares.

    A join and the elements of a map are steps like others; a step behind a failure is not tried at all. What a worker asks the
    server for is the declared wait to the millisecond, and no attempt comes before it is over.
    """
    rig.write(FLOW)
    asked: defaultdict[str, list[int]] = defaultdict(list)

    def judge(_: int, command: Seen) -> Action:
        for step, ms in put_off(command):
            asked[step].append(ms)
        return PASS

    with Proxy(rig.url, judge, tcp=False) as proxy:
        rig.worker(url=proxy.url)
        run = rig.start()
        assert rig.ends(run) is RunState.FAILED
    assert rig.starts(run) == {step: len(delays) + 1 for step, delays in DELAYS.items()}
    assert rig.states(run)["every"] == "upstream_failed"
    for step, delays in DELAYS.items():
        assert rig.failure(run, step).attempt == len(delays) + 1
        assert rig.failure(run, step).message == f"attempt {len(delays) + 1} of {len(delays) + 1}"
        # What the last attempt asks for is not granted.
        assert asked[step][: len(delays)] == [int(delay * 1_000) for delay in delays]
        assert all(waited >= delay for waited, delay in zip(waits(rig, run, step), delays, strict=True))
