"""From a plan to the records that scripts read: who is told when a step run is decided.

One record per step, one HGET each. The words are those of the theory of levels: a **gate** of a consumer
at a depth counts its inputs that are decided there; a **collection** counts the elements of one list;
`to` are the inputs that one step run decides, `up[h]` those that a collection over h lists decides;
a list step opens a level, whose `entry` steps its expansion starts and whose `all` steps are counted.

A second record beside it, `hop:<step>`, says how far the step is of the simplest kind, which scripts work by a short way:
outside of all lists it alone decides each of its consumers, or it is an element that is only counted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from omniq_flow.model.plan import InputPlan, Plan, StepPlan

ROOTS = "_roots"
JSON = "_json"
HOP = "hop:"

MOST_FOLLOWERS = 3
"""More consumers than that are not dispatched by one item (levels §4)."""

Edge = tuple[str, str, str]
"""(consumer, parameter, flags): flags are letters out of o(ptional) h(oles) r(ecord) a(fter)."""


@dataclass
class Route:
    """What one step's record holds beside its options."""

    step: StepPlan
    gates: list[int]
    to: list[Edge] = field(default_factory=list)
    up: dict[int, list[Edge]] = field(default_factory=dict)
    height: int = 0
    entry: list[str] = field(default_factory=list)
    all: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    is_recorded: bool = False

    @property
    def has_each(self) -> bool:
        return any(i.kind == "each" for i in self.step.inputs)


def shared_depth(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """How many lists two levels have in common."""
    return next((n for n, (p, q) in enumerate(zip(a, b, strict=False)) if p != q), min(len(a), len(b)))


def lists_between(i: InputPlan, producer: tuple[str, ...], consumer: tuple[str, ...]) -> int:
    """How many lists lie between a step run of the producer and what decides this input."""
    if i.kind == "gather":
        return i.up
    return len(producer) - shared_depth(producer, consumer) if i.kind == "after" else 0


def edge_flags(i: InputPlan) -> str:
    marks = {"o": i.optional, "h": i.holes, "r": i.record, "a": i.kind == "after"}
    return "".join(letter for letter, is_set in marks.items() if is_set)


def compile_routes(plan: Plan) -> dict[str, Route]:
    """The records of all steps, by name."""
    routes = {s.name: Route(s, [0] * (s.depth + 1)) for s in plan.steps}
    for step in plan.steps:
        for i in step.inputs:
            if i.is_edge and i.kind != "each":
                producer = routes[i.step]
                up = lists_between(i, producer.step.level, step.level)
                routes[step.name].gates[producer.step.depth - up] += 1
                (producer.up.setdefault(up, []) if up else producer.to).append((step.name, i.param, edge_flags(i)))
                producer.height = max(producer.height, up)
    for step in plan.steps:
        if step.level:
            routes[step.level[-1]].members.append(step.name)
            if not routes[step.name].gates[-1]:
                routes[step.level[-1]].entry.append(step.name)
        for up in range(1, routes[step.name].height + 1):
            routes[step.level[-up]].all.append(step.name)
    for name in _recorded(plan):
        routes[name].is_recorded = True
    return routes


def _recorded(plan: Plan) -> set[str]:
    """Steps whose failure does not fail the run: every consumer records it (`failed="record"`),
    directly or through steps per element that lead only to such a gather."""
    consumers: dict[str, list[tuple[StepPlan, InputPlan]]] = {s.name: [] for s in plan.steps}
    for step in plan.steps:
        for i in step.inputs:
            if i.is_edge:
                consumers[i.step].append((step, i))
    recorded = {name for name, edges in consumers.items() if edges}

    def holds(step: StepPlan, i: InputPlan) -> bool:
        return i.record if i.kind == "gather" else i.kind == "result" and step.depth > 0 and step.name in recorded

    while refuted := {name for name in recorded if not all(holds(*edge) for edge in consumers[name])}:
        recorded -= refuted
    return recorded


def records(plan: Plan) -> dict[str, str]:
    """The stored form of a plan: step -> packed record, `_roots`, and `_json` (the plan itself)."""
    routes = compile_routes(plan)
    packed = {name: _pack(route, plan) for name, route in routes.items()}
    roots = [name for name, r in routes.items() if r.step.depth == 0 and not r.gates[0]]
    hops = {f"{HOP}{name}": _dense(_hop(route, routes, plan)) for name, route in routes.items()}
    return {**packed, **hops, ROOTS: json.dumps(roots), JSON: plan.json}


def _pack(route: Route, plan: Plan) -> str:
    step = route.step
    record = {
        "l": list(step.level),
        "e": int(route.has_each),
        "g": route.gates,
        "to": route.to,
        "up": [route.up.get(h, []) for h in range(1, route.height + 1)],
        "entry": route.entry,
        "all": route.all,
        "m": route.members,
        "rec": int(route.is_recorded),
        "in": [_pack_input(i, plan) for i in handed_over(step)],
        "o": _dispatch(step),
    }
    return _dense({k: v for k, v in record.items() if v != []})


def _dense(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _dispatch(step: StepPlan) -> list[int]:
    """What a job of the step is made of."""
    return [step.options.attempts, step.options.lease_ms, step.options.delay_ms]


def _hop(route: Route, routes: dict[str, Route], plan: Plan) -> list[object]:
    """How far a step is of the simplest kind: followers, inputs and, of an element, its list."""
    return [_followers(route, routes), _simple_inputs(route, plan), *route.step.level]


def _followers(route: Route, routes: dict[str, Route]) -> list[list[str | int]] | int:
    """The consumers that a step run decides all alone, with what their jobs are made of; 0 if it decides anything else.

    An element of an outermost list has none, and is counted for those who gather it.
    """
    consumers = [routes[name] for name, *_ in route.to]
    if route.step.level:
        is_counted = route.step.depth == 1 and not consumers and set(route.up) == {1}
        return [] if is_counted and not route.members else 0
    is_simple = not (route.up or route.members) and len(consumers) <= MOST_FOLLOWERS
    if not is_simple or any(c.step.level or c.gates != [1] for c in consumers):
        return 0
    return [[c.step.name, *_dispatch(c.step)] for c in consumers]


def _simple_inputs(route: Route, plan: Plan) -> list[str | list[str]] | int:
    """What a step is handed, if that is only outputs from outside of all lists and (a list of its name) its element of its own
    outermost list, else 0."""
    inputs: list[str | list[str]] = []
    for i in handed_over(route.step):
        if i.kind == "each" and route.step.level == (i.step,):
            inputs.append([i.step])
        elif i.kind == "input" or (i.kind == "result" and not plan.by_name[i.step].level):
            inputs.append(":input" if i.kind == "input" else i.step)
        else:
            return 0
    return inputs if route.step.depth < 2 else 0


def handed_over(step: StepPlan) -> list[InputPlan]:
    """The inputs whose values a take hands over, in its order."""
    return [i for i in step.inputs if i.kind not in ("after", "context")]


def _pack_input(i: InputPlan, plan: Plan) -> list[str | int]:
    """`i` | `r` step depth | `e` list-step depth | `g` step depth up list-step."""
    if i.kind == "input":
        return ["i"]
    level = plan.by_name[i.step].level
    tail: list[str | int] = [i.up, level[-1]] if i.kind == "gather" else []
    return [i.kind[0], i.step, len(level), *tail]
