"""A run once more, as a new run: what is kept and worked, its input to be edited, checked before anything is sent."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input, TextArea

from omniq_flow.client.client import Client
from omniq_flow.client.steering import RerunOptions, rerun_run
from omniq_flow.engine.starting import edit_input
from omniq_flow.errors import InputError, OmniqFlowError, UsageError
from omniq_flow.flow.definition import Flow
from omniq_flow.model.plan import Plan
from omniq_flow.model.runs import RunHeader, new_run_id
from omniq_flow.observe.results import input_of
from omniq_flow.ops.rerun import EditedInput, kept_steps
from omniq_flow.ops.runs import Started, plan_of
from omniq_flow.tui.actions import PROGRAM, Action, Slice, whoami
from omniq_flow.tui.dialogs import MOST_REASON, WIDE
from omniq_flow.tui.editor import edit_text
from omniq_flow.tui.form import Form
from omniq_flow.tui.link import LookingClient
from omniq_flow.tui.text import BLANK, line, wrap

if TYPE_CHECKING:
    from omniq_flow.tui.app import FlowApp


@dataclass(frozen=True, slots=True)
class Again:
    """What is to be re-run: the run, its plan and input, and the step from which on; "" for the whole run."""

    header: RunHeader
    plan: Plan
    value: Any
    step: str = ""
    new_id: str = ""

    @property
    def label(self) -> str:
        return f"re-run {self.header.run_id} from {self.step or 'its start'}"

    @property
    def kept(self) -> tuple[str, ...]:
        return kept_steps(self.plan, self.steps)

    @property
    def steps(self) -> tuple[str, ...]:
        return (self.step,) if self.step else ()

    def read(self, text: str, flows: Sequence[Flow]) -> EditedInput | None:
        """The input that a text means; None if it is the one that the run had. Raises what is wrong with it."""
        try:
            value = json.loads(text)
        except ValueError as error:
            raise InputError(f"the input is no JSON: {error}") from None
        if value == self.value:
            return None
        flow = next((flow for flow in flows if flow.name == self.header.flow), None)
        if flow is None:
            raise UsageError(f"flow {self.header.flow} is not known here, so another input can not be checked")
        return edit_input(flow, self.plan, value)


def rerun_action(again: Again, edited: EditedInput | None, reason: str) -> Action:
    """Begin a run once more, as `omniq-flow runs rerun` does."""
    words = [PROGRAM, "runs", "rerun", again.header.run_id, *(["--from", again.step] if again.step else [])]
    words += ["-i", edited.json.decode()] if edited else []
    words += ["--reason", reason] if reason else []

    def send(client: Client) -> Started:
        options = RerunOptions(again.steps, edited, new_id=again.new_id, by=whoami(), reason=reason)
        done = rerun_run(client, again.header.queue, again.header.run_id, options)
        return Started(done.run_id, done.is_new)

    return Action("rerun", again.label, shlex.join(words), (Slice(send, (again.header.run_id,)),), queue=again.header.queue)


def ask_for_rerun(app: FlowApp, headers: Sequence[RunHeader], step: str = "", *, none: str = "") -> None:
    """Ask how one run that has ended is to be begun once more, then begin it."""
    ended = [header for header in headers if header.state.is_ended]
    if not app.acting.can_act or not ended:
        app.acting.perform(None, none=none)
    elif len(headers) > 1:
        app.say("one run at a time is re-run; unmark the others", is_bad=True)
    else:
        app.source.ask(partial(_read, ended[0], step), lambda again: app.push_screen(RerunForm(again, app.acting.perform)))


def _read(header: RunHeader, step: str, client: LookingClient) -> Again:
    plan = client.execute(plan_of(header.queue, header.plan_sha))
    return Again(header, plan, input_of(client, header.queue, header.run_id), step, new_run_id())


class RerunForm(Form):
    """What is kept, what is worked, and the input as JSON. `ctrl-s` begins, `ctrl-e` opens the input in `$EDITOR`."""

    BINDINGS = [  # noqa: RUF012
        Binding("ctrl+s", "begin", "start", show=False, priority=True),
        Binding("ctrl+e", "edit", "edit", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    RerunForm TextArea { height: 8; border: none; padding: 0; background: $panel; }
    RerunForm #reason { border: none; height: 1; padding: 0; background: $panel; }
    """

    def __init__(self, again: Again, perform: Callable[[Action], None]) -> None:
        super().__init__(name="rerun")
        self._again = again
        self._perform = perform

    def compose(self) -> ComposeResult:
        again, kept = self._again, self._again.kept
        worked = ", ".join(step.name for step in again.plan.steps if step.name not in kept)
        about = [f"keeps    {', '.join(kept) or 'nothing'}", f"works    {worked}, and what did not succeed"]
        rows = [line((row, "dim")) for text in about for row in wrap(text, WIDE, 2)]
        with Vertical():
            yield self.board([line((again.label, "title")), *rows, BLANK])
            if again.plan.schema != "null":
                yield self.board([line(("input", "head"), ("  JSON, for what is worked; ctrl-e edits it in $EDITOR", "dim"))])
                yield TextArea(json.dumps(again.value, indent=2, ensure_ascii=False), id="input", tab_behavior="focus")
            yield self.board([line(("why", "head"), ("  optional, kept in the history of both runs", "dim"))])
            yield Input(id="reason", compact=True, max_length=MOST_REASON)
            yield from self.foot()

    def on_mount(self) -> None:
        self.query_one("#reason").focus()

    def on_input_submitted(self) -> None:
        self.action_begin()

    def action_edit(self) -> None:
        from omniq_flow.tui.app import FlowApp

        for area in self.query(TextArea):
            assert isinstance(self.app, FlowApp)
            if (text := edit_text(self.app, area.text)) is not None:
                area.text = text

    def action_begin(self) -> None:
        from omniq_flow.tui.app import FlowApp

        assert isinstance(self.app, FlowApp)
        try:
            edited = next((self._again.read(area.text, self.app.flows) for area in self.query(TextArea)), None)
        except OmniqFlowError as error:
            self.tell_fault(error)
            return
        reason = " ".join(self.query_one("#reason", Input).value.split())
        self.dismiss(None)
        self._perform(rerun_action(self._again, edited, reason))
