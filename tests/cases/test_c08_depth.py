"""C08: fan-outs and joins that follow one another cost more and more the deeper they go, in time and in size."""

from __future__ import annotations

import sys
import time
from types import FrameType
from typing import Any

from omniq_flow import Flow
from omniq_flow.client.client import Client
from omniq_flow.engine.starting import start
from omniq_flow.flow.compiler import compile_flow
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.cases.rig import Rig
from tests.support.proxy import Proxy


def ladder(name: str, depth: int) -> str:
    """The source of a flow of so many fan-outs to two steps, each followed by its join."""
    lines = [f'{name} = Flow("{name}", queue="case")', f"@{name}.step", "def j0() -> int:", "    return 0"]
    for n in range(depth):
        for side in "ab":
            lines += [f"@{name}.step", f"def {side}{n}(x: int = result(j{n})) -> int:", "    return x"]
        lines += [f"@{name}.step", f"def j{n + 1}(x: int = result(a{n}), y: int = result(b{n})) -> int:", "    return max(x, y) + 1"]
    return "\n".join(lines) + "\n"


def ladders(rig: Rig) -> tuple[Flow, Flow]:
    """The same at depth 10 and at depth 20, which has twice as many steps."""
    flow = rig.write(ladder("low", 10) + ladder("high", 20) + "flow = low\n")
    module = sys.modules[flow.steps["j0"].handler.__module__]
    return module.low, module.high


def work_of_compiling(flow: Flow) -> int:
    """How many lines of Python are run for it: the time it takes, without what else the machine does. Caches are warm."""
    compile_flow(flow)
    count = 0

    def look(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += 1
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        compile_flow(flow)
    finally:
        sys.settrace(before)
    return count


def submit(rig: Rig, flow: Flow) -> tuple[str, int]:
    """Start a run; gives it and the bytes that were sent for it, without the scripts themselves."""
    with Proxy(rig.url, tcp=False) as proxy, Client.open(proxy.url) as client:
        run = start(client, flow).run_id
        return run, sum(len(arg) for command in proxy.seen for arg in command.args[2 if command.is_script else 0 :])


def test_c08_cost_grows_with_the_number_of_steps(rig: Rig) -> None:
    """Twice the depth, which is twice the steps, costs at most 2.5 times the work to compile and the bytes to submit."""
    low, high = ladders(rig)
    assert (len(low.steps), len(high.steps)) == (31, 61)
    few, many = work_of_compiling(low), work_of_compiling(high)
    assert few > 1_000
    assert many <= 2.5 * few
    (_, few), (_, many) = submit(rig, low), submit(rig, high)
    assert few > 1_000
    assert many <= 2.5 * few


def test_c08_a_deep_run_is_quick_and_its_jobs_are_small(rig: Rig) -> None:
    """A run of depth 20 ends within seconds, and no job's payload grows with the depth."""
    _, high = ladders(rig)
    rig.worker()
    began = time.monotonic()
    run, _ = submit(rig, high)
    assert rig.ends(run, 20) is RunState.SUCCEEDED
    assert time.monotonic() - began < 20
    assert rig.output(run, "j20") == 20
    jobs = list(rig.conn.scan_iter(match=keys.job(rig.flow.queue, "*"), count=1_000))
    payloads = [rig.conn.hget(job, "payload") or b"" for job in jobs]
    assert len(payloads) == len(high.steps)
    assert max(map(len, payloads)) < 4_096
