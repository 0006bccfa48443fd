"""Options of flows and steps, checked by Pydantic.

Each field's description is the range that a refusal names: *"lease: '0.5s' is not allowed; a duration
from 1s to 24h"*. Nothing is replaced silently, and a bool is no number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    ModelWrapValidatorHandler,
    Strict,
    ValidationError,
    model_validator,
)

from omniq_flow.errors import Fault, FlowDefinitionError
from omniq_flow.flow.source import where_outside
from omniq_flow.model.clock import duration_ms
from omniq_flow.model.names import check_queue, check_step
from omniq_flow.model.plan import StepOptions

S = TypeVar("S", bound=BaseModel)

SECOND_MS = 1_000
DAY_MS = 86_400_000
MAX_ATTEMPTS = 1_000
MAX_PARALLEL = 100_000
MAX_WINDOW = 1_000_000


def _ms_between(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        ms = duration_ms(value)
        if not low <= ms <= high:
            raise ValueError("out of range")
        return ms

    return read


def _is_duration(value: str | float) -> str | float:
    _ms_between(0, 365 * DAY_MS)(value)
    return value


LeaseMs = Annotated[int, BeforeValidator(_ms_between(SECOND_MS, DAY_MS)), Field(description="a duration from 1s to 24h, such as '30s'")]
TimeoutMs = Annotated[int, BeforeValidator(_ms_between(1, 365 * DAY_MS)), Field(description="None, or a duration above 0, such as '2m'")]
RetentionMs = Annotated[
    int, BeforeValidator(_ms_between(0, 36_500 * DAY_MS)), Field(description="None or 0 to keep, or a duration, such as '7d'")
]
Parallel = Annotated[int, Strict(), Field(ge=1, le=MAX_PARALLEL, description=f"a whole number from 1 to {MAX_PARALLEL}")]
Window = Annotated[int, Strict(), Field(ge=1, le=MAX_WINDOW, description=f"None, or a whole number from 1 to {MAX_WINDOW}")]
Delay = Annotated[
    str | float, BeforeValidator(_is_duration), Field(description="a duration from 0 to 365d, such as 1.5 (seconds), '500ms' or '1m'")
]


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Retry(_Options):
    """How often a step is tried, and how long it waits in between.

    An exponential delay doubles with each attempt up to `cap`; with `jitter` a random part of it is waited
    (from nothing to all of it), so that failures of one moment do not come back together. A fixed delay is exact.
    """

    attempts: Annotated[int, Strict(), Field(ge=1, le=MAX_ATTEMPTS, description=f"a whole number from 1 to {MAX_ATTEMPTS}")] = 3
    backoff: Annotated[Literal["fixed", "exponential"], Field(description="'fixed' or 'exponential'")] = "exponential"
    delay: Delay = "1s"
    cap: Delay = "60s"
    jitter: Annotated[bool, Strict(), Field(description="True or False")] = True

    @model_validator(mode="wrap")
    @classmethod
    def _refuse(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Refuse where it is written: a Retry that exists is usable."""
        try:
            return handler(data)
        except ValidationError as error:
            where = where_outside(__name__, "pydantic")
            faults = tuple(Fault(message, where) for message in problems(Retry, error, "Retry"))
            raise FlowDefinitionError("this Retry is not usable", faults, where=where) from None

    def delay_ms(self, attempt: int, roll: float) -> int:
        """The wait after a failed attempt (counted from 1); `roll` in [0, 1) is the chance that jitter takes."""
        return backoff_ms(step_options(self, None, SECOND_MS, False), attempt, roll)


class FlowSpec(_Options):
    """What `Flow(...)` was given, checked. Times in ms."""

    name: Annotated[str, AfterValidator(check_step), Field(description="letters, digits and '_', not a digit first, at most 40 in all")]
    queue: Annotated[str, AfterValidator(check_queue), Field(description="letters, digits, '.', '_' and '-', at most 128 in all")]
    max_parallel: Parallel
    group: Annotated[str, Strict(), Field(description="None, or a text such as 'customer:{input.customer}'")] | None
    on_failure: Annotated[Literal["continue", "stop"], Field(description="'continue' or 'stop'")]
    retry: Annotated[InstanceOf[Retry], Field(description="a Retry(...)")]
    timeout: TimeoutMs | None
    lease: LeaseMs
    retention: RetentionMs
    window: Window | None


class StepSpec(_Options):
    """What `@flow.step(...)` was given, checked; None is taken from the flow. Times in ms."""

    name: Annotated[str, AfterValidator(check_step), Field(description="letters, digits and '_', not a digit first, at most 40 in all")]
    retry: Annotated[InstanceOf[Retry], Field(description="None, or a Retry(...)")] | None
    timeout: TimeoutMs | None
    lease: LeaseMs | None
    process: Annotated[bool, Strict(), Field(description="True or False")]


def read_spec(model: type[S], options: Mapping[str, Any], owner: str) -> tuple[S | None, list[str]]:
    """The checked options, or the sentences that say what is wrong with them."""
    try:
        return model(**options), []
    except ValidationError as error:
        return None, problems(model, error, owner)


def problems(model: type[BaseModel], error: ValidationError, owner: str) -> list[str]:
    """One sentence per faulty field: field, value, what is allowed."""
    found: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_context=False):
        name = str(detail["loc"][0]) if detail["loc"] else ""
        if name in model.model_fields:
            found.setdefault(name, f"{owner}: {name}: {_given(detail['input'])} is not allowed; {_allowed(model, name)}")
        else:
            found.setdefault(name, f"{owner}: {name} is no option; there are {', '.join(model.model_fields)}")
    return list(found.values())


def _given(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _allowed(model: type[BaseModel], name: str) -> str:
    """The description stands on the field, or inside a union with None."""
    field = model.model_fields[name]
    parts = [field.description, *(getattr(m, "description", None) for a in getattr(field.annotation, "__args__", ()) for m in _metadata(a))]
    return next((p for p in parts if p), "another value")


def _metadata(annotation: Any) -> tuple[Any, ...]:
    return tuple(getattr(annotation, "__metadata__", ()))


def step_options(retry: Retry, timeout_ms: int | None, lease_ms: int, process: bool) -> StepOptions:
    """The options as a plan holds them."""
    return StepOptions(
        attempts=retry.attempts,
        backoff=retry.backoff,
        delay_ms=duration_ms(retry.delay),
        cap_ms=duration_ms(retry.cap),
        jitter=retry.jitter and retry.backoff == "exponential",
        timeout_ms=timeout_ms or 0,
        lease_ms=lease_ms,
        process=process,
    )


def backoff_ms(options: StepOptions, attempt: int, roll: float) -> int:
    """The wait after a failed attempt (counted from 1); `roll` in [0, 1) is the chance that jitter takes."""
    if options.backoff == "fixed":
        return options.delay_ms
    # 60 doublings pass any cap; more would only make huge numbers.
    whole = min(options.delay_ms << min(max(attempt, 1) - 1, 60), options.cap_ms)
    return int(whole * roll) if options.jitter else whole
