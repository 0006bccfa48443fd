"""What a worker and its child processes say to each other: lines of JSON, and nothing that is executed.

To a child: a call (which file, which step of which flow, the inputs as JSON, the context).
From a child: lines of the run's log, then how the call ended.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from omniq_flow.client.connect import Target, Tls
from omniq_flow.engine.binding import Given
from omniq_flow.engine.outcomes import Outcome
from omniq_flow.flow.context import StepContext
from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import InputPlan, StepOptions, StepPlan
from omniq_flow.model.runs import Failure

_CONTEXT = ("run_id", "flow", "attempt", "max_attempts", "idempotency_key", "fence", "job_id", "gid")


@dataclass(frozen=True)
class Call:
    """One handler to run. `context` has no flags, no log and no tools yet; these reach the server at `target`."""

    file: str
    step: StepPlan
    is_mapped: bool
    limit: int
    given: list[Given]
    context: StepContext
    roll: float
    target: Target | None = None

    def line(self) -> bytes:
        context = {name: getattr(self.context, name) for name in _CONTEXT} | {"step_run": self.context.step_run.id}
        return _line(
            {
                "file": self.file,
                "step": asdict(self.step),
                "mapped": self.is_mapped,
                "limit": self.limit,
                "given": [_pack(g) for g in self.given],
                "context": context,
                "roll": self.roll,
                "target": self.target and asdict(self.target),
            }
        )

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Call:
        context = dict(data["context"])
        return cls(
            data["file"],
            _step(data["step"]),
            data["mapped"],
            data["limit"],
            [_unpack(g) for g in data["given"]],
            StepContext(step_run=StepRun.parse(context.pop("step_run")), **context),
            data["roll"],
            data["target"] and _target(data["target"]),
        )


def log_line(text: str) -> bytes:
    return _line({"log": text})


def outcome_line(outcome: Outcome) -> bytes:
    fields = {"kind": outcome.kind, "number": outcome.number, "value": _text(outcome.value), "error": outcome.error}
    return _line({"outcome": {**fields, "elements": [_text(e) for e in outcome.elements]}})


def parse_outcome(data: dict[str, Any]) -> Outcome:
    elements = tuple(_bytes(e) for e in data["elements"])
    return Outcome(data["kind"], data["number"], _bytes(data["value"]), data["error"], elements)


def _line(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"


def _text(raw: bytes) -> str:
    """Stored bytes that are no UTF-8 (a foreign handler's) come back as they were."""
    return raw.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _pack(given: Given) -> Any:
    if isinstance(given, bytes):
        return _text(given)
    if isinstance(given, list):
        return [_pack(g) for g in given]
    return given if given is None else asdict(given)


def _unpack(data: Any) -> Given:
    if isinstance(data, str):
        return _bytes(data)
    if isinstance(data, list):
        return [_unpack(d) for d in data]
    return data if data is None else Failure(**data)


def _target(data: dict[str, Any]) -> Target:
    return Target(**{**data, "tls": data["tls"] and Tls(**data["tls"])})


def _step(data: dict[str, Any]) -> StepPlan:
    inputs = tuple(InputPlan(**i) for i in data["inputs"])
    return StepPlan(**{**data, "level": tuple(data["level"]), "inputs": inputs, "options": StepOptions(**data["options"])})
