"""A step of a stored plan, bound to the code that is here: from stored inputs to arguments, and the call itself.

The plan that a run started with says where the values come from; the code says what types they have. A value is read
as the type that wrote it; only where its producer is no longer in the code, as the type that the parameter declares.

What the server handed over is first brought into one form, `Given`, by `engine/inputs.py`. It is JSON all the way, so
it can cross into a child process as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from omniq_flow.engine.outcomes import InputUnreadable, Outcome, failed, succeeded
from omniq_flow.engine.registry import StepCode
from omniq_flow.errors import ValueNotJson
from omniq_flow.flow.context import StepContext
from omniq_flow.flow.typing_rules import element_of, members
from omniq_flow.flow.values import Codec
from omniq_flow.model.plan import InputPlan, Plan, StepPlan
from omniq_flow.model.routes import handed_over
from omniq_flow.model.runs import Failure

Given = bytes | Failure | list[Any] | None
"""An input ready to be read: JSON, a recorded failure, a gathered list of such, or None (a hole, an absent value)."""

Read = Callable[[bytes], Any]


@dataclass(frozen=True)
class Bound:
    """A step of a plan with its code."""

    step: StepPlan
    code: StepCode
    is_mapped: bool
    inputs: tuple[InputPlan, ...] = ()
    context_params: tuple[str, ...] = ()
    _readers: dict[str, Read] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_async(self) -> bool:
        return self.code.is_async

    @property
    def is_process(self) -> bool:
        return self.step.options.process

    @property
    def timeout_ms(self) -> int:
        return self.step.options.timeout_ms

    @classmethod
    def of(cls, step: StepPlan, code: StepCode, *, is_mapped: bool) -> Bound:
        context = tuple(i.param for i in step.inputs if i.kind == "context")
        return cls(step, code, is_mapped, tuple(handed_over(step)), context)

    @classmethod
    def of_plan(cls, plan: Plan, name: str, code: StepCode) -> Bound:
        is_mapped = any(name in other.level for other in plan.steps)
        return cls.of(plan.by_name[name], code, is_mapped=is_mapped)

    def arguments(self, given: list[Given], context: StepContext) -> dict[str, Any]:
        """The handler's arguments; `InputUnreadable` names the parameter and the field that does not fit."""
        found: dict[str, Any] = dict.fromkeys(self.context_params, context)
        for i, value in zip(self.inputs, given, strict=True):
            try:
                found[i.param] = _read(value, self._reader(i))
            except ValueNotJson as error:
                raise InputUnreadable(f"{self.step.name}: input {i.param}: {error.message}", where=error.where) from None
        return found

    def _reader(self, i: InputPlan) -> Read:
        read = self._readers.get(i.param)
        if read is None:
            read = self._readers[i.param] = self._codec(i).decode
        return read

    def _codec(self, i: InputPlan) -> Codec:
        flow, limit = self.code.flow, self.code.codec.limit
        if i.kind == "input":
            return flow.input_codec
        if i.step in flow.steps:
            codec = Codec(flow.steps[i.step].returns, i.step, limit=limit)
            return codec.element if i.kind == "each" and codec.is_list else codec
        annotation = self.code.step.parameters[i.param]
        for _ in range(i.up if i.kind == "gather" else 0):
            annotation = next((e for m in members(annotation) if (e := element_of(m)) is not None), Any)
        return Codec(annotation, i.step, limit=limit)

    def call(self, given: list[Given], context: StepContext, roll: float) -> Outcome:
        """Run a sync handler to its outcome; whatever it raises is in there."""
        try:
            value = self.code.step.handler(**self.arguments(given, context))
            return succeeded(self.code.codec, value, is_mapped=self.is_mapped)
        except BaseException as error:
            return self.failed(error, context, roll)

    async def call_async(self, given: list[Given], context: StepContext, roll: float, is_ours: Callable[[], bool]) -> Outcome | None:
        """The same for an async handler; None if it was cancelled by us (`is_ours`) and not by its own doing."""
        try:
            value = await self.code.step.handler(**self.arguments(given, context))
            return succeeded(self.code.codec, value, is_mapped=self.is_mapped)
        except BaseException as error:
            return None if is_ours() else self.failed(error, context, roll)

    def failed(self, error: BaseException, context: StepContext, roll: float) -> Outcome:
        return failed(error, context.step_run.id, context.attempt, self.step.options, roll)


def _read(value: Given, read: Read) -> Any:
    if isinstance(value, bytes):
        return read(value)
    if isinstance(value, list):
        return [read(v) if isinstance(v, bytes) else _read(v, read) for v in value]
    return value
