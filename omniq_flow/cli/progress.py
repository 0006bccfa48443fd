"""How a run goes, while it goes: a picture that is redrawn on a terminal, else a line for each change of a step."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Callable
from typing import Protocol, TextIO

from omniq_flow.cli.output import Output
from omniq_flow.cli.text import cut, visible
from omniq_flow.model.clock import now_ms, show_duration
from omniq_flow.model.states import StepState
from omniq_flow.observe.snapshot import RunSnapshot, StepTally
from omniq_flow.tui.glyphs import STEPS

BAR = 20
_COLOURS = {"dim": "2", "busy": "36", "good": "32", "bad": "31", "warn": "33"}


class Progress(Protocol):
    def update(self, snapshot: RunSnapshot) -> None:
        """Show what has changed."""

    def tick(self) -> None:
        """Nothing has changed, but time has passed."""

    def note(self, text: str) -> None:
        """Say something beside the picture."""


class Silence:
    """For `--quiet`."""

    def update(self, snapshot: RunSnapshot) -> None: ...

    def tick(self) -> None: ...

    def note(self, text: str) -> None: ...


class Lines:
    """One line when a step begins, one when it is settled; never one per element."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._words: dict[str, str] = {}

    def update(self, snapshot: RunSnapshot) -> None:
        for step in snapshot.steps:
            before = self._words.get(step.step, StepState.PENDING.word)
            word = step.state if step.is_settled or step.state == StepState.PENDING.word else "started"
            if word != before:
                self._words[step.step] = word
                self._say(f"{step.step}: {word}{_details(step) if step.is_settled else ''}")

    def tick(self) -> None: ...

    def note(self, text: str) -> None:
        for line in text.split("\n"):
            self._say(line)


class Live:
    """A picture of all steps at the foot of the terminal; what else is said scrolls by above it."""

    def __init__(self, stream: TextIO, *, may_colour: bool) -> None:
        self._stream = stream
        self._may_colour = may_colour
        self._snapshot: RunSnapshot | None = None
        self._drawn = 0
        self._lock = threading.Lock()

    def update(self, snapshot: RunSnapshot) -> None:
        self._snapshot = snapshot
        self.tick()

    def tick(self) -> None:
        with self._lock:
            self._write(self._rub_out() + self._picture())

    def note(self, text: str) -> None:
        with self._lock:
            said = "".join(f"{visible(line)}\n" for line in text.split("\n"))
            self._write(self._rub_out() + said + self._picture())

    def _picture(self) -> str:
        if self._snapshot is None:
            return ""
        size = shutil.get_terminal_size()
        lines = [self._colour(cut(text, size.columns - 1), code) for text, code in picture(self._snapshot, size.lines - 2, now_ms())]
        self._drawn = len(lines)
        return "".join(f"{line}\n" for line in lines)

    def _rub_out(self) -> str:
        drawn, self._drawn = self._drawn, 0
        return f"\x1b[{drawn}F\x1b[J" if drawn else ""

    def _colour(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._may_colour else text

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class NoteStream(io.TextIOBase):
    """What a handler prints, line by line, as notes beside a picture."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._open_line = ""
        self._lock = threading.Lock()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._open_line = (self._open_line + text).split("\n")
        for line in lines:
            self._progress.note(line)
        return len(text)

    def close(self) -> None:
        if self._open_line:
            self.write("\n")
        super().close()


def progress_for(output: Output) -> Progress:
    """The way to show progress that suits the terminal, or its absence."""
    if output.is_quiet:
        return Silence()
    return Live(output.err, may_colour=output.may_colour) if output.is_live else Lines(output.talk)


def picture(snapshot: RunSnapshot, most_lines: int, now: int) -> list[tuple[str, str]]:
    """A line a step with its colour; if there is no room for all, those where something happens."""
    shown = list(snapshot.steps)
    if len(shown) > most_lines:
        busy = sorted(range(len(shown)), key=lambda n: (_interest(shown[n]), n))[: max(most_lines - 1, 1)]
        shown = [shown[n] for n in sorted(busy)]
    wide = max(len(_name(step)) for step in shown)
    lines = [_line(step, wide, now) for step in shown]
    left_out = len(snapshot.steps) - len(shown)
    return [*lines, (f"  … and {left_out} more steps", "2")] if left_out else lines


def _interest(step: StepTally) -> int:
    """0 for steps at work, 1 for those that failed, 2 for those to come, 3 for those that are done."""
    if not step.is_settled:
        return 2 if step.state == StepState.PENDING.word else 0
    return 1 if step.failed else 3


def _line(step: StepTally, wide: int, now: int) -> tuple[str, str]:
    glyph, tone = STEPS[step.state]
    parts = [f"{glyph} {_name(step):<{wide}}"]
    if step.is_map and step.total:
        parts.append(f"{_bar(step)} {step.done}/{step.total}")
    if step.failed and step.is_map:
        parts.append(f"✘{step.failed}")
    if took := _took(step, now):
        parts.append(took)
    if step.timing.retries:
        parts.append(f"↻{step.timing.retries}")
    if step.state == StepState.UPSTREAM_FAILED.word:
        parts.append(step.state)
    return "  ".join(parts).rstrip(), _COLOURS[tone]


def _name(step: StepTally) -> str:
    return f"{step.step} {'×' * len(step.level)}" if step.level else step.step


def _bar(step: StepTally) -> str:
    full = BAR * step.done // step.total
    return "█" * full + "░" * (BAR - full)


def _took(step: StepTally, now: int) -> str:
    started, ended = step.timing.started_ms, step.timing.ended_ms
    if not started:
        return ""
    return show_duration(max((ended if step.is_settled and ended else now) - started, 0))


def _details(step: StepTally) -> str:
    parts = [f"{step.done}/{step.total}"] if step.is_map and step.total else []
    parts += [f"{step.failed} failed"] if step.is_map and step.failed else []
    parts += [f"{step.timing.retries} retries"] if step.timing.retries else []
    parts += [took] if (took := _took(step, 0)) and step.timing.ended_ms else []
    return f" ({', '.join(parts)})" if parts else ""
