"""Flows on a cluster: one worker serves queues of several nodes, and the command line finds their runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from omniq_flow import Flow, JobContext, StepContext, each, gather
from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.worker import Worker
from omniq_flow.flow.app import App
from omniq_flow.ops.jobs import publish
from tests.engine.life import begin, working
from tests.support.cluster import ScratchCluster
from tests.support.until import until

ROOT = Path(__file__).parents[2]


class Count(BaseModel):
    n: int = 3


def squares(name: str, queue: str) -> Flow:
    flow = Flow(name, input=Count, queue=queue)

    @flow.step
    def numbers(count: Count) -> list[int]:
        return list(range(count.n))

    @flow.step
    def square(n: int = each(numbers)) -> int:
        return n * n

    @flow.step
    def total(all_: list[int] = gather(square)) -> int:
        return sum(all_)

    return flow


async def test_a_worker_serves_queues_of_several_nodes(cluster: ScratchCluster, tmp_path: Path) -> None:
    near, far, other = squares("near", cluster.queue(0)), squares("far", cluster.queue(1)), cluster.queue(2)
    app, done = App(), list[Any]()

    @app.handler(queue=other)
    def work(ctx: JobContext) -> None:
        done.append(ctx.payload)

    async with await AsyncClient.open(cluster.url) as client, working(Worker([near, far, app], url=cluster.url)):
        runs = [await begin(client, flow, {"n": n}) for flow in (near, far) for n in (4, 40)]
        for n in range(20):
            await client.execute(publish(other, [n]))
        for run in runs:
            await run.succeeds()
        assert [await run.value("total") for run in runs] == [14, 20_540, 14, 20_540]
        await until(lambda: len(done) == 20, "the plain jobs are done")
    assert sorted(done) == [[n] for n in range(20)]
    listed = [json.loads(line) for line in command(cluster.url, tmp_path, "runs", "list", "--json").splitlines()]
    assert {(run["run_id"], run["state"]) for run in listed} >= {(run.run_id, "succeeded") for run in runs}
    assert "far" in command(cluster.url, tmp_path, "runs", "show", runs[-1].run_id)


async def test_leases_are_extended_on_every_node(cluster: ScratchCluster) -> None:
    """The heartbeat finds its way by itself: here each job takes longer than its lease."""
    flows = [Flow(f"slow{at}", lease="1s", queue=cluster.queue(at)) for at in range(2)]
    attempts: list[int] = []
    for flow in flows:

        @flow.step
        def slow(ctx: StepContext) -> int:
            attempts.append(ctx.attempt)
            time.sleep(2.5)
            return 1

    async with await AsyncClient.open(cluster.url) as client, working(Worker(flows, url=cluster.url)):
        runs = [await begin(client, flow) for flow in flows]
        for run in runs:
            await run.succeeds()
    assert attempts == [1, 1]


def command(url: str, folder: Path, *args: str) -> str:
    """What the command prints; it must end well."""
    argv = [sys.executable, "-m", "omniq_flow.cli.main", *args, "--url", url]
    done = subprocess.run(argv, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout
