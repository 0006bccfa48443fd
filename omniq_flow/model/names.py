"""Names and ids: one rule for each, checked once, and never two names for one key.

A **step run** is a step and the indices of its element: `read-3-7` in keys, `read[3][7]` for people.
A job of a flow is named `f.<run>.<step run>.<epoch>`; the name is never used twice (I5, R3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

MAX_QUEUE = 128
MAX_STEP = 40

_QUEUE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_STEP = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
_RUN = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_STEP_RUN = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)((?:-\d+)*)")
_SHOWN = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)((?:\[\d+\])*)")
_JOB = re.compile(r"f\.([0-9A-HJKMNP-TV-Z]{26})\.([A-Za-z0-9_-]+)\.(\d+)")


def check_queue(name: str) -> str:
    """A queue's name as the wire contract has it (§9), or `ValueError` with the offending character."""
    if not isinstance(name, str) or not name:
        raise ValueError("a queue name must not be empty")
    if len(name) > MAX_QUEUE:
        raise ValueError(f"queue name {name[:20]!r}… has {len(name)} characters, {MAX_QUEUE} is the limit")
    if not _QUEUE.fullmatch(name):
        bad = next(c for c in name if not re.fullmatch(r"[A-Za-z0-9._-]", c))
        raise ValueError(f"queue name {name!r} has {bad!r}; letters, digits, '.', '_' and '-' are allowed")
    return name


def check_step(name: str) -> str:
    """A step's or a flow's name: an ASCII identifier of at most 40 characters."""
    if not isinstance(name, str) or not _STEP.fullmatch(name):
        raise ValueError(f"{name!r} is no usable name: a letter or '_', then letters, digits and '_', at most {MAX_STEP} in all")
    return name


def is_run_id(text: str) -> bool:
    """Whether a text has the form of a run id (a ULID)."""
    return _RUN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class StepRun:
    """One step within one run, or one element of a mapped step."""

    step: str
    index: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        return "-".join((self.step, *map(str, self.index))) if self.index else self.step

    def __str__(self) -> str:
        return self.step + "".join(f"[{i}]" for i in self.index)

    @classmethod
    def parse(cls, text: str) -> StepRun:
        """Read either form, `read-3-7` or `read[3][7]`; `ValueError` for anything else."""
        return _step_run(text)


# A worker reads the same few names over and over.
@lru_cache(maxsize=4_096)
def _step_run(text: str) -> StepRun:
    if found := _STEP_RUN.fullmatch(text):
        return StepRun(found[1], tuple(int(i) for i in found[2].split("-")[1:]))
    if found := _SHOWN.fullmatch(text):
        return StepRun(found[1], tuple(int(i) for i in re.findall(r"\d+", found[2])))
    raise ValueError(f"{text!r} is no step run; write read, read-3 or read[3]")


@dataclass(frozen=True, slots=True)
class FlowJobId:
    """What the id of a flow's job says: run, step run and the epoch of its dispatch."""

    run_id: str
    step_run: StepRun
    epoch: int

    def __str__(self) -> str:
        return f"f.{self.run_id}.{self.step_run.id}.{self.epoch}"

    @classmethod
    def parse(cls, job_id: str) -> FlowJobId | None:
        """None for the id of a plain job."""
        found = _JOB.fullmatch(job_id)
        return cls(found[1], StepRun.parse(found[2]), int(found[3])) if found else None
