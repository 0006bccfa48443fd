"""The filter of a list: a line at the foot of the screen, and what its words mean."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from omniq_flow.observe.run_list import RunQuery, Which
from omniq_flow.tui.canvas import Board
from omniq_flow.tui.text import line

_WHICH: tuple[Which, ...] = ("all", "open", "failed", "ended")


def query_of(words: str) -> RunQuery:
    """`state:failed flow:doc some text`, and `is:open`; what has no known name before its colon is text."""
    found: dict[str, str] = {}
    texts: list[str] = []
    which: Which = "all"
    for word in words.split():
        name, colon, value = word.partition(":")
        if colon and name in ("state", "flow") and value:
            found[name] = value
        elif colon and name == "is" and value in _WHICH:
            which = _WHICH[_WHICH.index(value)]
        else:
            texts.append(word)
    return RunQuery(which, text=" ".join(texts), **found)


def words_of(query: RunQuery) -> str:
    """The words that mean this query."""
    parts = [f"is:{query.which}"] if query.which != "all" else []
    parts += [f"state:{query.state}"] if query.state else []
    parts += [f"flow:{query.flow}"] if query.flow else []
    return " ".join([*parts, *([query.text] if query.text else [])])


class FilterBar(Horizontal):
    """A line to type a filter into; enter takes it, escape leaves everything as it was."""

    DEFAULT_CSS = """
    FilterBar { height: 1; display: none; }
    FilterBar.-open { display: block; }
    FilterBar Board { width: 9; height: 1; }
    FilterBar Input { border: none; height: 1; padding: 0; background: $surface; }
    FilterBar Input:focus { border: none; }
    """

    @dataclass
    class Changed(Message):
        query: RunQuery
        words: str

    def compose(self) -> ComposeResult:
        title = Board()
        title.show(line((" filter ", "key")))
        yield title
        yield Input(id="words", compact=True)

    def open(self, words: str) -> None:
        self.add_class("-open")
        field = self.query_one(Input)
        field.value = words
        field.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.remove_class("-open")
        self.post_message(self.Changed(query_of(event.value), event.value))

    def on_key(self, event: object) -> None:
        from textual.events import Key

        if isinstance(event, Key) and event.key == "escape":
            event.stop()
            self.remove_class("-open")
            self.screen.focus_next()
