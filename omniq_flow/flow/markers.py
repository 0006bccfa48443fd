"""The three words of wiring: `result`, `each` and `gather`, written as a parameter's default.

To a type checker a marker is the value that the handler will get, so a wrong wiring is seen in the editor:
`pages: list[Page] = gather(analyse)` is refused where `analyse` gives `PageFacts`. At run time it is a
`Marker`, read when the plan is made. Nothing is checked here: a wrong marker is one fault of the plan among
others, reported with file and line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast, overload

from omniq_flow.flow.step import Step
from omniq_flow.model.runs import Failure

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Source(Protocol[T_co]):
    """What can be gathered: a step, or a gather (two levels up)."""

    @property
    def _value(self) -> T_co: ...


if TYPE_CHECKING:

    class Gathered(list[T]):
        """A list that can be gathered again."""

        @property
        def _value(self) -> list[T]: ...


@dataclass(frozen=True, slots=True)
class Marker:
    """What a parameter's default says; `source` is a step, a marker inside a gather, or a mistake."""

    kind: Literal["result", "each", "gather"]
    source: object
    optional: bool = False
    holes: bool = False
    failed: str | None = None

    @property
    def chain(self) -> tuple[Marker, ...]:
        """This marker and the gathers inside it, outermost first."""
        inner = self.source
        is_nested = self.kind == "gather" and isinstance(inner, Marker) and inner.kind == "gather"
        return (self, *cast("Marker", inner).chain) if is_nested else (self,)

    @property
    def step(self) -> object:
        """What the innermost marker was given."""
        return self.chain[-1].source

    @property
    def up(self) -> int:
        return len(self.chain)


@overload
def result(step: Step[..., Any, T], *, optional: Literal[False] = False) -> T: ...
@overload
def result(step: Step[..., Any, T], *, optional: Literal[True]) -> T | None: ...
def result(step: Any, *, optional: bool = False) -> Any:
    """The value of a step: of my own element, or of the one around me.

    Where the step was skipped this one is skipped too, unless the value is optional: then it is None.
    Optional is read from the annotation (`T | None` where the step itself gives no None) or said here.
    """
    return Marker("result", step, optional=optional)


def each(step: Step[..., Any, list[T]]) -> T:
    """One element of a step's list; this step runs once for each of them."""
    return cast("T", Marker("each", step))


@overload
def gather(step: Source[T]) -> Gathered[T]: ...
@overload
def gather(step: Source[T], *, holes: Literal[True]) -> Gathered[T | None]: ...
@overload
def gather(step: Source[T], *, failed: Literal["record"]) -> Gathered[T | Failure]: ...
@overload
def gather(step: Source[T], *, failed: Literal["record"], holes: Literal[True]) -> Gathered[T | Failure | None]: ...
@overload
def gather(step: Source[T], *, optional: Literal[True]) -> list[T] | None: ...
@overload
def gather(step: Source[T], *, optional: Literal[True], holes: Literal[True]) -> list[T | None] | None: ...
@overload
def gather(step: Source[T], *, optional: Literal[True], failed: Literal["record"]) -> list[T | Failure] | None: ...
@overload
def gather(
    step: Source[T], *, optional: Literal[True], failed: Literal["record"], holes: Literal[True]
) -> list[T | Failure | None] | None: ...
def gather(step: Any, *, optional: bool = False, holes: bool = False, failed: str | None = None) -> Any:
    """All values of a step that runs per element, in the order of the list; `gather(gather(x))` goes up two.

    A failed element fails this step too, unless `failed="record"`: then its `Failure` stands in its place.
    Skipped elements are left out, unless `holes=True` or the annotation `list[T | None]` keeps their places.
    In a nested gather both say the same.
    """
    return Marker("gather", step, optional=optional, holes=holes, failed=failed)
