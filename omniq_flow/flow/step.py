"""A step: a handler placed in a flow. It stays callable as the plain function it was."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from omniq_flow.flow.options import StepSpec
from omniq_flow.flow.source import where_of_handler

if TYPE_CHECKING:
    from omniq_flow.flow.definition import Flow

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
V_co = TypeVar("V_co", covariant=True)


class Unresolved:
    """Stands for an annotation that is absent or names something that does not exist."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"<no annotation{': ' + self.reason if self.reason else ''}>"


class Step(Generic[P, R_co, V_co]):
    """A handler with a name and options, and the value it gives (`V_co`, awaited if it is async).

    `spec` is None where an option was refused; the flow's plan then says why.
    """

    __name__: str

    def __init__(
        self,
        flow: Flow,
        handler: Callable[P, R_co],
        name: str,
        spec: StepSpec | None,
        after: Iterable[object],
        frame: FrameType,
    ) -> None:
        self.flow = flow
        self.handler = handler
        self.name = name
        self.spec = spec
        self.after = tuple(after)
        self._locals = locals_of(frame)
        functools.update_wrapper(self, handler)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        return self.handler(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<step {self.name} of {self.flow.name}>"

    if TYPE_CHECKING:

        @property
        def _value(self) -> V_co: ...

    @cached_property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.handler)

    @cached_property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.handler)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """Parameter -> annotation, resolved; `Unresolved` where there is none."""
        return {name: self._annotation(name) for name in self.signature.parameters}

    @cached_property
    def returns(self) -> Any:
        """What the handler gives, resolved; `Unresolved` where it does not say."""
        return self._annotation("return")

    def where(self, parameter: str = "") -> str:
        """The `file:line` of the handler, or of one of its parameters."""
        return where_of_handler(self.handler, parameter)

    def _annotation(self, name: str) -> Any:
        return annotation_of(self.handler, name, self._locals)


def annotation_of(handler: Callable[..., Any], name: str, local_names: Mapping[str, Any]) -> Any:
    """An annotation of a function (`return` for its value), resolved; `Unresolved` where there is none."""
    function = inspect.unwrap(handler)
    written = getattr(function, "__annotations__", {})
    if name not in written:
        return Unresolved()
    holder = SimpleNamespace(__annotations__={name: written[name]})
    try:
        return typing.get_type_hints(holder, getattr(function, "__globals__", {}), dict(local_names), include_extras=True)[name]
    except Exception as error:  # a forward reference may raise anything; whoever checks the definition reports it
        return Unresolved(f"{written[name]!r}: {error}")


def locals_of(frame: FrameType) -> Mapping[str, Any]:
    """The names of a frame; of a function's a copy: types made inside a test are found without keeping the frame alive."""
    return frame.f_locals if frame.f_locals is frame.f_globals else dict(frame.f_locals)
