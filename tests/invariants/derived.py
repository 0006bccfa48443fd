"""L4: with no work left, the derived keys are what the facts give. Computed here from the definitions, not by replaying work.

A gate holds what is undecided among the inputs that are decided at its prefix; a collection what is undecided
among the elements of one list; parked are lists and single step runs that wait for a gate around them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import InputPlan, Plan, StepPlan
from omniq_flow.model.runs import Fact
from omniq_flow.model.states import StepState
from tests.invariants.snapshot import RunKeys, Snapshot

Index = tuple[int, ...]
VALUE, SKIP, FAIL = "v", "s", "f"


@dataclass(frozen=True)
class Seen:
    """How something decided looks to who waits for it: v, s or f, and the newest epoch behind it."""

    kind: str
    epoch: int


@dataclass
class Derived:
    """What must be there beside the facts."""

    gates: dict[str, str] = field(default_factory=dict)
    parked: set[str] = field(default_factory=set)
    counters: dict[str, int] = field(default_factory=dict)
    done: dict[str, frozenset[str]] = field(default_factory=dict)


def derived_keys(s: Snapshot, run: RunKeys) -> Iterator[str]:
    """L4, and I14 with it: a gate that is closed while its step run is undecided is found as a difference."""
    if run.has_work or run.is_over or run.is_stopped:
        return
    replay = Replay(run)
    want = replay.derive()
    yield from replay.kept()
    yield from _differences("known", replay.known(), {k: v for k, v in run.tallies.items() if k.endswith(":t") and v})
    yield from _differences("gates", want.gates, {k: _canonical(k, v) for k, v in run.gates.items()})
    yield from _differences("counters", want.counters, dict(run.counters))
    yield from _differences("members", want.done, dict(run.done))
    if want.parked != run.parked:
        yield f"L4: parked differs by {sorted(want.parked ^ run.parked)[:4]}"


def _differences(
    what: str, want: dict[str, object] | dict[str, str] | dict[str, int] | dict[str, frozenset[str]], have: object
) -> Iterator[str]:
    assert isinstance(have, dict)
    for name in sorted(set(want) | set(have)):
        if want.get(name) != have.get(name):
            yield f"L4: {what} {name}: {have.get(name)!r} is there, the facts give {want.get(name)!r}"


def _canonical(name: str, record: str) -> str:
    """Flags of a gate come in the order of events, which does not matter."""
    if name.startswith("of:"):
        return record
    left, flags, epoch, parked = record.split("|")
    return "|".join((left, "".join(sorted(flags)), epoch, parked))


class Replay:
    """One run's facts, and what follows from them."""

    def __init__(self, run: RunKeys) -> None:
        self.run, self.plan = run, run.plan
        self._epochs: dict[StepRun, int] = {}
        self._facts: dict[StepRun, Fact | None] = {}

    def derive(self) -> Derived:
        found = Derived()
        for step in self.plan.steps:
            self._park(step, found)
        for step in self.plan.steps:
            for depth in range(step.depth + 1):
                self._gates(step, depth, found)
            for up in range(1, self._heights[step.name] + 1):
                self._collections(step, up, found)
        return found

    def known(self) -> dict[str, int]:
        """How many step runs of each step inside lists the lists that have opened in this life make."""
        found: Counter[str] = Counter()
        for step in self.plan.steps:
            if step.level:
                found[f"{step.name}:t"] = len(self._prefixes(step.level))
        return {name: n for name, n in found.items() if n}

    def kept(self) -> Iterator[str]:
        """What an earlier life left and this one has reached: it stands only if nothing behind it is newer (levels §5)."""
        for at, raw in self.run.facts.items():
            if not 0 < raw.epoch < self.run.since or raw.state is StepState.QUEUED or self._fact(at) is None:
                continue
            newest = max(self.newest_input(at), int(self.run.header.get(f"redo:{at.step}", "0")))
            if raw.epoch < newest or raw.state is StepState.CANCELLED:
                yield f"L4: {at} was kept at {raw.epoch}, what it was made from is of {newest}"
            if raw.state is StepState.FAILED and (self.run.header.get("only") != "1" or f"{at.id}.{raw.epoch}" in self.run.only):
                yield f"L4: {at} was to be worked again and was kept"

    def newest_input(self, at: StepRun) -> int:
        """The newest epoch among what a step run is made from."""
        step, x = self.plan.by_name[at.step], at.index
        epochs = [self._gate(step, x[:depth])[2] for depth in range(step.depth + 1) if self._waits(step, depth)]
        if step.level and not self._waits(step, step.depth):
            around = self._fact(StepRun(step.level[-1], x[:-1]))
            epochs.append(around.epoch if around else 0)
        return max(epochs, default=0)

    # -- what is there ------------------------------------------------------------------

    def _fact(self, at: StepRun) -> Fact | None:
        """The fact of a step run as this life of the run knows it: what an earlier life left counts once it is reached."""
        if at not in self._facts:
            self._facts[at] = self.run.facts.get(at) if self.run.since == 1 or self._is_reached(at) else None
        return self._facts[at]

    def _is_reached(self, at: StepRun) -> bool:
        step = self.plan.by_name[at.step]
        if step.level and at.index[-1] >= self._length(step.level[-1], at.index[:-1]):
            return False
        return all(self._left(step, at.index[:depth]) == 0 for depth in range(step.depth + 1))

    @cached_property
    def _heights(self) -> dict[str, int]:
        heights = {s.name: 0 for s in self.plan.steps}
        for step in self.plan.steps:
            for i in step.inputs:
                if i.is_edge:
                    heights[i.step] = max(heights[i.step], self._up(i, step))
        return heights

    def _up(self, i: InputPlan, consumer: StepPlan) -> int:
        producer = self.plan.by_name[i.step].level
        if i.kind == "after":
            shared = 0
            while producer[: shared + 1] == consumer.level[: shared + 1] and shared < len(producer):
                shared += 1
            return len(producer) - shared
        return i.up if i.kind == "gather" else 0

    def _depth(self, i: InputPlan, consumer: StepPlan) -> int:
        return self.plan.by_name[i.step].depth - self._up(i, consumer)

    def _waits(self, step: StepPlan, depth: int) -> list[InputPlan]:
        return [i for i in step.inputs if i.is_edge and i.kind != "each" and self._depth(i, step) == depth]

    def _length(self, list_step: str, y: Index) -> int:
        fact = self._fact(StepRun(list_step, y))
        return fact.length if fact and fact.state is StepState.SUCCEEDED else 0

    def _prefixes(self, level: tuple[str, ...]) -> list[Index]:
        """All elements of a level that exist."""
        found: list[Index] = [()]
        for list_step in level:
            found = [(*y, n) for y in found for n in range(self._length(list_step, y))]
        return found

    # -- what is decided ----------------------------------------------------------------

    def _one(self, step: StepPlan, x: Index) -> Seen | None:
        fact = self._fact(StepRun(step.name, x))
        if fact is None or not fact.state.is_final:
            return None
        kind = {StepState.SUCCEEDED: VALUE, StepState.SKIPPED: SKIP}.get(fact.state, FAIL)
        return Seen(kind, fact.epoch or self._epoch(step, x))

    def _epoch(self, step: StepPlan, x: Index) -> int:
        """The newest epoch among the inputs of a step run that was decided by them."""
        at = StepRun(step.name, x)
        if at not in self._epochs:
            self._epochs[at] = self.newest_input(at)
        return self._epochs[at]

    def _members(self, step: StepPlan, y: Index) -> list[Seen | None]:
        return [self._whole(step, (*y, n), None) for n in range(self._length(step.level[len(y)], y))]

    def _whole(self, step: StepPlan, y: Index, i: InputPlan | None) -> Seen | None:
        """All step runs of a step below y, as one thing; None while something of it is undecided."""
        if len(y) == step.depth:
            return self._one(step, y)
        around = self._one(self.plan.by_name[step.level[len(y)]], y)
        if around is None or around.kind != VALUE:
            return around
        members = self._members(step, y)
        if not members:
            return Seen(VALUE, around.epoch)
        if None in members:
            return None
        decided = [m for m in members if m is not None]
        kinds, epoch = [m.kind for m in decided], max(m.epoch for m in decided)
        if FAIL in kinds and not (i and i.record):
            return Seen(FAIL, epoch)
        if set(kinds) == {SKIP} and not (i and i.holes):
            return Seen(SKIP, epoch)
        return Seen(VALUE, epoch)

    # -- gates, collections, parked -------------------------------------------------------

    def _gate(self, step: StepPlan, z: Index) -> tuple[list[str], str, int]:
        """Inputs decided at this prefix, their flags, their newest epoch."""
        told, flags, epoch = [], "", 0
        for i in self._waits(step, len(z)):
            seen = self._whole(self.plan.by_name[i.step], z, i)
            if seen is not None:
                told.append(i.param)
                flags += self._flag(i, seen.kind)
                epoch = max(epoch, seen.epoch)
        return told, "".join(sorted(flags)), epoch

    def _flag(self, i: InputPlan, kind: str) -> str:
        if kind == FAIL:
            return "f"
        if i.kind == "after":
            return ""
        return "v" if kind == VALUE else "n" if i.optional else "s"

    def _left(self, step: StepPlan, z: Index) -> int:
        return len(self._waits(step, len(z))) - len(self._gate(step, z)[0])

    def _closed(self, step: StepPlan, x: Index) -> Index | None:
        return next((x[:k] for k in range(step.depth) if self._waits(step, k) and self._left(step, x[:k]) > 0), None)

    def _park(self, step: StepPlan, found: Derived) -> None:
        has_own = bool(self._waits(step, step.depth))
        if not step.level or not any(self._waits(step, k) for k in range(step.depth)):
            return
        candidates = self._prefixes(step.level) if has_own else self._prefixes(step.level[:-1])
        for x in candidates:
            if has_own and (self._left(step, x) > 0 or self._fact(StepRun(step.name, x)) is not None):
                continue
            if not has_own and self._length(step.level[-1], x) == 0:
                continue
            z = self._closed(step, x)
            if z is not None:
                found.parked.add(f"in:{StepRun(step.name, z).id}|{_suffix(x)}")

    def _gates(self, step: StepPlan, depth: int, found: Derived) -> None:
        waits = self._waits(step, depth)
        if not waits:
            return
        for z in self._prefixes(step.level[:depth]):
            told, flags, epoch = self._gate(step, z)
            name = f"in:{StepRun(step.name, z).id}"
            parked = sum(1 for entry in found.parked if entry.startswith(name + "|"))
            left = len(waits) - len(told)
            if depth == step.depth and self._fact(StepRun(step.name, z)) is not None:
                continue
            if told or parked:
                found.gates[name] = f"{left}|{flags}|{epoch}|{parked}"
                self._count(found, name, left, told)

    def _collections(self, step: StepPlan, up: int, found: Derived) -> None:
        for y in self._prefixes(step.level[: step.depth - up]):
            members = self._members(step, y)
            decided = [m for m in members if m is not None]
            if members and len(decided) < len(members):
                kinds = [m.kind for m in decided]
                record = (
                    len(members),
                    len(members) - len(decided),
                    kinds.count(FAIL),
                    kinds.count(SKIP),
                    max((m.epoch for m in decided), default=0),
                )
                name = f"of:{StepRun(step.name, y).id}"
                found.gates[name] = "|".join(map(str, record))
                self._count(found, name, record[1], [str(n) for n, m in enumerate(members) if m is not None])

    def _count(self, found: Derived, name: str, left: int, told: list[str]) -> None:
        if left > 0:
            found.counters[name] = left
            if told:
                found.done[name] = frozenset(told)


def decide_all(plan: Plan) -> list[str]:
    """Names of the steps in the order of their definition."""
    return [s.name for s in plan.steps]


def _suffix(x: Index) -> str:
    return "".join(f"-{n}" for n in x)
