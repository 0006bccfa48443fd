"""Handlers of plain jobs as they are written: an `App`, and functions decorated with `@app.handler(queue="emails")`.

As with flows, defining never fails half-way: what is wrong is noted, and `app.check()` or the worker that is to serve the
app reports all of it at once, with file and line. A process has one handler for each queue.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from omniq_flow.errors import Fault, FlowDefinitionError, ValueNotJson
from omniq_flow.flow.context import JobContext
from omniq_flow.flow.source import caller, where_of_frame, where_of_handler
from omniq_flow.flow.step import Unresolved, annotation_of, locals_of
from omniq_flow.flow.typing_rules import plain, show
from omniq_flow.flow.values import first_problem
from omniq_flow.model.clock import duration_ms
from omniq_flow.model.names import check_queue

F = TypeVar("F", bound=Callable[..., Any])

CONTEXT = "ctx"
UNTYPED = (Any, object)


class JobHandler:
    """A function that works the plain jobs of one queue.

    It is handed its context, its payload, both or neither. `timeout_ms` 0 means that an attempt takes as long as it takes.
    """

    def __init__(self, queue: str, function: Callable[..., Any], *, timeout_ms: int = 0, names: Mapping[str, Any] | None = None) -> None:
        self.queue = queue
        self.function = function
        self.timeout_ms = timeout_ms
        self.faults: list[Fault] = []
        self._context = ""
        self._payload = ""
        self._adapter: TypeAdapter[Any] | None = None
        self._annotation: Any = Any
        self._read_signature(names or {})

    def __repr__(self) -> str:
        return f"<handler {self.name} of queue {self.queue}>"

    @property
    def name(self) -> str:
        return getattr(self.function, "__name__", "") or type(self.function).__name__

    @cached_property
    def is_async(self) -> bool:
        return is_coroutine_function(self.function)

    @property
    def where(self) -> str:
        """The `file:line` of the function; "" where there is no source."""
        return where_of_handler(self.function)

    def invoke(self, context: JobContext, raw: bytes) -> Any:
        """Call the function; `ValueNotJson` names the path in a payload that does not fit, and then nothing is called."""
        arguments: dict[str, Any] = {self._context: context} if self._context else {}
        if self._payload:
            arguments[self._payload] = context.payload if self._adapter is None else self._read(self._adapter, raw)
        return self.function(**arguments)

    def _read(self, adapter: TypeAdapter[Any], raw: bytes) -> Any:
        try:
            return adapter.validate_json(raw, by_alias=True, by_name=True)
        except ValidationError as error:
            path, reason = first_problem(error)
            message = f"the payload does not fit {show(self._annotation)}: {path or 'the payload'}: {reason}"
            raise ValueNotJson(message, where=path) from None

    def _read_signature(self, names: Mapping[str, Any]) -> None:
        try:
            parameters = inspect.signature(self.function).parameters.values()
        except (TypeError, ValueError):
            self._blame("its parameters cannot be read; a handler is a Python function")
            return
        if inspect.isasyncgenfunction(self.function) or inspect.isgeneratorfunction(self.function):
            self._blame("is a generator, so calling it does nothing; remove the yield")
        for parameter in parameters:
            self._read_parameter(parameter, names)

    def _read_parameter(self, parameter: inspect.Parameter, names: Mapping[str, Any]) -> None:
        name = parameter.name
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            self._blame(f"{stars}{name} is handed nothing; a handler takes its context and its payload", name)
            return
        if parameter.kind is parameter.POSITIONAL_ONLY:
            self._blame(f"{name} cannot be given by name; remove the '/'", name)
            return
        annotation = annotation_of(self.function, name, names)
        if isinstance(annotation, Unresolved):
            if annotation.reason:
                self._blame(f"parameter {name}: annotation {annotation.reason}", name)
                return
            annotation = JobContext if name == CONTEXT else Any
        if plain(annotation) is JobContext:
            self._take("_context", name, "the context")
        elif self._take("_payload", name, "the payload"):
            self._read_type(name, annotation)

    def _take(self, role: str, name: str, what: str) -> bool:
        if first := getattr(self, role):
            self._blame(f"{name} is one parameter too many: {first} is {what} already; a handler takes its context and its payload", name)
            return False
        setattr(self, role, name)
        return True

    def _read_type(self, name: str, annotation: Any) -> None:
        if annotation in UNTYPED:
            return
        self._annotation = annotation
        try:
            self._adapter = TypeAdapter(annotation)
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            self._blame(f"parameter {name}: {show(annotation)} cannot be read from JSON: {str(error).splitlines()[0]}", name)

    def _blame(self, message: str, parameter: str = "") -> None:
        self.faults.append(Fault(f"handler {self.name}: {message}", where_of_handler(self.function, parameter)))


@dataclass(frozen=True, slots=True)
class _Place:
    handler: JobHandler
    where: str


class App:
    """The handlers of plain jobs, one for each queue.

        app = App()

        @app.handler(queue="emails")
        def send(email: Email, ctx: JobContext) -> None: ...

    The payload is read as the type of its parameter; one that does not fit fails the job for good. Sync functions run in
    threads, async ones on the loop. What a handler returns is dropped; what it raises fails the attempt.
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._places: dict[str, _Place] = {}

    def __repr__(self) -> str:
        return f"<app of {', '.join(self._places) or 'no queues'}>"

    def __iter__(self) -> Iterator[JobHandler]:
        return iter(self.handlers.values())

    @property
    def handlers(self) -> dict[str, JobHandler]:
        """Queue -> its handler."""
        return {queue: place.handler for queue, place in self._places.items()}

    def handler(self, *, queue: str, timeout: str | float | None = None) -> Callable[[F], F]:
        """Let a function work the jobs of a queue; it stays the plain function that it was.

        `timeout` is one attempt's time (`"2m"`, or seconds): what takes longer has failed.
        """
        frame = caller()
        where = where_of_frame(frame)
        names = locals_of(frame)
        timeout_ms = self._read_timeout(timeout, where)
        self._check_queue(queue, where)

        def place(function: F) -> F:
            if not callable(function):
                raise FlowDefinitionError(f"queue {queue}: handler() decorates a function", where=where)
            self._place(JobHandler(queue, function, timeout_ms=timeout_ms, names=names), where)
            return function

        return place

    def check(self) -> None:
        """Raise `FlowDefinitionError` with everything that is wrong, if anything is."""
        if self.faults:
            count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
            raise FlowDefinitionError(f"this app has {count}", tuple(self.faults), where=self.faults[0].where)

    def _place(self, handler: JobHandler, where: str) -> None:
        self.faults += handler.faults
        place = _Place(handler, handler.where or where)
        first = self._places.setdefault(handler.queue, place)
        if first is not place:
            self.faults.append(twice(handler.queue, first.where, place.where))

    def _check_queue(self, queue: str, where: str) -> None:
        try:
            check_queue(queue)
        except ValueError as error:
            self.faults.append(Fault(str(error), where))

    def _read_timeout(self, timeout: str | float | None, where: str) -> int:
        if timeout is None:
            return 0
        try:
            if (ms := duration_ms(timeout)) > 0:
                return ms
        except ValueError:
            pass
        self.faults.append(Fault(f"timeout: {timeout!r} is not allowed; None, or a duration above 0, such as '2m'", where))
        return 0


def twice(queue: str, first: str, second: str) -> Fault:
    """What is wrong with two handlers of one queue."""
    return Fault(f"queue {queue}: has two handlers, the first at {first}", second)


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether a call gives a coroutine: of an `async def`, a `partial` of one, or an object that has one as `__call__`."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
