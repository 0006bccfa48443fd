"""The workloads that every peer is put to. Each gives figures by name; handlers do nothing but count or note the time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.compare.bench import Bench, Trouble
from benchmarks.compare.machine import LISTPACK_VALUE, processes_of

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything."""

    jobs: int = 20_000
    runs: int = 40
    steps: int = 50
    fan: int = 1_000
    pings: int = 100
    idle_s: float = 10.0
    many_elements: tuple[int, ...] = (10_000, 100_000)
    map_elements: int = 10_000
    open_runs: int = 1_000
    greedy: int = 100_000
    listed_runs: int = 10_000
    calls: int = 15
    """How often each command of the command line is timed."""


TINY = Sizes(
    jobs=300,
    runs=4,
    fan=20,
    pings=5,
    idle_s=0.5,
    many_elements=(50, 200),
    map_elements=50,
    open_runs=10,
    greedy=300,
    listed_runs=50,
    calls=2,
)
SMALL = Sizes(
    jobs=2_000,
    runs=10,
    fan=200,
    pings=30,
    idle_s=3,
    many_elements=(500, 2_000),
    map_elements=1_000,
    open_runs=100,
    greedy=5_000,
    listed_runs=1_000,
    calls=5,
)


def jobs(bench: Bench, sizes: Sizes, workers: int = 1) -> Figures:
    """Enqueue with the fastest way a peer documents; then start workers, and time from the first handler to the last."""
    count = min(sizes.jobs, bench.peer.most_jobs)
    told = bench.call("enqueue", count, 20)
    bench.server.reset_figures()
    spent = bench.server.cpu_s
    bench.start(workers)
    bench.until(lambda: bench.handled.count, count, "the jobs are drained")
    handled = bench.handled
    seconds = (handled.last - handled.first) / 1e9
    return {
        "enqueue_per_s": count / (told["t1"] - told["t0"]) * 1e9,
        "drain_per_s": (handled.count - 1) / seconds,
        "drain_server_us": (bench.server.cpu_s - spent) * 1e6 / count,
        "ran": handled.count,
    }


def two_workers(bench: Bench, sizes: Sizes) -> Figures:
    return {"drain2_per_s": jobs(bench, sizes, 2)["drain_per_s"]}


def chains(bench: Bench, sizes: Sizes) -> Figures:
    """Runs of 50 steps one after the other, for one warm and idle worker; from the first submit to the last handler.

    The time of the server is that of the submits as well.
    """
    bench.warm()
    wanted, spent = sizes.runs * sizes.steps, bench.server.cpu_s
    told = bench.call("chain", sizes.runs, sizes.steps)
    bench.until(lambda: bench.stamp_count, wanted, "the chains end")
    stamps = bench.stamps
    order: dict[int, list[int]] = {}
    for run, step, _ in sorted(stamps, key=lambda s: s[2]):
        order.setdefault(run, []).append(step)
    if any(steps != list(range(sizes.steps)) for steps in order.values()):
        raise Trouble("the steps of a chain ran in another order, or twice")
    seconds = (max(at for _, _, at in stamps) - told["t0"]) / 1e9
    return {"chain_steps_per_s": wanted / seconds, "chain_server_us": (bench.server.cpu_s - spent) * 1e6 / wanted}


def hops(bench: Bench, sizes: Sizes) -> Figures:
    """A single chain in flight: the time between the handlers of two successive steps."""
    bench.warm()
    found: list[float] = []
    for _ in range(4):
        before = bench.stamp_count
        bench.call("chain", 1, sizes.steps)
        bench.until(lambda: bench.stamp_count - before, sizes.steps, "the chain ends")  # noqa: B023
        times = sorted(at for _, _, at in bench.stamps[before:])
        found += [(b - a) / 1e6 for a, b in pairwise(times)]
    return {"hop_ms": statistics.median(found), "hop_p95_ms": percentile(found, 95)}


