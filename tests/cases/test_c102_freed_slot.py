"""C102: with a limit of 1 a freed slot stays unused for a while, or for ever after a thousand jobs."""

from __future__ import annotations

from itertools import pairwise
from statistics import median

from omniq_flow.model.states import RunState
from tests.cases.rig import Rig
from tests.support.until import wait_until

RUNS = 600
FLOW = """
flow = Flow("case", input=N, group="of:{input.n}", max_parallel=1)

@flow.step
def work(ctx: StepContext, n: N) -> int:
    effect(ctx)
    effect(ctx, "end")
    return 1
"""


def test_c102_a_freed_slot_is_taken_at_once(rig: Rig) -> None:
    """Hundreds of runs through one slot, three workers: from an end to the next start it takes some ms, never half a second.

    600 runs stand for 3,000. A group that forgot one wake-up would idle until a worker looks by itself, 2 s later.
    """
    rig.write(FLOW)
    runs = [rig.start({"n": 1}) for _ in range(RUNS)]
    rig.workers(3)
    wait_until(lambda: len(rig.effects("end")) == RUNS, "all runs have run", 40)
    starts = sorted(e.at for e in rig.effects())
    ends = sorted(e.at for e in rig.effects("end"))
    gaps = [start - end for end, start in zip(ends, starts[1:], strict=False)]
    assert min(gaps) > 0, "one at a time"
    assert median(gaps) < 0.05
    assert max(gaps) < 0.5
    assert max(later - earlier for earlier, later in pairwise(starts)) < 1
    assert {rig.ends(run) for run in runs} == {RunState.SUCCEEDED}
    assert rig.conn.get("{case}:g:of:1:inflight") == b"0"
