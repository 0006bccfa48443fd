"""Which runs are wanted: what a filter asks of a run's header and of its input."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from omniq_flow.model.runs import RunHeader
from omniq_flow.model.states import RunState
from omniq_flow.observe.snapshot import run_word

Which = Literal["all", "open", "failed", "ended"]
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class InputFits:
    """A field of a run's input and the value it must have. The path is dotted, a number takes an element of a list.

    Texts are compared as they are, everything else as its JSON; a star at the end of the value stands for any rest.
    """

    path: str
    value: str

    def fits(self, given: Any) -> bool:
        """Whether an input, read from its JSON, has that value there."""
        for name in self.path.split("."):
            given = _inside(given, name)
        if given is _ABSENT:
            return False
        shown = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, separators=(",", ":"))
        return shown.startswith(self.value[:-1]) if self.value.endswith("*") else shown == self.value


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs are wanted; empty fields fit all. `text` is part of an id, a key or a flow's name. Ages in ms since the start."""

    which: Which = "all"
    flow: str = ""
    state: str = ""
    text: str = ""
    older_ms: int = 0
    younger_ms: int = 0
    inputs: tuple[InputFits, ...] = ()
    tags: tuple[str, ...] = ()
    """`name=value`, or `name` for any value; all must fit."""

    @property
    def needs_headers(self) -> bool:
        """Whether a run must be read to know if it fits."""
        by_age = bool(self.older_ms or self.younger_ms)
        return bool(self.flow or self.state or self.text or by_age or self.inputs or self.tags or self.which == "failed")

    def fits(self, header: RunHeader, now_ms: int) -> bool:
        """Whether the header fits; the input is another question."""
        age_ms = now_ms - header.created_ms
        return (
            (self.which != "failed" or header.state in (RunState.FAILED, RunState.FAILING))
            and (not self.flow or header.flow.startswith(self.flow.rstrip("*")))
            and (not self.state or run_word(header.state) == self.state)
            and has_tags(header, self.tags)
            and (not self.older_ms or age_ms > self.older_ms)
            and (not self.younger_ms or age_ms < self.younger_ms)
            and (not self.text or any(self.text.casefold() in part.casefold() for part in (header.run_id, header.key, header.flow)))
        )

    def fits_input(self, raw: bytes) -> bool:
        """Whether an input, given as JSON, fits; one that is no JSON does not."""
        try:
            given = json.loads(raw)
        except ValueError:
            return False
        return all(one.fits(given) for one in self.inputs)


def has_tags(header: RunHeader, wanted: Iterable[str]) -> bool:
    """Whether a run has all tags `name=value`, or `name` for any value; a star at the end of a value stands for any rest."""
    there = dict(header.tags)
    return all(_fits(there.get(name), is_one, value) for name, is_one, value in (tag.partition("=") for tag in wanted))


def _fits(there: str | None, has_value: str, value: str) -> bool:
    if there is None or not has_value:
        return there is not None
    return there.startswith(value[:-1]) if value.endswith("*") else there == value


def _inside(given: Any, name: str) -> Any:
    if isinstance(given, dict):
        return given.get(name, _ABSENT)
    if isinstance(given, list) and name.isascii() and name.isdigit() and int(name) < len(given):
        return given[int(name)]
    return _ABSENT