def fan_in(bench: Bench, sizes: Sizes) -> Figures:
    """1,000 children, then one job after all of them; from the submit to its handler."""
    bench.warm()
    return {"fan_s": fan(bench, sizes.fan)}


def fan(bench: Bench, count: int) -> float:
    before, children = bench.stamp_count, bench.handled.count
    told = bench.call("fanout", count)
    bench.until(lambda: (bench.stamp_count - before) * 10**9 + bench.handled.count, 10**9, "the fan-in runs")
    seconds = (bench.stamps[before][2] - told["t0"]) / 1e9
    time.sleep(0.2)
    if (ran := bench.handled.count - children) != count:
        raise Trouble(f"{ran} of {count} children had run at the fan-in")
    return float(seconds)


def pick_up(bench: Bench, sizes: Sizes) -> Figures:
    """One job at a time for an idle worker, after gaps of 30 to 130 ms; from the publishing call to the handler."""
    bench.warm()
    before = bench.stamp_count
    bench.call("ping", sizes.pings)
    bench.until(lambda: bench.stamp_count - before, sizes.pings, "the jobs are picked up")
    found = [(at - sent) / 1e6 for sent, _, at in bench.stamps[before:]]
    return {"pick_up_ms": statistics.median(found), "pick_up_p95_ms": percentile(found, 95)}


def idle(bench: Bench, sizes: Sizes) -> Figures:
    """What a worker costs that has nothing to do."""
    bench.warm()
    time.sleep(3 if sizes.idle_s >= 3 else 0)
    server = bench.server
    server.reset_figures()
    used, commands, reads, began = processes_of(bench.worker_pid), server.commands, server.reads, time.monotonic()
    time.sleep(sizes.idle_s)
    seconds = time.monotonic() - began
    # One of the reads is the one that asks.
    reads_after, commands_after = server.reads - 1, server.commands
    spent = sum(seconds_now - used.get(pid, 0.0) for pid, seconds_now in processes_of(bench.worker_pid).items())
    return {
        "idle_trips_per_s": max(reads_after - reads, 0) / seconds,
        "idle_commands_per_s": (commands_after - commands) / seconds,
        "idle_cpu_pct": 100 * spent / seconds,
        "worker_mb": memory_mb(bench.worker_pid),
    }


def memory(bench: Bench, sizes: Sizes) -> Figures:
    """Bytes of the server per waiting job of about 100 bytes, with its own settings (64) and with those of the embedded one."""
    found = {f"job_bytes_{limit}": per_job(bench, sizes, 100, limit) for limit in (64, LISTPACK_VALUE)}
    if bench.peer.name in ("omniq_flow", "floor", "omniq"):
        found["small_job_bytes_64"] = per_job(bench, sizes, 60, 64)
    return found


def per_job(bench: Bench, sizes: Sizes, size: int, listpack_value: int) -> float:
    count, server = min(sizes.jobs, bench.peer.most_jobs), bench.server
    server.clear()
    server.connection.config_set("hash-max-listpack-value", listpack_value)
    bench.call("enqueue", 1, size)
    before = server.used_memory
    bench.call("enqueue", count, size)
    time.sleep(0.2)
    return (server.used_memory - before) / count


def round_trips(bench: Bench, sizes: Sizes) -> Figures:
    """What a PING and an empty script cost a Python client."""
    return {name: float(value) for name, value in bench.call("rtt").items()}


def percentile(values: Sequence[float], share: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


def memory_mb(leader: int) -> float:
    """Memory of a worker's processes, what they share counted once."""
    total = 0
    for pid in processes_of(leader):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as lines:
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except OSError:
            continue  # gone meanwhile
    return total / 1024


Workload = Callable[[Bench, Sizes], Figures]

FOR_ALL: dict[str, Workload] = {
    "w1": jobs,
    "w1x2": two_workers,
    "w2": chains,
    "hop": hops,
    "w3": fan_in,
    "w4": pick_up,
    "w5": idle,
    "w6": memory,
}
FOR_FLOOR: dict[str, Workload] = {"rtt": round_trips}
