"""What a run is made of, as values: its header, the facts of its step runs, its failures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

from ulid import ULID

from omniq_flow.model.states import RunState, StepState
from omniq_flow.model.tags import Tags


def new_run_id() -> str:
    """A ULID: 26 characters, in the order of creation."""
    return str(ULID())


@dataclass(frozen=True, slots=True)
class Fact:
    """The stored state of a step run: `D12`, `D7:40` (a list of 40), `Q9^2~1` (inputs of epoch 2, lost once)."""

    state: StepState = StepState.PENDING
    epoch: int = 0
    length: int = 0
    inputs: int = 0
    losses: int = 0

    @classmethod
    def parse(cls, text: str | bytes | None) -> Fact:
        """No record means pending."""
        return _fact(text) if text else cls()


# Nearly all facts of a worker are the same few.
@lru_cache(maxsize=1_024)
def _fact(text: str | bytes) -> Fact:
    text = text.decode() if isinstance(text, bytes) else text
    rest, _, losses = text[1:].partition("~")
    rest, _, inputs = rest.partition("^")
    epoch, _, length = rest.partition(":")
    return Fact(StepState(text[0]), int(epoch), int(length or 0), int(inputs or 0), int(losses or 0))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step run failed. `step` names the one that failed, also where another reports it."""

    type: str
    message: str
    step: str = ""
    attempt: int = 0

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type

    @property
    def json(self) -> str:
        fields = {"type": self.type, "message": self.message, "step": self.step, "attempt": self.attempt}
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str | bytes) -> Failure:
        data = json.loads(text)
        return cls(data["type"], data["message"], data.get("step", ""), data.get("attempt", 0))


@dataclass(frozen=True, slots=True)
class RunPause:
    """Since when a run is paused (epoch ms), who did it and why."""

    at_ms: int
    by: str = ""
    reason: str = ""

    @classmethod
    def parse(cls, text: str) -> RunPause | None:
        """None for no text: the run is not paused."""
        at, _, rest = text.partition(" ")
        by, _, reason = rest.partition(" ")
        return cls(int(at), by, reason) if at else None


@dataclass(frozen=True, slots=True)
class RunHeader:
    """The header of a run as stored. Times in epoch ms, 0 where it has not happened."""

    run_id: str
    flow: str
    queue: str
    plan_sha: str
    state: RunState
    epoch: int = 1
    open: int = 0
    rev: int = 0
    gid: str = ""
    key: str = ""
    created_ms: int = 0
    ended_ms: int = 0
    damage: str = ""
    """What in its keys contradicts the rest, if that ended the run."""
    paused: RunPause | None = None
    """Nothing of it is begun until it is resumed."""
    rerun_of: str = ""
    """The run that it is a re-run of."""
    rerun_as: str = ""
    """The newest run that is a re-run of it."""
    tags: Tags = ()
