"""The steps of a run as a tree: a line a step, those inside a list below the list, elements of a map when it is unfolded."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.binding import Binding
from textual.message import Message

from omniq_flow.model.names import StepRun
from omniq_flow.model.states import Lane
from omniq_flow.observe.run_watch import Member, RunView
from omniq_flow.observe.snapshot import StepTally
from omniq_flow.tui.canvas import Canvas
from omniq_flow.tui.glyphs import STEPS, of_step
from omniq_flow.tui.graph import label, step_took
from omniq_flow.tui.text import BLANK, Line, age, cell, line, took

_PAGE = 10


@dataclass(frozen=True, slots=True)
class _Item:
    step: str
    text: Line
    member: str = ""
    inner: tuple[int, ...] = ()
    """Which list within a map of maps the line stands for, if it does."""


class StepTree(Canvas, can_focus=True):
    """See the module. One map at a time is unfolded, a window of its elements is shown; of a map within a map first the lists, and of
    the one that is unfolded in turn its elements."""

    BINDINGS = [  # noqa: RUF012
        Binding("down,j", "move(1)", "down", show=False),
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("pagedown", "move(10)", "page on", show=False),
        Binding("pageup", "move(-10)", "page back", show=False),
        Binding("home,g", "move(-100000)", "first", show=False),
        Binding("end,G", "move(100000)", "last", show=False),
        Binding("enter,right,l", "unfold", "unfold", show=False),
        Binding("left,h", "fold", "fold", show=False),
    ]

    @dataclass
    class Moved(Message):
        step: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.selected_step = ""
        self.members_from = 0
        self.within: tuple[int, ...] = ()
        self._open = ""
        self._cursor = 0
        self._top = 0
        self._items: list[_Item] = []
        self._view: RunView | None = None
        self._now_ms = 0

    @property
    def selected_member(self) -> str:
        """The element under the cursor; empty if that is a step."""
        return self._items[self._cursor].member if self._cursor < len(self._items) else ""

    def unfold(self, step: str) -> None:
        """Put the cursor on a step and show its elements."""
        self.selected_step, self._open, self.members_from, self.within = step, step, 0, ()
        self._list()
        self._cursor = next((n for n, item in enumerate(self._items) if item.step == step), 0)
        self.refresh()

    def show(self, view: RunView, now_ms: int) -> None:
        self._view, self._now_ms = view, now_ms
        if not self.selected_step:
            self.selected_step = view.close.step
        self._list()
        self.refresh()

    def _list(self) -> None:
        if self._view is None:
            return
        here = (self._items[self._cursor].step, self._items[self._cursor].member) if self._cursor < len(self._items) else ("", "")
        self._items = []
        for step in self._view.snapshot.steps:
            self._items.append(_Item(step.step, self._step_line(step)))
            if step.step == self._open and step.step == self._view.close.step:
                self._items += self._member_items(step)
        self._cursor = next((n for n, i in enumerate(self._items) if (i.step, i.member) == here), min(self._cursor, len(self._items) - 1))

    def _member_items(self, step: StepTally) -> list[_Item]:
        """The lists that are unfolded, one in the other, and what is in the innermost."""
        assert self._view is not None
        close, depth = self._view.close, len(step.level)
        if not step.is_map:
            return []
        opened = [StepRun(step.step, self.within[: k + 1]) for k in range(len(self.within))]
        items = [_Item(step.step, _list_line(run, "▾", depth + k, ""), str(run)) for k, run in enumerate(opened)]
        members = close.members if close.within == self.within else ()
        for m in members:
            if m.elements >= 0:
                text = _list_line(m.step_run, "▸", depth + len(opened), f"{m.elements} elements   {m.fact.state.word}")
                items.append(_Item(step.step, text, str(m.step_run), m.step_run.index))
            else:
                items.append(_Item(step.step, self._member_line(m, depth + len(opened)), str(m.step_run)))
        return items

    def _step_line(self, step: StepTally) -> Line:
        assert self._view is not None
        _, tone = of_step(step)
        text = label(self._view.snapshot, step, self._now_ms)
        fold = ("▾ " if step.step == self._open else "▸ ") if step.is_map else "  "
        ms = step_took(step, self._now_ms)
        took_ = f"  {took(ms)}" if ms >= 0 and step.is_map else ""
        return line("  " * len(step.level), (fold, "frame"), (text, tone), (took_, "dim"))

    def _member_line(self, member: Member, depth: int) -> Line:
        word = member.fact.state.word
        glyph, tone = STEPS[word]
        job = member.job
        note = ""
        if job.state == Lane.DELAYED:
            glyph, tone, note = "↻", "warn", f"attempt {job.attempt} of {job.max_attempts}, next in {age(job.due_ms - self._now_ms)}"
        elif job.state == Lane.ACTIVE:
            word, note = "active", f"attempt {job.attempt}, for {age(self._now_ms - job.started_ms)}"
        elif job.state == Lane.WAIT:
            word = "waiting"
        if member.failure is not None:
            note = str(member.failure)
        return line("  " * (depth + 2), (f"{glyph} {cell(str(member.step_run), 16)} {cell(word, 16)}", tone), " ", (note, "dim"))

    def on_resize(self, event: events.Resize) -> None:
        self._keep_visible()

    def _keep_visible(self) -> None:
        self._top = max(min(self._top, self._cursor), self._cursor - max(self.size.height, 1) + 1, 0)

    def action_move(self, by: int) -> None:
        wanted = self._cursor + by
        if self._has_more(by):
            self._turn(1 if by > 0 else -1)
            return
        self._cursor = max(min(wanted, len(self._items) - 1), 0)
        if self._items and (item := self._items[self._cursor]).step != self.selected_step:
            self.selected_step = item.step
            self.members_from, self.within = 0, ()
            self.post_message(self.Moved(item.step))
        self._keep_visible()
        self.refresh()

    def _has_more(self, by: int) -> bool:
        """Whether the cursor would leave the window of elements although more of them lie there."""
        if self._view is None or not self.selected_member or abs(by) > _PAGE:
            return False
        shown = [n for n, item in enumerate(self._items) if item.step == self._open and item.member][len(self.within) :]
        if self._cursor not in shown:
            return False
        is_end = self._cursor + by > shown[-1] if by > 0 else self._cursor + by < shown[0]
        is_more = self.members_from + len(shown) < self._view.close.total if by > 0 else self.members_from > 0
        return is_end and is_more

    def _turn(self, by: int) -> None:
        """Go to the next window of elements at the end of this one."""
        if self._view is None or not self._open:
            return
        total = self._view.close.total
        start = max(self.members_from + by * _PAGE, 0)
        if start < total and start != self.members_from:
            self.members_from = start
            self.post_message(self.Moved(self._open))

    def action_unfold(self) -> None:
        if not self._items:
            return
        if inner := self._items[self._cursor].inner:
            self.within, self.members_from = inner, 0
            self._list()
            self.refresh()
        elif not self.selected_member:
            self.unfold(self._items[self._cursor].step)
        else:
            return
        self.post_message(self.Moved(self.selected_step))

    def action_fold(self) -> None:
        if self.within:
            self.within, self.members_from = self.within[:-1], 0
            self._list()
            self.refresh()
            self.post_message(self.Moved(self.selected_step))
        elif self._open:
            step, self._open = self._open, ""
            self._list()
            self._cursor = next((n for n, item in enumerate(self._items) if item.step == step), 0)
            self._keep_visible()
            self.refresh()

    def is_cursor(self, y: int) -> bool:
        return self.has_focus and self._top + y == self._cursor and bool(self._items)

    def line_at(self, y: int, width: int) -> Line:
        at = self._top + y
        if at >= len(self._items):
            return BLANK
        return (*line(("▌", "key") if self.is_cursor(y) else " "), *self._items[at].text)


def _list_line(run: StepRun, fold: str, depth: int, note: str) -> Line:
    return line("  " * (depth + 1), (f"{fold} ", "frame"), cell(str(run), 16), " ", (note, "dim"))
