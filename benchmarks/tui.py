"""The terminal UI at scale: what a tick costs, how fast a key is on the screen, what it costs to leave it open.

    python benchmarks/tui.py [--jobs 100000] [--groups 5000] [--runs 10000] [--idle 10]

The app runs headless at 140 by 40 over a server of its own. A key's time is from its press to the first update of the
terminal after it; idle is each of three screens left alone, and the busiest of them counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from textual.events import Key
from textual.screen import Screen

from omniq_flow.client.client import Client
from omniq_flow.model.jobs import JobOptions
from omniq_flow.model.plan import Plan, StepPlan
from omniq_flow.model.runs import new_run_id
from omniq_flow.ops.jobs import publish
from omniq_flow.ops.runs import run_start
from omniq_flow.ops.ticks import Settled, tick
from omniq_flow.tui.app import FlowApp
from omniq_flow.tui.feed import Arrived, Feed, News, Pulse
from tests.support.server import ScratchServer

PIECE = 500
KEYS = ("j", "j", "j", "k", "l", "l", "h", "j", "space", "j", "k", "G", "k", "k", "g", "j")
"""Each of them changes what the long lists show."""
MOST = {"round trips a tick": 3, "commands a tick": 150, "first paint (ms)": 500, "key to paint, p95 (ms)": 50, "idle CPU (%)": 3}


class TimedFeed(Feed):
    """Remembers how each tick went, and when its picture came."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.pulses: list[tuple[str, Pulse, float]] = []

    def start(self, tell: Callable[[News], object]) -> None:
        def note(news: News) -> None:
            if isinstance(news, Arrived):
                self.pulses.append((news.name, news.pulse, time.perf_counter()))
            tell(news)

        super().start(note)


def fill(url: str, jobs: int, groups: int, runs: int) -> None:
    """Put that many waiting jobs, half of them in groups, and runs of one step on the server, most of them ended."""
    with Client.open(url) as client:
        for at in range(0, jobs, PIECE):
            some = range(at, min(at + PIECE, jobs))
            client.execute_all(
                [publish("wide", {"n": n}, options=JobOptions(gid=f"g{n % (2 * groups)}" if n % 2 else "", group_limit=2)) for n in some]
            )
        plan = Plan("short", "short", (StepPlan("only"),), max_parallel=1_000)
        for at in range(0, runs, PIECE):
            client.execute_all([run_start(plan, new_run_id(), b"null", with_plan=True) for _ in range(min(PIECE, runs - at))])
        ending(client, plan, runs * 9 // 10)
        client.execute_all([])


def ending(client: Client, plan: Plan, count: int) -> None:
    """Work that many runs to their end, every tenth to a failure."""
    settled: list[Settled] = []
    for beat in range(count // 64 + 1):
        taken = client.execute(tick(plan.queue, worker="w", request=f"r{beat}", salt=f"r{beat}", settled=settled, take=64)).taken
        failure = json.dumps({"type": "Boom", "message": "no", "step": "only", "attempt": 1}).encode()
        settled = [
            Settled(job.job_id, job.token, "fatal", 0, failure, "Boom: no")
            if n % 10 == 0
            else Settled(job.job_id, job.token, "ok", 0, b"1")
            for n, job in enumerate(taken)
        ]
    client.execute(tick(plan.queue, worker="w", request="last", salt="last", settled=settled, take=0))


class TimedApp(FlowApp):
    """Remembers when it last wrote to the terminal."""

    painted = 0.0

    def _display(self, screen: Screen[object], renderable: object) -> None:
        super()._display(screen, renderable)  # type: ignore[arg-type]
        self.painted = time.perf_counter()


async def measure(url: str, idle_s: float) -> dict[str, float]:
    """Walk through the screens, press keys, wait."""
    feed = TimedFeed(url)
    app = TimedApp(feed, where=url)
    times: list[float] = []
    idle: list[float] = []
    async with app.run_test(size=(140, 40)) as pilot:
        await until(lambda: bool(feed.pulses) and " wide " in screen(app))
        first_paint = time.perf_counter() - feed.pulses[0][2]
        for key, _ in app.tabs:
            await pilot.press(key)
            if key in "34":
                await go_to(app, key)
            seen = len(feed.pulses)
            await until(lambda: len(feed.pulses) > seen + 3)  # noqa: B023
            if key in "234":
                times += [await key_time(app, pressed) for pressed in KEYS]
        for key in "123":
            await pilot.press(key)
            await asyncio.sleep(1)
            used, began = time.process_time(), time.perf_counter()
            await asyncio.sleep(idle_s)
            idle.append((time.process_time() - used) / (time.perf_counter() - began))
    return {
        "round trips a tick": max(p.trips for name, p, _ in feed.pulses if name != "counters"),
        "commands a tick": max(p.commands for name, p, _ in feed.pulses if name != "counters"),
        "first paint (ms)": 1000 * first_paint,
        "key to paint, median (ms)": 1000 * statistics.median(times),
        "key to paint, p95 (ms)": 1000 * sorted(times)[int(len(times) * 0.95)],
        "idle CPU (%)": 100 * max(idle),
        "memory (MB)": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


async def key_time(app: TimedApp, key: str) -> float:
    """From the press to the next write to the terminal; the ones that are due by themselves are let pass before."""
    await asyncio.sleep(0.05)
    began = time.perf_counter()
    app.post_message(Key(key, key if len(key) == 1 else " "))
    await until(lambda: app.painted > began)
    return app.painted - began


async def go_to(app: FlowApp, key: str) -> None:
    """Put the screens of jobs and groups on the queue that is full."""
    if key == "3":
        app.open_lane("wide")
    else:
        page = app.page
        while page is not None and getattr(page, "queue", "wide") != "wide":
            await app.run_action("next_queue", page)
            await asyncio.sleep(0)


def screen(app: FlowApp) -> str:
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--groups", type=int, default=5_000)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--idle", type=float, default=10.0, help="seconds")
    args = parser.parse_args()
    with ScratchServer() as server:
        with server.connection() as connection:
            connection.sadd("{omniq-flow}:queues", "wide", "short")
        began = time.perf_counter()
        fill(server.url, args.jobs, args.groups, args.runs)
        print(f"{args.jobs} waiting jobs, {args.groups} groups, {args.runs} runs, made in {time.perf_counter() - began:.0f} s")
        found = asyncio.run(measure(server.url, args.idle))
    for name, value in found.items():
        limit = MOST.get(name)
        verdict = "" if limit is None else f"   at most {limit}: {'ok' if value <= limit else 'MISSED'}"
        print(f"{name:<28}{value:>9.1f}{verdict}")


if __name__ == "__main__":
    main()
