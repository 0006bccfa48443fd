"""A form: a dialog that is filled in, checked before anything is sent, and tells all that is wrong."""

from __future__ import annotations

from collections.abc import Iterable

from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Button

from omniq_flow.errors import InputError, OmniqFlowError
from omniq_flow.tui.canvas import Board
from omniq_flow.tui.dialogs import WIDE, Dialog
from omniq_flow.tui.text import BLANK, Line, line, wrap

MOST_FAULTS = 5


class Form(Dialog):
    """See the module. Subclasses have the fields, then `foot`; `action_begin` checks them."""

    def foot(self) -> Iterable[Widget]:
        """What is below the fields: room for what is wrong, and the buttons."""
        yield self.board([BLANK], id="fault")
        yield Horizontal(Button("Leave", id="leave"), Button("Start", id="start", variant="primary"))

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "start":
            self.action_begin()
        else:
            self.dismiss(None)

    def action_begin(self) -> None:
        """Begin what was filled in if it is right; else tell all that is wrong."""
        raise NotImplementedError

    def tell_fault(self, error: OmniqFlowError) -> None:
        """Show what is wrong in its place."""
        fault = self.query_one("#fault", Board)
        fault.show(*(rows := _fault_lines(error)))
        fault.styles.height = len(rows)


def _fault_lines(error: OmniqFlowError) -> list[Line]:
    faults = error.faults if isinstance(error, InputError) and error.faults else ()
    texts = [str(fault) for fault in faults] or [error.message]
    rows = [line((row, "bad")) for text in texts[:MOST_FAULTS] for row in wrap(text, WIDE, 2)]
    return rows + ([line((f"… and {len(texts) - MOST_FAULTS} more", "dim"))] if len(texts) > MOST_FAULTS else [])
