"""How an attempt ended, as a value: from what a handler returned or raised to what is reported.

Three ways to fail. *In passing*: another attempt follows after the step's back-off; whether one is left the server
knows. *For good*: no further attempt, as the next one would end the same way (`StepFailed`, a value that cannot be
written, an input that cannot be read). *Not at all*: the job is given back and the attempt is not counted.

A handler may raise anything, `SystemExit` and `KeyboardInterrupt` among it: that ends its attempt, never the worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omniq_flow.engine.failures import head_of, message_of, text_of, type_of
from omniq_flow.errors import StepFailed, StepSkipped, ValueNotJson, ValueTooLarge
from omniq_flow.flow.options import backoff_ms
from omniq_flow.flow.values import Codec
from omniq_flow.model.plan import StepOptions
from omniq_flow.model.runs import Failure
from omniq_flow.ops.ticks import OutcomeKind, Settled

UNKNOWN_DELAY_MS = 5_000
OWN_BACKOFF = -1
"""In place of a delay: the back-off that the job's own record names."""


class InputUnreadable(ValueNotJson):
    """A stored input does not fit the code that is here, or is gone."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. `elements` are those of a list that is mapped; they are staged before it is reported."""

    kind: OutcomeKind
    number: int = 0
    value: bytes = b""
    error: str = ""
    elements: tuple[bytes, ...] = ()

    def settled(self, job_id: str, token: str) -> Settled:
        return Settled(job_id, token, self.kind, self.number, self.value, self.error)

    @property
    def size(self) -> int:
        return len(self.value) + len(self.error)


SKIPPED = Outcome("skip")
DONE = Outcome("ok")
RELEASED = Outcome("release")
UNKNOWN = Outcome("release", UNKNOWN_DELAY_MS)


def succeeded(codec: Codec, value: Any, *, is_mapped: bool) -> Outcome:
    """The outcome of a returned value; raises `ValueNotJson` or `ValueTooLarge` for one that cannot be kept.

    A generator runs here, so this belongs where the handler ran.
    """
    if is_mapped:
        elements = tuple(codec.encode_elements(value))
        return Outcome("list", len(elements), elements=elements)
    return Outcome("ok", value=codec.encode(value))


def failed(error: BaseException, step: str, attempt: int, options: StepOptions, roll: float) -> Outcome:
    """The outcome of whatever a handler raised; `roll` in [0, 1) is the chance that jitter takes."""
    if isinstance(error, StepSkipped):
        return SKIPPED
    failure = Failure(type_of(error), message_of(error), step, attempt)
    final = is_final(error)
    delay_ms = 0 if final else backoff_ms(options, attempt, roll)
    return Outcome("fatal" if final else "fail", delay_ms, failure.json.encode(), text_of(error))


def job_failed(error: BaseException) -> Outcome:
    """The outcome of whatever the handler of a plain job raised; a skipped job is a completed one."""
    if isinstance(error, StepSkipped):
        return DONE
    if is_final(error):
        return Outcome("fatal", error=head_of(error))
    return Outcome("fail", OWN_BACKOFF, error=head_of(error))


def is_final(error: BaseException) -> bool:
    """Whether the next attempt would end the same way."""
    return isinstance(error, (StepFailed, ValueNotJson, ValueTooLarge))
