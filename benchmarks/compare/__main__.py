"""OmniQ Flow, its peers and the server's own floor, in one run on one server.

    python -m benchmarks.peers.setup FOLDER
    python -m benchmarks.compare --folder FOLDER [--peers saq,huey:t1] [--workloads w1,w4] [--repeat 3] [--json FILE]

Workloads: w1 enqueue and drain with one worker process, w1x2 with two, w2 many chains of 50 steps, hop a single chain, w3 a
fan-out and its fan-in, w4 picking up a job when idle, w5 being idle, w6 memory of waiting jobs; rtt round trips of the bare
client; and for OmniQ Flow growth (long maps), kept (memory of what ended), w7 (a greedy group beside many runs), w8 (the
command line). Turns are interleaved: every workload goes through all peers before the next, so that a slow minute meets all
of them. Each measurement has an empty server and new processes; the settings of the server are the same for all.

In brackets stands how many times as good OmniQ Flow is; of the floor, below 1, what part of it is reached.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.compare.bench import Bench, Peer, Trouble
from benchmarks.compare.machine import Server, calibrate, server
from benchmarks.compare.ours import FOR_OURS
from benchmarks.compare.peers import FLOOR, OURS, chosen
from benchmarks.compare.table import Result, lines
from benchmarks.compare.workloads import FOR_ALL, FOR_FLOOR, SMALL, TINY, Sizes, Workload

WORKLOADS: dict[str, Workload] = {**FOR_ALL, **FOR_FLOOR, **FOR_OURS}
SIZES = {"full": Sizes(), "small": SMALL, "tiny": TINY}


def is_for(workload: str, peer: Peer) -> bool:
    if workload in peer.leaves_out:
        return False
    if workload in FOR_FLOOR:
        return peer.name == FLOOR
    return workload in FOR_ALL or peer.title == OURS


def measure(on: Server, peer: Peer, workload: str, turn: int, sizes: Sizes, timeout_s: float) -> Result:
    """One workload of one peer; trouble is a result as well."""
    loop_ms, ping_us = calibrate(on.connection)
    try:
        with Bench(on, peer, timeout_s) as bench:
            return Result(peer.title, workload, turn, loop_ms, ping_us, WORKLOADS[workload](bench, sizes))
    except Trouble as error:
        return Result(peer.title, workload, turn, loop_ms, ping_us, {}, str(error))


def results(on: Server, peers: Sequence[Peer], workloads: Sequence[str], repeat: int, sizes: Sizes, timeout_s: float) -> Iterator[Result]:
    for turn in range(1, repeat + 1):
        for workload in workloads:
            for peer in peers:
                if is_for(workload, peer):
                    yield measure(on, peer, workload, turn, sizes, timeout_s)


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where benchmarks.peers.setup put the peers; without it only ours and the floor")
    parser.add_argument("--peers", default="", help="names with commas: huey (all its variants), huey:t1, omniq_flow: (the plain one)")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="with commas; all by default")
    parser.add_argument("--repeat", type=int, default=3, help="turns")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--jobs", type=int, help="how many jobs are enqueued and drained")
    parser.add_argument("--aof", action="store_true", help="append-only file on, fsync every second")
    parser.add_argument("--timeout", type=float, default=180, help="seconds that one step of a measurement may take")
    parser.add_argument("--json", type=Path, help="file to append one line for each measurement to")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(arguments)
    peers = chosen([name for name in options.peers.split(",") if name], options.folder)
    workloads = options.workloads.split(",")
    if unknown := set(workloads) - set(WORKLOADS):
        raise SystemExit(f"there is no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    sizes = SIZES[options.size]
    if options.jobs:
        sizes = dataclasses.replace(sizes, jobs=options.jobs)
    found: list[Result] = []
    with server(aof=options.aof) as on:
        for result in results(on, peers, workloads, options.repeat, sizes, options.timeout):
            found.append(result)
            print(json.dumps(result.json), file=sys.stderr, flush=True)
            if options.json:
                with options.json.open("a") as file:
                    file.write(json.dumps({"aof": options.aof, "size": options.size, **result.json}) + "\n")
        aof = "everysec" if options.aof else "off"
        print(f"Python {platform.python_version()}, {on.version}, {os.cpu_count()} CPUs, TCP loopback, aof {aof}")
    print("\n".join(lines(found, peers)))


if __name__ == "__main__":
    main()
