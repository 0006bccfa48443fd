"""Dialogs: confirmation as grave as the action, progress that can be stopped, results, help and the command log."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input

from omniq_flow.tui.actions import Action, Deed, Outcome, Risk
from omniq_flow.tui.canvas import Board
from omniq_flow.tui.run_text import clock_time
from omniq_flow.tui.text import BLANK, Line, bar, cell, line, rule, wrap

WIDE = 72
MOST_REFUSED = 12
MOST_REASON = 200


class Dialog(ModalScreen[str | bool | int | None]):
    """A box over the screen; escape leaves it."""

    DEFAULT_CSS = """
    Dialog { align: center middle; }
    Dialog > Vertical {
        width: 76; max-width: 96%; height: auto; max-height: 90%;
        background: $surface; border: round $primary; padding: 0 1;
    }
    Dialog Board { background: $surface; height: auto; }
    Dialog Horizontal { height: 3; align-horizontal: right; }
    Dialog Button { margin: 0 1; }
    Dialog Input { margin: 0; }
    Dialog #reason { margin: 0 0 1 0; background: $panel; }
    """
    BINDINGS = [Binding("escape", "dismiss(None)", "leave", show=False)]  # noqa: RUF012

    def board(self, lines: Sequence[Line], *, id: str | None = None) -> Board:
        board = Board(id=id)
        board.styles.height = max(len(lines), 1)
        board.show(*lines)
        return board


class Confirm(Dialog):
    """Asks before an action; gives the reason, which may be empty, for yes.

    No is focused; many things are confirmed by typing how many, or the name of their queue.
    """

    BINDINGS = [Binding("y", "yes", "yes", show=False), Binding("n", "dismiss(False)", "no", show=False)]  # noqa: RUF012

    def __init__(self, action: Action, where: str) -> None:
        super().__init__(name="confirm")
        self.action = action
        self._where = where

    def compose(self) -> ComposeResult:
        a = self.action
        lines = [line((f"{row}", "title")) for row in wrap(f"{a.label}?", WIDE, 3)]
        lines += [line(("  " + row, "")) for detail in a.details for row in wrap(detail, WIDE - 2, 2)]
        lines += [line((f"  on {self._where}", "dim")), BLANK]
        lines += [line((row, "dim")) for row in wrap(a.command, WIDE, 4)]
        with Vertical():
            yield self.board(lines)
            if a.signed is not None:
                yield self.board([line("why ", ("(optional, kept in the history; shift-tab goes there)", "dim"))])
                yield Input(id="reason", compact=True, max_length=MOST_REASON)
            if a.risk is Risk.TYPE:
                yield self.board([BLANK, line("type ", (a.typed, "warn"), " to confirm, esc to leave")])
                yield Input(id="typed", compact=False)
            else:
                yield Horizontal(Button("No", id="no"), Button("Yes", id="yes", variant="error"))

    def on_mount(self) -> None:
        self.query_one("#typed" if self.action.risk is Risk.TYPE else "#no").focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "reason":
            self.focus_next()
        elif event.value.strip() == self.action.typed:
            self._say_yes()
        else:
            event.input.value = ""

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "yes":
            self._say_yes()
        else:
            self.dismiss(False)

    def action_yes(self) -> None:
        if self.action.risk is not Risk.TYPE:
            self._say_yes()

    def _say_yes(self) -> None:
        reason = "".join(field.value for field in self.query("#reason").results(Input))
        self.dismiss(" ".join(reason.split()))


class Choice(Dialog):
    """Lets one of several actions be chosen by its number; gives its place in the list."""

    def __init__(self, actions: Sequence[Action]) -> None:
        super().__init__(name="choice")
        self._actions = actions

    def compose(self) -> ComposeResult:
        rows = [line((f"  {n}  ", "key"), a.label, ("   " + "".join(a.details[:1]), "dim")) for n, a in enumerate(self._actions, 1)]
        with Vertical():
            yield self.board([line(("what is to be done?", "title")), *rows, BLANK, line(("esc leaves", "dim"))])

    def on_key(self, event: events.Key) -> None:
        if event.key.isdigit() and 1 <= int(event.key) <= len(self._actions):
            event.stop()
            self.dismiss(int(event.key) - 1)


class Progress(Dialog):
    """How far a batch is; escape stops it between two slices."""

    BINDINGS = [Binding("escape", "stop", "stop", show=False, priority=True)]  # noqa: RUF012

    def __init__(self, action: Action) -> None:
        super().__init__(name="progress")
        self.action = action
        self.is_stopped = False
        self._outcomes: list[Outcome] = []

    def compose(self) -> ComposeResult:
        with Vertical():
            yield self.board(self._lines(), id="lines")

    def add(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes += outcomes
        if self.is_mounted:
            self.query_one("#lines", Board).show(*self._lines())

    def action_stop(self) -> None:
        self.is_stopped = True
        self.query_one("#lines", Board).show(*self._lines())

    def _lines(self) -> list[Line]:
        total, done = len(self.action.ids), len(self._outcomes)
        refused = sum(not o.is_done for o in self._outcomes)
        note = "stops after this slice" if self.is_stopped else "esc stops between two slices"
        return [
            line((self.action.label, "title")),
            line((bar(done, total, 40), "busy"), f" {done}/{total}", (f"  {refused} refused" if refused else "", "warn")),
            line((note, "dim")),
        ]


class Results(Dialog):
    """What became of a batch: how many were done, which were refused and why."""

    BINDINGS = [Binding("escape,enter,q", "dismiss(None)", "close", show=False)]  # noqa: RUF012

    def __init__(self, deed: Deed) -> None:
        super().__init__(name="results")
        self._deed = deed

    def compose(self) -> ComposeResult:
        deed = self._deed
        left = len(deed.action.ids) - len(deed.outcomes)
        lines = [line((deed.action.label, "title")), line((f"{deed.done} done", "good"), (f"   {len(deed.refused)} refused", "warn"))]
        lines += [line((f"stopped: {left} were not tried", "warn"))] if left else []
        lines += [rule(WIDE)] if deed.refused else []
        lines += [line(cell(o.id, 40), " ", (o.why, "bad")) for o in deed.refused[:MOST_REFUSED]]
        if len(deed.refused) > MOST_REFUSED:
            lines.append(line((f"… and {len(deed.refused) - MOST_REFUSED} more", "dim")))
        with Vertical():
            yield self.board([*lines, BLANK, line(("enter close", "dim"))])


class Pages(Dialog):
    """Lines to read: the keys, or what was done here."""

    BINDINGS = [  # noqa: RUF012
        Binding("escape,enter,q,question_mark,at", "dismiss(None)", "close", show=False),
        Binding("down,j", "scroll(1)", show=False),
        Binding("up,k", "scroll(-1)", show=False),
    ]

    def __init__(self, name: str, title: str, lines: Sequence[Line]) -> None:
        super().__init__(name=name)
        self._title = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        with Vertical():
            yield self.board([line((self._title, "title"), ("   esc closes", "dim")), rule(WIDE)])
            body = self.board(self._lines, id="body")
            body.styles.height = min(max(len(self._lines), 1), max(self.app.size.height - 8, 3))
            yield body

    def action_scroll(self, by: int) -> None:
        self.query_one("#body", Board).scroll_lines(by)


class Ask(Dialog):
    """Asks for a line of text; gives it, or None."""

    def __init__(self, name: str, title: str, value: str = "", check: Callable[[str], str] = lambda text: "") -> None:
        super().__init__(name=name)
        self._title = title
        self._value = value
        self._check = check

    def compose(self) -> ComposeResult:
        with Vertical():
            yield self.board([line((self._title, "title"))])
            yield Input(self._value, id="answer")
            yield self.board([BLANK], id="fault")

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if fault := self._check(event.value):
            self.query_one("#fault", Board).show(line((fault, "bad")))
        else:
            self.dismiss(event.value)


def help_lines(rows: Sequence[tuple[str, str]]) -> list[Line]:
    return [line((cell(key, 20), "key"), what) for key, what in rows]


def deed_lines(deeds: Sequence[Deed]) -> list[Line]:
    """The command log, the newest first: each action as the command that does it, with its result."""
    if not deeds:
        return [line(("Nothing was done here yet.", "dim"))]
    lines: list[Line] = []
    for deed in reversed(deeds):
        lines += [line((row, "")) for row in wrap(f"{clock_time(deed.at_ms)} {deed.action.command}", WIDE, 3)]
        result = f"         {deed.done} done" + (f", {len(deed.refused)} refused" if deed.refused else "")
        result += ", stopped" if deed.was_stopped else ""
        why = f": {deed.refused[0].why}" if deed.refused else ""
        lines.append(line((result + why, "warn" if deed.refused else "good")))
    return lines
