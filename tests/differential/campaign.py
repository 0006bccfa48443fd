"""Sequences of acts on both sides, one after the other; a failing one is made small and shown."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.differential.acts import Act, damage
from tests.differential.differences import expected
from tests.differential.numerals import clocked
from tests.differential.outcome import disagreement
from tests.differential.reference import Reference, Scripts
from tests.differential.sequence import Drawer
from tests.differential.state import Space

ACTS = 40
SHRINK_TRIES = 2_000


@dataclass(frozen=True)
class Fault:
    """A sequence that does not end as it must."""

    seed: str
    acts: tuple[Act, ...]
    message: str

    def __str__(self) -> str:
        lines = "\n".join(f"  {n:2} {act}" for n, act in enumerate(self.acts, 1))
        return f"seed {self.seed}; again: python -m tests.differential --one {self.seed}\n{lines}\n{self.message}"


class Sides:
    """Our scripts and the reference, from the same keyspace in each step."""

    def __init__(self, ours: Scripts, reference: Reference) -> None:
        self.ours, self.reference = ours, reference
        self.space, self.hits = Space(), Counter[str]()

    def begin(self) -> None:
        self.space = Space()

    def step(self, act: Act) -> str:
        """What differs after this act; empty if nothing does."""
        if act.name.startswith("!"):
            self.space = damage(self.space, act)
            return ""
        act = act.resolved(self.space)
        seen = self.ours.see(self.space, act)
        want = expected(self.reference, self.space, act, seen)
        self.hits.update(want.hits)
        self.hits[act.name] += 1
        message = disagreement(want, seen)
        self.space = self.reference.run(self.space, clocked(act, seen))[1] if act.foreign and "D7" not in want.hits else seen.after
        return message


def draw(sides: Sides, seed: str, length: int = ACTS) -> Fault | None:
    """One sequence out of its seed."""
    sides.begin()
    drawer, acts = Drawer(random.Random(seed)), []
    for _ in range(length):
        acts.append(drawer.act(sides.space))
        if message := sides.step(acts[-1]):
            return Fault(seed, tuple(acts), message)
    return None


def again(sides: Sides, acts: Sequence[Act]) -> str:
    """What differs when these acts are done from an empty keyspace."""
    sides.begin()
    for act in acts:
        if message := sides.step(act):
            return message
    return ""


def smaller(sides: Sides, fault: Fault) -> Fault:
    """The same fault with as few acts as can be found: halves are dropped, then quarters, then single acts."""
    acts, message, tries = list(fault.acts), fault.message, 0
    size = len(acts) // 2
    while size:
        at = 0
        while at < len(acts) and tries < SHRINK_TRIES:
            fewer = acts[:at] + acts[at + size :]
            tries += 1
            if found := again(sides, fewer):
                acts, message = fewer, found
            else:
                at += size
        size //= 2
    return Fault(fault.seed, tuple(acts), message)


def campaign(sides: Sides, seed: int, sequences: int, length: int = ACTS) -> Iterator[Fault]:
    """The faults of so many sequences, each made small."""
    for n in range(sequences):
        if fault := draw(sides, f"{seed}/{n}", length):
            yield smaller(sides, fault)
