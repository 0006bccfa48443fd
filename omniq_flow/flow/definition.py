"""A flow as it is written: a name, options, and functions decorated with `@flow.step`.

Defining never fails half-way: a wrong option or wiring is noted, and `flow.check()` reports all of them at
once with step, parameter, file and line. The plan is made when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from functools import cached_property
from types import FrameType
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, overload

from pydantic import BaseModel

from omniq_flow.errors import Fault, FlowDefinitionError
from omniq_flow.flow.compiler import compile_flow
from omniq_flow.flow.options import FlowSpec, Retry, StepSpec, read_spec
from omniq_flow.flow.source import caller, where_of_frame
from omniq_flow.flow.step import Step
from omniq_flow.flow.values import Codec, read_input
from omniq_flow.flow.wiring import AnyStep
from omniq_flow.model.plan import Plan

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")

DEFAULT_RETRY = Retry()

Duration = str | float
"""`"1m30s"`, or a number of seconds."""


class StepDecorator(Protocol):
    """What `@flow.step(...)` gives; an async handler's value is what it gives when awaited."""

    @overload
    def __call__(self, handler: Callable[P, Coroutine[Any, Any, V]], /) -> Step[P, Coroutine[Any, Any, V], V]: ...
    @overload
    def __call__(self, handler: Callable[P, R], /) -> Step[P, R, R]: ...


class Flow:
    """A named graph of steps.

    `max_parallel` is how many jobs of one run (or of one `group`, a template over `input.*`) are worked at
    once. `retry`, `timeout` and `lease` hold for every step that does not say otherwise. A lease is extended
    while its handler runs, however long that is; a killed worker's job comes back when its lease has ended.
    `retention` is how long an ended run is kept; 0 or None keeps it. `window` is how many jobs of one mapped
    list exist at once.
    """

    def __init__(
        self,
        name: str,
        *,
        input: type[BaseModel] | None = None,
        queue: str | None = None,
        max_parallel: int = 100,
        group: str | None = None,
        on_failure: Literal["continue", "stop"] = "continue",
        retry: Retry = DEFAULT_RETRY,
        timeout: Duration | None = None,
        lease: Duration = "30s",
        retention: Duration | None = "7d",
        window: int | None = None,
    ) -> None:
        self.name = name
        self.input = input
        self.steps: dict[str, AnyStep] = {}
        self.faults: list[Fault] = []
        self.where = where_of_frame(caller())
        options = {
            "name": name,
            "queue": name if queue is None else queue,
            "max_parallel": max_parallel,
            "group": group,
            "on_failure": on_failure,
            "retry": retry,
            "timeout": timeout,
            "lease": lease,
            "retention": 0 if retention is None else retention,
            "window": window,
        }
        self.spec, problems = read_spec(FlowSpec, options, f"flow {name}")
        self.faults += [Fault(problem, self.where) for problem in problems]
        self._compiled: tuple[Plan | None, list[Fault]] | None = None

    def __repr__(self) -> str:
        return f"<flow {self.name}: {len(self.steps)} steps>"

    @property
    def queue(self) -> str:
        """The home queue of its runs."""
        return self.spec.queue if self.spec else self.name

    @overload
    def step(self, handler: Callable[P, Coroutine[Any, Any, V]], /) -> Step[P, Coroutine[Any, Any, V], V]: ...
    @overload
    def step(self, handler: Callable[P, R], /) -> Step[P, R, R]: ...
    @overload
    def step(
        self,
        *,
        name: str | None = None,
        retry: Retry | None = None,
        timeout: Duration | None = None,
        lease: Duration | None = None,
        process: bool = False,
        after: Iterable[AnyStep | str] = (),
    ) -> StepDecorator: ...
    def step(
        self,
        handler: Any = None,
        *,
        name: Any = None,
        retry: Any = None,
        timeout: Any = None,
        lease: Any = None,
        process: Any = False,
        after: Any = (),
    ) -> Any:
        """Place a function in this flow, as `@flow.step` or `@flow.step(timeout="2m", …)`.

        `after` orders without data: it takes steps, or the names of steps defined later. `process=True` runs
        the handler in a process of its own, for code that holds the interpreter for long.
        """
        frame = caller()
        if handler is not None and not callable(handler):
            hint = f"write @flow.step(name={handler!r})" if isinstance(handler, str) else ""
            raise FlowDefinitionError(f"flow {self.name}: step() decorates a function", where=where_of_frame(frame), hint=hint)
        options = {"retry": retry, "timeout": timeout, "lease": lease, "process": process}

        def place(function: Any) -> AnyStep:
            own_name = getattr(function, "__name__", "") if name is None else name
            return self._place(function, {"name": own_name, **options}, after, frame)

        return place if handler is None else place(handler)

    def _place(self, function: Callable[..., Any], options: dict[str, Any], after: Iterable[object], frame: FrameType) -> AnyStep:
        if isinstance(function, Step):
            function = function.handler
        spec, problems = read_spec(StepSpec, options, str(options["name"]))
        step: AnyStep = Step(self, function, str(options["name"]), spec, after, frame)
        self.faults += [Fault(problem, step.where()) for problem in problems]
        first = self.steps.setdefault(step.name, step)
        if first is not step:
            self.faults.append(Fault(f"{step.name}: is defined twice, first at {first.where()}", step.where()))
        self._compiled = None
        self.__dict__.pop("codecs", None)
        return step

    def plan(self) -> Plan:
        """The flow compiled; the same object until a step is added.

        Raises `FlowDefinitionError` with everything that is wrong.
        """
        if self._compiled is None:
            self._compiled = compile_flow(self)
        plan, faults = self._compiled
        if plan is None:
            count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
            raise FlowDefinitionError(f"flow {self.name} has {count}", tuple(faults), where=faults[0].where)
        return plan

    def check(self) -> None:
        """Raise `FlowDefinitionError` with everything that is wrong, if anything is."""
        self.plan()

    def read_input(self, value: Any) -> BaseModel | None:
        """The input of a run from a model, a dict or JSON text; `InputError` names every field that is wrong."""
        return read_input(self.input, value)

    @cached_property
    def input_codec(self) -> Codec:
        """How the runs' input is written and read."""
        return Codec(self.input, "input")

    @cached_property
    def codecs(self) -> dict[str, Codec]:
        """Step -> how its value is written and read."""
        return {name: Codec(step.returns, name) for name, step in self.steps.items()}


def check_unique(flows: Iterable[Flow]) -> None:
    """Refuse two flows of one name: their runs could not be told apart."""
    seen: dict[str, Flow] = {}
    faults = []
    for flow in flows:
        first = seen.setdefault(flow.name, flow)
        if first is not flow:
            faults.append(Fault(f"flow {flow.name}: is defined twice, first at {first.where}", flow.where))
    if faults:
        raise FlowDefinitionError("two flows have one name", tuple(faults), where=faults[0].where)
