"""Flows made from data: wiring as a text or as plans, behaviour as one function."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Sequence
from typing import Any

from omniq_flow.flow.context import StepContext
from omniq_flow.flow.definition import Flow
from omniq_flow.flow.levels import infer
from omniq_flow.flow.markers import each, gather, result
from omniq_flow.flow.options import Retry
from omniq_flow.model.plan import InputKind, InputPlan, StepPlan
from omniq_flow.model.routes import shared_depth

Behaviour = Callable[[StepContext, dict[str, Any]], Any]
"""What every handler does: given its context and its inputs by parameter."""

KINDS: dict[str, InputKind] = {"result": "result", "each": "each", "gather": "gather", "after": "after"}


def parse(text: str) -> list[StepPlan]:
    """`a[]. b(each a, gather c 2 record)` as steps; `[]` marks a step that gives a list."""
    steps = []
    for part in text.split(". "):
        head, _, rest = part.rstrip(")").partition("(")
        inputs = tuple(_input(word.split()) for word in rest.split(", ") if word)
        steps.append(StepPlan(head.removesuffix("[]"), (), inputs, head.endswith("[]")))
    return steps


def _input(words: list[str]) -> InputPlan:
    kind, step, *marks = words
    up = next((int(mark) for mark in marks if mark.isdigit()), 1)
    return InputPlan(f"{kind}_{step}", KINDS[kind], step, up, "optional" in marks, "holes" in marks, "record" in marks)


def make_flow(steps: Sequence[StepPlan], behave: Behaviour, **options: Any) -> Flow:
    """A flow with these steps, whose handlers all do the same."""
    flow = Flow("made", retry=Retry(attempts=1), **options)
    for step in steps:
        after = [i.step for i in step.inputs if i.kind == "after"]
        flow.step(name=step.name, after=after)(_handler(flow, step, behave))
    return flow


def _handler(flow: Flow, step: StepPlan, behave: Behaviour) -> Callable[..., Any]:
    def handler(ctx: StepContext, **inputs: Any) -> Any:
        return behave(ctx, inputs)

    keyword = inspect.Parameter.KEYWORD_ONLY
    wired = [inspect.Parameter(i.param, keyword, default=_marker(flow, i)) for i in step.inputs if i.kind != "after"]
    handler.__signature__ = inspect.Signature([inspect.Parameter("ctx", keyword), *wired])  # type: ignore[attr-defined]
    returns = list[Any] if step.is_list else Any
    handler.__annotations__ = {"ctx": StepContext, **{p.name: Any for p in wired}, "return": returns}
    return handler


def _marker(flow: Flow, i: InputPlan) -> Any:
    source: Any = flow.steps[i.step]
    if i.kind == "each":
        return each(source)
    loose: Any = result if i.kind == "result" else gather
    if i.kind == "result":
        return loose(source, optional=i.optional)
    for n in range(i.up):
        is_outer = n == i.up - 1
        source = loose(source, holes=i.holes, failed="record" if i.record else None, optional=i.optional and is_outer)
    return source


def random_steps(rng: random.Random) -> list[StepPlan]:
    """Up to eleven steps that keep the rules of levels, with every kind of input."""
    steps: list[StepPlan] = []
    levels: dict[str, tuple[str, ...]] = {}
    for n in range(rng.randint(2, 11)):
        inputs: list[InputPlan] = []
        deepest: tuple[str, ...] = ()
        for k in range(rng.choice((0, 1, 1, 2, 2, 3, 4)) if steps else 0):
            p = rng.choice(steps if k else steps[-4:])
            kind: InputKind = rng.choice(("result", "result", "each", "each", "each", "gather", "gather"))
            chain = levels[p.name]
            up = rng.randint(1, len(chain)) if kind == "gather" and len(chain) > 1 and rng.random() < 0.3 else 1
            at = (*chain, p.name) if kind == "each" else chain[: len(chain) - up] if kind == "gather" else chain
            fits = shared_depth(at, deepest) == min(len(at), len(deepest)) and len(at) <= 3
            if fits and (p.is_list or kind != "each") and (chain or kind != "gather"):
                is_gather = kind == "gather"
                marks = (rng.random() < 0.3 and kind != "each", is_gather and rng.random() < 0.3, is_gather and rng.random() < 0.3)
                inputs.append(InputPlan(f"p{k}", kind, p.name, up, *marks))
                deepest = max(at, deepest, key=len)
        if steps and rng.random() < 0.25:
            name = rng.choice(steps).name
            inputs.append(InputPlan(f"after:{name}", "after", name))
        steps.append(StepPlan(f"s{n}", (), tuple(inputs), rng.random() < 0.5))
        levels[f"s{n}"] = deepest
    assert not infer(steps)[1]
    return steps
