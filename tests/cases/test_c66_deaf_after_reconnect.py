"""C66: after the connection was lost and restored, the worker is up and answers, and takes nothing until it is restarted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from omniq_flow.client.client import Client
from omniq_flow.engine.starting import start
from omniq_flow.model.states import RunState
from tests.cases.rig import Rig, WorkerProcess
from tests.support.proxy import Proxy
from tests.support.server import ScratchServer
from tests.support.until import wait_until

ROUNDS, AWAY_S, BACK_S, A_SECOND = 8, 1.0, 3.0, 30
# Two of three workers could not keep up with the load.
WORKERS, SLOTS, EACH_S = 3, 2, 0.15
FLOW = f"""
flow = Flow("case", lease="2s", retry=Retry(attempts=20, delay="50ms"))

@flow.step
def work(ctx: StepContext) -> int:
    effect(ctx)
    time.sleep({EACH_S})
    return ctx.attempt
"""


@pytest.fixture
def case_server() -> Iterator[ScratchServer]:
    """One that keeps its data over a restart."""
    with ScratchServer(aof=True, tcp=True) as server:
        yield server


class Publisher(threading.Thread):
    """Starts runs at an even pace inside its block, past the proxy."""

    def __init__(self, rig: Rig) -> None:
        super().__init__()
        self.runs: list[str] = []
        self._is_over = threading.Event()
        self._rig = rig

    def __enter__(self) -> Publisher:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self.join()

    def run(self) -> None:
        with Client.open(self._rig.server.url) as client:
            while not self._is_over.wait(1 / A_SECOND):
                self.runs.append(start(client, self._rig.flow).run_id)


def away(rig: Rig, proxy: Proxy) -> None:
    """The server cannot be reached for a while."""
    proxy.refuse()
    ends_at = time.monotonic() + AWAY_S
    wait_until(lambda: time.monotonic() > ends_at, "it has been away")
    proxy.accept()


FAULTS: dict[str, Callable[[Rig, Proxy], object]] = {
    "killed": lambda rig, proxy: rig.server.connection().client_kill_filter(_type="normal", skipme=True),
    "reset": lambda rig, proxy: proxy.cut(reset=True),
    "restarted": lambda rig, proxy: rig.server.restart(),
    "away": away,
}


def test_c66_after_every_fault_every_worker_goes_on(rig: Rig) -> None:
    """Under a steady load connections are killed, reset, refused, and the server restarts: each worker starts jobs within 3 s of each.

    8 faults stand for 20, 1 s away for 5 s. Nothing is lost, and a worker's log has one line for each loss and one for each return.
    """
    rig.write(FLOW)
    with Proxy(rig.server.url) as proxy:
        crew = [rig.worker("-c", str(SLOTS), url=proxy.url, wait=False) for _ in range(WORKERS)]
        with Publisher(rig) as publisher:
            all_work(rig, crew, 0, 20)
            for fault in list(FAULTS.values()) * (ROUNDS // len(FAULTS)):
                before = listening(rig)
                fault(rig, proxy)
                all_work(rig, crew, time.monotonic(), BACK_S)
                wait_until(lambda before=before: len(listening(rig) - before) == WORKERS, "all listen for wake-ups again")  # type: ignore[misc]
        assert {rig.ends(run) for run in publisher.runs} == {RunState.SUCCEEDED}
        for worker in crew:
            assert worker.stop() == 0
            said = worker.said()
            assert (said.count(" lost: "), said.count(" restored after ")) == (ROUNDS, ROUNDS), said


def all_work(rig: Rig, crew: list[WorkerProcess], since: float, within_s: float) -> None:
    wait_until(lambda: {e.pid for e in rig.effects() if e.at > since} == {w.pid for w in crew}, "each of them starts jobs", within_s)


def listening(rig: Rig) -> set[tuple[str, str]]:
    """The connections that wait for a wake-up; no other server process has the same."""
    process = rig.conn.info("server")["run_id"]
    return {(process, client["id"]) for client in rig.conn.client_list() if client["cmd"] == "blpop"}
