"""What every peer's file needs: counting executions, noting times, and carrying out the commands. Standard library only.

Counting goes through a memory-mapped slot of each process and thread, so it costs well under a microsecond and no command
of the server. Times are those of CLOCK_MONOTONIC in ns, which all processes of one machine share.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import mmap
import os
import random
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

FOLDER = os.environ.get("BENCH_FOLDER", ".")
PORT = int(os.environ.get("BENCH_PORT", "6379"))
URL = f"redis://127.0.0.1:{PORT}/0"
VARIANT = os.environ.get("BENCH_VARIANT", "")
IS_FORKED_PER_JOB = os.environ.get("BENCH_SLOT", "") == "inherit"
"""Such workers share one slot, made before the fork."""

SLOT = struct.Struct("<QQQ")
"""Executions, time of the first, time of the last."""

now = time.monotonic_ns
_local = threading.local()
_stamps = -1


def _new_slot() -> list[Any]:
    file = os.open(os.path.join(FOLDER, f"slot-{os.getpid()}-{threading.get_ident()}-{now()}"), os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(file, SLOT.size)
    memory = mmap.mmap(file, SLOT.size)
    os.close(file)
    return [memory, 0, 0]


_shared: list[Any] = _new_slot() if IS_FORKED_PER_JOB else [None]


def _forget() -> None:
    global _local, _stamps
    _local, _stamps = threading.local(), -1


os.register_at_fork(after_in_child=_forget)


def tick() -> None:
    """One execution of a handler."""
    if IS_FORKED_PER_JOB:
        count, first, _ = SLOT.unpack_from(_shared[0], 0)
        at = now()
        SLOT.pack_into(_shared[0], 0, count + 1, first or at, at)
        return
    try:
        slot = _local.slot
    except AttributeError:
        slot = _local.slot = _new_slot()
    at = now()
    slot[1] += 1
    if slot[1] == 1:
        slot[2] = at
    SLOT.pack_into(slot[0], 0, slot[1], slot[2], at)


def stamp(a: int, b: int = 0) -> None:
    """Append the record (a, b, now)."""
    global _stamps
    at = now()
    if _stamps < 0:
        _stamps = os.open(os.path.join(FOLDER, "stamps"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(_stamps, SLOT.pack(a, b, at))


def out(**values: object) -> None:
    """The answer of a command to the one who measures."""
    print("BENCH " + json.dumps(values), flush=True)


def args() -> tuple[str, list[int]]:
    """The command of this process and its numbers."""
    return sys.argv[1], [int(a) for a in sys.argv[2:]]


def gap() -> float:
    """Seconds of idleness, at random, so that a worker that polls is met at any phase."""
    return random.uniform(0.03, 0.13)


def payload(size: int) -> str:
    """A text that is about `size` bytes as the JSON of a job."""
    return "x" * max(0, size - 12)


def run(
    *,
    worker: Callable[[], Any],
    enqueue: Callable[[int, str], Any],
    chain: Callable[[int, int], Any],
    fanout: Callable[[int], Any],
    send: Callable[[int], Any],
    connect: Callable[[], Any] = lambda: None,
    close: Callable[[], Any] = lambda: None,
) -> None:
    """Carry out the command of this process with functions of a peer, async ones or not.

    `worker` works until it is ended. The others are timed from a connection that `connect` has opened: `enqueue` that many jobs
    with that text, `chain` that many runs of so many steps, `fanout` to that many children and one job after them;
    `send` one job that carries a time.
    """
    command, numbers = args()
    if command == "worker":
        if inspect.isawaitable(working := worker()):
            asyncio.run(_awaited(working))
        return

    async def carry_out() -> None:
        await _awaited(connect())
        if command == "ping":
            for _ in range(numbers[0]):
                await asyncio.sleep(gap())
                await _awaited(send(now()))
            out(ok=1)
        else:
            given = [numbers[0], payload(numbers[1])] if command == "enqueue" else numbers
            works: dict[str, Callable[..., Any]] = {"enqueue": enqueue, "chain": chain, "fanout": fanout}
            began = now()
            await _awaited(works[command](*given))
            out(t0=began, t1=now())
        await _awaited(close())

    asyncio.run(carry_out())


async def _awaited(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def parts(count: int, size: int) -> list[int]:
    """`count` in parts of at most `size`."""
    return [min(size, count - at) for at in range(0, count, size)]
