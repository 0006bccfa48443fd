"""A flow compiled: every step read, every fault found, and if there is none the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from omniq_flow.errors import Fault
from omniq_flow.flow.group import check_group
from omniq_flow.flow.levels import LevelFault, infer, size_faults
from omniq_flow.flow.options import FlowSpec, step_options
from omniq_flow.flow.typing_rules import element_of, show
from omniq_flow.flow.values import Codec, schema_of
from omniq_flow.flow.wiring import AnyStep, Wiring, is_untyped, wire
from omniq_flow.model.plan import Plan, StepOptions, StepPlan

if TYPE_CHECKING:
    from omniq_flow.flow.definition import Flow

MIN_WINDOW = 1_000


def compile_flow(flow: Flow) -> tuple[Plan | None, list[Fault]]:
    """The plan, or all that is wrong."""
    faults = [*flow.faults, *_flow_faults(flow)]
    wirings = [wire(flow, step) for step in flow.steps.values()]
    returns = {w.step.name: _returns(w) for w in wirings}
    steps = [_step_plan(flow, w, returns[w.step.name]) for w in wirings]
    untyped = {w.step.name for w in wirings if is_untyped(w.step)}
    levels, found = infer(steps, untyped)
    misplaced = {(f.step, f.param) for f in found}
    for w in wirings:
        faults += w.faults
        faults += [f for param, f in w.type_faults.items() if (w.step.name, param) not in misplaced]
    faults += [_placed(flow, f) for f in (*found, *size_faults(steps))]
    if faults or flow.spec is None:
        return None, faults
    return _plan(flow, flow.spec, tuple(replace(s, level=levels[s.name]) for s in steps)), []


def _flow_faults(flow: Flow) -> list[Fault]:
    faults = []
    if not flow.steps and not flow.faults:
        faults.append(Fault(f"flow {flow.name}: has no steps", flow.where))
    model: Any = flow.input
    if model is not None and not (isinstance(model, type) and issubclass(model, BaseModel)):
        faults.append(Fault(f"flow {flow.name}: input: {show(model)} is no Pydantic model", flow.where))
    elif flow.spec is not None and flow.spec.group is not None:
        faults += [Fault(f"flow {flow.name}: {message}", flow.where) for message in check_group(flow.spec.group, model)]
    return faults


def _returns(wiring: Wiring) -> str:
    """The schema of what a step gives; a type that Pydantic does not know is a fault of the step."""
    step = wiring.step
    if is_untyped(step):
        return "null"
    try:
        return Codec(step.returns, step.name).schema
    except Exception as error:  # Pydantic raises several kinds, and user types may raise anything
        reason = str(error).splitlines()[0]
        wiring.blame(f"returns {show(step.returns)}, which cannot be written as JSON ({reason})")
        return "null"


def _step_plan(flow: Flow, wiring: Wiring, returns: str) -> StepPlan:
    """The step without its level, which needs all the others."""
    step = wiring.step
    is_list = not is_untyped(step) and element_of(step.returns) is not None
    return StepPlan(step.name, (), tuple(wiring.inputs), is_list, _options(flow, step), returns)


def _options(flow: Flow, step: AnyStep) -> StepOptions:
    """A step's own options, and the flow's where it says nothing."""
    common, own = flow.spec, step.spec
    if common is None or own is None:
        return StepOptions()
    timeout = common.timeout if own.timeout is None else own.timeout
    return step_options(own.retry or common.retry, timeout, own.lease or common.lease, own.process)


def _placed(flow: Flow, fault: LevelFault) -> Fault:
    step = flow.steps.get(fault.step)
    parameter = "" if fault.param.startswith("after:") else fault.param
    return Fault(fault.message, step.where(parameter) if step else flow.where)


def _plan(flow: Flow, spec: FlowSpec, steps: tuple[StepPlan, ...]) -> Plan:
    return Plan(
        flow=spec.name,
        queue=spec.queue,
        steps=steps,
        schema="null" if flow.input is None else schema_of(flow.input, "validation"),
        max_parallel=spec.max_parallel,
        group=spec.group or "",
        on_failure=spec.on_failure,
        window=spec.window or max(MIN_WINDOW, 4 * spec.max_parallel),
        retention_ms=spec.retention,
    )
