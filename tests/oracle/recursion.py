"""The oracle: what must come out of a run, by plain recursion over its plan. It knows no gates, counters or orders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import InputPlan, Plan, StepPlan
from tests.oracle.world import FAILED, Arg, Kind, World

Flag = str


@dataclass(frozen=True, slots=True)
class Decided:
    """How a step run ends: its letter (D, F, S or U), and what it gave."""

    letter: str
    value: bytes = b""
    elements: tuple[bytes, ...] = ()

    @property
    def kind(self) -> Kind:
        return "v" if self.letter == "D" else "s" if self.letter == "S" else "f"


class Oracle:
    """`forced` names step runs that fail whatever their handler says, because their jobs were lost or ran out of attempts.
    `givens` has the input of each life that came with another one."""

    def __init__(self, plan: Plan, world: World, given: bytes) -> None:
        self.plan, self.world = plan, world
        self.forced: set[StepRun] = set()
        self.givens = {1: given}
        self._known: dict[StepRun, Decided] = {}

    def copy(self) -> Oracle:
        """One of the same mind, for a run that goes on from here as another one."""
        found = Oracle(self.plan, self.world.copy(), self.givens[1])
        found.forced, found.givens = set(self.forced), dict(self.givens)
        return found

    def force(self, at: StepRun) -> None:
        self.forced.add(at)
        self.world.worked[at] = self.world.life
        self._known.clear()

    def worked(self, at: StepRun) -> None:
        """A handler ended a step run in this life of the run."""
        if at in self.forced or self.world.worked.get(at, 1) != self.world.life:
            self._known.clear()
        self.forced.discard(at)
        self.world.worked[at] = self.world.life

    def begin_life(self, redo: tuple[str, ...] = ()) -> None:
        """The run is retried, these steps are done again though they succeeded."""
        self.world.life += 1
        for step in redo:
            self.world.redone.setdefault(step, []).append(self.world.life)
        self._known.clear()

    def decided(self, at: StepRun) -> Decided:
        if at not in self._known:
            self._known[at] = self._decide(at)
        return self._known[at]

    def args(self, at: StepRun) -> tuple[Arg, ...]:
        """What the handler of a step run is to get, in the order that a take hands it over."""
        step = self.plan.by_name[at.step]
        return tuple(self._take(step, i, at.index, self.world.life)[1] for i in step.inputs if i.kind not in ("after", "context"))

    def everything(self) -> dict[StepRun, Decided]:
        """All step runs that exist."""
        return {at: self.decided(at) for s in self.plan.steps for at in self._all_of(s)}

    def fails(self) -> bool:
        """Whether the run must fail: a failure that is not recorded by all who look at it."""
        recorded = recorded_steps(self.plan)
        return any(d.letter == "F" and at.step not in recorded for at, d in self.everything().items())

    def _all_of(self, step: StepPlan) -> Iterator[StepRun]:
        if not step.level:
            yield StepRun(step.name)
            return
        for around in self._all_of(self.plan.by_name[step.level[-1]]):
            for n in range(len(self.decided(around).elements)):
                yield StepRun(step.name, (*around.index, n))

    def _decide(self, at: StepRun) -> Decided:
        step = self.plan.by_name[at.step]
        flags = "".join(self._take(step, i, at.index, self.world.life)[0] for i in step.inputs if i.is_edge)
        if "f" in flags:
            return Decided("U")
        if "s" in flags or ("n" in flags and "v" not in flags):
            return Decided("S")
        if at in self.forced:
            return Decided("F")
        worked = self.world.worked.get(at, self.world.life)
        args = tuple(self._take(step, i, at.index, worked)[1] for i in step.inputs if i.kind not in ("after", "context"))
        outcome = self.world.outcome(at, args)
        if outcome.kind != "v":
            return Decided("S" if outcome.kind == "s" else "F")
        return Decided("D", outcome.value, outcome.elements or ())

    def _take(self, step: StepPlan, i: InputPlan, x: tuple[int, ...], life: int) -> tuple[Flag, Arg]:
        if i.kind == "input":
            return "", self.givens[max(n for n in self.givens if n <= life)]
        producer = self.plan.by_name[i.step]
        if i.kind == "each":
            around = self.decided(StepRun(i.step, x[: producer.depth]))
            return "v", around.elements[x[producer.depth]]
        kind, value = self._tree(i, producer, x[: producer.depth - _lists_up(i, producer, step)])
        if i.kind == "after":
            return ("f" if kind == "f" else ""), None
        flag = kind if kind == "f" or kind == "v" else "n" if i.optional else "s"
        return flag, value if kind == "v" else None

    def _tree(self, i: InputPlan, producer: StepPlan, y: tuple[int, ...]) -> tuple[Kind, Arg]:
        """Kind and value of all step runs of the producer below y, nested as their lists are."""
        is_leaf = len(y) == producer.depth
        here = self.decided(StepRun(producer.name if is_leaf else producer.level[len(y)], y))
        if is_leaf or here.letter != "D":
            return here.kind, here.value
        parts = [self._tree(i, producer, (*y, n)) for n in range(len(here.elements))]
        kinds = [kind for kind, _ in parts]
        if "f" in kinds and not i.record:
            return "f", None
        if parts and set(kinds) == {"s"} and not i.holes:
            return "s", None
        shown = tuple(value if kind == "v" else None if kind == "s" else FAILED for kind, value in parts if kind != "s" or i.holes)
        return "v", shown


def _lists_up(i: InputPlan, producer: StepPlan, consumer: StepPlan) -> int:
    if i.kind == "gather":
        return i.up
    if i.kind != "after":
        return 0
    together = 0
    while together < min(producer.depth, consumer.depth) and producer.level[together] == consumer.level[together]:
        together += 1
    return producer.depth - together


def recorded_steps(plan: Plan) -> set[str]:
    """Steps whose failure every consumer records, directly or through steps per element that lead only to such a gather."""
    edges = [(i, s) for s in plan.steps for i in s.inputs if i.is_edge]
    found: set[str] = set()
    for producer in reversed(plan.steps):
        told = [(i, s) for i, s in edges if i.step == producer.name]
        ways = [(i.kind == "gather" and i.record) or (i.kind == "result" and s.depth > 0 and s.name in found) for i, s in told]
        if ways and all(ways):
            found.add(producer.name)
    return found
