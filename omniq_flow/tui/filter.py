"""The filter of a list: a line at the foot of the screen, and what its words mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from omniq_flow.errors import UsageError
from omniq_flow.model.clock import duration_ms
from omniq_flow.observe.run_query import InputFits, RunQuery, Which
from omniq_flow.tui.canvas import Board
from omniq_flow.tui.text import line

WORDS = "state:failed, is:open, flow:doc*, in.customer:42, tag:env=prod, age>1h, age<7d"
_WHICH: tuple[Which, ...] = ("all", "open", "failed", "ended")
_STATES = ("running", "succeeded", "failed", "cancelling", "cancelled")
_WORD = re.compile(r'(?:"[^"]*"|\S)+')
_AGE = re.compile(r"age([<>])(.*)", re.DOTALL)
_NAMED = re.compile(r"([A-Za-z]+[\w.-]*):(.*)", re.DOTALL)


def query_of(words: str) -> RunQuery:
    """`state:failed flow:doc* in.customer:42 tag:env=prod age>1h`, `is:open`, and text; quotes keep a word with spaces or a colon together.

    `UsageError` for a word that is no filter, and says what would be one.
    """
    found: dict[str, Any] = {}
    texts, inputs, tags = list[str](), list[InputFits](), list[str]()
    for word in _WORD.findall(words):
        named, age = _NAMED.fullmatch(word), _AGE.fullmatch(word)
        if age:
            found["older_ms" if age[1] == ">" else "younger_ms"] = _duration(word, age[2])
        elif not named:
            texts.append(word.replace('"', ""))
        elif named[1].startswith("in."):
            inputs.append(_input(word, named[1].removeprefix("in."), named[2].replace('"', "")))
        elif named[1] == "tag":
            tags.append(_tag(word, named[2].replace('"', "")))
        else:
            found |= _field(word, named[1], named[2].replace('"', ""))
    return RunQuery(text=" ".join(texts), inputs=tuple(inputs), tags=tuple(tags), **found)


def _field(word: str, name: str, value: str) -> dict[str, str]:
    allowed = {"state": _STATES, "is": _WHICH, "flow": ()}.get(name)
    if allowed is None:
        raise _wrong(word, f'filters are {WORDS}; text with a colon stands in quotes, as "{word}"')
    if not value or (allowed and value not in allowed):
        raise _wrong(word, f"{name}: takes {', '.join(allowed) or 'the name of a flow, or its beginning'}")
    return {"which" if name == "is" else name: value}


def _input(word: str, path: str, value: str) -> InputFits:
    if not all(path.split(".")) or not value:
        raise _wrong(word, "write in.FIELD:VALUE, as in.customer:42 or in.customer.name:ann*")
    return InputFits(path, value)


def _tag(word: str, value: str) -> str:
    name, is_one, rest = value.partition("=")
    if not name or (is_one and not rest):
        raise _wrong(word, "write tag:NAME or tag:NAME=VALUE, as in tag:env=prod or tag:team=da*")
    return value


def _duration(word: str, text: str) -> int:
    try:
        found = duration_ms(float(text) if text.isdecimal() else text)
    except ValueError:
        found = 0
    if not found:
        raise _wrong(word, "write a time, as age>1h, age<10m or age>2d12h")
    return found


def _wrong(word: str, hint: str) -> UsageError:
    return UsageError(f"{word} is no filter", hint=hint)


def words_of(query: RunQuery) -> str:
    """The words that mean this query."""
    parts = [f"is:{query.which}"] if query.which != "all" else []
    parts += [f"state:{query.state}"] if query.state else []
    parts += [f"flow:{query.flow}"] if query.flow else []
    parts += [f"in.{one.path}:{_quoted(one.value, ' ')}" for one in query.inputs]
    parts += [f"tag:{_quoted(tag, ' ')}" for tag in query.tags]
    parts += [f"age>{_written(query.older_ms)}"] if query.older_ms else []
    parts += [f"age<{_written(query.younger_ms)}"] if query.younger_ms else []
    return " ".join([*parts, *map(_quoted, query.text.split())])


def _quoted(value: str, what: str = ":<>") -> str:
    return f'"{value}"' if any(character in value for character in what) else value


def _written(ms: int) -> str:
    """A duration as it is typed, exactly."""
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        number, ms = divmod(ms, size)
        parts += [f"{number}{unit}"] if number else []
    return "".join(parts)


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
        self.post_message(self.Changed(event.value))

    def on_key(self, event: object) -> None:
        from textual.events import Key

        if isinstance(event, Key) and event.key == "escape":
            event.stop()
            self.remove_class("-open")
            self.screen.focus_next()
