"""C67: the network swallows a connection without a word, and the worker waits on it for days."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from omniq_flow.cli.commands.worker import UNFINISHED
from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.worker import Worker
from omniq_flow.lua import assemble
from tests.cases.rig import Rig
from tests.engine.life import working
from tests.support.proxy import BLACKHOLE, PASS, Action, Proxy, Seen
from tests.support.until import until, wait_until

PATIENCE_S, DRAIN_S = 1.0, 1
FLOW = """
OVER = os.path.join(os.path.dirname(os.environ["CASE_EFFECTS"]), "over")
flow = Flow("case", lease="1s", retry=QUICK)

@flow.step
def work(ctx: StepContext) -> int:
    effect(ctx, f"attempt {ctx.attempt}")
    while ctx.attempt == 1 and not ctx.is_cancelled and not os.path.exists(OVER):
        time.sleep(0.01)
    return ctx.attempt
"""
# Long enough that the heartbeats, carried out but not answered, leave a busy machine seconds between doubt and the end of the lease.
BRIEF = """
OVER = os.path.join(os.path.dirname(os.environ["CASE_EFFECTS"]), "over")
flow = Flow("case", lease="6s", retry=QUICK)

@flow.step
def work(ctx: StepContext) -> int:
    effect(ctx)
    while not os.path.exists(OVER):
        time.sleep(0.01)
    return ctx.attempt
"""


class Hole:
    """While it is open, calls of one script are carried out and never answered."""

    def __init__(self, script: str) -> None:
        self.is_open = False
        self.swallowed = 0
        self._sha = assemble.load(script).sha.encode()

    def __call__(self, n: int, command: Seen) -> Action:
        is_in = self.is_open and self._sha in command.args[:2]
        self.swallowed += is_in
        return BLACKHOLE if is_in else PASS


class Silence:
    """Once it has fallen nothing gets through any more: not over open connections, and new ones are not even greeted."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def falls(self) -> None:
        self._proxy.on_command = lambda n, command: BLACKHOLE
        self._proxy.blackhole()

    def ends(self) -> None:
        """For new connections; those that fell silent stay so."""
        self._proxy.on_command = lambda n, command: PASS


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers in this process wait 1 s for a reply and for a connection, not 5 s."""
    brief = partial(AsyncClient.open, reply_timeout=PATIENCE_S, connect_timeout=PATIENCE_S)
    monkeypatch.setattr(AsyncClient, "open", staticmethod(brief))


@pytest.mark.usefixtures("impatient")
async def test_c67_a_worker_outlives_the_silence(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of a worker is answered any more, heartbeats included: another one does its job, and within three patiences it is back.

    It says when it lost the server and when it found it again. It waits 1 s for a reply instead of 5, so 3 s stand for the 15.
    """
    rig.write(FLOW)
    with Proxy(rig.url, tcp=False, counts_greetings=True) as proxy:
        async with working(Worker([rig.flow], url=proxy.url, concurrency=1)):
            run = rig.start()
            await until(lambda: rig.effects("attempt 1"), "it has the job")
            second = await asyncio.to_thread(rig.worker)
            silence = Silence(proxy)
            silence.falls()
            began = time.monotonic()
            await until(lambda: rig.header(run).state.is_ended, "another one does it")
            (again,) = rig.effects("attempt 2")
            assert again.pid == second.pid
            second.kill()
            await until(lambda: " lost: " in caplog.text and time.monotonic() > began + 2 * PATIENCE_S, "the silence lasts")
            silence.ends()
            await until(lambda: " restored after " in caplog.text, "it is back and says so", PATIENCE_S + 1)
            later = rig.start()
            await until(lambda: rig.effects("attempt 1", later), "it takes the next", 5)
            (rig.folder / "over").touch()
    assert f" lost: no reply within {PATIENCE_S:g} s" in caplog.text
    assert f"lease in doubt: work of run {run}" in caplog.text


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("script", ["flow/tick", "flow/lease_beat"], ids=["claims", "heartbeats"])
async def test_c67_one_connection_falls_silent(rig: Rig, caplog: pytest.LogCaptureFixture, script: str) -> None:
    """Replies to its claims, or to its heartbeats are swallowed while it works: either way the job stays its own and counts once.

    Without heartbeats it believes in its lease no more and tells the handler; what that gives all the same is reported, and the
    token decides.
    """
    rig.write(BRIEF)
    hole = Hole(script)
    with Proxy(rig.url, hole, tcp=False) as proxy:
        async with working(Worker([rig.flow], url=proxy.url, concurrency=1)):
            run = rig.start()
            await until(rig.effects, "it has the job")
            hole.is_open = True
            if script == "flow/tick":
                (rig.folder / "over").touch()
                await until(lambda: hole.swallowed > 1, "its report is swallowed, and sent again")
                hole.is_open = False
            else:
                await until(lambda: "lease in doubt" in caplog.text, "it believes in its lease no more", 20)
                (rig.folder / "over").touch()
            await until(lambda: rig.header(run).state.is_ended, "the run ends", 10)
            hole.is_open = False
    assert (" restored after " if script == "flow/tick" else "lease in doubt") in caplog.text
    assert rig.output(run, "work") == 1
    assert rig.starts(run) == rig.dispatches(run) == {"work": 1}


@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "holding"])
def test_c67_a_worker_ends_amid_silence(rig: Rig, is_busy: bool) -> None:
    """Told to stop while nothing is answered, a worker ends within 5 s; with a job that it cannot report, 5 s after its drain is over."""
    rig.write(BRIEF)
    with Proxy(rig.url, tcp=False, counts_greetings=True) as proxy:
        worker = rig.worker("--drain-timeout", f"{DRAIN_S}s", url=proxy.url)
        if is_busy:
            run = rig.start()
            wait_until(lambda: rig.starts(run), "it works")
        Silence(proxy).falls()
        worker.process.terminate()
        wait_until(lambda: ("hands back" if is_busy else "drains") in worker.said(), "its drain begins, or is over")
        (rig.folder / "over").touch()
        began = time.monotonic()
        assert worker.process.wait(15) == (UNFINISHED if is_busy else 0)
        assert time.monotonic() - began < 5
        # The rig takes any code above zero for a crash.
        rig.crew.remove(worker)
