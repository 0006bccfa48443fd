"""Random flows as plans: joins, lists in lists, gathers over one and two, optional inputs, holes, records, order.

Levels are found here by a second implementation of the rules, so a plan does not owe its shape to the compiler.
"""

from __future__ import annotations

import random
from typing import Literal

from omniq_flow.model.plan import InputPlan, Plan, StepOptions, StepPlan

MAX_DEPTH = 3
Level = tuple[str, ...]
Word = Literal["result", "each", "gather"]

WORDS: tuple[Word, ...] = ("result", "result", "each", "each", "each", "gather", "gather")


def random_plan(rng: random.Random, flow: str, queue: str, *, most: int = 11) -> Plan:
    """Up to `most` steps that keep all rules, with options that let leases, windows and slots be felt."""
    steps: list[StepPlan] = []
    for n in range(rng.randint(2, most)):
        inputs, level = _inputs(rng, steps)
        steps.append(StepPlan(f"s{n}", level, inputs, is_list=rng.random() < 0.5, options=_options(rng)))
    return Plan(
        flow=flow,
        queue=queue,
        steps=tuple(steps),
        max_parallel=rng.choice((1, 2, 4, 100, 100)),
        on_failure="stop" if rng.random() < 0.15 else "continue",
        window=rng.choice((1, 3, 9, 1_000, 1_000)),
        retention_ms=rng.choice((60_000, 3_600_000)),
    )


def _options(rng: random.Random) -> StepOptions:
    return StepOptions(attempts=rng.choice((1, 2, 3, 3)), lease_ms=rng.choice((2_000, 30_000, 30_000)), delay_ms=1_000)


def _inputs(rng: random.Random, steps: list[StepPlan]) -> tuple[tuple[InputPlan, ...], Level]:
    inputs: list[InputPlan] = []
    deepest: Level = ()
    for k in range(rng.choice((0, 1, 1, 2, 2, 3, 4)) if steps else 0):
        producer = rng.choice(steps if k else steps[-4:])
        word, up = rng.choice(WORDS), 1
        if word == "gather" and producer.depth > 1 and rng.random() < 0.3:
            up = 2
        at = asks_for(word, producer, up)
        if fits(word, producer, up, at, deepest):
            inputs.append(
                InputPlan(
                    f"p{k}",
                    word,
                    producer.name,
                    up,
                    optional=word != "each" and rng.random() < 0.3,
                    holes=word == "gather" and rng.random() < 0.4,
                    record=word == "gather" and rng.random() < 0.4,
                )
            )
            deepest = max(at, deepest, key=len)
    if steps and rng.random() < 0.25:
        before = rng.choice(steps).name
        inputs.append(InputPlan(f"after:{before}", "after", before))
    if rng.random() < 0.4:
        inputs.insert(rng.randint(0, len(inputs)), InputPlan("given", "input"))
    if rng.random() < 0.2:
        inputs.insert(rng.randint(0, len(inputs)), InputPlan("ctx", "context"))
    return tuple(inputs), deepest


def asks_for(word: Word, producer: StepPlan, up: int) -> Level:
    """The level that an input asks its step to run at."""
    if word == "each":
        return (*producer.level, producer.name)
    return producer.level[: producer.depth - up] if word == "gather" else producer.level


def fits(word: Word, producer: StepPlan, up: int, at: Level, deepest: Level) -> bool:
    """Whether an input may stand beside those that ask for `deepest`."""
    on_one_chain = at[: len(deepest)] == deepest or deepest[: len(at)] == at
    possible = producer.is_list if word == "each" else producer.depth >= up if word == "gather" else True
    return on_one_chain and possible and len(at) <= MAX_DEPTH


def show(plan: Plan) -> str:
    """A plan on one line: `s0[] · s1(each s0) · s2(gather s1 record)`, then what is not as usual."""
    steps = []
    for step in plan.steps:
        inputs = ", ".join(_show_input(i) for i in step.inputs)
        steps.append(f"{step.name}{'[]' if step.is_list else ''}{f'({inputs})' if inputs else ''}×{step.options.attempts}")
    return f"{' · '.join(steps)} | window {plan.window}, at once {plan.max_parallel}, on failure {plan.on_failure}"


def _show_input(i: InputPlan) -> str:
    marks = [word for word in ("optional", "holes", "record") if getattr(i, word)]
    return " ".join([i.kind, i.step, *(["up 2"] if i.up > 1 else []), *marks]).strip()
