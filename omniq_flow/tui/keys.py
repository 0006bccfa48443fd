"""The keys: what each one does, in one table that bindings, the foot of a screen and the help are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Key:
    """One key, or several that do the same (with commas), and the action it stands for."""

    keys: str
    action: str
    label: str
    help: str = ""
    is_hint: bool = True
    shown: str = ""
    called: str = ""

    @property
    def id(self) -> str:
        """The name of the action in the settings: `retry`, `new_run`."""
        return self.called or re.sub(r"^act\('(\w+)'\)$", r"\1", self.action)

    @property
    def name(self) -> str:
        """The key as people call it."""
        return self.shown or key_name(self.keys.split(",")[0])


NAMES = {
    "slash": "/",
    "question_mark": "?",
    "escape": "esc",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "minus": "-",
    "at": "@",
    "colon": ":",
    "plus": "+",
    "underscore": "_",
    "exclamation_mark": "!",
}


def key_name(key: str) -> str:
    """What people call a key of Textual's."""
    return NAMES.get(key, key.replace("ctrl+", "ctrl-"))


EVERYWHERE = (
    Key("z", "freeze", "freeze", "freeze or thaw the picture"),
    Key("question_mark", "help", "help", "the keys of this screen"),
    Key("q", "quit", "quit", "leave"),
    Key("ctrl+r", "now", "now", "read again at once", is_hint=False),
    Key("plus", "pane(1)", "", "a wider pane beside the list", is_hint=False, called="pane_wider"),
    Key("underscore", "pane(-1)", "", "a narrower pane", is_hint=False, called="pane_narrower"),
    Key("w", "wide", "wide", "all columns, or those that have room", is_hint=False),
    Key("less_than_sign", "slower", "slower", "refresh less often", is_hint=False),
    Key("greater_than_sign", "faster", "faster", "refresh more often", is_hint=False),
    Key("minus", "last_page", "last", "the screen before this one", is_hint=False),
    Key("at", "command_log", "log", "what was done here, as commands", is_hint=False),
    Key("ctrl+y", "copy_command", "copy command", "copy the command that shows what is selected", is_hint=False),
    Key("Y", "copy_json", "copy JSON", "copy what is selected as JSON", is_hint=False),
    Key("ctrl+n", "new_run", "new run", "begin a run of a flow of this project", is_hint=False),
    Key("o", "open_value", "open", "the whole value in $PAGER: payload, input, output", is_hint=False),
    Key("ctrl+z", "suspend_process", "background", "go to the background; the shell's fg brings it back", is_hint=False),
    Key("colon", "command_line", "command", "a command: runs, run ID, queue NAME LANE, q", is_hint=False),
)

SORT_KEYS = (
    Key("s", "sort(1)", "sort", "sort by another column", is_hint=False, called="sort"),
    Key("S", "sort(-1)", "", "sort by the column before", is_hint=False, called="sort_back"),
)

MOVING = (
    ("j k ↑ ↓", "move"),
    ("g G home end", "first, last"),
    ("PgUp PgDn h l ← →", "page back, page on"),
    ("enter", "open"),
    ("tab", "next pane"),
    ("1 … 8", "screens"),
    ("ctrl-p", "palette"),
)

MARKING = (
    ("space", "mark"),
    ("v", "mark from the last mark to here"),
    ("A", "mark all that match"),
    ("u", "unmark all"),
)


def bindings(keys: Iterable[Key]) -> list[Binding]:
    """The bindings of Textual for these keys."""
    return [Binding(key.keys, key.action, key.label, show=False, id=key.id) for key in keys]


def mapped(keys: Iterable[Key], keymap: Mapping[str, str]) -> list[Key]:
    """The keys as the settings have them."""
    return [replace(key, keys=keymap[key.id], shown="") if key.id in keymap else key for key in keys]


Hint = tuple[str, str, str]
"""A key, what it does in a word, and the action of a click on it."""


def hints(keys: Iterable[Key], target: str) -> list[Hint]:
    """What the foot shows; `target` is whose actions they are: `screen` or `app`."""
    return [(key.name, key.label, f"{target}.{key.action}") for key in keys if key.is_hint]


def help_rows(keys: Sequence[Key], everywhere: Sequence[Key], *, has_marks: bool) -> list[tuple[str, str]]:
    """What the help shows: the keys of a screen, then those that are the same everywhere."""
    own = [(key.name, key.help or key.label) for key in keys]
    return [*own, *MOVING, *(MARKING if has_marks else ()), *((k.name, k.help) for k in everywhere)]
