"""From a handler's parameters to the inputs of a plan, with everything that is wrong with them.

Each parameter is the flow's input, the context, a marker, or has a default of its own. Types are compared
where both ends are known; who stands behind a faulty step is not blamed for it.
"""

from __future__ import annotations

import collections.abc
import inspect
import typing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from omniq_flow.errors import Fault
from omniq_flow.flow.context import StepContext
from omniq_flow.flow.markers import Marker
from omniq_flow.flow.step import Step, Unresolved
from omniq_flow.flow.typing_rules import accepts_none, element_of, fits, has_none, members, plain, show, union, without_none
from omniq_flow.model.plan import InputPlan
from omniq_flow.model.runs import Failure

if TYPE_CHECKING:
    from omniq_flow.flow.definition import Flow

AnyStep = Step[..., Any, Any]

_COROUTINES = (collections.abc.Coroutine, collections.abc.Awaitable)
_ITERATORS = (collections.abc.Iterator, collections.abc.Generator, collections.abc.AsyncIterator, collections.abc.AsyncGenerator)


@dataclass
class Wiring:
    """What was read from one step."""

    step: AnyStep
    inputs: list[InputPlan] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    type_faults: dict[str, Fault] = field(default_factory=dict)

    def blame(self, message: str, parameter: str = "") -> None:
        self.faults.append(Fault(f"{self.step.name}: {message}", self.step.where(parameter)))

    def blame_type(self, message: str, parameter: str) -> None:
        """Kept apart: where the level of an input is wrong, its type says nothing new."""
        self.type_faults[parameter] = Fault(f"{self.step.name}: {message}", self.step.where(parameter))


def wire(flow: Flow, step: AnyStep) -> Wiring:
    """The inputs of a step, in the order of its parameters, then `after`."""
    wiring = Wiring(step)
    try:
        parameters = step.signature.parameters.values()
    except (TypeError, ValueError):
        wiring.blame("its parameters cannot be read; a step is a Python function")
        return wiring
    _check_handler(wiring)
    for parameter in parameters:
        if (i := _input(flow, wiring, parameter)) is not None:
            wiring.inputs.append(i)
    for name in dict.fromkeys(_after(flow, wiring, item) for item in step.after):
        if name:
            wiring.inputs.append(InputPlan(f"after:{name}", "after", name))
    return wiring


def is_untyped(step: AnyStep) -> bool:
    """Whether it is not known what the step gives; that is its own fault, and nobody else's."""
    return (
        isinstance(step.returns, Unresolved)
        or inspect.isasyncgenfunction(step.handler)
        or typing.get_origin(plain(step.returns)) in (*_COROUTINES, *_ITERATORS)
    )


def _check_handler(wiring: Wiring) -> None:
    step = wiring.step
    if not is_untyped(step):
        return
    if inspect.isasyncgenfunction(step.handler):
        wiring.blame("is an async generator; return a list")
    elif isinstance(step.returns, Unresolved):
        reason = step.returns.reason
        wiring.blame(f"return annotation {reason}" if reason else "does not say what it returns; annotate it (-> None if nothing)")
    elif typing.get_origin(plain(step.returns)) in _ITERATORS:
        wiring.blame(f"returns {show(step.returns)}, which can be read only once; return a list")
    else:
        wiring.blame(f"returns {show(step.returns)}; write async def instead")


def _input(flow: Flow, wiring: Wiring, parameter: inspect.Parameter) -> InputPlan | None:
    name = parameter.name
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
        wiring.blame(f"{stars}{name} cannot be wired; name each input", name)
    elif parameter.kind is parameter.POSITIONAL_ONLY:
        wiring.blame(f"{name} cannot be given by name; remove the '/'", name)
    elif isinstance(parameter.default, Marker):
        return _edge(flow, wiring, name, parameter.default)
    elif parameter.default is not parameter.empty:
        return None
    else:
        return _given(flow, wiring, name)
    return None


def _given(flow: Flow, wiring: Wiring, name: str) -> InputPlan | None:
    """A parameter without a default: the flow's input or the context, by its annotation."""
    annotation = wiring.step.parameters[name]
    if isinstance(annotation, Unresolved):
        wiring.blame(f"parameter {name}: {_no_annotation(annotation)}", name)
        return None
    annotation = plain(annotation)
    if annotation is StepContext:
        return InputPlan(name, "context")
    if flow.input is not None and _is_input(flow.input, annotation):
        return InputPlan(name, "input")
    wiring.blame(_no_source(flow, name, annotation), name)
    return None


def _is_input(model: Any, annotation: Any) -> bool:
    """The model itself, or a class that says more than "some model"."""
    return annotation is model or (annotation is not Any and annotation is not object and _is_model(annotation) and fits(model, annotation))


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation is not BaseModel


