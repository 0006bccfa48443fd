"""A run's plan as a picture to walk in: labels with glyph, progress and time, joined by the lines of the drawing."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.binding import Binding
from textual.message import Message

from omniq_flow.model.states import StepState
from omniq_flow.observe.drawing import draw_rows, rows_drawing
from omniq_flow.observe.layered import Drawing, draw_layers
from omniq_flow.observe.snapshot import RunSnapshot, StepTally
from omniq_flow.tui.canvas import Canvas
from omniq_flow.tui.glyphs import of_step
from omniq_flow.tui.text import BLANK, Line, Span, took

MOST_STEPS = 40
"""A larger plan is shown as a tree first."""


def label(snapshot: RunSnapshot, step: StepTally, now_ms: int) -> str:
    """A step in one line: glyph, name, how far, failures, how long. One that waits for a list tells how far that is."""
    glyph, _ = of_step(step)
    parts = [glyph, step.step]
    if step.is_map:
        parts.append(f"{went_well(step)}/{step.total}" if step.total else "×")
    elif step.state == StepState.PENDING.word and (awaited := _awaited_map(snapshot, step)) is not None:
        parts.append(f"{went_well(awaited)}/{awaited.total}")
    if step.failed and step.is_map:
        parts.append(f"✘{step.failed}")
    if step.is_settled and not step.is_map and (ms := step_took(step, now_ms)) >= 0:
        parts.append(took(ms))
    return " ".join(parts)


def went_well(step: StepTally) -> int:
    """How many of its step runs are decided without a failure."""
    return step.done - step.failed - step.upstream_failed - step.cancelled


def _awaited_map(snapshot: RunSnapshot, step: StepTally) -> StepTally | None:
    """The map that holds a step back, if it has begun and is the only thing that does."""
    sources = dict.fromkeys(i.step for i in snapshot.plan.by_name[step.step].inputs if i.is_edge)
    waiting = [source for name in sources if not (source := snapshot.step(name)).is_settled]
    return waiting[0] if len(waiting) == 1 and waiting[0].is_map and waiting[0].total else None


def step_took(step: StepTally, now_ms: int) -> int:
    """How long a step took, or takes so far (ms); -1 if it has not begun."""
    began, ended = step.timing.started_ms, step.timing.ended_ms
    if not began or (step.is_settled and not ended):
        return -1
    return max((ended if step.is_settled else now_ms) - began, 0)


def draw(snapshot: RunSnapshot, width: int, now_ms: int) -> Drawing:
    """The layered drawing if there is room for it, else one line a step."""
    labels = {step.step: label(snapshot, step, now_ms) for step in snapshot.steps}
    found = draw_layers(snapshot.plan, labels.__getitem__, width)
    return found if found is not None else rows_drawing(draw_rows(snapshot.plan, labels.__getitem__))


class Graph(Canvas, can_focus=True):
    """See the module. The cursor is on a step; keys walk along the lines of the picture."""

    BINDINGS = [  # noqa: RUF012
        Binding("down,j", "walk(1, 0)", "down", show=False),
        Binding("up,k", "walk(-1, 0)", "up", show=False),
        Binding("right,l", "walk(0, 1)", "right", show=False),
        Binding("left,h", "walk(0, -1)", "left", show=False),
        Binding("home,g", "to_end(False)", "first", show=False),
        Binding("end,G", "to_end(True)", "last", show=False),
        Binding("enter", "open", "open", show=False),
    ]

    @dataclass
    class Moved(Message):
        step: str

    @dataclass
    class Opened(Message):
        step: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.step = ""
        self._snapshot: RunSnapshot | None = None
        self._drawing = Drawing((), {})
        self._now_ms = 0
        self._tones: dict[str, str] = {}
        self._top = 0
        self._left = 0

    def show(self, snapshot: RunSnapshot, now_ms: int) -> None:
        self._snapshot, self._now_ms = snapshot, now_ms
        if self.step not in snapshot.plan.by_name:
            self.step = snapshot.plan.steps[0].name
        self._draw()

    def select(self, step: str) -> None:
        """Put the cursor on a step."""
        if step != self.step:
            self.step = step
            self._keep_visible()
            self.refresh()

    def _draw(self) -> None:
        if self._snapshot is not None and self.size.width:
            self._drawing = draw(self._snapshot, self.size.width - 1, self._now_ms)
            self._tones = {step.step: of_step(step)[1] for step in self._snapshot.steps}
            self._keep_visible()
            self.refresh()

    def _keep_visible(self) -> None:
        place = self._drawing.places.get(self.step)
        if place is None:
            return
        height, width = max(self.size.height, 1), max(self.size.width, 1)
        self._top = max(min(self._top, place.row - 1, len(self._drawing.lines) - height), place.row - height + 2, 0)
        margin = (width - self._drawing.width) // 2
        self._left = -margin if margin > 0 else max(min(self._left, place.column), place.column + place.width - width + 1, 0)

    def on_resize(self, event: events.Resize) -> None:
        self._draw()

    def line_at(self, y: int, width: int) -> Line:
        row = self._top + y
        if row >= len(self._drawing.lines):
            return BLANK
        text = self._drawing.lines[row]
        spans: list[Span] = [Span(" " * -self._left)] if self._left < 0 else []
        at = 0
        for name, place in sorted(self._drawing.places.items(), key=lambda item: item[1].column):
            if place.row == row:
                spans.append(Span(text[at : place.column], "frame"))
                at = place.column + place.width
                here = name == self.step
                spans.append(Span(text[place.column : at], "on" if here and self.has_focus else "title" if here else self._tones[name]))
        spans.append(Span(text[at:], "frame"))
        return self._scrolled(tuple(spans))

    def _scrolled(self, spans: Line) -> Line:
        """Without the columns to the left of what is visible."""
        skip = max(self._left, 0)
        kept: list[Span] = []
        for span in spans:
            kept.append(Span(span.text[skip:], span.tone))
            skip = max(skip - len(span.text), 0)
        return tuple(kept)

    def action_walk(self, down: int, right: int) -> None:
        places = self._drawing.places
        if (here := places.get(self.step)) is None:
            return
        middle = here.column + here.width / 2
        if right:
            beside = [(p.column, n) for n, p in places.items() if p.row == here.row and (p.column - here.column) * right > 0]
            found = min(beside, key=lambda item: abs(item[0] - here.column), default=None)
        else:
            rows = [p.row for p in places.values() if (p.row - here.row) * down > 0]
            row = (min(rows) if down > 0 else max(rows)) if rows else -1
            near = [(abs(p.column + p.width / 2 - middle) // 2, p.column, n) for n, p in places.items() if p.row == row]
            found = min(near)[1:] if near else None
        if found is not None:
            self._go(found[1])

    def action_to_end(self, is_last: bool) -> None:
        order = sorted(self._drawing.places, key=lambda name: (self._drawing.places[name].row, self._drawing.places[name].column))
        if order:
            self._go(order[-1] if is_last else order[0])

    def action_open(self) -> None:
        if self.step:
            self.post_message(self.Opened(self.step))

    def on_click(self, event: events.Click) -> None:
        row, column = self._top + event.y, self._left + event.x
        for name, place in self._drawing.places.items():
            if place.row == row and place.column <= column < place.column + place.width:
                self._go(name)

    def _go(self, step: str) -> None:
        self.select(step)
        self.post_message(self.Moved(step))
