"""Flows whose pictures are looked at."""

from __future__ import annotations

from collections.abc import Sequence

from omniq_flow.model.plan import InputKind, InputPlan, Plan, StepOptions, StepPlan


def take(kind: InputKind, step: str, *, up: int = 1, record: bool = False) -> InputPlan:
    return InputPlan(f"after:{step}" if kind == "after" else f"from_{step}", kind, step, up=up, record=record)


def step(name: str, *inputs: InputPlan, level: tuple[str, ...] = (), is_list: bool = False, attempts: int = 1) -> StepPlan:
    return StepPlan(name, level, inputs, is_list, StepOptions(attempts=attempts))


def plan(queue: str, *steps: StepPlan, on_failure: str = "continue", window: int = 1_000) -> Plan:
    return Plan("looked_at", queue, steps, on_failure=on_failure, window=window)  # type: ignore[arg-type]


def join(queue: str) -> Plan:
    """x1 -> x2 -> x3, y1, [x3, y1] -> j -> k"""
    return plan(
        queue,
        step("x1"),
        step("x2", take("result", "x1")),
        step("x3", take("result", "x2")),
        step("y1"),
        step("j", take("result", "x3"), take("result", "y1")),
        step("k", take("result", "j")),
    )


def pages(queue: str, *, record: bool = False, attempts: int = 1) -> Plan:
    """split => read => clean per page, merge of all, last"""
    return plan(
        queue,
        step("split", is_list=True),
        step("read", take("each", "split"), level=("split",), attempts=attempts),
        step("clean", take("result", "read"), level=("split",)),
        step("merge", take("gather", "clean", record=record)),
        step("last", take("result", "merge")),
    )


def nested(queue: str, inner: Sequence[StepPlan] = ()) -> Plan:
    """pages => regions => cells, per page a sum, and a count of all"""
    return plan(
        queue,
        step("pages", is_list=True),
        step("regions", take("each", "pages"), level=("pages",), is_list=True),
        step("cell", take("each", "regions"), level=("pages", "regions")),
        step("sum", take("gather", "cell"), level=("pages",)),
        step("count", take("gather", "cell", up=2)),
        *inner,
    )
