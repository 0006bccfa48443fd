"""The log of effects: what handlers of a case did, one JSON line each, appended by any process at once."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from omniq_flow import StepContext

VARIABLE = "CASE_EFFECTS"


@dataclass(frozen=True, slots=True)
class Effect:
    """One line: which step run did what, in which attempt and process, when (s, this machine's monotonic clock)."""

    what: str
    run: str
    id: str
    step: str
    attempt: int
    pid: int
    at: float


def effect(ctx: StepContext, what: str = "start") -> None:
    """Note one effect of a step run."""
    note(Effect(what, ctx.run_id, ctx.step_run.id, ctx.step, ctx.attempt, os.getpid(), time.monotonic()))


def note(found: Effect) -> None:
    """Append one effect. Appends to a file do not mix, whoever else writes."""
    with open(os.environ[VARIABLE], "a", encoding="utf-8") as log:
        log.write(json.dumps(asdict(found)) + "\n")


def read(path: Path) -> list[Effect]:
    """All effects up to now. An append that crosses a page of memory can be seen half: a line without its end is not there yet."""
    if not path.exists():
        return []
    *lines, _unended = path.read_text(encoding="utf-8").split("\n")
    return [Effect(**json.loads(line)) for line in lines]
