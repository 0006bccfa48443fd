"""Many lives, one after another: each has a seed of its own, and a failure names it."""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import redis

from tests.oracle.executor import Alter, Executor
from tests.oracle.life import Life, Violation

QUEUE = "oracle"


@dataclass(frozen=True)
class Fault:
    """A life that went wrong."""

    seed: int
    most: int
    flows: int
    message: str
    tail: str

    def __str__(self) -> str:
        return (
            f"{self.message}\n\nseed {self.seed}; again: python -m tests.oracle --life {self.seed} --most {self.most} --runs {self.flows}\n"
            f"the last scripts:\n{self.tail}"
        )


def live(
    conn: redis.Redis, seed: int, *, alter: Alter | None = None, most: int = 11, flows: int = 0, full: bool = False
) -> Counter[str] | Fault:
    """One life on an empty server."""
    conn.flushall()
    life = Life(Executor(conn, alter), seed, QUEUE, most=most, flows=flows, full=full)
    try:
        return life.live()
    except Violation as violation:
        return Fault(seed, most, flows, str(violation), life.tail())
    except Exception as error:
        return Fault(seed, most, flows, f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-3)}", life.tail())


def smaller(conn: redis.Redis, fault: Fault, *, alter: Alter | None = None, tries: int = 40) -> Fault:
    """A life with fewer steps and runs that goes wrong as well, if one is found soon; checked after every script."""
    best = fault
    for most in range(2, fault.most + 1):
        for n in range(max(1, tries // fault.most)):
            found = live(conn, fault.seed + n, alter=alter, most=most, flows=1, full=True)
            if isinstance(found, Fault):
                return found
    found = live(conn, fault.seed, alter=alter, most=fault.most, flows=fault.flows, full=True)
    return found if isinstance(found, Fault) else best


def campaign(conn: redis.Redis, seed: int, flows: int, *, alter: Alter | None = None) -> Iterator[Counter[str] | Fault]:
    """Lives until so many runs have been lived."""
    rng, done = random.Random(seed), 0
    while done < flows:
        outcome = live(conn, rng.randrange(2**40), alter=alter)
        yield outcome
        done += 1 if isinstance(outcome, Fault) else outcome["flows"]