def _no_annotation(annotation: Unresolved) -> str:
    return f"annotation {annotation.reason}" if annotation.reason else "has no annotation"


def _no_source(flow: Flow, name: str, annotation: Any) -> str:
    if _is_model(annotation) and flow.input is not None:
        return f"parameter {name} is a {show(annotation)}, but the flow's input is {show(flow.input)}; take that, or a step's value"
    if _is_model(annotation):
        return f"parameter {name} is a {show(annotation)}, but the flow declares no input; write Flow(..., input={show(annotation)})"
    return f"parameter {name} has no source; write result(step), each(step), gather(step), or give it a default"


def _after(flow: Flow, wiring: Wiring, item: object) -> str:
    """The name of a step to wait for; "" if it is none. A name may stand for a step defined later."""
    if isinstance(item, str):
        return item
    return _name(flow, wiring, "after", "", item)


def _name(flow: Flow, wiring: Wiring, word: str, parameter: str, item: object) -> str:
    if not isinstance(item, Step):
        what = getattr(item, "__name__", None) or repr(item)
        wiring.blame(f"{word}({what}) needs a step; is it decorated with @flow.step?", parameter)
        return ""
    if item.flow is not flow:
        other = f"flow {item.flow.name!r}" if item.flow.name != flow.name else "another flow of this name"
        wiring.blame(f"{word}({item.name}) is a step of {other}", parameter)
        return ""
    return item.name


def _edge(flow: Flow, wiring: Wiring, name: str, marker: Marker) -> InputPlan | None:
    step_name = _name(flow, wiring, marker.kind, name, marker.step)
    if len({(m.holes, m.failed) for m in marker.chain}) > 1:
        wiring.blame(f"both gathers of parameter {name} must say the same of failed= and holes=", name)
        return None
    if any(m.optional for m in marker.chain[1:]):
        wiring.blame(f"optional= belongs to the outer gather of parameter {name}", name)
        return None
    if marker.failed not in (None, "record"):
        wiring.blame(f"parameter {name}: failed={marker.failed!r} is not allowed; 'record', or leave it out", name)
        return None
    if not step_name:
        return None
    annotation = wiring.step.parameters[name]
    i = InputPlan(name, marker.kind, step_name, marker.up, marker.optional, marker.holes, marker.failed == "record")
    if isinstance(annotation, Unresolved):
        wiring.blame(f"parameter {name}: {_no_annotation(annotation)}", name)
        return i
    producer = typing.cast("AnyStep", marker.step)
    return i if is_untyped(producer) else _typed(wiring, i, producer.returns, annotation)


def _typed(wiring: Wiring, i: InputPlan, produced: Any, annotation: Any) -> InputPlan:
    """The input with what its annotation says about None, and the comparison of types."""
    if i.kind == "each":
        return _typed_each(wiring, i, produced, annotation)
    if i.kind == "gather":
        i = replace(i, holes=i.holes or _reads_holes(produced, annotation, i.up))
        produced = _gathered(produced, i)
    i = replace(i, optional=i.optional or (has_none(annotation) and not accepts_none(produced)))
    word = f"{'gather(' * i.up}{i.step}{')' * i.up}" if i.kind == "gather" else f"result({i.step})"
    if not fits(produced, annotation):
        wiring.blame_type(f"{word} gives {show(produced)}, but parameter {i.param} is {show(annotation)}", i.param)
    elif i.optional and not accepts_none(annotation):
        wiring.blame_type(f"{word} may give None, but parameter {i.param} is {show(annotation)}; write {show(annotation)} | None", i.param)
    return i


def _typed_each(wiring: Wiring, i: InputPlan, produced: Any, annotation: Any) -> InputPlan:
    """Where there is no list the levels say so."""
    element = element_of(produced)
    if element is not None and not fits(element, annotation):
        wiring.blame_type(f"each({i.step}) gives {show(element)}, but parameter {i.param} is {show(annotation)}", i.param)
    return i


def _gathered(produced: Any, i: InputPlan) -> Any:
    """The type that a gather hands over."""
    for _ in range(i.up):
        more = [Failure] * i.record + [type(None)] * i.holes
        produced = list[union([produced, *more]) if more else produced]  # type: ignore[misc]
    return produced


def _reads_holes(produced: Any, annotation: Any, up: int) -> bool:
    """Whether the annotation has a None, at any of its lists, that the producer does not give itself."""
    if accepts_none(produced):
        return False
    at = annotation
    for _ in range(up):
        at = next((e for m in _parts(at) if (e := element_of(m)) is not None), None)
        if at is None:
            return False
        if has_none(at):
            return True
    return False


def _parts(annotation: Any) -> tuple[Any, ...]:
    return members(without_none(annotation)) if has_none(annotation) else members(annotation)
