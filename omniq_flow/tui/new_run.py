"""A new run: a flow is chosen, its input is filled in as its schema says, and checked before anything is sent."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Input, OptionList

from omniq_flow.engine.starting import prepare, start
from omniq_flow.errors import OmniqFlowError
from omniq_flow.flow.definition import Flow
from omniq_flow.tui.actions import PROGRAM, Action, Slice
from omniq_flow.tui.dialogs import Dialog
from omniq_flow.tui.form import Form
from omniq_flow.tui.text import BLANK, line, safe

if TYPE_CHECKING:
    from omniq_flow.tui.app import FlowApp

REQUIRED = "required"
WHOLE = ""
"""The name of the only field of an input that is no object."""


@dataclass(frozen=True, slots=True)
class InputField:
    """One field of an input; `need` tells whether it must be given, or what stands for it if it is not."""

    name: str
    kind: str
    is_text: bool
    need: str

    def read(self, text: str) -> Any:
        """The value that a text means: itself where a text is wanted, else JSON if it is, else itself."""
        if self.is_text:
            return text
        try:
            return json.loads(text)
        except ValueError:
            return text


def input_fields(schema: Any) -> tuple[InputField, ...]:
    """The fields that a JSON Schema of an input has; none for a flow without input."""
    if not schema:
        return ()
    if "properties" not in schema:
        return (InputField(WHOLE, "JSON", False, REQUIRED),)
    required, definitions = schema.get("required", ()), schema.get("$defs", {})
    return tuple(_field(name, about, name in required, definitions) for name, about in schema["properties"].items())


def _field(name: str, about: Any, is_required: bool, definitions: Any) -> InputField:
    kinds, is_text = _kinds(about, definitions), _is_text(about, definitions)
    default = f"default {json.dumps(about['default'], ensure_ascii=False)}" if "default" in about else "optional"
    return InputField(name, " or ".join(dict.fromkeys(kinds)), is_text, REQUIRED if is_required else default)


def _kinds(about: Any, definitions: Any) -> Sequence[str]:
    """Short words for what a schema allows."""
    if "$ref" in about:
        name = str(about["$ref"]).rsplit("/", 1)[-1]
        inner = definitions.get(name, {})
        return _kinds(inner, definitions) if "enum" in inner else [f"{name} as JSON"]
    if "enum" in about:
        return [str(value) for value in about["enum"]]
    if options := about.get("anyOf"):
        return [kind for option in options for kind in _kinds(option, definitions)]
    kind = str(about.get("type", "JSON"))
    return [f"{kind} as JSON" if kind in ("array", "object") else kind]


def _is_text(about: Any, definitions: Any) -> bool:
    """Whether only texts are allowed, so that none of them is read as JSON."""
    if "$ref" in about:
        return _is_text(definitions.get(str(about["$ref"]).rsplit("/", 1)[-1], {}), definitions)
    return bool(about.get("type") == "string")


def start_action(flow: Flow, value: Any, key: str) -> Action:
    """Begin a run of a flow, as `omniq-flow start` does."""
    given = [] if flow.input is None else ["-i", json.dumps(value, ensure_ascii=False)]
    command = shlex.join([PROGRAM, "start", flow.name, *given, *(["--key", key] if key else [])])
    piece = Slice(lambda client: start(client, flow, value, key=key), (flow.name,))
    return Action("start", f"start flow {flow.name}", command, (piece,), queue=flow.queue)


def ask_for_run(app: FlowApp, flows: Sequence[Flow]) -> None:
    """Ask for a flow, if there are several, then for its input; then begin the run."""

    def fill(at: object) -> None:
        if isinstance(at, int) and not isinstance(at, bool):
            app.push_screen(RunForm(flows[at], partial(_begin, app, flows[at])))

    if not flows:
        app.say("no flow is known here: start this in a project with flows/*.py", is_bad=True)
    elif len(flows) == 1:
        fill(0)
    else:
        app.push_screen(Pick("which flow?", [f"{flow.name}   queue {flow.queue}, {len(flow.steps)} steps" for flow in flows]), fill)


def _begin(app: FlowApp, flow: Flow, value: Any, key: str) -> None:
    app.acting.perform(start_action(flow, value, key))


class Pick(Dialog):
    """Lets one of several lines be chosen; gives its place in the list."""

    BINDINGS = [Binding("j", "go('cursor_down')", show=False), Binding("k", "go('cursor_up')", show=False)]  # noqa: RUF012
    DEFAULT_CSS = "Pick OptionList { height: auto; max-height: 16; border: none; background: $surface; }"

    def __init__(self, title: str, rows: Sequence[str]) -> None:
        super().__init__(name="pick")
        self._title = title
        self._rows = rows

    def compose(self) -> ComposeResult:
        with Vertical():
            yield self.board([line((self._title, "title")), BLANK])
            yield OptionList(*(safe(row) for row in self._rows), markup=False)
            yield self.board([BLANK, line(("enter chooses, esc leaves", "dim"))])

    def action_go(self, way: str) -> None:
        getattr(self.query_one(OptionList), f"action_{way}")()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_index)


class RunForm(Form):
    """The input of a flow, a line a field, and the run key. Enter goes to the next field and, from the last one, begins the run."""

    AUTO_FOCUS = ""
    BINDINGS = [Binding("ctrl+s", "begin", "start", show=False)]  # noqa: RUF012
    DEFAULT_CSS = """
    RunForm VerticalScroll { height: auto; max-height: 9; background: $surface; }
    RunForm Input { border: none; height: 1; padding: 0; background: $panel; margin: 0 0 1 2; }
    RunForm Input:focus { border: none; background: $boost; }
    """

    def __init__(self, flow: Flow, begin: Callable[[Any, str], None]) -> None:
        super().__init__(name="new_run")
        self._flow = flow
        self._begin = begin
        self._fields = input_fields(flow.input.model_json_schema() if flow.input is not None else None)

    def compose(self) -> ComposeResult:
        title = self._flow.input.__name__ if self._flow.input is not None else "it takes no input"
        with Vertical():
            yield self.board([line((f"new run of {self._flow.name}", "title"), (f"   {title}", "dim")), BLANK])
            with VerticalScroll(can_focus=False):
                for n, field in enumerate(self._fields):
                    tone = "warn" if field.need == REQUIRED else "dim"
                    yield self.board([line((field.name or "input", "head"), (f"  {field.kind}  ", "dim"), (field.need, tone))])
                    yield Input(id=f"field{n}", compact=True)
                yield self.board([line(("run key", "head"), ("  the same key with the same input is the same run", "dim"))])
                yield Input(id="key", compact=True)
            yield from self.foot()

    def on_mount(self) -> None:
        self.query(Input).first().focus(scroll_visible=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "key":
            self.action_begin()
        else:
            self.focus_next()

    def action_begin(self) -> None:
        value, key = self._value(), self.query_one("#key", Input).value.strip()
        try:
            prepare(self._flow, value, key=key)
        except OmniqFlowError as error:
            self.tell_fault(error)
            return
        self.dismiss(None)
        self._begin(value, key)

    def _value(self) -> Any:
        """What was filled in; a field that was left empty is not given."""
        if self._flow.input is None:
            return None
        texts = [self.query_one(f"#field{n}", Input).value for n in range(len(self._fields))]
        values = {field.name: field.read(text) for field, text in zip(self._fields, texts, strict=True) if text}
        return values.get(WHOLE) if [field.name for field in self._fields] == [WHOLE] else values
