"""C06: a join's counter expires while its slowest member still runs."""

from __future__ import annotations

from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from omniq_flow.ops.runs import run_purge
from tests.cases.rig import Rig
from tests.support.until import wait_until

SLOW_S = 2.0
FLOW = f"""
flow = Flow("case", retention="1s", lease="1s")

@flow.step
def src() -> list[float]:
    return [0.05, 0.05, {SLOW_S}]

@flow.step
def m(ctx: StepContext, seconds: float = each(src)) -> float:
    effect(ctx)
    time.sleep(seconds)
    effect(ctx, "end")
    return seconds

@flow.step
def j(ctx: StepContext, slept: list[float] = gather(m)) -> list[float]:
    effect(ctx)
    return slept
"""


def test_c06_nothing_of_a_live_run_expires(rig: Rig) -> None:
    """While a run lives none of its keys has a time to live, so a member slower than the retention is waited for.

    Only the workers' own keys expire. The entry's 2 s and 8 s are 1 s and 2 s here, and upkeep that would remove the
    run is done with each sample.
    """
    rig.write(FLOW)
    rig.worker()
    run = rig.start()
    of_workers = tuple(keys.flow_key(rig.flow.queue, kind) for kind in ("w", "a:", "wake:"))
    samples: list[set[str]] = []

    def has_ended() -> bool:
        names = [key.decode() for key in rig.conn.scan_iter(count=1_000)]
        ttls = rig.conn.pipeline(transaction=False)
        for name in names:
            ttls.pttl(name)
        expiring = {name for name, ttl in zip(names, ttls.execute(), strict=True) if ttl >= 0 and not name.startswith(of_workers)}
        if rig.header(run).state.is_ended:
            return True
        samples.append(expiring)
        assert any(run in name for name in names)
        assert rig.client.execute(run_purge(rig.flow.queue)).runs == 0
        return False

    wait_until(has_ended, "the run ends", SLOW_S + 5)
    assert len(samples) > 20
    assert set().union(*samples) == set()
    assert rig.header(run).state is RunState.SUCCEEDED
    assert rig.output(run, "j") == [0.05, 0.05, SLOW_S]
    (join,) = [e for e in rig.effects() if e.id == "j"]
    slowest = max(e.at for e in rig.effects("end"))
    began = min(e.at for e in rig.effects())
    assert slowest <= join.at <= began + SLOW_S + 3
