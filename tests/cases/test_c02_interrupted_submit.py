"""C02: whoever submits a run is killed half-way, and what was written so far waits for parts that never come."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable

import pytest

from omniq_flow.client.client import Client
from omniq_flow.engine.starting import start
from omniq_flow.flow.definition import Flow
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from omniq_flow.ops.command import text
from tests.cases.rig import ROOT, Rig
from tests.support.proxy import DROP_REPLY, DROP_REQUEST, PASS, Action, Proxy, Seen, then

ITEMS = 200
# Each kill has a flow of its own, so that each submit is the first of its flow and brings the plan along.
FLOWS = """
def fan_out(name: str) -> Flow:
    flow = Flow(name, input=N, queue="case", max_parallel=50)

    @flow.step
    def source(n: N) -> list[int]:
        return list(range(n.n))

    @flow.step
    async def item(ctx: StepContext, i: int = each(source)) -> int:
        effect(ctx)
        return i

    @flow.step
    def join(ctx: StepContext, items: list[int] = gather(item)) -> int:
        effect(ctx)
        return sum(items)

    return flow

flow = fan_out("case")
globals().update({f"case{n}": fan_out(f"case{n}") for n in range(20)})
"""


def numbered(flow: Flow, n: int) -> Flow:
    """One of the other flows of the file."""
    found: Flow = getattr(sys.modules[flow.steps["join"].handler.__module__], f"case{n}")
    return found


def submit(rig: Rig, name: str, *, kill_after: int = 0) -> tuple[int, list[str]]:
    """Start a flow by the command line, which is killed once the server has carried out so many commands of it.

    Gives the exit code, and the commands that were sent.
    """
    submitters: list[subprocess.Popen[bytes]] = []

    def judge(count: int, command: Seen) -> Action:
        return then(lambda: submitters[0].kill()) if count == kill_after else PASS

    with Proxy(rig.url, judge, tcp=False, counts_greetings=True) as proxy, (rig.folder / "submit.log").open("ab") as log:
        # A server that knows the script is sent one command less.
        rig.conn.script_flush()
        argv = [sys.executable, "-m", "omniq_flow.cli.main", "--url", proxy.url, "start", name, "--set", f"n={ITEMS}", "--key", "once"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        submitters.append(subprocess.Popen(argv, cwd=rig.folder, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        return submitters[0].wait(20), [seen.name for seen in proxy.seen]


def test_c02_a_submit_that_is_killed_leaves_a_whole_run_or_nothing(rig: Rig) -> None:
    """After any command of a submit there is no trace of the run, or one that ends by itself; submitted again it is one run."""
    flow = rig.write(FLOWS)
    code, sent = submit(rig, "case0")
    assert code == 0, (rig.folder / "submit.log").read_text()
    assert sent.count("EVAL") + sent.count("EVALSHA") == 3
    begun: dict[str, str] = {}
    for n in range(1, len(sent) + 1):
        before = set(rig.conn.scan_iter())
        code, cut = submit(rig, f"case{n}", kill_after=n)
        assert code == -9
        assert cut[:n] == sent[:n]
        found = rig.conn.get(keys.run_key(flow.queue, f"case{n}", "once"))
        if found:
            begun[f"case{n}"] = text(found)
        else:
            assert set(rig.conn.scan_iter()) == before
    assert begun, "the server has the run before the submitter knows it"
    rig.worker()
    assert [rig.ends(run) for run in begun.values()] == [RunState.SUCCEEDED] * len(begun)
    for n in range(1, len(sent) + 1):
        again = start(rig.client, numbered(flow, n), {"n": ITEMS}, key="once")
        assert again.is_new == (f"case{n}" not in begun)
        assert begun.setdefault(f"case{n}", again.run_id) == again.run_id
    _are_whole(rig, begun.values(), ITEMS)


@pytest.mark.parametrize("action", [DROP_REQUEST, DROP_REPLY], ids=["request", "reply"])
def test_c02_a_submit_whose_connection_is_cut_begins_one_run(rig: Rig, action: Action) -> None:
    """A submitter that lives when its connection is cut at any command sends it again, and has begun one run."""
    flow = rig.write(FLOWS)
    runs = []
    for n in range(1, 7):
        rig.conn.script_flush()
        cut = n

        def judge(count: int, command: Seen, cut: int = cut) -> Action:
            return action if count == cut else PASS

        with Proxy(rig.url, judge, tcp=False, counts_greetings=True) as proxy, Client.open(proxy.url) as client:
            runs.append(start(client, numbered(flow, n), {"n": 3}, key="once").run_id)
            assert proxy.count > n, "there was a command after the one that was lost"
        assert rig.conn.zcard(keys.live(rig.flow.queue)) == n
    rig.worker()
    _are_whole(rig, runs, 3)


def _are_whole(rig: Rig, runs: Iterable[str], items: int) -> None:
    """Every item and the join once, nothing besides, nothing left over."""
    once = dict.fromkeys([f"item-{i}" for i in range(items)] + ["join"], 1)
    for run in runs:
        assert rig.ends(run) is RunState.SUCCEEDED
        assert rig.starts(run) == once
        assert rig.dispatches(run) == once | {"source": 1}
        assert rig.output(run, "join") == sum(range(items))
    assert rig.counters() == []
