"""The algebra of levels: which lists a step runs inside, or why it cannot.

A step's **level** is the chain of list steps that its elements come from: `()` for a step that runs once,
`(pages, regions)` for one that runs per region of each page. `result(p)` asks for p's level, `each(p)` for
one list deeper, `gather(p)` for one less (nested, for two); `after`, the flow's input and the context ask for
nothing. A step runs at the deepest level asked for, and every other must be a prefix of it.

All faults are found at once. A step behind a faulty one is not blamed for it: what depends on an unknown
level is left out, what is wrong by itself is still said.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from omniq_flow.flow.graph import cycles
from omniq_flow.model.plan import InputPlan, StepPlan

MAX_DEPTH = 3
MAX_STEPS = 1_000
MAX_CONSUMERS = 256

Level = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LevelFault:
    """What is wrong, with the step and (where there is one) the parameter that it is wrong with."""

    step: str
    param: str
    message: str


def infer(steps: Sequence[StepPlan], untyped: Collection[str] = ()) -> tuple[dict[str, Level], list[LevelFault]]:
    """The levels that can be known, by step, and all faults.

    Only names, inputs and `is_list` of the steps are read; of an `untyped` step it is not known whether it
    gives a list, so nobody is blamed for mapping over it.
    """
    by = {s.name: s for s in steps}
    faults = [_unknown(s, i) for s in steps for i in s.inputs if i.is_edge and i.step not in by]
    levels: dict[str, Level | None] = {}
    todo = list(steps)
    while todo:
        ready = [s for s in todo if all(i.step in levels for i in s.inputs if i.is_edge and i.step in by)]
        if not ready:
            faults += [LevelFault(c[0], "", f"steps wait for each other: {', '.join(c)}") for c in cycles(todo)]
            break
        for s in ready:
            levels[s.name], found = _level(s, levels, by, untyped)
            faults += found
        todo = [s for s in todo if s.name not in levels]
    return {name: level for name, level in levels.items() if level is not None}, faults


def size_faults(steps: Sequence[StepPlan]) -> list[LevelFault]:
    """What is larger than one flow may be."""
    faults = []
    if len(steps) > MAX_STEPS:
        faults.append(LevelFault("", "", f"the flow has {len(steps)} steps, {MAX_STEPS} is the limit"))
    consumers: dict[str, set[str]] = {}
    for s in steps:
        for i in s.inputs:
            if i.is_edge:
                consumers.setdefault(i.step, set()).add(s.name)
    faults += [
        LevelFault(name, "", f"{name}: {len(who)} steps wait for it, {MAX_CONSUMERS} is the limit")
        for name, who in consumers.items()
        if len(who) > MAX_CONSUMERS
    ]
    return faults


def _unknown(s: StepPlan, i: InputPlan) -> LevelFault:
    return LevelFault(s.name, i.param, f"{s.name}: {i.kind}({i.step}) names no step of this flow")


def _level(
    s: StepPlan, levels: Mapping[str, Level | None], by: Mapping[str, StepPlan], untyped: Collection[str]
) -> tuple[Level | None, list[LevelFault]]:
    """One step's level (None if it cannot be known), and what is wrong with its inputs."""
    faults: list[LevelFault] = []
    asked: list[tuple[Level, InputPlan]] = []
    is_known = True
    for i in s.inputs:
        if not i.is_edge or i.kind == "after":
            continue
        if fault := _input_fault(s, i, levels.get(i.step), by, untyped):
            faults.append(fault)
        level = levels.get(i.step)
        if fault or level is None or (i.kind == "each" and i.step in untyped):
            is_known = False
        else:
            asked.append((_asked(i, level), i))
    deepest = max((level for level, _ in asked), key=len, default=())
    faults += _branch_faults(s, deepest, asked)
    if len(deepest) > MAX_DEPTH:
        sentence = f"{s.name}: runs inside {len(deepest)} lists ({' > '.join(deepest)}), {MAX_DEPTH} is the limit"
        faults.append(LevelFault(s.name, _deepest_param(deepest, asked), sentence))
    return (deepest if is_known and not faults else None), faults


def _asked(i: InputPlan, level: Level) -> Level:
    if i.kind == "each":
        return (*level, i.step)
    return level[: len(level) - i.up] if i.kind == "gather" else level


def _input_fault(s: StepPlan, i: InputPlan, level: Level | None, by: Mapping[str, StepPlan], untyped: Collection[str]) -> LevelFault | None:
    if i.step not in by:
        return None  # said already
    if i.kind == "each" and i.step not in untyped and not by[i.step].is_list:
        return LevelFault(s.name, i.param, f"{s.name}: each({i.step}) needs a list, {i.step} returns one value")
    if i.kind == "gather" and level is not None and i.up > len(level):
        sentence = f"{s.name}: gather({i.step}) goes up {i.up}, but {i.step} runs inside {len(level)} lists; did you mean result({i.step})?"
        return LevelFault(s.name, i.param, sentence)
    return None


def _branch_faults(s: StepPlan, deepest: Level, asked: list[tuple[Level, InputPlan]]) -> list[LevelFault]:
    """Inputs that come from another chain of lists than the deepest."""
    return [
        LevelFault(
            s.name,
            i.param,
            f"{s.name}: {i.kind}({i.step}) is per element of {level[-1]}, "
            f"other inputs per element of {deepest[-1]}; gather one of them first",
        )
        for level, i in asked
        if deepest[: len(level)] != level
    ]


def _deepest_param(deepest: Level, asked: list[tuple[Level, InputPlan]]) -> str:
    return next(i.param for level, i in asked if level == deepest)
