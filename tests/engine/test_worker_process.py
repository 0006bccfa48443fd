"""Steps in processes of their own: JSON both ways, and a kill costs one attempt of one step run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.registry import Registry
from omniq_flow.engine.worker import Ending, Worker
from omniq_flow.flow.definition import Flow
from omniq_flow.model.states import RunState
from tests.engine.life import begin, working
from tests.support.server import Server
from tests.support.until import until

SOURCE = """
import os, signal, sys, time, asyncio
from pathlib import Path
from pydantic import BaseModel
from omniq_flow import Failure, Flow, Retry, StepContext, each, gather, result

class Job(BaseModel):
    folder: str
    mode: str = ""

flow = Flow("proc", input=Job, retry=Retry(attempts=3, delay=0), lease="2s")

@flow.step
def source(job: Job) -> list[int]:
    return [1, 2, 3]

@flow.step(process=True)
def heavy(job: Job, ctx: StepContext, x: int = each(source)) -> int:
    print("noise on standard output")
    sys.stdout.flush()
    ctx.log(f"{x} attempt {ctx.attempt}")
    Path(job.folder, f"{x}-{ctx.attempt}").write_text(str(os.getpid()))
    if job.mode == "die" and x == 2 and ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if job.mode == "exit" and x == 2 and ctx.attempt == 1:
        os._exit(7)
    if job.mode == "sleep":
        time.sleep(30)
    if job.mode == "raise":
        raise ValueError(f"bad {x}")
    return x * 10

@flow.step(process=True)
async def join(xs: list[int | Failure] = gather(heavy, failed="record")) -> list[str]:
    await asyncio.sleep(0)
    return [str(x) for x in xs]

@flow.step(process=True)
def pieces(texts: list[str] = result(join)) -> list[str]:
    return texts

@flow.step
def each_piece(text: str = each(pieces)) -> str:
    return text.upper()

slow = Flow("proc_slow", input=Job, retry=Retry(attempts=1))

@slow.step(process=True)
def warm(job: Job) -> int:
    # Its child is up, and takes the next.
    return 1

@slow.step(process=True, timeout="1500ms")
def sleepy(job: Job, warmed: int = result(warm)) -> int:
    Path(job.folder, "pid").write_text(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGSTOP)
    return 1
"""


@asynccontextmanager
async def flows(server: Server, folder: Path, **options: int) -> AsyncIterator[tuple[Worker, Flow]]:
    (folder / "proc.py").write_text(SOURCE)
    registry = Registry.load(folder)
    registry.raise_faults()
    async with working(worker := Worker(registry, url=server.url, **options)):  # type: ignore[arg-type]
        yield worker, registry.flows["proc"]


async def test_values_context_and_log_cross_the_pipe(server: Server, aclient: AsyncClient, tmp_path: Path) -> None:
    async with flows(server, tmp_path, concurrency=2) as (_, flow):
        run = await (await begin(aclient, flow, {"folder": str(tmp_path)})).succeeds()
    assert await run.value("join") == ["10", "20", "30"]
    assert [await run.value(f"each_piece-{n}") for n in range(3)] == ["10", "20", "30"]
    assert (await run.outputs())["pieces"] == b"#1:3"
    pids = {(tmp_path / f"{x}-1").read_text() for x in (1, 2, 3)}
    assert str(os.getpid()) not in pids
    assert len(pids) <= 2, "children are used again"


@pytest.mark.parametrize(("mode", "how"), [("die", "was killed by SIGKILL"), ("exit", "exited with 7")])
async def test_a_child_that_dies_costs_one_attempt(
    server: Server, aclient: AsyncClient, tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str, how: str
) -> None:
    caplog.set_level("INFO", "omniq_flow.worker")
    async with flows(server, tmp_path) as (_, flow):
        run = await (await begin(aclient, flow, {"folder": str(tmp_path), "mode": mode})).succeeds()
    assert await run.value("join") == ["10", "20", "30"]
    assert sorted(p.name for p in tmp_path.glob("?-?")) == ["1-1", "2-1", "2-2", "3-1"]
    assert f"ProcessDied: the process of heavy[1] {how}" in caplog.text


async def test_what_a_child_raises_is_the_failure(server: Server, aclient: AsyncClient, tmp_path: Path) -> None:
    async with flows(server, tmp_path) as (_, flow):
        run = await (await begin(aclient, flow, {"folder": str(tmp_path), "mode": "raise"})).succeeds()
    assert await run.value("join") == ["ValueError: bad 1", "ValueError: bad 2", "ValueError: bad 3"]
    assert (await run.failure("heavy-0")).attempt == 3


async def test_a_child_past_its_time_is_killed(server: Server, aclient: AsyncClient, tmp_path: Path) -> None:
    """Even one that cannot hear: this one has stopped itself."""
    async with flows(server, tmp_path) as (worker, _):
        slow = worker.registry.flows["proc_slow"]
        run = await (await begin(aclient, slow, {"folder": str(tmp_path)})).ends()
        assert await run.state() is RunState.FAILED
        assert (await run.failure("sleepy")).type == "TimeoutError"
        await until(lambda: not is_alive(int((tmp_path / "pid").read_text())), "the child is gone")
        await until(lambda: worker.busy == 0, "its slot is free")


async def test_handing_back_kills_the_children(server: Server, aclient: AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "proc.py").write_text(SOURCE)
    registry = Registry.load(tmp_path)
    worker = Worker(registry, url=server.url)
    task = asyncio.create_task(worker.run())
    await begin(aclient, registry.flows["proc"], {"folder": str(tmp_path), "mode": "sleep"})
    await until(lambda: len(list(tmp_path.glob("?-1"))) == 3 and all(p.read_text() for p in tmp_path.glob("?-1")), "all three run")
    pids = [int(p.read_text()) for p in tmp_path.glob("?-1")]
    worker.stop()
    worker.stop()
    assert await asyncio.wait_for(task, 5) is Ending.HANDED_BACK
    await until(lambda: not any(map(is_alive, pids)), "the children are gone")


async def test_a_child_ends_with_its_worker(tmp_path: Path) -> None:
    """Its input ends when the worker is gone, however that went."""
    child = await asyncio.create_subprocess_exec(
        *(os.sys.executable, "-m", "omniq_flow.engine.child"),  # type: ignore[attr-defined]
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdin is not None
    child.stdin.close()
    assert await asyncio.wait_for(child.wait(), 10) == 0


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").read_text().split(") ")[1].startswith("Z") if Path(f"/proc/{pid}/stat").exists() else False
