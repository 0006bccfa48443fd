"""A plan: a flow compiled. Frozen, canonical JSON, named by the SHA-256 of that JSON.

The JSON holds what decides how a run goes and what its values look like: wiring, options and schemas.
File names, lines and docstrings are not in it, so moving a function does not change its plan. A run
follows the plan it was started with until it ends.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

FORMAT = 1
DAY_MS = 86_400_000

InputKind = Literal["input", "context", "result", "each", "gather", "after"]


@dataclass(frozen=True, slots=True)
class InputPlan:
    """Where one parameter of a step comes from.

    `input` is the flow's input, `context` the StepContext, both without a `step`. `after` is order only:
    its `param` reads `after:<step>`. `up` is how many lists a gather comes back through.
    """

    param: str
    kind: InputKind
    step: str = ""
    up: int = 1
    optional: bool = False
    holes: bool = False
    record: bool = False

    @property
    def is_edge(self) -> bool:
        """Whether it waits for another step."""
        return self.kind in ("result", "each", "gather", "after")


@dataclass(frozen=True, slots=True)
class StepOptions:
    """How a step is worked. Times in ms."""

    attempts: int = 3
    backoff: Literal["fixed", "exponential"] = "exponential"
    delay_ms: int = 1_000
    cap_ms: int = 60_000
    jitter: bool = True
    timeout_ms: int = 0
    lease_ms: int = 30_000
    process: bool = False


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step: its level (the lists it runs inside, outermost first), inputs, options and output schema."""

    name: str
    level: tuple[str, ...] = ()
    inputs: tuple[InputPlan, ...] = ()
    is_list: bool = False
    options: StepOptions = StepOptions()
    returns: str = "null"

    @property
    def depth(self) -> int:
        return len(self.level)


@dataclass(frozen=True)
class Plan:
    """A whole flow. `schema` and every `returns` are canonical JSON texts of JSON Schemas."""

    flow: str
    queue: str
    steps: tuple[StepPlan, ...]
    schema: str = "null"
    max_parallel: int = 100
    group: str = ""
    on_failure: Literal["continue", "stop"] = "continue"
    window: int = 1_000
    retention_ms: int = 7 * DAY_MS
    format: int = field(default=FORMAT)

    @cached_property
    def json(self) -> str:
        """Canonical JSON: sorted keys, no blanks, steps in the order of their definition."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @cached_property
    def sha(self) -> str:
        return hashlib.sha256(self.json.encode()).hexdigest()

    @cached_property
    def by_name(self) -> dict[str, StepPlan]:
        return {step.name: step for step in self.steps}

    @cached_property
    def results(self) -> tuple[str, ...]:
        """The steps that nothing takes a value from: their outputs are the run's result."""
        used = {i.step for s in self.steps for i in s.inputs if i.kind in ("result", "each", "gather")}
        return tuple(s.name for s in self.steps if s.name not in used)

    @classmethod
    def from_json(cls, text: str | bytes) -> Plan:
        """Read a plan as stored; `ValueError` for a format that this version does not know."""
        data: dict[str, Any] = json.loads(text)
        if data.get("format") != FORMAT:
            raise ValueError(f"plan format {data.get('format')!r} is not known here, {FORMAT} is; use a newer omniq-flow")
        steps = tuple(
            StepPlan(
                **{
                    **step,
                    "level": tuple(step["level"]),
                    "inputs": tuple(InputPlan(**i) for i in step["inputs"]),
                    "options": StepOptions(**step["options"]),
                }
            )
            for step in data.pop("steps")
        )
        return cls(steps=steps, **data)
