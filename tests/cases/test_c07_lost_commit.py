"""C07: the answer to the last member's report is lost, and with it the body of the join."""

from __future__ import annotations

import logging
from functools import partial

import pytest

from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.worker import Worker
from omniq_flow.model.runs import new_run_id
from omniq_flow.model.states import RunState
from tests.cases.rig import Rig
from tests.engine.life import working
from tests.support.proxy import DROP_REPLY, DROP_REQUEST, PASS, Action, Proxy, Seen, delay
from tests.support.until import until

PATIENCE_S, LATE_S = 1.0, 1.5
FLOW = """
flow = Flow("case", lease="1s")

@flow.step
def src() -> list[int]:
    return [0, 1, 2]

@flow.step
def m(ctx: StepContext, n: int = each(src)) -> int:
    effect(ctx)
    time.sleep(0.15 if n == 2 else 0)
    return n * n

@flow.step
def j(ctx: StepContext, squares: list[int] = gather(m)) -> list[int]:
    effect(ctx)
    return squares
"""


@pytest.mark.parametrize("trouble", [DROP_REQUEST, DROP_REPLY, delay(LATE_S)], ids=["request", "reply", "delay"])
async def test_c07_the_last_commit_counts_once_whatever_is_lost(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, trouble: Action
) -> None:
    """A report whose request, reply or patience is lost is sent again and counts once: each item commits once, the join starts once.

    The reply comes later than the lease lasts, too; 10 s are 1.5 s here and the worker's patience is cut to match. The
    log tells of the connection, lost and restored, once each; of run, step and item there is nothing to tell, as no
    report was lost.
    """
    rig.write(FLOW)
    monkeypatch.setattr(AsyncClient, "open", staticmethod(partial(AsyncClient.open, reply_timeout=PATIENCE_S)))
    run = new_run_id()
    reports = 0

    def judge(n: int, command: Seen) -> Action:
        nonlocal reports
        is_report = command.is_script and any(arg.startswith(f"f.{run}.m-2.".encode()) for arg in command.args)
        # Others mention the job as well: a heartbeat does not hand a value over.
        is_report = is_report and b"ok" in command.args
        reports += is_report
        return trouble if is_report and reports == 1 else PASS

    with Proxy(rig.url, judge, tcp=False) as proxy:
        async with working(Worker([rig.flow], url=proxy.url)):
            rig.start(run_id=run)
            await until(lambda: rig.header(run).state.is_ended, "the run ends", 10)
    assert reports == 2, "the report was sent again"
    assert rig.header(run).state is RunState.SUCCEEDED
    assert rig.output(run, "j") == [0, 1, 4]
    once = {"m-0": 1, "m-1": 1, "m-2": 1, "j": 1}
    assert rig.starts(run) == once
    assert rig.dispatches(run) == once | {"src": 1}
    commits = [entry.event.split()[1] for entry in rig.events(run) if entry.event.startswith("D ")]
    assert sorted(commits) == sorted(once | {"src": 1})
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [text.split(" to ")[0] for text in said] == ["connection", "connection"]
    assert " lost: " in said[0]
    assert " restored after " in said[1]
