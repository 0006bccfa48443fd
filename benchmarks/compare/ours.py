"""The workloads that only OmniQ Flow is put to: how it grows, what its runs keep, whom a greedy group holds up, its command line."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.compare.bench import PEERS, Bench, Trouble
from benchmarks.compare.workloads import Figures, Sizes, Workload, fan, percentile

ELEMENT_BYTES = 100
SOME = 20
"""Runs that are started while the queue is busy."""

NEWCOMER = 1_000
"""What their handlers note beside their number."""


def growth(bench: Bench, sizes: Sizes) -> Figures:
    """Maps over ever more elements: seconds of each, and how much more an element of the longest costs."""
    bench.warm()
    seconds = {n: fan(bench, n) for n in sizes.many_elements}
    each = [spent / n for n, spent in seconds.items()]
    return {f"fan_{n}_s": spent for n, spent in seconds.items()} | {"fan_growth": each[-1] / each[0]}


def kept(bench: Bench, sizes: Sizes) -> Figures:
    """What an ended step run of a map takes on the server beside its element and its value (of 100 bytes)."""
    bench.warm()
    fan(bench, 10)
    bench.until(lambda: int(bench.server.connection.zcard("{bench}:flow:live") == 0), 1, "the run ends")
    before = bench.server.used_memory
    fan(bench, sizes.map_elements)
    server = bench.server
    bench.call("fanout", sizes.map_elements, ELEMENT_BYTES)
    bench.until(lambda: int(server.connection.zcard("{bench}:flow:live") == 0), 1, "the runs end")
    # Two runs: one whose values are empty texts (2 bytes) and whose elements are 0, one of 100 bytes and elements of 3.
    values = sizes.map_elements * (2 + 1 + ELEMENT_BYTES + 3)
    time.sleep(1)
    return {"step_run_bytes": (server.used_memory - before - values) / (2 * sizes.map_elements)}


def greedy(bench: Bench, sizes: Sizes) -> Figures:
    """A group of very many jobs came first; then very many runs, each a group. One worker serves all of them.

    How long a step of the runs waits for the handler after the one before, the first step from the worker's first
    handler on; what runs wait that are started meanwhile; the greedy group's share of all that was worked (of the groups
    it is one); and how long a script holds up the server, nearly all of them beats.
    """
    bench.call("greedy", sizes.greedy)
    bench.call("chain", sizes.open_runs)
    server = bench.server
    server.reset_figures()
    bench.start()
    bench.until(lambda: bench.handled.count, min(sizes.greedy // 100, 500), "the worker works")
    told = bench.call("newcomers", SOME)

    def begun() -> int:
        return sum(1 for _, step, _ in bench.stamps if step in (0, NEWCOMER))

    bench.until(begun, sizes.open_runs + SOME, "all runs have begun", look_s=0.2)
    beats = server.script_us()
    stamps, began = bench.stamps, bench.handled.first
    first: dict[int, int] = {}
    for run, step, at in stamps:
        if step == 0:
            first.setdefault(run, at)
    new = {run: at for run, step, at in stamps if step == NEWCOMER}
    waits = [(at - began) / 1e6 for at in first.values()]
    late = [(new[n] - at) / 1e6 for n, at in enumerate(told["started"])]
    seconds = (stamps[-1][2] - began) / 1e9
    return {
        "first_wait_ms": statistics.median(waits),
        "first_wait_max_ms": max(waits),
        "newcomer_wait_ms": statistics.median(late),
        "newcomer_wait_p95_ms": percentile(late, 95),
        "served_per_s": (bench.handled.count + len(stamps)) / seconds,
        "greedy_share": bench.handled.count / (bench.handled.count + len(stamps)),
        "beat_mean_us": beats["mean"],
        "beat_p99_us": beats["p99"],
    }


def command_line(bench: Bench, sizes: Sizes) -> Figures:
    """ms of a command from its start to its end, beyond an interpreter that does nothing; in turns, the median."""
    bench.call("fill", sizes.listed_runs)
    program = [sys.executable, "-m", "omniq_flow.cli.main"]
    url = ["--url", bench.server.url]
    commands = {
        "bare": [sys.executable, "-c", "pass"],
        "cli_help_ms": [*program, "--help"],
        "cli_start_ms": [*program, "start", "short", "--set", "n=1", *url],
        "cli_list_ms": [*program, "runs", "list", *url],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(sizes.calls + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            done = subprocess.run(command, cwd=PEERS / "ours", env=bench.environment, capture_output=True, text=True, timeout=60)
            if done.returncode:
                raise Trouble(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr}")
            if turn:  # the first one may have had to compile
                times[name].append((time.perf_counter() - began) * 1e3)
    bare = statistics.median(times.pop("bare"))
    return {name: statistics.median(found) - bare for name, found in times.items()} | {"bare_python_ms": bare}


FOR_OURS: dict[str, Workload] = {"growth": growth, "kept": kept, "w7": greedy, "w8": command_line}
