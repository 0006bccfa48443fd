"""The floor: what a bare synchronous client needs for the same work, with nothing of an engine around it.

A socket, hiredis, and one script call for a batch of at most 64. Publishing and draining write all that the wire contract
asks for and nothing else (`floor_publish.lua`, `floor.lua`); a chain's steps are all published beforehand, so a hop is one
call that settles a job and takes the next. With the variant `flow` that call also keeps a run's books and publishes the
successor; `floor.lua` says what that includes. Idle pick-up is one LPUSH of the producer, a BLPOP and one trivial script call of
the worker. Nothing here survives a crash, extends a lease or looks after anything.
"""

from __future__ import annotations

import random
import socket
import statistics
import time
from pathlib import Path
from typing import Any

import hiredis
import probe
import redis

HERE = Path(__file__).parent
ANCHOR = "{bench}:meta"
WAKE = "{bench}:bare"
WIDTH = 64
CLAIM = "return redis.call('HGET', KEYS[1], 'paused')"
EMPTY = "return 1"
HOT, IDLE = 2_000, 40


class Bare:
    """One command, one reply."""

    def __init__(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", probe.PORT))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def __call__(self, *command: str | int | bytes) -> Any:
        self._socket.sendall(hiredis.pack_command(command))
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65536))
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def load(self, script: str) -> bytes:
        """The script's digest."""
        return bytes(self("SCRIPT", "LOAD", script))


def publish(call: Bare, payloads: list[str]) -> None:
    sha, head = call.load((HERE / "floor_publish.lua").read_text()), f"{random.getrandbits(60):020d}"
    for at in range(0, len(payloads), 256):
        some: list[str] = []
        for n, payload in enumerate(payloads[at : at + 256], at):
            some += (f"{head}{n:06d}", payload)
        call("EVALSHA", sha, 1, ANCHOR, *some)


def drain(call: Bare, sha: bytes, width: int) -> None:
    """Work until nothing is left, at most `width` jobs a call."""
    settled: list[bytes] = []
    is_flow = int(probe.VARIANT == "flow")
    while True:
        taken = call("EVALSHA", sha, 1, ANCHOR, len(settled) // 2, width, is_flow, *settled)
        settled = []
        for at in range(0, len(taken), 3):
            handle(taken[at + 2])
            settled += taken[at : at + 2]
        if not settled:
            return


def handle(payload: bytes) -> None:
    if payload[:1] == b"n":
        probe.tick()
    else:
        run, i, _ = payload.split()
        probe.stamp(int(run), int(i))


def work() -> None:
    call = Bare()
    step, claim = call.load((HERE / "floor.lua").read_text()), call.load(CLAIM)
    if probe.VARIANT != "flow":
        drain(call, step, WIDTH)
    while True:
        what, number = call("BLPOP", WAKE, 0)[1].split()
        if what == b"ping":
            call("EVALSHA", claim, 1, ANCHOR)
            probe.stamp(int(number))
        elif what == b"jobs":
            if probe.VARIANT == "flow":
                # It has no plain jobs; whoever warms it up waits for some.
                for _ in range(int(number)):
                    probe.tick()
            drain(call, step, WIDTH)
        else:
            drain(call, step, int(number))


def chain(call: Bare, runs: int, steps: int) -> None:
    """Publish the steps, or the runs and their first steps, and say so."""
    began = probe.now()
    if probe.VARIANT == "flow":
        for run in range(runs):
            call("HSET", f"{{bench}}:flow:r:{run}", "state", "running", "epoch", 1, "open", 1, "rev", 1, "limit", 10)
            call("SET", f"{{bench}}:g:{run}:limit", 10)
            fields = ("id", f"{run}.0", "payload", f"{run} 0 {steps}", "state", "wait", "attempt", 0, "max_attempts", 4)
            call("HSET", f"{{bench}}:job:{run}.0", *fields, "timeout_ms", 30000, "backoff_ms", 1000, "gid", run)
            call("RPUSH", f"{{bench}}:g:{run}:wait", f"{run}.0")
            call("ZADD", "{bench}:groups:ready", 1, run)
    else:
        publish(call, [f"{run} {i} {steps}" for i in range(steps) for run in range(runs)])
        began = probe.now()
    call("LPUSH", WAKE, f"chain {runs}")
    probe.out(t0=began, t1=probe.now())


def round_trips(call: Bare) -> None:
    """µs of a PING, hot and after a pause, from a bare socket and from redis-py; of an empty script, and the server's part."""
    client, sha = redis.Redis(port=probe.PORT), call.load(EMPTY)
    client.ping()

    def us(what: Any, times: int, pause: bool) -> float:
        found = []
        for _ in range(times):
            if pause:
                time.sleep(probe.gap())
            began = probe.now()
            what()
            found.append((probe.now() - began) / 1e3)
        return statistics.median(found)

    def ping() -> None:
        call("PING")

    def script() -> None:
        call("EVALSHA", sha, 0)

    measured = {"ping_hot_us": us(ping, HOT, False), "ping_idle_us": us(ping, IDLE, True)}
    measured |= {"redis_py_ping_hot_us": us(client.ping, HOT, False), "redis_py_ping_idle_us": us(client.ping, IDLE, True)}
    call("CONFIG", "RESETSTAT")
    measured["empty_script_us"] = us(script, HOT, False)
    spent = client.info("commandstats")["cmdstat_evalsha"]
    probe.out(**measured, empty_script_server_us=spent["usec_per_call"])


def main() -> None:
    command, numbers = probe.args()
    if command == "worker":
        work()
        return
    call = Bare()
    if command == "enqueue":
        began = probe.now()
        if probe.VARIANT != "flow":
            publish(call, ["n" + probe.payload(numbers[1])] * numbers[0])
        ended = probe.now()
        call("LPUSH", WAKE, f"jobs {numbers[0]}")
        probe.out(t0=began, t1=ended)
    elif command == "chain":
        chain(call, *numbers)
    elif command == "ping":
        for _ in range(numbers[0]):
            time.sleep(probe.gap())
            call("LPUSH", WAKE, f"ping {probe.now()}")
        probe.out(ok=1)
    elif command == "rtt":
        round_trips(call)


if __name__ == "__main__":
    main()
