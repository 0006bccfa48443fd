"""C05: a retention of zero, meant as "keep", deletes what a join still needs."""

from __future__ import annotations

import sys

import pytest

from omniq_flow import Flow, FlowDefinitionError, NotFound
from omniq_flow.model.states import RunState
from omniq_flow.ops.runs import run_purge
from tests.cases.rig import Rig
from tests.support.until import wait_until

SECOND_MS = 1_000
DAY_MS = 86_400_000
FLOWS = """
def joined(name: str, retention: Any) -> Flow:
    flow = Flow(name, queue="case", retention=retention)

    @flow.step
    def a() -> int:
        return 1

    @flow.step
    def b() -> int:
        return 2

    @flow.step
    def j(ctx: StepContext, x: int = result(a), y: int = result(b)) -> int:
        effect(ctx)
        return x + y

    return flow

flow = zero = joined("zero", 0)
none = joined("none", None)
second = joined("second", "1s")
number = joined("number", 1)
day = joined("day", "1d")
"""


def end_all(rig: Rig) -> dict[str, str]:
    """A run of each flow, ended, with its result looked at: flow -> run. No worker is left."""
    flow = rig.write(FLOWS)
    module = sys.modules[flow.steps["j"].handler.__module__]
    worker = rig.worker()
    runs = {name: rig.start(flow=getattr(module, name)) for name in ("zero", "none", "second", "number", "day")}
    for run in runs.values():
        assert rig.ends(run, 5) is RunState.SUCCEEDED
        assert rig.output(run, "j") == 3
        assert len(rig.effects("start", run)) == 1
    assert worker.stop() == 0
    return runs


def is_there(rig: Rig, run: str) -> bool:
    try:
        return bool(rig.header(run))
    except NotFound:
        return False


def server_ms(rig: Rig) -> int:
    seconds, micros = rig.conn.time()
    return int(seconds) * 1000 + int(micros) // 1000


def test_c05_a_retention_counts_from_the_end_of_the_run(rig: Rig) -> None:
    """A run goes when its retention has passed since it ended, not a moment earlier; with 0 or None it is kept."""
    runs = end_all(rig)
    ended = {name: rig.header(run).ended_ms for name, run in runs.items()}
    stored = set(rig.conn.scan_iter())

    def left_after(now_ms: int) -> set[str]:
        rig.client.execute(run_purge(rig.flow.queue, now_ms=now_ms))
        return {name for name, run in runs.items() if is_there(rig, run)}

    assert left_after(min(ended["second"], ended["number"]) + SECOND_MS - 1) == set(runs)
    assert set(rig.conn.scan_iter()) == stored
    assert left_after(max(ended["second"], ended["number"]) + SECOND_MS) == {"zero", "none", "day"}
    assert left_after(ended["day"] + DAY_MS - 1) == {"zero", "none", "day"}
    assert left_after(ended["day"] + DAY_MS) == {"zero", "none"}
    assert left_after(max(ended.values()) + 90 * 365 * DAY_MS) == {"zero", "none"}
    gone = [runs[name] for name in ("second", "number", "day")]
    left = [key.decode() for key in rig.conn.scan_iter()]
    assert [key for key in left if any(run in key for run in gone)] == []
    assert all(rig.conn.ttl(key) == -1 for key in left if runs["zero"] in key or runs["none"] in key)


def test_c05_workers_remove_what_has_outlived_its_retention(rig: Rig) -> None:
    """A worker removes by itself what was to be kept for one second, and nothing else."""
    runs = end_all(rig)
    brief = [runs["second"], runs["number"]]
    over_at = max(rig.header(run).ended_ms for run in brief) + SECOND_MS
    wait_until(lambda: server_ms(rig) > over_at, "the retention is over", 5)
    assert all(is_there(rig, run) for run in runs.values())
    rig.worker()
    wait_until(lambda: not any(is_there(rig, run) for run in brief), "a worker has removed the runs", 5)
    assert all(is_there(rig, runs[name]) for name in ("zero", "none", "day"))


@pytest.mark.parametrize("retention", [-1, -0.5, "-1s", "1x", "", "soon", True, float("nan"), float("inf")])
def test_c05_what_is_no_retention_is_refused(retention: object) -> None:
    """A retention that cannot be meant is refused when the flow is defined, by field and value."""
    flow = Flow("case", retention=retention)  # type: ignore[arg-type]
    flow.step(a_step)
    with pytest.raises(FlowDefinitionError) as refused:
        flow.plan()
    assert f"retention: {retention!r} is not allowed" in str(refused.value)


def a_step() -> int:
    return 1
