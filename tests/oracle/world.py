"""What handlers do: deterministic by seed, step run and inputs, so that a stale or swapped input shows in the output.

A run that is retried has several lives. A handler fails less often in a later one, and a step that is done again on
purpose gives another value; what a step run gave in an earlier life is what it would have given there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, Union

from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import Plan

Arg = Union[bytes, None, tuple["Arg", ...]]  # noqa: UP007 - a name in quotes cannot stand beside |
"""What a handler gets for one parameter: JSON, None, or a list of such things."""

FAILED = b"!"
"""Stands in a recording gather where an element failed."""

BIG = 70_000
LAST_LIFE = 4

Kind = Literal["v", "s", "f"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a handler ended: with a value (and, of a list, its elements), skipped, or failed."""

    kind: Kind
    value: bytes = b""
    elements: tuple[bytes, ...] | None = None


def digest(*parts: object) -> int:
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=6).digest(), "big")


class World:
    """The handlers of one run."""

    def __init__(self, plan: Plan, seed: int, fail: float, skip: float, lengths: tuple[int, ...] = (0, 1, 1, 2, 3, 5)) -> None:
        self.plan, self.seed, self.fail, self.skip, self.lengths = plan, seed, fail, skip, lengths
        self.life = 1
        self.worked: dict[StepRun, int] = {}
        self.redone: dict[str, list[int]] = {}
        self.mapped = {i.step for s in plan.steps for i in s.inputs if i.kind == "each"}

    def copy(self) -> World:
        found = World(self.plan, self.seed, self.fail, self.skip, self.lengths)
        found.life, found.worked, found.redone = self.life, dict(self.worked), {step: list(lives) for step, lives in self.redone.items()}
        return found

    def outcome(self, at: StepRun, args: tuple[Arg, ...], life: int = 0) -> Outcome:
        """What the handler of a step run does with these inputs: in the life in which it was worked last, or in a given one."""
        life = life or self.worked.get(at, self.life)
        if self._chance(at, "fail", life) < (self.fail / 2 ** (life - 1) if life < LAST_LIFE else 0):
            return Outcome("f")
        if self._chance(at, "skip") < self.skip:
            return Outcome("s")
        redone = max((n for n in self.redone.get(at.step, ()) if n <= life), default=0)
        number = digest(self.seed, at.step, at.index, args, redone)
        if not self.plan.by_name[at.step].is_list:
            return Outcome("v", _text(number))
        elements = tuple(_text(digest(number, i)) for i in range(self.lengths[number % len(self.lengths)]))
        return Outcome("v", b"[" + b",".join(elements) + b"]", elements)

    def _chance(self, at: StepRun, what: str, life: int = 1) -> float:
        return digest(self.seed, at.step, at.index, what, life) % 1_000 / 1_000


def _text(number: int) -> bytes:
    """JSON that a careless script would change: empty lists, whole numbers beyond 2^53, bars, large texts."""
    match number % 50:
        case 0:
            return b'{"a":[],"n":9007199254740993,"v":%d}' % number
        case 1:
            return json.dumps(f"ä|{number}|~", ensure_ascii=False).encode()
        case 2 if number % 300 == 2:
            return b'"%d%s"' % (number, b"x" * BIG)
        case _:
            return b"%d" % number
