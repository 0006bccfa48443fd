"""Every failure that a caller can meet, each with a stable code and an exit code.

A message is written for the person who reads it: what is wrong; `where` (a file and line, a key, an
address) and `hint` (what to do next, a command if there is one) travel beside it, so that the command
line and a log can lay them out in their own way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class OmniqFlowError(Exception):
    """The root of all errors raised on purpose by this package."""

    code: str = "INTERNAL"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint


class UsageError(OmniqFlowError):
    """A command or call was put together wrongly."""

    code = "USAGE"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a definition or an input, and where."""

    message: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.message} ({self.where})" if self.where else self.message


class _FaultyError(OmniqFlowError):
    """An error that reports all that is wrong at once."""

    exit_code = 3

    def __init__(self, message: str, faults: tuple[Fault, ...] = (), *, where: str = "", hint: str = "") -> None:
        super().__init__(message, where=where, hint=hint)
        self.faults = faults

    def __str__(self) -> str:
        return "\n  ".join([self.message, *map(str, self.faults)])


class FlowDefinitionError(_FaultyError):
    """A flow is wired wrongly; `faults` lists every mistake with step, parameter, file and line."""

    code = "FLOW_INVALID"


class FlowLoadError(_FaultyError):
    """A file in `flows/` does not load."""

    code = "FLOW_LOAD"


class InputError(_FaultyError):
    """The input of a run does not fit the flow's input model, or is too large; nothing was written."""

    code = "INPUT_INVALID"


class ConfigError(_FaultyError):
    """A setting is unknown or has a value that is not allowed."""

    code = "CONFIG_INVALID"


class ValueTooLarge(OmniqFlowError):
    """A value is larger than the limit (bytes); it was refused before anything was written."""

    code = "VALUE_TOO_LARGE"
    exit_code = 3


class ValueNotJson(OmniqFlowError):
    """A value cannot be written as JSON and read back as it was."""

    code = "VALUE_NOT_JSON"
    exit_code = 3


class ServerUnavailable(OmniqFlowError):
    """The server cannot be reached, or refuses to serve (password, ACL, memory, read-only)."""

    code = "SERVER_UNAVAILABLE"
    exit_code = 4


class NotFound(OmniqFlowError):
    """The flow, run, step or job that was named does not exist."""

    code = "NOT_FOUND"
    exit_code = 5


class Conflict(OmniqFlowError):
    """The run key is in use with another input, or the thing is in a state that does not allow this."""

    code = "CONFLICT"
    exit_code = 6


class LeaseLost(Conflict):
    """The lease on a job is held by somebody else, or the job has ended (wire §6)."""

    code = "LEASE_LOST"


class GaveUpWaiting(OmniqFlowError):
    """The time limit of a wait passed; the run goes on."""

    code = "GAVE_UP_WAITING"
    exit_code = 7


class RunFailed(OmniqFlowError):
    """The run that was waited for failed or was cancelled."""

    code = "RUN_FAILED"
    exit_code = 1


class StepFailed(OmniqFlowError):
    """Raised by a handler (`ctx.fail`) to fail its step for good, without another attempt."""

    code = "STEP_FAILED"


class StepSkipped(OmniqFlowError):
    """Raised by a handler (`ctx.skip`) to skip its step: no value, no failure."""

    code = "STEP_SKIPPED"


class OperationRefused(OmniqFlowError, RuntimeError):
    """An operation answered with a reason code of the wire contract (`TOKEN_MISMATCH`, `NOT_ACTIVE`, `NO_JOB`, …).

    That is its `code`; with the detail that may follow it (`BATCH_TOO_LARGE 100`) it ends the message, where clients of OmniQ
    look for it. They catch `RuntimeError`.
    """

    code = "REFUSED"
    exit_code = 6

    def __init__(self, operation: str, reason: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(f"{operation} failed: {reason}", where=where, hint=hint)
        self.operation = operation
        self.code = reason.partition(" ")[0] or self.code


class ReplyError(OmniqFlowError):
    """A script answered with something that its contract does not allow."""

    code = "BAD_REPLY"
